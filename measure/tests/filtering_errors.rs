//! The committed errors of minimal filtering, which plans are chosen by, are what the measuring code finds.

#[path = "../../src/plan/filtering_errors/table.rs"]
mod table;

use convmat_measure::filtering::{BLOCKS, Data, INPUTS, Plane, Study};

/// A few nests measured anew, on fewer tiles with other numbers.
#[test]
fn figures_are_found_again() {
    assert_eq!((table::INPUTS, table::BLOCKS), (INPUTS, BLOCKS));
    for (nest, tiles) in [(&[(4, 2)][..], 1024), (&[(3, 2), (3, 2)], 512), (&[(2, 3), (4, 3)], 512)] {
        let mut worst = [[0f64; 3]; 2];
        for (i, data) in [Data::Normal, Data::Rectified].into_iter().enumerate() {
            for (j, plane) in Plane::ALL.into_iter().enumerate() {
                let study = Study { data, plane, most_inputs: 64, tiles, seed: (100 + 2 * i + j) as u64 };
                let found = study.errors::<f32>(nest).unwrap()[1];
                for (block, found) in found.iter().enumerate() {
                    worst[0][block] = worst[0][block].max(found.rms);
                    worst[1][block] = worst[1][block].max(found.largest);
                }
            }
        }
        for (block, size) in table::BLOCKS.into_iter().enumerate() {
            let (_, rms, largest) = table::ROWS.iter().find(|(sets, ..)| *sets == nest).unwrap();
            for (hundredths, found) in [(rms, worst[0][block]), (largest, worst[1][block])] {
                let figure = f64::from(hundredths[block][1]) / 100.0;
                let ratio = found / figure;
                assert!((0.8..=1.25).contains(&ratio), "{nest:?} in blocks of {size}: {found} is not {figure}");
            }
        }
    }
}
