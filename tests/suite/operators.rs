//! Operators as operators: products, swaps and boxes, their matrices, and what probing finds.

use convmat::{
    Adjoint, Channels, Compose, Conv2d, Convolution, Error, Formulation, GemmBackend, Geometry, Isa, LinearOperator,
    Options, Pad, PadMode, PlanOptions, Result, Shape, Workspace, csr_of, dot_test,
};
use ndarray::{Array2, Array5, ArrayView5, ArrayViewMut5};
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{Case, case, for_cases, in_every_rank, with_batch};
use crate::values::{dirty, distinct, identity, integers};

/// The matrix by all unit vectors, and that of the adjoint, transposed: one of them must be wrong if they differ.
fn probed(operator: &dyn LinearOperator<f64>) -> Array2<f64> {
    let elements = |shape: Shape| shape.iter().product::<usize>();
    let (rows, columns) = (elements(operator.range()), elements(operator.domain()));
    let images = operator.apply(identity(operator.domain()).view()).unwrap();
    let images = images.into_shape_with_order((columns, rows)).unwrap().reversed_axes();
    let preimages = operator.apply_adjoint(identity(operator.range()).view()).unwrap();
    assert_eq!(images, preimages.into_shape_with_order((rows, columns)).unwrap());
    images
}

/// That products and the matrix are those of a matrix.
pub fn assert_matrix(operator: &dyn LinearOperator<f64>, expected: &Array2<f64>, what: &str) {
    assert_eq!(probed(operator), expected, "{what}");
    let matrix = csr_of(operator, u128::MAX).unwrap();
    assert!(matrix.is_csr(), "{what}");
    assert_eq!(matrix.to_dense(), expected, "{what}");
}

in_every_rank!(products_swaps_and_boxes_have_their_matrices);

fn products_swaps_and_boxes_have_their_matrices<const N: usize>() {
    let modes = select(vec![PadMode::Zeros, PadMode::Replicate, PadMode::Reflect, PadMode::Circular]);
    for_cases(60, (case::<N>(3_000), modes, any::<(u8, u8)>()), |(case, mode, amounts)| {
        let literal = case.literal();
        let weights = distinct::<f64>(literal.weight_shape());
        let [matrix, _] = literal.matrices(&weights);
        let c = case.convolution(&weights);
        assert_matrix(&Adjoint(c.clone()), &matrix.t().to_owned(), "Cᵀ");
        assert_matrix(&Adjoint(Adjoint(c.clone())), &matrix, "Cᵀᵀ");
        let boxed: Box<dyn LinearOperator<f64>> = c.formulate(Formulation::Scatter).unwrap();
        assert_eq!(boxed.workspace_len(7), 0);
        assert_matrix(&boxed, &matrix, "a box");
        let squared = Compose::new(Adjoint(c.clone()), boxed).unwrap();
        assert_matrix(&squared, &matrix.t().dot(&matrix), "CᵀC");
        assert_matrix(&Adjoint(squared), &matrix.t().dot(&matrix), "(CᵀC)ᵀ");

        // Padding after C: at most what the mode can.
        let [_, d, h, w] = literal.small_shape();
        let bounded = |amount: u8, length: usize| match mode {
            PadMode::Reflect => usize::from(amount) % length,
            _ => usize::from(amount) % (length + 1),
        };
        let amounts = [d, h, w].map(|length| (bounded(amounts.0, length), bounded(amounts.1, length)));
        let pad = Pad::new(literal.small_shape(), amounts, mode).unwrap();
        let padding = probed(&pad);
        assert_matrix(&pad, &padding, "the padding");
        assert!(padding.rows().into_iter().all(|row| row.sum() == 1.0 || (row.sum() == 0.0 && mode == PadMode::Zeros)));
        let product = Compose::new(pad.clone(), c.clone()).unwrap();
        assert_matrix(&product, &padding.dot(&matrix), "PC");
        let crop = Pad::crop(LinearOperator::<f64>::range(&pad), amounts).unwrap();
        assert_matrix(&Compose::new(crop, product).unwrap(), &matrix, "cropping undoes padding");
    });
}

in_every_rank!(products_pass_the_dot_test_and_reuse_their_memory);

