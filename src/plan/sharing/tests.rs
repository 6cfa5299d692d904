use super::*;
use crate::engine::implicit_gemm::Handling;
use crate::engine::panel::Samples;
use crate::engine::phases::Phases;
use crate::engine::schedule::Cut;
use crate::geometry::{Channels, Geometry, Options, Side};
use crate::kernel::Isa;
use crate::kernel::dispatch::Level;

/// A layer of 8 chunks for samples of 4 × 4, in one panel each.
fn prepared(packing: f64) -> (Prepared, Sharing) {
    let options = Options::new().stride([1, 2, 2]).padding([0, 1, 1]);
    let channels = Channels { small: 3, large: 16 };
    let geometry = Geometry::transposed([1, 4, 4], [1, 4, 4], channels, &options).unwrap();
    let phases = Phases::new(&geometry, Side::Large);
    let gemm = ImplicitGemm::new::<f32>(phases, Level::new(Isa::Portable).unwrap(), 2, 3);
    let samples = Samples { stacked: 1, interleaved: 1 };
    let cut = Cut { samples, block: [1, 8, 8], by_valid_taps: [false; 3] };
    let handling = Handling { chunks_per_cell: 8, is_scattered: false, is_listed: false, large_output: usize::MAX };
    let way = Way { cut, chunks_per_cell: 8, is_scattered: false, is_listed: false, cycles: 1.0, packing, scratch: 0 };
    (gemm.prepare::<f32>(cut, handling).unwrap(), Sharing::new(&gemm, &way))
}

#[test]
fn a_worker_alone_packs_once_and_many_share_the_channels() {
    let (prepared, sharing) = prepared(0.5);
    let cells = [1, 2, 3, 4, 8, 100].map(|workers| sharing.cells(&prepared, 1, workers));
    assert_eq!(cells, [1, 2, 3, 4, 8, 8], "one sample");
    assert_eq!(sharing.cells(&prepared, 64, 2), 64, "there are enough samples");
    assert_eq!(sharing.cells(&prepared, usize::MAX, 3), usize::MAX);
}

#[test]
fn panels_that_take_long_to_pack_serve_more_chunks() {
    let cells = |packing| {
        let (prepared, sharing) = prepared(packing);
        sharing.cells(&prepared, 5, 4)
    };
    assert_eq!(cells(8.0), 5);
    assert_eq!(cells(0.0), 40);
}

#[test]
fn all_cuts_hold_all_channels() {
    let (_, Sharing(cuts)) = prepared(0.5);
    let chunks: Vec<usize> = cuts.iter().map(|cut| cut.starts[1..].first().map_or(8, |s| s / 2)).collect();
    assert_eq!(chunks, [8, 4, 3, 2, 1]);
    for cut in &cuts {
        let steps: Vec<_> = cut.starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(cut.starts[0] == 0 && cut.starts.last().unwrap() < &16 && steps.windows(2).all(|two| two[0] == two[1]));
    }
}
