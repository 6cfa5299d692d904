//! Windows: blocks of C, by any range of rows and of columns, are convolutions themselves.

use std::ops::Range;

use convmat::{Geometry, LinearOperator, Workspace};
use ndarray::{Array2, Array5, ArrayView5, s};
use proptest::array::uniform;
use proptest::prelude::*;

use crate::common::{Case, case, every_operator, flat, for_cases, in_every_rank, with_batch};
use crate::values::{dirty, distinct, integers};

/// A random range per axis, once its length is known; often empty.
type Ends<const N: usize> = [(usize, usize); N];

fn ends<const N: usize>() -> impl Strategy<Value = Ends<N>> {
    uniform((any::<u16>().prop_map(usize::from), any::<u16>().prop_map(usize::from)))
}

fn ranges<const N: usize>(lengths: [usize; N], ends: Ends<N>) -> [Range<usize>; N] {
    std::array::from_fn(|i| {
        let (a, b) = (ends[i].0 % (lengths[i] + 1), ends[i].1 % (lengths[i] + 1));
        a.min(b)..a.max(b)
    })
}

/// With the absent axes.
fn lift<const N: usize>(ranges: &[Range<usize>; N]) -> [Range<usize>; 3] {
    std::array::from_fn(|i| if i + N < 3 { 0..1 } else { ranges[i + N - 3].clone() })
}

/// The part of a batch of tensors that lies in the window.
fn part<'a, T, const N: usize>(tensor: &'a Array5<T>, window: &[Range<usize>; N]) -> ArrayView5<'a, T> {
    let [d, h, w] = lift(window);
    tensor.slice(s![.., .., d, h, w])
}

/// The flat indices, within a sample of a shape, of the elements of the window, in order.
fn elements<const N: usize>([channels, d, h, w]: [usize; 4], window: &[Range<usize>; N]) -> Vec<usize> {
    let indices =
        Array5::from_shape_fn([1, channels, d, h, w], |(_, c, i, j, k)| flat(&[channels, d, h, w], &[c, i, j, k]));
    part(&indices, window).iter().copied().collect()
}

in_every_rank!(a_window_is_a_block_of_the_matrix);

fn a_window_is_a_block_of_the_matrix<const N: usize>() {
    for_cases(150, (case::<N>(10_000), ends::<N>(), ends::<N>(), any::<u64>()), |(case, small, large, seed)| {
        let c = case.convolution(&distinct::<f32>(case.literal().weight_shape()));
        let g = c.geometry();
        let (small, large) = (ranges(g.small_size(), small), ranges(g.large_size(), large));
        let full = c.dense(u128::MAX).unwrap();
        let (rows, columns) = (elements(g.small_shape(), &small), elements(g.large_shape(), &large));
        let block: Array2<f32> =
            Array2::from_shape_fn((rows.len(), columns.len()), |(i, j)| full[[rows[i], columns[j]]]);
        let window = c.window(small.clone(), large.clone()).unwrap();
        assert_eq!(window.weights5().as_ptr(), c.weights5().as_ptr(), "the weights are shared");
        assert_eq!(window.dense(u128::MAX).unwrap(), block);
        assert_eq!(window.csr(u128::MAX).unwrap().to_dense(), block);
        // No weight is zero, so what is not zero is structural.
        let entries = block.iter().filter(|&&value| value != 0.0).count();
        assert_eq!(window.geometry().entries(), entries as u128);
        assert_eq!(window.entries().count(), entries);

        // Products with it, by every formulation, into used memory; empty sides included.
        let x = integers::<f32>(with_batch(3, window.geometry().large_shape()), seed);
        let y = integers::<f32>(with_batch(3, window.geometry().small_shape()), !seed);
        let by_sample = |tensor: &Array5<f32>, length| tensor.to_shape((3, length)).unwrap().into_owned();
        let image = by_sample(&x, columns.len()).dot(&block.t());
        let preimage = by_sample(&y, rows.len()).dot(&block);
        let mut workspace = Workspace::new();
        for (what, operator) in every_operator(&window) {
            let (mut to, mut back) = (dirty(y.dim().into()), dirty(x.dim().into()));
            operator.apply_into(x.view(), to.view_mut(), &mut workspace).unwrap();
            workspace.fill(f32::NAN);
            operator.apply_adjoint_into(y.view(), back.view_mut(), &mut workspace).unwrap();
            workspace.fill(f32::NAN);
            assert_eq!(by_sample(&to, rows.len()), image, "C by {what}");
            assert_eq!(by_sample(&back, columns.len()), preimage, "Cᵀ by {what}");
        }
        let mut gradient = dirty::<f32>(c.geometry().weight_shape());
        convmat::weight_gradient(window.geometry(), x.view(), y.view(), gradient.view_mut()).unwrap();
        let mut expected = vec![0.0; gradient.len()];
        for entry in window.entries() {
            for sample in 0..3 {
                let value = |tensor: &Array5<f32>, i, length| tensor.as_slice().unwrap()[sample * length + i];
                expected[entry.weight] += value(&y, entry.row, rows.len()) * value(&x, entry.column, columns.len());
            }
        }
        assert_eq!(gradient.as_slice().unwrap(), expected, "the weight gradient");
    });
}