fn products_pass_the_dot_test_and_reuse_their_memory<const N: usize>() {
    for_cases(40, (case::<N>(10_000), 0..6usize, any::<u64>()), |(case, batch, seed)| {
        let literal = case.literal();
        let c = case.convolution(&integers::<f64>(literal.weight_shape(), seed));
        let gather = || c.formulate(Formulation::Gather).unwrap();
        let product = Compose::new(Adjoint(gather()), gather()).unwrap();
        let test = dot_test(&product, batch, seed).unwrap();
        assert!(test.passed(), "{test:?}");
        // One batch of what lies between, and nothing else.
        let between = batch * c.geometry().rows();
        assert_eq!(product.workspace_len(batch), between);
        let x = integers::<f64>(with_batch(batch, product.domain()), seed);
        let image = LinearOperator::apply(&c, x.view()).unwrap();
        let expected = LinearOperator::apply_adjoint(&c, image.view()).unwrap();
        let mut workspace = Workspace::new();
        for _ in 0..2 {
            let mut y = dirty(expected.dim().into());
            product.apply_into(x.view(), y.view_mut(), &mut workspace).unwrap();
            assert_eq!((&y, workspace.len()), (&expected, between));
            workspace.fill(f64::NAN);
        }
        // The larger need of the two factors comes on top.
        let [im2col, sparse] = [Formulation::Im2col, Formulation::Sparse].map(|f| c.formulate(f).unwrap());
        let larger = im2col.workspace_len(batch).max(sparse.workspace_len(batch));
        let product = Compose::new(Adjoint(sparse), im2col).unwrap();
        assert_eq!(product.workspace_len(batch), between + larger);
        assert_eq!(product.apply(x.view()).unwrap(), expected);
    });
}

/// Σ of neighbours, cyclic: an operator of which nobody knows the structure, so that its matrix must be probed.
struct Neighbours(usize);

impl LinearOperator<f32> for Neighbours {
    fn domain(&self) -> Shape {
        [1, 1, 1, self.0]
    }
    fn range(&self) -> Shape {
        [1, 1, 1, self.0]
    }
    fn apply_into(&self, x: ArrayView5<f32>, mut y: ArrayViewMut5<f32>, _: &mut Workspace<f32>) -> Result<()> {
        for ((n, .., i), y) in y.indexed_iter_mut() {
            *y = x[[n, 0, 0, 0, i]] + 2.0 * x[[n, 0, 0, 0, (i + 1) % self.0]];
        }
        Ok(())
    }
    fn apply_adjoint_into(&self, y: ArrayView5<f32>, mut x: ArrayViewMut5<f32>, _: &mut Workspace<f32>) -> Result<()> {
        for ((n, .., i), x) in x.indexed_iter_mut() {
            *x = y[[n, 0, 0, 0, i]] + 2.0 * y[[n, 0, 0, 0, (i + self.0 - 1) % self.0]];
        }
        Ok(())
    }
    fn workspace_len(&self, _: usize) -> usize {
        0
    }
}

#[test]
fn an_operator_of_unknown_structure_is_probed() {
    // Around the 64 columns that are probed at once.
    for length in [2, 3, 63, 64, 65, 128, 130] {
        let operator = Neighbours(length);
        let expected = Array2::from_shape_fn((length, length), |(i, j)| {
            f32::from(u8::from(i == j)) + 2.0 * f32::from(u8::from((i + 1) % length == j))
        });
        let matrix = csr_of(&operator, u128::MAX).unwrap();
        assert!(matrix.is_csr());
        assert_eq!((matrix.nnz(), matrix.to_dense()), (2 * length, expected.clone()));
        let boxed: Box<dyn LinearOperator<f32>> = Box::new(Neighbours(length));
        assert_eq!(csr_of(&boxed, u128::MAX).unwrap().to_dense(), expected);
        assert!(dot_test(&operator, 3, 1).unwrap().passed());
        // The matrix fits exactly: a value and a column for each of two entries per row, and the offsets.
        let bytes = (2 * length * (4 + 8) + (length + 1) * 8) as u128;
        assert_eq!(csr_of(&operator, bytes).unwrap().to_dense(), expected);
        let what = "the probed matrix";
        let refused = csr_of(&operator, bytes - 1).err();
        assert!(matches!(refused, Some(Error::MemoryLimit { what: w, limit, .. }) if w == what && limit == bytes - 1));
    }
    // A column to multiply with and one to receive, 4 bytes each.
    let operator = Neighbours(1000);
    let refused = csr_of(&operator, 7999).err();
    let expected =
        Error::MemoryLimit { what: "one probed column", bytes: 8000, limit: 7999, instead: "apply and apply_adjoint" };
    assert_eq!(refused, Some(expected));
    assert!(matches!(csr_of(&operator, 8000), Err(Error::MemoryLimit { what: "the probed matrix", .. })));
}

