use ndarray::Array5;
use proptest::prelude::*;

use super::*;
use crate::engine::random::{geometries, levels, numbered, sides};
use crate::geometry::Geometry;

/// Packs weights that are all different, and compares each packed element with the weight that the layout puts there.
fn check(geometry: &Geometry<3>, output: Side, isa: Isa, chunk: usize, inputs_per_block: usize) {
    let phases = Phases::new(geometry, output);
    let layout = WeightLayout::new(&phases, isa, chunk.min(phases.outputs), inputs_per_block.min(phases.inputs));
    let weights = numbered(geometry.weight_shape());
    let mut packed = vec![f32::NAN; layout.len(phases.channel_groups)];
    pack(&phases, &layout, weights.as_slice().unwrap(), &mut packed);
    let mut seen = 0;
    let mut used = Array5::<usize>::zeros(geometry.weight_shape());
    for channel_group in 0..phases.channel_groups {
        for block in 0..layout.blocks() {
            for chunk in 0..layout.chunks() {
                let range = layout.of_chunk(channel_group, block, chunk);
                assert_eq!(range.start, seen, "chunks follow each other");
                seen = range.end;
                let mut packed = packed[range].iter();
                for (number, rows) in layout.rows.iter().enumerate() {
                    let members = members(&phases, number);
                    for tile in 0..rows.tiles {
                        for tap in taps(&phases, number) {
                            for input in layout.block(block) {
                                for row in 0..rows.per_tile {
                                    let row = tile * rows.per_tile + row;
                                    let of_chunk = row / members.len();
                                    let output_channel = chunk * layout.chunk + of_chunk;
                                    let value = *packed.next().unwrap();
                                    if of_chunk >= layout.chunk || output_channel >= phases.outputs {
                                        assert_eq!(value, 0.0, "rows that stand for nothing");
                                        continue;
                                    }
                                    let member = members[row % members.len()];
                                    let [d, h, w] =
                                        std::array::from_fn(|i| phases.axes[i].gathers[member[i]].tap(tap[i]));
                                    let at = match output {
                                        Side::Small => {
                                            [channel_group * phases.outputs + output_channel, input, d, h, w]
                                        }
                                        Side::Large => [channel_group * phases.inputs + input, output_channel, d, h, w],
                                    };
                                    assert_eq!(value, weights[at], "weight {at:?}");
                                    used[at] += 1;
                                }
                            }
                        }
                    }
                }
                assert!(packed.next().is_none());
            }
        }
    }
    assert_eq!(seen, packed.len(), "nothing between chunks and nothing behind them");
    // A tap belongs to one phase, or to none where the output has fewer elements than phases.
    assert!(used.iter().all(|&count| count <= 1));
    let is_long = geometry.axes().iter().all(|axis| axis.small() > 1 && axis.large() >= axis.stride());
    assert!(!is_long || used.iter().all(|&count| count == 1));
}

/// The phases of a group in the order of its rows; a phase is given by its gather along each axis.
fn members(phases: &Phases, group: usize) -> Vec<[usize; 3]> {
    let [d, h, w] = phases.axis_groups(group).map(|axis| &axis.members);
    d.iter().flat_map(|&d| h.iter().flat_map(move |&h| w.iter().map(move |&w| [d, h, w]))).collect()
}

/// The taps of a group in order.
fn taps(phases: &Phases, group: usize) -> Vec<[usize; 3]> {
    let counts = phases.axis_groups(group).map(|axis| axis.offsets.len());
    ndarray::indices(counts).into_iter().map(|(d, h, w)| [d, h, w]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_weight_appears_where_the_phases_say(
        geometry in geometries(), output in sides(), level in levels(), chunk in 1..=17usize, inputs in 1..=21usize,
    ) {
        check(&geometry, output, level.isa(), chunk, inputs);
    }

    #[test]
    fn register_tiles_have_rows_for_all_phases(
        geometry in geometries(), output in sides(), level in levels(), chunk in 1..=17usize,
    ) {
        let phases = Phases::new(&geometry, output);
        let layout = WeightLayout::new(&phases, level.isa(), chunk, 1);
        let mut first = 0;
        for (rows, group) in layout.rows.iter().zip(&phases.groups) {
            let needed = if group.taps > 0 { chunk * group.phases } else { 0 };
            prop_assert!(rows.per_tile <= max_rows(level.isa()));
            let count = rows.tiles * rows.per_tile;
            prop_assert!(count >= needed && count < needed + rows.tiles.max(1), "fewer empty rows than tiles");
            prop_assert_eq!(rows.first, first);
            first += count;
        }
        prop_assert_eq!(layout.buffer_rows(), first);
    }
}
