//! Requests that no memory can meet: an error at once, where an allocation that fails or a sum that overflows would end the
//! process. Sizes are beyond every address space, so that no machine grants them.

use std::time::{Duration, Instant};

use convmat::geometry::{Axis, Link, Side};
use convmat::matrix::{col2im, im2col};
use convmat::{
    Adjoint, Channels, Convolution, Error, Formulation, FormulationOptions, Geometry, InWeights, LinearOperator,
    Options, Shape, Workspace, csr_of, reference,
};
use ndarray::{Array2, Array3, Array5, ArrayView5, ArrayViewMut5};

const ONE: Channels = Channels { small: 1, large: 1 };
const UNLIMITED: u128 = u128::MAX;

fn convolution<const N: usize>(size: [usize; N], kernel: [usize; N], o: Options<N>) -> Convolution<f32, N> {
    let g = Geometry::convolution(size, kernel, ONE, &o).unwrap();
    Convolution::new(g, Array5::ones(g.weight_shape())).unwrap()
}

#[test]
fn matrices_without_a_limit_are_refused_by_the_allocator_and_not_by_an_abort() {
    // 464 TB of nonzeros of a 2 million × 2 million image.
    let c = convolution([2_000_000; 2], [3; 2], Options::new().padding([1; 2]));
    let memory = |what, bytes| Some(Error::Memory { what, bytes });
    assert_eq!(c.csr(UNLIMITED).err(), memory("the sparse matrix", c.csr_bytes()));
    assert_eq!(c.transposed_csr(UNLIMITED).err(), memory("the sparse matrix", c.transposed_csr_bytes()));
    assert_eq!(csr_of(&c, UNLIMITED).err(), memory("the sparse matrix", c.csr_bytes()));
    assert_eq!(csr_of(&Adjoint(c.clone()), UNLIMITED).err(), memory("the sparse matrix", c.csr_bytes()));
    let both = c.stored_bytes(Formulation::Sparse);
    let unlimited = FormulationOptions::new().memory_limit(UNLIMITED);
    let refused = c.formulate_with(Formulation::Sparse, &unlimited).err();
    assert_eq!(refused, memory("the sparse matrix and its transpose", both));
    // 2⁵⁰ bytes.
    let c = convolution([1 << 24], [1], Options::new());
    assert_eq!(c.dense(UNLIMITED).err(), memory("the dense matrix", 1 << 50));
}

#[test]
fn zero_insertion_is_the_only_one_that_a_huge_stride_is_too_much_for() {
    for stride in [1 << 31, 1 << 46] {
        let c = convolution([8], [3], Options::new().stride([stride]).padding([stride - 1]));
        let weights = Array5::from_shape_vec([1, 1, 1, 1, 3], vec![1.0, 2.0, 3.0]).unwrap();
        let c = Convolution::new(*c.geometry(), weights).unwrap();
        let x = Array5::from_shape_fn([1, 1, 1, 1, 8], |i| i.4 as f32 + 1.0);
        let y = Array5::from_shape_vec([1, 1, 1, 1, 3], vec![5.0, 7.0, 9.0]).unwrap();
        for &formulation in Formulation::ALL {
            let operator = c.formulate(formulation);
            if formulation == Formulation::ZeroInsertion {
                // Three elements and the zeros between them, a flipped kernel, and a tile or so.
                let least = 4 * (2 * stride as u128 + 1) + 12;
                let Some(Error::MemoryLimit { bytes, limit, .. }) = operator.err() else { panic!("{stride}") };
                assert!(bytes >= least && limit == 1 << 30, "{bytes}");
                continue;
            }
            let operator = operator.unwrap();
            let images = [operator.apply(x.view()).unwrap(), operator.apply_adjoint(y.view()).unwrap()];
            assert_eq!(images[0].as_slice().unwrap(), [0.0, 20.0, 0.0], "{formulation}");
            assert_eq!(images[1].as_slice().unwrap(), [0.0, 7.0, 14.0, 21.0, 0.0, 0.0, 0.0, 0.0], "{formulation}");
        }
    }
    // Without a limit it is built, and the call has no room.
    let c = convolution([8], [3], Options::new().stride([1 << 46]).padding([(1 << 46) - 1]));
    let unlimited = FormulationOptions::new().memory_limit(UNLIMITED);
    let operator = c.formulate_with(Formulation::ZeroInsertion, &unlimited).unwrap();
    let refused = operator.apply(Array5::ones([1, 1, 1, 1, 8]).view()).err();
    assert!(matches!(refused, Some(Error::Memory { what: "scratch memory", bytes }) if bytes > 1 << 49), "{refused:?}");
}