#[test]
fn operators_on_nothing_have_empty_matrices() {
    let case = Case::<1> {
        transposed: false,
        input: [5],
        kernel: [2],
        stride: [1],
        dilation: [1],
        pads: [(0, 0)],
        output_padding: [0],
        groups: 1,
        small: 1,
        large: 1,
    };
    let c = case.convolution(&distinct::<f64>([1, 1, 1, 1, 2]));
    let block = |rows, columns| -> Convolution<f64, 1> { c.window([rows], [columns]).unwrap() };
    for (rows, columns) in [(0..0, 0..5), (1..3, 2..2), (4..4, 5..5)] {
        let (height, width) = (rows.len(), columns.len());
        let empty = block(rows, columns);
        assert_matrix(&empty, &Array2::zeros((height, width)), "a window");
        assert_matrix(&Adjoint(empty.clone()), &Array2::zeros((width, height)), "its adjoint");
        let square = Compose::<f64, _, _>::new(Adjoint(empty.clone()), empty.clone()).unwrap();
        assert_matrix(&square, &Array2::zeros((width, width)), "a product through nothing");
        let x = Array5::<f64>::ones([3, 1, 1, 1, width]);
        assert_eq!(square.apply(x.view()).unwrap(), Array5::<f64>::zeros([3, 1, 1, 1, width]));
    }
}

/// Running totals, in f64, along every row: `y[i] = x[0] + … + x[i]`. Totals are kept in scratch memory until the row is whole.
#[derive(Debug)]
struct Totals(usize);

impl Totals {
    fn run(
        &self,
        from: ArrayView5<f64>,
        mut to: ArrayViewMut5<f64>,
        workspace: &mut Workspace<f64>,
        is_backwards: bool,
    ) -> Result<()> {
        let expected = [from.dim().0, 1, 1, 1, self.0];
        for (what, actual) in [("the input", from.shape()), ("the output", to.shape())] {
            if actual != expected {
                return Err(Error::Shape { what, expected: expected.to_vec(), actual: actual.to_vec() });
            }
        }
        let mut totals = workspace.take(self.0)?;
        assert_eq!(totals.len(), self.0);
        for (from, to) in from.rows().into_iter().zip(to.rows_mut()) {
            let mut sum = 0.0;
            for i in 0..self.0 {
                let i = if is_backwards { self.0 - 1 - i } else { i };
                sum += from[i];
                totals[i] = sum;
            }
            to.into_iter().zip(totals.iter()).for_each(|(to, &total)| *to = total);
        }
        workspace.give(totals);
        Ok(())
    }
}

impl LinearOperator<f64> for Totals {
    fn domain(&self) -> Shape {
        [1, 1, 1, self.0]
    }
    fn range(&self) -> Shape {
        [1, 1, 1, self.0]
    }
    fn apply_into(&self, x: ArrayView5<f64>, y: ArrayViewMut5<f64>, workspace: &mut Workspace<f64>) -> Result<()> {
        self.run(x, y, workspace, false)
    }
    fn apply_adjoint_into(
        &self,
        y: ArrayView5<f64>,
        x: ArrayViewMut5<f64>,
        workspace: &mut Workspace<f64>,
    ) -> Result<()> {
        self.run(y, x, workspace, true)
    }
    fn workspace_len(&self, _: usize) -> usize {
        self.0
    }
}

