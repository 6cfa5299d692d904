//! Operators put together: sums, multiples and stacks, against matrices put together by hand.

use std::sync::Arc;

use convmat::{
    Adjoint, Channels, Compose, Convolution, Error, Formulation, Geometry, LinearOperator, Options, Pad, PadMode,
    Result, Scalar, Scaled, Shape, Stacked, Sum, Workspace, csr_of, dot_test,
};
use ndarray::{Array2, Array5, Axis, concatenate, s};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use crate::common::{Case, case, for_cases, in_every_rank, with_batch};
use crate::operators::assert_matrix;
use crate::values::{assert_same_bits, dirty, integers, reals};

type Boxed = Box<dyn LinearOperator<f64>>;
type Shared = Arc<dyn LinearOperator<f64>>;

/// Blocks in rows of blocks.
fn blocks(rows: &[&[&Array2<f64>]]) -> Array2<f64> {
    let beside = |row: &&[&Array2<f64>]| {
        let views: Vec<_> = row.iter().map(|block| block.view()).collect();
        concatenate(Axis(1), &views).unwrap()
    };
    let rows: Vec<_> = rows.iter().map(beside).collect();
    let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
    concatenate(Axis(0), &views).unwrap()
}

/// The layer with other numbers of channels as an operator that takes no memory, and the matrix of its definition.
fn part<const N: usize>(case: &Case<N>, small: usize, large: usize, seed: u64) -> (Shared, Array2<f64>) {
    let case = Case { small, large, ..case.clone() };
    // Above 0, so that no sum cancels: errors of a sum that does are not small beside it, and no dot test passes.
    let weights = integers::<f64>(case.literal().weight_shape(), seed).mapv(|weight| weight + 8.0);
    let [matrix, _] = case.literal().matrices(&weights);
    (Arc::from(case.convolution(&weights).formulate(Formulation::Gather).unwrap()), matrix)
}

/// Everything that can be put together of one layer with several weights and channels, with its matrix.
fn every_assembly<const N: usize>(case: &Case<N>, other: usize, seed: u64) -> Vec<(&'static str, Boxed, Array2<f64>)> {
    let (small, large) = (case.small, case.large);
    let part = |small, large, number| part(case, small, large, seed.wrapping_add(number));
    let [(a, of_a), (b, of_b), (c, of_c)] = [1, 2, 3].map(|number| part(small, large, number));
    let (tall, of_tall) = part(other, large, 4);
    let (wide, of_wide) = part(small, other, 5);
    let (last, of_last) = part(other, other, 6);
    let (right, below) =
        (Array2::zeros((of_a.nrows(), of_last.ncols())), Array2::zeros((of_last.nrows(), of_a.ncols())));
    let sum = Sum::new([a.clone(), b.clone(), c]).unwrap();
    let vertical = Stacked::vertical([a.clone(), tall]).unwrap();
    let horizontal = Stacked::horizontal([a.clone(), wide, b]).unwrap();
    let diagonal = Stacked::block_diagonal([a.clone(), last]).unwrap();
    vec![
        ("a sum", Box::new(sum), &of_a + &of_b + &of_c),
        ("a multiple", Box::new(Scaled::new(-3.0, a).unwrap()), -3.0 * &of_a),
        ("a vertical stack", Box::new(vertical), blocks(&[&[&of_a], &[&of_tall]])),
        ("a horizontal stack", Box::new(horizontal), blocks(&[&[&of_a, &of_wide, &of_b]])),
        ("a diagonal", Box::new(diagonal), blocks(&[&[&of_a, &right], &[&below, &of_last]])),
    ]
}

in_every_rank!(sums_multiples_and_stacks_have_their_matrices);

fn sums_multiples_and_stacks_have_their_matrices<const N: usize>() {
    for_cases(25, (case::<N>(500), 1..=3usize, any::<u64>()), |(case, other, seed)| {
        for (what, operator, matrix) in every_assembly(&case, other, seed) {
            assert_matrix(&operator, &matrix, what);
            assert_matrix(&Adjoint(&operator), &matrix.t().to_owned(), what);
        }
    });
}

in_every_rank!(assemblies_of_assemblies_are_algebra);

