use super::*;
use crate::engine::weights::WeightLayout;
use crate::geometry::{Channels, Geometry, Options, Side};
use crate::kernel::Isa;

/// Packed elements of a geometry's weights over the weights themselves.
fn packed_share(geometry: &Geometry<3>, output: Side, level: Level) -> f64 {
    let phases = Phases::new(geometry, output);
    let chunk = channels_per_chunk(&phases, level);
    let layout = WeightLayout::new(&phases, level.isa(), chunk, phases.inputs);
    let weights: usize = geometry.weight_shape().iter().product();
    layout.len(phases.channel_groups) as f64 / weights as f64
}

/// The largest share on an instruction set, with the layer.
fn worst_share(level: Level) -> (f64, String) {
    // Enough inputs for 64 KiB of f32.
    const WEIGHTS: usize = (64 << 10) / 4;
    let mut worst = (0.0, String::new());
    for outputs in (1..=40).chain([48, 63, 64, 65, 96, 100, 127, 128, 129, 200, 255, 256, 257, 511, 512]) {
        for (kernel, stride, padding) in [
            ([1, 1, 1], [1, 1, 1], 0),
            ([1, 3, 3], [1, 1, 1], 1),
            ([1, 2, 2], [1, 2, 2], 0),
            ([1, 3, 3], [1, 2, 2], 1),
            ([1, 4, 4], [1, 2, 2], 1),
            ([1, 5, 5], [1, 3, 3], 1),
            ([1, 16, 16], [1, 8, 8], 4),
            ([2, 2, 2], [2, 2, 2], 0),
            ([3, 3, 3], [2, 1, 2], 1),
            ([1, 1, 16], [1, 1, 8], 4),
            ([1, 1, 64], [1, 1, 16], 0),
        ] {
            let inputs = WEIGHTS.div_ceil(outputs * kernel.iter().product::<usize>()).max(8);
            let options = Options::new().stride(stride).padding(kernel.map(|length| padding.min(length - 1)));
            for (output, channels) in [
                (Side::Small, Channels { small: outputs, large: inputs }),
                (Side::Large, Channels { small: inputs, large: outputs }),
            ] {
                let geometry = Geometry::transposed([9, 9, 9], kernel, channels, &options).unwrap();
                let share = packed_share(&geometry, output, level);
                if share > worst.0 {
                    let pair = format!("{inputs} to {outputs} channels");
                    worst = (share, format!("{pair}, kernel {kernel:?}, stride {stride:?}, into {output:?}"));
                }
            }
        }
    }
    worst
}

/// Empty rows that fill up register tiles are the price of packing: little where there are many weights. Tiles of few rows
/// leave no choice: 13 outputs make four tiles of 4 rows, or three of 5.
#[test]
fn packed_weights_take_little_more_than_weights() {
    for level in Isa::available().filter_map(Level::new) {
        let limit = match level.isa() {
            Isa::Portable => 16.0 / 13.0,
            Isa::Avx2 => 15.0 / 13.0,
            Isa::Avx512 => 1.15,
        };
        let (share, layer) = worst_share(level);
        println!("{}: at most {share:.3}: {layer}", level.isa());
        assert!(share <= limit, "{}: {share:.3}: {layer}", level.isa());
    }
}