in_every_rank!(windows_of_windows_are_windows);

fn windows_of_windows_are_windows<const N: usize>() {
    let strategy = (case::<N>(100_000), ends::<N>(), ends::<N>(), ends::<N>(), ends::<N>());
    for_cases(200, strategy, |(case, small, large, inner_small, inner_large)| {
        let g = case.geometry();
        let (small, large) = (ranges(g.small_size(), small), ranges(g.large_size(), large));
        let outer = g.window(small.clone(), large.clone()).unwrap();
        let inner_small = ranges(outer.small_size(), inner_small);
        let inner_large = ranges(outer.large_size(), inner_large);
        let twice = outer.window(inner_small.clone(), inner_large.clone()).unwrap();
        let shifted = |outer: &[Range<usize>; N], inner: &[Range<usize>; N]| -> [Range<usize>; N] {
            std::array::from_fn(|i| outer[i].start + inner[i].start..outer[i].start + inner[i].end)
        };
        assert_eq!(twice, g.window(shifted(&small, &inner_small), shifted(&large, &inner_large)).unwrap());
        // The whole is a window of itself.
        let whole = |lengths: [usize; N]| lengths.map(|length| 0..length);
        assert_eq!(g.window(whole(g.small_size()), whole(g.large_size())), Ok(g));
    });
}

/// The indices of one axis that the other side's range touches, by the definition.
fn touched<const N: usize>(
    case: &Case<N>,
    i: usize,
    range: &Range<usize>,
    of_large: bool,
    lengths: (usize, usize),
) -> Range<usize> {
    let mut touched = Vec::new();
    for small in 0..lengths.0 as i64 {
        for tap in 0..case.kernel[i] as i64 {
            let large = small * case.stride[i] as i64 + tap * case.dilation[i] as i64 - case.pads[i].0 as i64;
            if large < 0 || large >= lengths.1 as i64 {
                continue;
            }
            let (index, other) = if of_large { (large, small) } else { (small, large) };
            if range.contains(&(index as usize)) {
                touched.push(other as usize);
            }
        }
    }
    match (touched.iter().min(), touched.iter().max()) {
        (Some(&first), Some(&last)) => first..last + 1,
        _ => 0..0,
    }
}

fn all_touched<const N: usize>(
    case: &Case<N>,
    g: &Geometry<N>,
    ranges: &[Range<usize>; N],
    of_large: bool,
) -> [Range<usize>; N] {
    let lengths = |i: usize| (g.small_size()[i], g.large_size()[i]);
    std::array::from_fn(|i| touched(case, i, &ranges[i], of_large, lengths(i)))
}

in_every_rank!(what_a_window_needs_suffices);

fn what_a_window_needs_suffices<const N: usize>() {
    for_cases(150, (case::<N>(30_000), ends::<N>(), ends::<N>(), any::<u64>()), |(case, small, large, seed)| {
        let c = case.convolution(&integers::<f32>(case.literal().weight_shape(), seed));
        let g = c.geometry();
        let x = integers::<f32>(with_batch(2, g.large_shape()), seed);
        let y = integers::<f32>(with_batch(2, g.small_shape()), !seed);

        let rows = ranges(g.small_size(), small);
        let needed = g.large_needed(rows.clone());
        assert_eq!(needed, all_touched(&case, g, &rows, false), "no more and no less than the definition reads");
        let window = c.window(rows.clone(), needed.clone()).unwrap();
        let full = LinearOperator::apply(&c, x.view()).unwrap();
        let image = LinearOperator::apply(&window, part(&x, &needed)).unwrap();
        assert_eq!(image, part(&full, &rows), "rows {rows:?}");

        let columns = ranges(g.large_size(), large);
        let needed = g.small_needed(columns.clone());
        assert_eq!(needed, all_touched(&case, g, &columns, true), "no more and no less than the definition reads");
        let window = c.window(needed.clone(), columns.clone()).unwrap();
        let full = LinearOperator::apply_adjoint(&c, y.view()).unwrap();
        let image = LinearOperator::apply_adjoint(&window, part(&y, &needed)).unwrap();
        assert_eq!(image, part(&full, &columns), "columns {columns:?}");
    });
}

#[test]
fn a_request_beyond_the_axis_is_clipped() {
    let case = Case::<1> {
        transposed: false,
        input: [6],
        kernel: [3],
        stride: [1],
        dilation: [1],
        pads: [(1, 1)],
        output_padding: [0],
        groups: 1,
        small: 1,
        large: 1,
    };
    let g = case.geometry();
    // On the large side for a range of the small one, and the other way round.
    let needed = |range: Range<usize>| {
        let ([large], [small]) = (g.large_needed([range.clone()]), g.small_needed([range]));
        (large, small)
    };
    assert_eq!(needed(0..usize::MAX), (0..6, 0..6));
    assert_eq!(needed(2..3), (1..4, 1..4));
    assert_eq!(needed(7..9), (0..0, 0..0));
    // A range that runs backwards holds nothing.
    assert_eq!(needed(Range { start: 4, end: 2 }), (0..0, 0..0));
}