fn assemblies_of_assemblies_are_algebra<const N: usize>() {
    for_cases(25, (case::<N>(500), 1..=3usize, any::<u64>()), |(case, other, seed)| {
        let [(a, of_a), (b, of_b)] =
            [case.small, other].map(|small| part(&case, small, case.large, seed ^ small as u64));
        // [Aᵀ, Bᵀ]·[A; B] = AᵀA + BᵀB, by blocks and by products.
        let rows = Stacked::vertical([&a, &b]).unwrap();
        let columns = Stacked::horizontal([Adjoint(&a), Adjoint(&b)]).unwrap();
        let normal = of_a.t().dot(&of_a) + of_b.t().dot(&of_b);
        assert_matrix(&Compose::new(columns, &rows).unwrap(), &normal, "a product of stacks");
        let products = [&a, &b].map(|operator| Compose::new(Adjoint(operator), operator).unwrap());
        assert_matrix(&Sum::new(products).unwrap(), &normal, "a sum of products");
        // A − A is 0 with all its entries.
        let [plus, minus] = [1.0, -1.0].map(|factor| Scaled::new(factor, &a).unwrap());
        let nothing = Sum::new([plus, minus]).unwrap();
        assert_matrix(&nothing, &(0.0 * &of_a), "a difference");
        assert_eq!(csr_of(&nothing, u128::MAX).unwrap().nnz(), csr_of(&a, u128::MAX).unwrap().nnz());
        // A single one of anything is itself.
        for alone in [Stacked::vertical([&a]), Stacked::horizontal([&a]), Stacked::block_diagonal([&a])] {
            assert_matrix(&alone.unwrap(), &of_a, "alone");
        }
        let (alone, mut workspace) = (Sum::new([&a]).unwrap(), Workspace::new());
        let [x, mut y] = [a.domain(), a.range()].map(|shape| Array5::<f64>::zeros(with_batch(5, shape)));
        alone.apply_into(x.view(), y.view_mut(), &mut workspace).unwrap();
        assert_eq!((alone.workspace_len(5), workspace.len()), (0, 0));
    });
}

/// The product with a matrix, sample by sample.
fn product(matrix: &Array2<f64>, x: &Array5<f64>, range: Shape) -> Array5<f64> {
    let batch = x.dim().0;
    let x = x.to_shape((batch, matrix.ncols())).unwrap();
    let y = x.dot(&matrix.t()).as_standard_layout().into_owned();
    y.into_shape_with_order(with_batch(batch, range)).unwrap()
}

in_every_rank!(assemblies_pass_the_dot_test_and_say_what_memory_they_take);

fn assemblies_pass_the_dot_test_and_say_what_memory_they_take<const N: usize>() {
    for_cases(25, (case::<N>(500), 1..=3usize, 0..4usize, any::<u64>()), |(case, other, batch, seed)| {
        for (what, operator, matrix) in every_assembly(&case, other, seed) {
            let test = dot_test(&operator, batch, seed).unwrap();
            assert!(test.passed(), "{what}: {test:?}");
            let x = integers::<f64>(with_batch(batch, operator.domain()), seed);
            let y = integers::<f64>(with_batch(batch, operator.range()), !seed);
            let image = product(&matrix, &x, operator.range());
            let preimage = product(&matrix.t().to_owned(), &y, operator.domain());
            // The same whatever was in output and scratch memory, in a workspace of either direction and in one of both.
            let (mut both, mut most) = (Workspace::new(), 0);
            for _ in 0..2 {
                let mut of_one = [Workspace::new(), Workspace::new()];
                for workspace in [&mut both, &mut of_one[0]] {
                    let mut to = dirty(image.dim().into());
                    operator.apply_into(x.view(), to.view_mut(), workspace).unwrap();
                    assert_eq!(to, image, "{what}");
                }
                for workspace in [&mut both, &mut of_one[1]] {
                    let mut to = dirty(preimage.dim().into());
                    operator.apply_adjoint_into(y.view(), to.view_mut(), workspace).unwrap();
                    assert_eq!(to, preimage, "{what}");
                }
                both.fill(f64::NAN);
                most = of_one.iter().map(Workspace::len).max().unwrap();
            }
            assert_eq!(operator.workspace_len(batch), most, "{what}, batch {batch}");
            assert!(operator.workspace_len(usize::MAX) > 0 || what == "a multiple");

            // Tensors inside of larger ones, and from behind.
            let mut larger = dirty([batch + 1, x.dim().1 + 2, x.dim().2, x.dim().3 + 1, x.dim().4]);
            let inside = s![..batch, 1..=x.dim().1, .., ..x.dim().3, ..;-1];
            larger.slice_mut(inside).assign(&x);
            let mut to = dirty([y.dim().0, y.dim().1 + 1, y.dim().2, y.dim().3, 2 * y.dim().4]);
            let into = s![.., 1.., .., ..;-1, ..;2];
            operator.apply_into(larger.slice(inside), to.slice_mut(into), &mut both).unwrap();
            assert_eq!(to.slice(into), image, "{what}");
        }
    });
}

