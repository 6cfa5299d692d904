use ndarray::Array5;
use proptest::prelude::*;

use super::*;
use crate::engine::implicit_gemm::ImplicitGemm;
use crate::engine::phases::Phases;
use crate::engine::random::{Layout, cuts, geometries, layouts, levels, numbered, sides};
use crate::engine::schedule::{Cut, Schedule};
use crate::geometry::{Geometry, Side};
use crate::kernel::Isa;
use crate::kernel::dispatch::Level;
use crate::kernel::micro::lanes;
use crate::kernel::strided::Strided;

/// Elements behind a panel that packing must not write.
const BEHIND: usize = 40;

/// The input at position·step + offset of every axis; zero outside.
fn literal(x: &Array5<f32>, sample: usize, channel: usize, at: [isize; 3]) -> f32 {
    let inside = at.map(usize::try_from);
    let [Ok(d), Ok(h), Ok(w)] = inside else { return 0.0 };
    x.get([sample, channel, d, h, w]).copied().unwrap_or(0.0)
}

/// Packs every block of every panel and looks at what every tap would read.
fn check(geometry: &Geometry<3>, output: Side, level: Level, cut: Cut, batch: usize, layout: Layout) {
    let gemm = ImplicitGemm::new::<f32>(Phases::new(geometry, output), level, 1, 1);
    let (phases, axes) = (&gemm.phases, &gemm.panels);
    let lanes = lanes::<f32>(level.isa());
    let Some(schedule) = Schedule::new::<f32>(phases, axes, &gemm.tile, lanes, cut) else { return };
    let [channels, depth, height, width] = geometry.shape(output.other());
    let x = numbered([batch, channels, depth, height, width]);
    let stored = layout.store(&x);
    let source = Strided::new(stored.view());
    let listed = schedule.only_plan().and_then(|plan| Listed::new(axes, &plan.panel, plan.lens));
    let listed = listed.filter(|_| source.has_planes());
    let channels = channels.saturating_sub(2)..channels;
    let offsets: [Vec<isize>; 3] =
        std::array::from_fn(|i| phases.axes[i].groups.iter().flat_map(|group| group.offsets.iter().copied()).collect());
    for (d, h, w) in ndarray::indices(schedule.blocks.each_ref().map(Vec::len)) {
        let shape = &schedule.plan([d, h, w]).0.panel;
        let block = [&schedule.blocks[0][d], &schedule.blocks[1][h], &schedule.blocks[2][w]];
        let (start, lens) = (block.map(|axis| axis.start), block.map(|axis| axis.len));
        for sample in (0..batch).step_by(cut.samples.count()) {
            let part = Part { sample, channels: channels.clone(), start, lens };
            let len = shape.len(channels.len(), 0);
            let mut panels = vec![vec![f32::NAN; len + BEHIND]; 1 + usize::from(listed.is_some())];
            pack(level, axes, shape, &source, &part, &mut panels[0][..len]);
            if let Some(listed) = &listed {
                listed.pack(level, shape, &source, &part, &mut panels[1][..len]);
            }
            assert!(panels.iter().all(|panel| panel[len..].iter().all(|value| value.is_nan())));
            let present = cut.samples.count().min(batch - sample);
            for (number, channel) in channels.clone().enumerate() {
                for (j_d, j_h, j_w) in ndarray::indices(lens) {
                    for (&o_d, &o_h, &o_w) in combinations(&offsets) {
                        let from_start = shape.position([j_d, j_h, j_w]) + shape.shift(axes, [o_d, o_h, o_w]);
                        let read: [isize; 3] = std::array::from_fn(|i| {
                            ([j_d, j_h, j_w][i] + start[i]) as isize * phases.axes[i].input_step as isize
                                + [o_d, o_h, o_w][i]
                        });
                        for s in 0..present {
                            let (stacked, side) = (s / cut.samples.interleaved, s % cut.samples.interleaved);
                            let place = number * shape.channel + stacked * shape.sample + from_start + side;
                            let expected = literal(&x, sample + s, channel, read);
                            for panel in &panels {
                                assert_eq!(panel[place], expected, "channel {channel} of sample {s} at {read:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}

/// All combinations of one element of each list.
fn combinations(lists: &[Vec<isize>; 3]) -> impl Iterator<Item = (&isize, &isize, &isize)> {
    let [a, b, c] = lists;
    a.iter().flat_map(move |a| b.iter().flat_map(move |b| c.iter().map(move |c| (a, b, c))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_tap_reads_its_input_or_zero(
        geometry in geometries(), output in sides(), level in levels(), cut in cuts(), batch in 1..=7usize, layout in layouts(),
    ) {
        check(&geometry, output, level, cut, batch, layout);
    }

    #[test]
    fn panels_are_no_longer_than_their_parts(geometry in geometries(), output in sides(), cut in cuts()) {
        let phases = Phases::new(&geometry, output);
        let axes: [PanelAxis; 3] = std::array::from_fn(|i| PanelAxis::new(&phases.axes[i]));
        let lens = std::array::from_fn(|i| cut.block[i].min(phases.axes[i].positions));
        let pitch = axes[2].pitch(0, lens[2]);
        prop_assert!(pitch >= lens[2] && pitch <= lens[2] + axes[2].reach, "no more than the places that taps read");
        let shape = PanelShape::new::<f32>(&axes, lens, pitch, cut.samples).unwrap();
        let residues: usize = axes.iter().map(PanelAxis::residues).product();
        let places = (lens[0] + axes[0].reach) * (lens[1] + axes[1].reach) * pitch + axes[2].reach;
        let elements = residues * places * cut.samples.count();
        prop_assert!(shape.channel >= elements && shape.channel < elements + 32, "a line or two for alignment");
        prop_assert!(!shape.channel.is_multiple_of(128), "channels are no multiple of 512 bytes apart");
        prop_assert!(shape.channel.is_multiple_of(16), "channels start at cache lines");
    }
}

#[test]
fn rows_of_every_length_are_packed() {
    let level = Isa::available().filter_map(Level::new).last().unwrap();
    let channels = crate::geometry::Channels { small: 1, large: 2 };
    for (width, step, kernel) in ndarray::indices([36, 7, 7]).into_iter().filter(|&(w, s, k)| w * s * k > 0) {
        for (stacked, interleaved) in [(1, 1), (2, 1), (1, 2), (1, 5)] {
            let options = crate::geometry::Options::new().stride([1, 1, step]).padding([1, 0, kernel / 2]);
            let Ok(geometry) = Geometry::convolution([2, 2, width], [2, 1, kernel], channels, &options) else {
                continue;
            };
            let cut = Cut { samples: Samples { stacked, interleaved }, block: [9, 9, 99], by_valid_taps: [false; 3] };
            check(&geometry, Side::Small, level, cut, 4, Layout::Standard);
        }
    }
}

#[test]
fn lists_are_for_short_rows_read_with_a_stride() {
    let listed = |[height, width]: [usize; 2], stride, interleaved| {
        let options = crate::geometry::Options::new().stride([1, 1, stride]);
        let channels = crate::geometry::Channels { small: 1, large: 1 };
        let geometry = Geometry::convolution([1, height, width], [1, 1, 2], channels, &options).unwrap();
        let phases = Phases::new(&geometry, Side::Small);
        let axes: [PanelAxis; 3] = std::array::from_fn(|i| PanelAxis::new(&phases.axes[i]));
        let lens = std::array::from_fn(|i| phases.axes[i].positions);
        let limits = ListLimits { most_columns: 32, most_of_small_step: 15, small_step: 3, most: 4096 };
        Listed::pays(&axes, lens, interleaved, &limits)
    };
    assert!(listed([7, 30], 2, 1) && listed([7, 64], 2, 2) && listed([7, 128], 4, 1) && listed([64, 64], 2, 2));
    assert!(!listed([7, 9], 1, 1), "rows are whole");
    assert!(!listed([7, 32], 2, 1), "16 columns of each residue, which vectors split");
    assert!(!listed([7, 66], 2, 2), "33 columns of each residue");
    assert!(!listed([65, 64], 2, 2), "more than 4096 elements");
}

#[test]
fn panels_beyond_32_bits_are_refused() {
    let axes = |input| {
        let geometry = Geometry::convolution(
            [1, 1, input],
            [1, 1, 3],
            crate::geometry::Channels { small: 1, large: 1 },
            &crate::geometry::Options::new(),
        );
        let phases = Phases::new(&geometry.unwrap(), Side::Small);
        std::array::from_fn(|i| PanelAxis::new(&phases.axes[i]))
    };
    let one = Samples { stacked: 1, interleaved: 1 };
    let new = |input: usize, samples| {
        PanelShape::new::<f32>(&axes(input), [1, 1, input - 2], input, samples).map(|shape| shape.channel)
    };
    assert_eq!(new(1000, one), Some(1008));
    assert_eq!(new(1 << 32, one), None);
    assert_eq!(new(1 << 31, Samples { stacked: 2, interleaved: 1 }), None);
    assert_eq!(new(1 << 31, Samples { stacked: 1, interleaved: 2 }), None);
    assert_eq!(new(1 << 40, Samples { stacked: 1, interleaved: 1 << 40 }), None);
}
