use ndarray::{Array5, Dimension};
use proptest::prelude::*;

use super::*;
use crate::kernel::isa::Isa;

/// Axes of a block of a tensor of 9 × 9 × 4 × 6 × 40 elements whose axes lie in memory in some order, and gaps
/// between the elements of each in both memories.
#[derive(Clone, Debug)]
struct Case {
    order: [usize; 5],
    reversed: [bool; 5],
    gaps: [usize; 5],
    lens: [usize; 6],
    steps: [usize; 6],
    to_order: Vec<usize>,
    to_gaps: [usize; 6],
    /// Elements of the target from one to the next along its innermost axis.
    to_step: usize,
    first: [usize; 5],
}

/// Along which axis of the tensor each axis of a block runs: two along the width, as residues and columns do.
const ALONG: [usize; 6] = [1, 4, 2, 3, 4, 0];
const SHAPE: [usize; 5] = [9, 9, 4, 6, 40];

fn cases() -> impl Strategy<Value = Case> {
    let orders = prop_oneof![Just([0, 1, 2, 3, 4]), Just([0, 2, 3, 4, 1]), Just([1, 2, 3, 4, 0])];
    let to_orders = prop_oneof![
        Just(vec![0, 1, 2, 3, 4, 5]),
        Just(vec![0, 1, 2, 3, 5, 4]),
        Just(vec![0, 1, 2, 3, 4, 5]).prop_shuffle(),
    ];
    let lens = (1..=9usize, 1..=3usize, 1..=2usize, 1..=3usize, 0..=17usize, 1..=9usize);
    let parts = (orders, any::<[bool; 5]>(), any::<[bool; 5]>(), lens, (1..=2usize, to_orders));
    let to_steps = prop_oneof![7 => Just(1), 1 => Just(2)];
    let more = (prop::collection::vec(0..=2usize, 6), to_steps, prop::collection::vec(0..=3usize, 5), any::<bool>());
    (parts, more).prop_map(|((order, reversed, gaps, lens, (step, to_order)), (to_gaps, to_step, first, is_dense))| {
        let lens = [lens.0, lens.1, lens.2, lens.3, lens.4, lens.5];
        let first = |axis: usize, hull: usize| first[axis].min(SHAPE[axis] - hull);
        let steps = [1, 1, 1, step, lens[1], 1];
        let hull = |axis: usize| {
            1 + (0..6).filter(|&i| ALONG[i] == axis).map(|i| lens[i].saturating_sub(1) * steps[i]).sum::<usize>()
        };
        Case {
            order,
            reversed,
            gaps: gaps.map(|has_gap| usize::from(has_gap && !is_dense)),
            lens,
            steps,
            to_order,
            to_gaps: std::array::from_fn(|i| if is_dense { 0 } else { to_gaps[i] }),
            to_step,
            first: std::array::from_fn(|axis| first(axis, hull(axis).min(SHAPE[axis]))),
        }
    })
}