/// A layer of two channels to three, with weights of its own.
pub fn layer<T: Scalar>(seed: u64) -> Convolution<T, 2> {
    let options = Options::new().padding(1);
    let geometry = Geometry::convolution([5, 6], 3, Channels { small: 3, large: 2 }, &options).unwrap();
    Convolution::new(geometry, integers(geometry.weight_shape(), seed)).unwrap()
}

#[test]
fn a_hundred_operators_are_one_with_the_sum_of_their_weights() {
    let layers: Vec<_> = (0..100).map(layer::<f64>).collect();
    let weights = layers.iter().fold(Array5::zeros([3, 2, 1, 3, 3]), |sum, c| sum + c.weights5());
    let whole = Convolution::new(*layers[0].geometry(), weights).unwrap();
    let sum = Sum::new(&layers).unwrap();
    let x = integers::<f64>([2, 2, 1, 5, 6], 1);
    assert_eq!(sum.apply(x.view()).unwrap(), LinearOperator::apply(&whole, x.view()).unwrap());
    let y = integers::<f64>([2, 3, 1, 5, 6], 2);
    assert_eq!(sum.apply_adjoint(y.view()).unwrap(), LinearOperator::apply_adjoint(&whole, y.view()).unwrap());
    let (of_sum, of_whole) = (csr_of(&sum, u128::MAX).unwrap(), csr_of(&whole, u128::MAX).unwrap());
    assert_eq!(of_sum, of_whole, "entries of the same places become one");
    // One term at a time, however many there are.
    let gathers: Vec<_> = layers.iter().map(|c| c.formulate(Formulation::Gather).unwrap()).collect();
    assert_eq!(Sum::new(&gathers).unwrap().workspace_len(7), 7 * 90);
    // A term that takes memory of its own, beside terms that take none.
    let lowered = layers[0].formulate(Formulation::Im2col).unwrap();
    let own = lowered.workspace_len(7);
    assert!(own > 0);
    for terms in [[&lowered, &gathers[1], &gathers[2]], [&gathers[1], &lowered, &gathers[2]]] {
        assert_eq!(Sum::new(terms).unwrap().workspace_len(7), own + 7 * 90);
    }
    let all = Stacked::vertical(&gathers).unwrap();
    assert_eq!((all.range(), all.workspace_len(1)), ([300, 1, 5, 6], 60));
    let images = all.apply(x.view()).unwrap();
    for (i, gather) in gathers.iter().enumerate() {
        assert_eq!(images.slice(s![.., 3 * i..3 * (i + 1), .., .., ..]), gather.apply(x.view()).unwrap());
    }
}

#[test]
fn a_horizontal_stack_is_the_adjoint_of_a_vertical_one_to_the_bit() {
    let layers = [1, 2, 3].map(|seed| {
        let c = layer::<f32>(seed);
        Convolution::new(*c.geometry(), reals::<f32>(c.geometry().weight_shape(), seed)).unwrap()
    });
    let vertical = Stacked::vertical(&layers).unwrap();
    let horizontal = Stacked::horizontal(layers.iter().map(Adjoint)).unwrap();
    let turned = Adjoint(&vertical);
    let (x, y) = (reals::<f32>(with_batch(3, vertical.domain()), 4), reals::<f32>(with_batch(3, vertical.range()), 5));
    let [one, other] = [horizontal.apply(y.view()).unwrap(), turned.apply(y.view()).unwrap()];
    assert_same_bits(&one, &other, "Aᵀ·y");
    let [one, other] = [horizontal.apply_adjoint(x.view()).unwrap(), turned.apply_adjoint(x.view()).unwrap()];
    assert_same_bits(&one, &other, "A·x");
}