#[test]
fn direct_sums_of_any_length_are_ready_at_once() {
    let start = Instant::now();
    for length in [1 << 31, 1 << 50] {
        let c = convolution([length], [3], Options::new().padding([1]));
        for formulation in [Formulation::Gather, Formulation::Scatter] {
            assert_eq!(c.formulate(formulation).unwrap().workspace_len(1), 0);
            assert_eq!((c.stored_bytes(formulation), c.scratch_bytes(formulation)), (0, 0));
        }
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn tensors_whose_size_follows_from_a_geometry_are_asked_for() {
    // 2⁵⁰ taps, and three outputs: no weights of that size exist, but tensors of both sides and a batch of nothing do.
    let kernel = 1 << 50;
    let o = Options::new().padding([kernel / 2 - 1]);
    let g = Geometry::convolution([4], [kernel], ONE, &o).unwrap();
    let x = Array5::<f32>::ones([1, 1, 1, 1, 4]);
    let bytes = 4 << 50;
    assert_eq!(
        InWeights::new(g, Side::Large, Array2::<f32>::ones([1, 4])).err(),
        Some(Error::Memory { what: "the weights", bytes })
    );
    let y = Array5::<f32>::ones([1, 1, 1, 1, g.rows()]);
    let refused = reference::weight_gradient(&g, x.view(), y.view()).err();
    assert_eq!(refused, Some(Error::Memory { what: "the weight gradient", bytes: 2 * bytes }));
    let none = im2col(&Array3::<f32>::zeros([0, 1, 4]), [kernel], &o).unwrap();
    assert_eq!(none.dim(), (0, kernel, g.rows()));
    assert_eq!(col2im(&none, [4], [kernel], &o).unwrap().dim(), (0, 1, 4));
    let g = Geometry::convolution([1 << 50], [1], ONE, &Options::new()).unwrap();
    assert!(matches!(g.polyphase(Side::Large), Err(Error::Memory { what: "the polyphase order", .. })));
}

/// Maps everything to zero, between spaces of any size.
struct Zero {
    domain: Shape,
    range: Shape,
}

impl LinearOperator<f32> for Zero {
    fn domain(&self) -> Shape {
        self.domain
    }
    fn range(&self) -> Shape {
        self.range
    }
    fn apply_into(&self, _: ArrayView5<f32>, mut y: ArrayViewMut5<f32>, _: &mut Workspace<f32>) -> convmat::Result<()> {
        y.fill(0.0);
        Ok(())
    }
    fn apply_adjoint_into(
        &self,
        y: ArrayView5<f32>,
        x: ArrayViewMut5<f32>,
        workspace: &mut Workspace<f32>,
    ) -> convmat::Result<()> {
        self.apply_into(y, x, workspace)
    }
    fn workspace_len(&self, _: usize) -> usize {
        0
    }
}

#[test]
fn probing_without_a_limit_is_refused_too() {
    for (columns, rows) in [(1 << 50, 1), (1, 1 << 50)] {
        let operator = Zero { domain: [1, 1, 1, columns], range: [1, 1, 1, rows] };
        assert!(matches!(csr_of(&operator, UNLIMITED), Err(Error::Memory { .. })));
    }
}

#[test]
fn axes_answer_any_question() {
    let most = isize::MAX as usize / 4;
    let numbers = [0, 1, 2, most - 1, most, most + 1, isize::MAX as usize - 1, isize::MAX as usize, usize::MAX];
    let mut axes = 0;
    for small in [0, 1, 3, most] {
        for large in [0, 1, 5, most] {
            for (kernel, dilation) in [(1, 1), (1, most), (3, 1), (3, most / 3), (7, 4)] {
                for stride in [1, 2, most / 3, most] {
                    for begin in [0, 1, -1, most as isize, -(most as isize)] {
                        let Ok(axis) = Axis::new(small, large, kernel, stride, dilation, begin) else { continue };
                        axes += 1;
                        ask(&axis, &numbers);
                    }
                }
            }
        }
    }
    assert!(axes > 500, "{axes}");
    let axis = Axis::new(1, 1, 1, most, 1, 5).unwrap();
    let class = (isize::MAX as u128 + 5) % most as u128;
    assert_eq!(axis.class_of_large(isize::MAX as usize) as u128, class);
}

/// Every question, with every number; answers about pairs in range agree with the relation in wide integers.
fn ask(axis: &Axis, numbers: &[usize]) {
    axis.entries();
    axis.padded().ok();
    axis.with_unit_stride().ok();
    axis.flipped_unit_stride().ok();
    assert!(axis.tap_step() >= 1 && axis.small_step() >= 1);
    for &a in numbers {
        let class = (a as i128 + axis.begin() as i128).rem_euclid(axis.stride() as i128);
        assert_eq!(axis.class_of_large(a) as i128, class);
        let class = (a as u128 * axis.dilation() as u128 % axis.stride() as u128) as usize;
        assert_eq!(axis.class_of_tap(a), class);
        assert_eq!(axis.smalls_of_tap(a), axis.tap_range(a).small);
        for side in [Side::Small, Side::Large] {
            for Link { tap, other } in axis.links(side).at(a) {
                let (small, large) = if side == Side::Small { (a, other) } else { (other, a) };
                let landing = small as i128 * axis.stride() as i128 + tap as i128 * axis.dilation() as i128;
                assert_eq!(landing - axis.begin() as i128, large as i128);
                assert!(small < axis.small() && large < axis.large() && tap < axis.kernel());
            }
        }
        assert_eq!(axis.taps_of_large(a).count(), axis.links(Side::Large).at(a).len());
        for &b in numbers {
            let large = a as i128 * axis.stride() as i128 + b as i128 * axis.dilation() as i128 - axis.begin() as i128;
            let is_inside = a < axis.small() && b < axis.kernel() && (0..axis.large() as i128).contains(&large);
            assert_eq!(axis.large_at(a, b), is_inside.then_some(large as usize));
            assert_eq!(axis.small_at(a, b), axis.links(Side::Large).at(a).find(|link| link.tap == b).map(|l| l.other));
            axis.small_needed(a..b);
            axis.large_needed(a..b);
            axis.window(a..b, b..a).ok();
            axis.window(a..b, a..b).ok();
        }
    }
}
