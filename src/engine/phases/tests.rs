use proptest::prelude::*;

use super::*;
use crate::engine::random::{geometries, sides};
use crate::geometry::{Axis, Channels, Options};

/// What a gather reads from its first output on, whether or not it exists.
fn offsets(gather: &Gather) -> Vec<isize> {
    (0..gather.taps).map(|tau| gather.offset(tau)).collect()
}

fn check(geometry: &Geometry<3>, output: Side) {
    let phases = Phases::new(geometry, output);
    let mut found = Vec::new();
    for (number, group) in phases.groups.iter().enumerate() {
        let [d, h, w] = phases.axis_groups(number);
        assert_eq!(group.phases, d.members.len() * h.members.len() * w.members.len());
        assert_eq!(group.taps, d.offsets.len() * h.offsets.len() * w.offsets.len());
        for &d in &d.members {
            found.extend(h.members.iter().flat_map(|&h| w.members.iter().map(move |&w| [d, h, w])));
        }
    }
    found.sort_unstable();
    let count = phases.axes.each_ref().map(|axis| axis.gathers.len());
    let all = ndarray::indices(count).into_iter().map(|(d, h, w)| [d, h, w]).collect::<Vec<_>>();
    assert_eq!(found, all, "every phase is in one group");
    assert_eq!(phases.phases(), all.len());
    for (axis, of_geometry) in phases.axes.iter().zip(geometry.axes()) {
        for (number, group) in axis.groups.iter().enumerate() {
            assert!(group.members.is_sorted() && group.offsets.is_sorted());
            assert!(axis.groups[..number].iter().all(|other| other.offsets != group.offsets), "one group per reading");
            for &member in &group.members {
                let gather = &axis.gathers[member];
                assert_eq!(offsets(gather), group.offsets);
                assert_eq!((gather.input_step, gather.output_step), (axis.input_step, axis.output_step));
                assert!(gather.outputs <= axis.positions);
                for j in 0..gather.outputs {
                    assert_eq!(axis.valid_taps(number, j), gather.valid_taps(j, axis.input));
                }
            }
        }
        assert_eq!((axis.output, axis.input), (of_geometry.length(output), of_geometry.length(output.other())));
        assert_eq!(axis.gathers.iter().map(|gather| gather.outputs).sum::<usize>(), axis.output);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn groups_partition_the_phases(geometry in geometries(), output in sides()) {
        check(&geometry, output);
    }

    /// Geometries that differ only in lengths have the same phases, unless a side is so short that some phases are
    /// missing or have nothing to share.
    #[test]
    fn phases_do_not_depend_on_lengths(geometry in geometries(), output in sides(), longer in 0usize..5) {
        let phases = Phases::new(&geometry, output);
        prop_assert!(phases.read_like(&phases));
        let axes = geometry.axes().map(|axis| {
            let (small, large) = (axis.small() + longer, axis.large() + longer * axis.stride());
            Axis::new(small, large, axis.kernel(), axis.stride(), axis.dilation(), axis.begin()).unwrap()
        });
        let other = Phases::new(&Geometry::new(axes, geometry.channels(), geometry.groups()).unwrap(), output);
        let is_short = geometry.axes().iter().any(|axis| axis.small() < 2 || axis.large() < axis.stride());
        prop_assert!(is_short || phases.read_like(&other));
    }
}

fn transposed(kernel: usize, stride: usize, padding: usize) -> Phases {
    let options = Options::<3>::new().stride([stride; 3]).padding([padding; 3]);
    Phases::new(
        &Geometry::transposed([5; 3], [kernel; 3], Channels { small: 1, large: 1 }, &options).unwrap(),
        Side::Large,
    )
}

#[test]
fn kernels_of_one_stride_make_one_group_and_others_several() {
    let groups = |phases: &Phases| phases.groups.iter().map(|group| (group.phases, group.taps)).collect::<Vec<_>>();
    assert_eq!(groups(&transposed(2, 2, 0)), [(8, 1)]);
    assert_eq!(groups(&transposed(4, 2, 1)), [(1, 8); 8]);
    assert_eq!(groups(&transposed(4, 2, 0)), [(8, 8)]);
    // Residue 0 has two taps, residue 1 one.
    let mut of_three = groups(&transposed(3, 2, 1));
    of_three.sort_unstable();
    assert_eq!(of_three, [(1, 1), (1, 2), (1, 2), (1, 2), (1, 4), (1, 4), (1, 4), (1, 8)]);
    // With a stride beyond the kernel some phases have no taps: here all but one.
    let phases = transposed(1, 3, 0);
    assert_eq!(phases.groups.iter().filter(|group| group.taps > 0).map(|group| group.phases).collect::<Vec<_>>(), [1]);
    assert_eq!(phases.phases(), 27);
}

/// Weights that are packed for one direction serve another one only if every phase takes the same taps, along every axis.
#[test]
fn other_taps_or_other_channels_do_not_read_alike() {
    let phases = |padding: [usize; 3], channels: [usize; 2], groups: usize| {
        let options = Options::<3>::new().stride([4; 3]).padding(padding).groups(groups);
        let channels = Channels { small: channels[0], large: channels[1] };
        Phases::new(&Geometry::transposed([5; 3], [2; 3], channels, &options).unwrap(), Side::Large)
    };
    // Two taps and four phases: with a padding of 2 or of 3 there is a group without taps and one of one tap each, but of other
    // phases.
    assert_eq!(phases([2; 3], [4, 4], 1).groups, phases([3; 3], [4, 4], 1).groups);
    for axis in 0..3 {
        let of = |padding: usize| {
            let mut all = [1; 3];
            all[axis] = padding;
            phases(all, [4, 4], 1)
        };
        for (a, b) in (0..5).flat_map(|a| (0..5).map(move |b| (a, b))) {
            assert_eq!(of(a).read_like(&of(b)), a % 4 == b % 4, "paddings {a} and {b} along axis {axis}");
        }
    }
    for (channels, groups) in [([4, 8], 1), ([8, 4], 1), ([4, 4], 2)] {
        assert!(
            !phases([1; 3], [4, 4], 1).read_like(&phases([1; 3], channels, groups)),
            "{channels:?}, {groups} groups"
        );
    }
}

/// The only input meets the second tap at the first position and the first tap at the last one, so that no position has both: up to
/// 4096 positions are looked at one by one, more are one region.
#[test]
fn long_borders_are_one_region_of_all_taps() {
    let regions = |positions: usize| {
        let apart = positions - 1;
        let options = Options::<3>::new().padding([0, 0, apart]).dilation([1, 1, apart]);
        let channels = Channels { small: 1, large: 1 };
        let geometry = Geometry::convolution([1; 3], [1, 1, 2], channels, &options).unwrap();
        let axis = &Phases::new(&geometry, Side::Small).axes[2];
        assert_eq!(axis.positions, positions);
        let regions = axis.regions.within(0..positions);
        regions.map(|(_, len, set)| (len, axis.regions.taps(set, 0).len())).collect::<Vec<_>>()
    };
    assert_eq!(regions(4096), [(1, 1), (4094, 0), (1, 1)]);
    assert_eq!(regions(4097), [(4097, 2)]);
}