#[test]
fn multiples_round_once_and_matrices_round_each_entry() {
    let geometry = *layer::<f32>(0).geometry();
    let c = Convolution::new(geometry, reals::<f32>(geometry.weight_shape(), 2)).unwrap();
    let x = reals::<f32>([2, 2, 1, 5, 6], 3);
    let image = LinearOperator::apply(&c, x.view()).unwrap();
    for factor in [0.1f32, -7.0, 0.0, 0.5] {
        let multiple = Scaled::new(factor, &c).unwrap();
        assert_same_bits(&multiple.apply(x.view()).unwrap(), &image.mapv(|y| factor * y), "once");
        let (matrix, of_c) = (csr_of(&multiple, u128::MAX).unwrap(), csr_of(&c, u128::MAX).unwrap());
        assert_eq!(matrix.indices(), of_c.indices(), "zeros are entries");
        assert!(matrix.data().iter().zip(of_c.data()).all(|(found, value)| *found == factor * value));
    }
    // 0 times what is not finite is not 0.
    let poisoned = Array5::from_elem([1, 2, 1, 5, 6], f32::INFINITY);
    let nothing = Scaled::new(0.0, &c).unwrap().apply(poisoned.view()).unwrap();
    assert!(nothing.iter().all(|value| value.is_nan()));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(Scaled::new(bad, &c).unwrap_err(), Error::NotFinite { what: "the factor of an operator" });
    }
}

#[test]
fn terms_are_added_in_order_for_any_number_of_threads() {
    let geometry =
        Geometry::convolution([100, 90], 3, Channels { small: 8, large: 3 }, &Options::new().padding(1)).unwrap();
    let parts = [1, 2, 3].map(|seed| Convolution::new(geometry, reals::<f32>(geometry.weight_shape(), seed)).unwrap());
    let x = reals::<f32>([1, 3, 1, 100, 90], 4);
    let [first, second, third] = [0, 1, 2].map(|i| LinearOperator::apply(&parts[i], x.view()).unwrap());
    let want = first + second + third;
    let sum = Sum::new(&parts).unwrap();
    for threads in [1, 2, 3] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_same_bits(&pool.install(|| sum.apply(x.view())).unwrap(), &want, &format!("{threads} threads"));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    fn text<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }
    let c = layer::<f64>(1);
    let pad = |domain, amounts| Pad::new(domain, amounts, PadMode::Zeros).unwrap();
    let [same, wide] = [[(0, 0); 3], [(0, 0), (0, 0), (0, 2)]].map(|amounts| pad([2, 1, 5, 6], amounts));
    let boxes = |a: Boxed, b: Boxed| [a, b];
    assert_eq!(
        text(Sum::new(boxes(Box::new(c.clone()), Box::new(same.clone())))),
        "the range of an operator has shape [2, 1, 5, 6]; expected [3, 1, 5, 6]"
    );
    let other = pad([3, 1, 5, 6], [(0, 0); 3]);
    let message = "the domain of an operator has shape [3, 1, 5, 6]; expected [2, 1, 5, 6]";
    assert_eq!(text(Sum::new(boxes(Box::new(same.clone()), Box::new(other.clone())))), message);
    assert_eq!(text(Stacked::vertical(boxes(Box::new(c.clone()), Box::new(other.clone())))), message);
    // Only channels may differ: the message has the part's own.
    let message = "the range of an operator has shape [2, 1, 5, 8]; expected [2, 1, 5, 6]";
    assert_eq!(text(Stacked::vertical(boxes(Box::new(c.clone()), Box::new(wide.clone())))), message);
    assert_eq!(text(Stacked::block_diagonal(boxes(Box::new(c.clone()), Box::new(wide.clone())))), message);
    assert_eq!(text(Stacked::horizontal(boxes(Box::new(same.clone()), Box::new(wide.clone())))), message);
    let message = "the domain of an operator has shape [2, 1, 5, 8]; expected [2, 1, 5, 6]";
    assert_eq!(text(Stacked::horizontal(boxes(Box::new(same.clone()), Box::new(Adjoint(wide))))), message);

    assert_eq!(text(Sum::new(Vec::<Boxed>::new())), "a sum has no meaning for no operators");
    let none = Vec::<Boxed>::new;
    assert_eq!(text(Stacked::vertical(none())), "a vertical stack has no meaning for no operators");
    assert_eq!(text(Stacked::horizontal(none())), "a horizontal stack has no meaning for no operators");
    assert_eq!(text(Stacked::block_diagonal(none())), "a block-diagonal stack has no meaning for no operators");
    // Shapes of no elements, whose channels are too many together.
    let endless = pad([usize::MAX / 16, 1, 0, 1], [(0, 0); 3]);
    let endless = vec![endless; 40];
    let overflow = Err(Error::Overflow { what: "the number of channels" });
    assert_eq!(Stacked::<f64, _>::vertical(&endless).map(|_| ()), overflow);

    let stack = Stacked::vertical([&c, &c]).unwrap();
    let (x, y) = (Array5::zeros([2, 2, 1, 5, 6]), Array5::zeros([2, 6, 1, 5, 6]));
    assert_eq!(stack.apply(x.view()).unwrap(), y);
    assert!(stack.apply(y.view()).is_err() && stack.apply_adjoint(x.view()).is_err());
    let refused = stack.apply_into(x.view(), Array5::zeros([1, 6, 1, 5, 6]).view_mut(), &mut Workspace::new());
    assert_eq!(text(refused), "the output has shape [1, 6, 1, 5, 6]; expected [2, 6, 1, 5, 6]");
    let multiple = Scaled::new(2.0, &c).unwrap();
    assert!(multiple.apply(y.view()).is_err() && multiple.apply_adjoint(x.view()).is_err());
}