fn check<T: Scalar>(case: &Case) {
    let Case { order, reversed, gaps, lens, steps, to_order, to_gaps, to_step, first } = case;
    let fits = (0..5).all(|axis| {
        let of_axis = (0..6).filter(|&i| ALONG[i] == axis);
        first[axis] + of_axis.map(|i| lens[i].saturating_sub(1) * steps[i]).sum::<usize>() < SHAPE[axis]
    });
    if !fits {
        return;
    }
    let mut number = 0.0;
    let stored = order.map(|axis| SHAPE[axis] * (1 + gaps[axis]));
    let mut stored = Array5::from_shape_simple_fn(stored, || {
        number += 1.0;
        T::from_f64(number)
    });
    for i in 0..5 {
        let step = (1 + gaps[order[i]]) as isize * if reversed[order[i]] { -1 } else { 1 };
        stored.slice_axis_inplace(ndarray::Axis(i), ndarray::Slice::new(0, None, step));
    }
    let mut back = [0; 5];
    (0..5).for_each(|i| back[order[i]] = i);
    let tensor = stored.permuted_axes(back);
    let mut apart = [0; 6];
    let mut len = *to_step;
    for &axis in to_order.iter().rev() {
        apart[axis] = len;
        len = len * lens[axis].max(1) + to_gaps[axis];
    }
    let strided = Strided::new(tensor.view());
    let axes: [CopyAxis; 6] =
        std::array::from_fn(|i| CopyAxis { along: ALONG[i], len: lens[i], step: steps[i], apart: apart[i] });
    for level in Isa::available().filter_map(Level::new) {
        let mut to = vec![T::from_f64(-1.0); len];
        BlockCopy::new(&strided, &axes).copy(level, *first, &mut to);
        let mut expected = vec![T::from_f64(-1.0); len];
        for index in ndarray::indices(&lens[..]) {
            let mut at = *first;
            (0..6).for_each(|i| at[ALONG[i]] += index[i] * steps[i]);
            expected[(0..6).map(|i| index[i] * apart[i]).sum::<usize>()] = tensor[at];
        }
        assert!(to == expected, "{case:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn elements_go_where_they_belong(case in cases()) {
        check::<f32>(&case);
        check::<f64>(&case);
    }
}

#[test]
#[should_panic(expected = "leave a tensor")]
fn blocks_stay_in_the_tensor() {
    let tensor = Array5::<f32>::zeros([1, 2, 1, 1, 9]);
    let strided = Strided::new(tensor.view());
    let axis = CopyAxis { along: 4, len: 3, step: 2, apart: 1 };
    BlockCopy::new(&strided, &[axis]).copy(Level::best(), [0, 1, 0, 0, 5], &mut [0.0; 9]);
}

#[test]
#[should_panic(expected = "to a slice of 4")]
fn blocks_stay_in_the_target() {
    let tensor = Array5::<f32>::zeros([1, 2, 1, 1, 9]);
    let strided = Strided::new(tensor.view());
    let axis = CopyAxis { along: 4, len: 3, step: 2, apart: 2 };
    BlockCopy::new(&strided, &[axis]).copy(Level::best(), [0, 1, 0, 0, 4], &mut [0.0; 4]);
}

/// A copy of axes of a tensor whose elements are numbered, against the definition.
fn check_numbered(shape: [usize; 5], axes: &[CopyAxis]) {
    let mut number = 0.0;
    let tensor = Array5::from_shape_simple_fn(shape, || {
        number += 1.0;
        number as f32
    });
    let strided = Strided::new(tensor.view());
    let lens: Vec<usize> = axes.iter().map(|axis| axis.len).collect();
    let len = 1 + axes.iter().map(|axis| (axis.len - 1) * axis.apart).sum::<usize>();
    let mut expected = vec![-1.0; len];
    for index in ndarray::indices(lens) {
        let mut at = [0; 5];
        let mut place = 0;
        for (axis, i) in axes.iter().zip(index.slice()) {
            at[axis.along] += i * axis.step;
            place += i * axis.apart;
        }
        expected[place] = tensor[at];
    }
    for level in Isa::available().filter_map(Level::new) {
        let mut to = vec![-1.0; len];
        BlockCopy::new(&strided, axes).copy(level, [0; 5], &mut to);
        assert_eq!(to, expected, "{axes:?}, {}", level.isa());
    }
}

/// No two elements are neighbours in the target, so that none of six axes is the inner one: rows of the tensor are lanes, the axis
/// around them goes on in the tensor, and four more are left.
#[test]
fn six_axes_without_neighbours_in_the_target_are_copied() {
    let axes = [(0, 2, 126), (0, 1, 62), (1, 1, 30), (2, 1, 14), (3, 1, 6), (4, 1, 2)];
    check_numbered([4, 2, 2, 2, 2], &axes.map(|(along, step, apart)| CopyAxis { along, len: 2, step, apart }));
}

/// The rows of the tensor go on in each other, those of the target do not.
#[test]
fn planes_of_two_by_two_are_transposed() {
    let axes = [(3, 1), (4, 2)];
    check_numbered([1, 1, 1, 2, 2], &axes.map(|(along, apart)| CopyAxis { along, len: 2, step: 1, apart }));
}