#[test]
fn an_operator_from_outside_with_scratch_memory_is_one_among_the_others() {
    let length = 9;
    let lower = Array2::from_shape_fn((length, length), |(i, j)| f64::from(u8::from(j <= i)));
    assert_matrix(&Totals(length), &lower, "totals");
    assert_matrix(&Adjoint(Totals(length)), &lower.t().to_owned(), "totals from behind");
    let geometry =
        Geometry::convolution([length], 3, Channels::of_convolution(1, 2), &Options::new().stride(2)).unwrap();
    let c = Convolution::new(geometry, distinct::<f64>(geometry.weight_shape())).unwrap();
    let product = c.dense(u128::MAX).unwrap().dot(&lower);
    let composed = Compose::new(c, Totals(length)).unwrap();
    assert_matrix(&composed, &product, "C · totals");
    assert!(dot_test(&composed, 3, 1).unwrap().passed());
    // The structure of the factor that has one: the last of its entries is a zero weight, and still is counted.
    let zero = Convolution::new(geometry, Array5::<f64>::zeros(geometry.weight_shape())).unwrap();
    assert_eq!(csr_of(&Adjoint(zero.clone()), u128::MAX).unwrap().nnz() as u128, geometry.entries());
    assert_eq!(csr_of(&Compose::new(zero, Totals(length)).unwrap(), u128::MAX).unwrap().to_dense(), 0.0 * &product);

    // Scratch memory is reused, and what was in it does not matter.
    let x = Array5::from_shape_fn([4, 1, 1, 1, length], |i| (i.0 * 3 + i.4 * i.4) as f64);
    let (mut y, mut workspace) = (Array5::zeros(with_batch(4, composed.range())), Workspace::new());
    let want = composed.apply(x.view()).unwrap();
    for round in 0..3 {
        composed.apply_into(x.view(), y.view_mut(), &mut workspace).unwrap();
        assert_eq!(y, want, "round {round}");
        let held = workspace.len();
        composed.apply_into(x.view(), y.view_mut(), &mut workspace).unwrap();
        assert_eq!((&y, workspace.len()), (&want, held), "round {round}");
        workspace.fill(f64::NAN);
    }
    assert!(matches!(Totals(3).apply(x.view()), Err(Error::Shape { what: "the input", .. })));
}

#[test]
fn large_holders_print_shapes_and_no_elements() {
    let geometry = Geometry::convolution([64, 64], 9, Channels::of_convolution(40, 50), &Options::new()).unwrap();
    let c = Convolution::new(geometry, Array5::from_elem(geometry.weight_shape(), 0.123f64)).unwrap();
    let layer = Conv2d::<f64>::zeros(40, 50, 9, Options::new()).unwrap();
    let plan = layer.plan([64, 64], &PlanOptions::new()).unwrap();
    let pad = Pad::new([40, 1, 64, 64], [(0, 0), (300, 0), (0, 300)], PadMode::Replicate).unwrap();
    let boxed = c.formulate(Formulation::Scatter).unwrap();
    let mut workspace = Workspace::<f64>::new();
    let lent = [workspace.take(1000).unwrap(), workspace.take(3).unwrap()];
    let texts = [
        (format!("{c:?}"), "weights: [50, 40, 1, 9, 9]"),
        (format!("{layer:?}"), "Conv2d { in_channels: 40, out_channels: 50, kernel: [9, 9], bias: true"),
        (format!("{plan:?}"), "output_size: [56, 56]"),
        (format!("{pad:?}"), "range: [40, 1, 364, 364]"),
        (format!("{boxed:?}"), "LinearOperator { domain: [40, 1, 64, 64], range: [50, 1, 56, 56], .. }"),
        (format!("{lent:?}"), "[Lent { len: 1000 }, Lent { len: 3 }]"),
        (format!("{:?}", Adjoint(Totals(7))), "Adjoint(Totals(7))"),
        (
            format!("{:?}", layer.in_weights(&ndarray::Array4::ones([1, 40, 64, 64])).unwrap()),
            "input: [1, 40, 1, 64, 64]",
        ),
    ];
    for (text, part) in texts {
        assert!(text.contains(part) && text.len() < 1000, "{part} in {text}");
    }
    for buffer in lent {
        workspace.give(buffer);
    }
    assert_eq!(format!("{workspace:?}"), "Workspace { lengths: [1000, 3] }");
}

#[test]
fn names_are_read_back() {
    for isa in Isa::ALL {
        assert_eq!(isa.name().parse(), Ok(*isa));
    }
    for gemm in GemmBackend::ALL {
        assert_eq!(gemm.to_string().parse(), Ok(*gemm));
    }
    for mode in PadMode::ALL {
        assert_eq!(mode.to_string().parse(), Ok(*mode));
    }
    let error: Box<dyn std::error::Error> = Box::new("mirror".parse::<PadMode>().unwrap_err());
    assert_eq!(error.to_string(), "unknown padding mode \"mirror\"; there are zeros, replicate, reflect, circular");
    assert_eq!(
        "blas".parse::<GemmBackend>().unwrap_err().to_string(),
        "unknown GEMM crate \"blas\"; there are gemm, matrixmultiply"
    );
}