#[test]
fn matrices_keep_their_limit() {
    let (c, csr) = (layer::<f64>(1), |rows: u128, entries: u128| entries * (8 + 8) + (rows + 1) * 8);
    let (rows, entries) = (c.geometry().rows() as u128, c.geometry().entries());
    let (sum, vertical) = (Sum::new([&c, &c, &c]).unwrap(), Stacked::vertical([&c, &c, &c]).unwrap());
    let horizontal = Stacked::horizontal([&c, &c, &c]).unwrap();
    let diagonal = Stacked::block_diagonal([&c, &c, &c]).unwrap();
    let operators: [(&dyn LinearOperator<f64>, u128); 4] = [
        (&sum, csr(rows, 3 * entries)),
        (&vertical, csr(3 * rows, 3 * entries)),
        (&horizontal, csr(rows, 3 * entries)),
        (&diagonal, csr(3 * rows, 3 * entries)),
    ];
    for (i, (operator, bytes)) in operators.into_iter().enumerate() {
        assert!(csr_of(operator, bytes).is_ok(), "{i}");
        for limit in [bytes - 1, bytes / 2, 0] {
            let error = csr_of(operator, limit).unwrap_err();
            let Error::MemoryLimit { bytes: needed, limit: named, .. } = error else { panic!("{i}: {error}") };
            assert!(needed > limit && needed <= bytes && named == limit, "{i}: {needed} of {bytes} under {limit}");
        }
    }
    // What does not fit beside the others is not built: it is the part that is refused, with all bytes there would be.
    let whole = "the matrix of a sum or stack";
    let refused = csr_of(&sum, csr(rows, 3 * entries) - 1).unwrap_err();
    assert!(
        matches!(refused, Error::MemoryLimit { what, bytes, .. } if what != whole && bytes == csr(rows, 3 * entries))
    );
    let refused = csr_of(&vertical, csr(3 * rows, 3 * entries) - 1).unwrap_err();
    assert!(matches!(refused, Error::MemoryLimit { what, .. } if what == whole));
    assert!(csr_of(&Scaled::new(2.0, &c).unwrap(), csr(rows, entries)).is_ok());
    assert!(csr_of(&Scaled::new(2.0, &c).unwrap(), csr(rows, entries) - 1).is_err());
}
