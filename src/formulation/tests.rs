use ndarray::Array5;

use super::*;
use crate::geometry::{Channels, Options, Padding};
use crate::kernel::lanes::Lanes;
use crate::operator::with_batch;
use crate::{reference, weight_gradient};

/// A linear congruential generator (Knuth's MMIX constants): plenty for small integers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Integers from −7 to 7: every sum in these tests is exact.
    fn tensor(&mut self, shape: [usize; 5]) -> Array5<f32> {
        Array5::from_shape_fn(shape, |_| self.below(15) as f32 - 7.0)
    }
}

/// The exact values, but for minimal filtering, whose sums hold fractions: within 2⁸ units of rounding of the largest value.
fn assert_matches(computed: &Array5<f32>, exact: &Array5<f32>, what: &str) {
    if !what.contains("filtered") {
        assert_eq!(computed, exact, "{what}");
        return;
    }
    let most =
        256.0 * f32::UNIT_ROUNDOFF * exact.iter().fold(1.0, |largest, value| f64::from(value.abs()).max(largest));
    let off = |(a, b): (&f32, &f32)| f64::from(a - b).abs();
    assert!(computed.iter().zip(exact).map(off).all(|off| off <= most), "{what}: {computed}, expected {exact}");
}

/// All formulations and the weight gradient against the literal sums, with outputs and workspaces full of NaN.
fn check<const N: usize>(g: &Geometry<N>, batch: usize, numbers: &mut Numbers) {
    let weights = numbers.tensor(g.weight_shape());
    let x = numbers.tensor(with_batch(batch, g.large_shape()));
    let y = numbers.tensor(with_batch(batch, g.small_shape()));
    let single = |tensor: Array5<f64>| tensor.mapv(|value| value as f32);
    let forward = single(reference::convolution(g, weights.view(), x.view()).unwrap());
    let adjoint = single(reference::transposed_convolution(g, weights.view(), y.view()).unwrap());
    let mut workspace = Workspace::new();
    for &formulation in Formulation::ALL {
        let options = FormulationOptions::default();
        let operator = formulated(g.lift(), weights.clone().into_shared(), formulation, &options).unwrap();
        let mut to = Array5::from_elem(forward.dim(), f32::NAN);
        operator.apply_into(x.view(), to.view_mut(), &mut workspace).unwrap();
        assert_matches(&to, &forward, &format!("{formulation} of {g:?}, batch {batch}"));
        workspace.fill(f32::NAN);
        let mut to = Array5::from_elem(adjoint.dim(), f32::NAN);
        operator.apply_adjoint_into(y.view(), to.view_mut(), &mut workspace).unwrap();
        assert_matches(&to, &adjoint, &format!("adjoint of {formulation} of {g:?}, batch {batch}"));
        let mut fresh = Workspace::new();
        operator.apply_adjoint_into(y.view(), to.view_mut(), &mut fresh).unwrap();
        operator.apply_into(x.view(), Array5::zeros(forward.dim()).view_mut(), &mut fresh).unwrap();
        assert_eq!(fresh.len(), operator.workspace_len(batch), "{formulation} of {g:?}, batch {batch}");
    }
    let mut to = Array5::from_elem(g.weight_shape(), f32::NAN);
    weight_gradient(g, x.view(), y.view(), to.view_mut()).unwrap();
    assert_eq!(to, single(reference::weight_gradient(g, x.view(), y.view()).unwrap()), "weights of {g:?}");
}

#[test]
fn all_formulations_are_the_literal_sums_on_random_geometries() {
    let mut numbers = Numbers(1);
    let mut checked = 0;
    while checked < 150 {
        let groups = numbers.between(1, 3);
        let channels = Channels { small: groups * numbers.between(1, 3), large: groups * numbers.between(1, 3) };
        let mut lengths = |low, high| [(); 3].map(|()| numbers.between(low, high));
        let pads = Padding::Explicit([lengths(0, 3), lengths(0, 3), lengths(0, 3)].map(|pads| (pads[0], pads[1])));
        let options = Options::new().stride(lengths(1, 3)).dilation(lengths(1, 3)).groups(groups).padding(pads);
        let (small, kernel) = (lengths(1, 4), lengths(1, 3));
        let Ok(g) = Geometry::transposed(small, kernel, channels, &options) else { continue };
        check(&g, [0, 1, 2, 5, 17][checked % 5], &mut numbers);
        checked += 1;
    }
}

#[test]
fn tiles_meet_at_their_edges() {
    let mut numbers = Numbers(2);
    // One axis, so that the literal sums stay quick: several blocks of channels, several tiles of pixels, whole samples side
    // by side with a last tile that is not full, and lengths around multiples of the tile.
    for (small, kernel, stride, channels, batch) in [
        (1, 1, 1, (700, 2), 3),
        (1, 16, 3, (50, 3), 40),
        (3, 5, 2, (90, 2), 100),
        (300, 3, 2, (2, 150), 1),
        (1023, 3, 1, (1, 1), 2),
        (4097, 2, 3, (2, 1), 1),
        (130, 200, 1, (1, 4), 2),
    ] {
        let channels = Channels { small: channels.1, large: channels.0 };
        let options = Options::<1>::new().stride([stride]).padding([kernel / 3]);
        check(&Geometry::transposed([small], [kernel], channels, &options).unwrap(), batch, &mut numbers);
    }
}

#[test]
fn windows_that_are_empty_on_either_side_work() {
    let mut numbers = Numbers(3);
    let options = Options::new().stride([2, 1]).padding([1, 2]);
    let g = Geometry::convolution([6, 7], [3, 2], Channels { small: 2, large: 3 }, &options).unwrap();
    for (small, large) in [([0..0, 0..3], [0..6, 0..7]), ([0..3, 2..5], [2..2, 0..7]), ([1..1, 0..0], [0..0, 3..3])] {
        check(&g.window(small, large).unwrap(), 2, &mut numbers);
    }
}

#[test]
fn names_are_read_back_and_auto_resolves() {
    for formulation in Formulation::ALL.iter().copied().chain([Formulation::Auto]) {
        assert_eq!(formulation.name().parse(), Ok(formulation));
        assert_eq!(formulation.to_string(), formulation.name());
    }
    let error = "im2row".parse::<Formulation>().unwrap_err();
    assert_eq!((error.what, error.name.as_str(), error.allowed.len()), ("formulation", "im2row", 9));
    let names = "auto, gather, scatter, dense, sparse, im2col, zero-insertion, planned, filtered";
    assert_eq!(error.to_string(), format!("unknown formulation \"im2row\"; there are {names}"));
    assert_eq!((Formulation::ALL.len(), Formulation::ALL.contains(&Formulation::Auto)), (8, false));
    assert_eq!(Formulation::Auto.resolve(), Formulation::Planned);
    assert_eq!(Formulation::Im2col.resolve(), Formulation::Im2col);
}

#[test]
fn scratch_memory_is_what_the_formulations_say() {
    let options = Options::new().stride([2, 2]).padding([1, 1]);
    let g = Geometry::convolution([6, 7], [3, 2], Channels { small: 2, large: 3 }, &options).unwrap();
    let weights = Numbers(4).tensor(g.weight_shape()).into_shared();
    let len = |formulation, batch| {
        let operator = formulated(g.lift(), weights.clone(), formulation, &FormulationOptions::default()).unwrap();
        operator.workspace_len(batch)
    };
    for batch in [0, 1, 2, 100] {
        assert_eq!([Formulation::Gather, Formulation::Scatter, Formulation::Dense].map(|f| len(f, batch)), [0; 3]);
    }
    // Vectors of samples side by side, of the longer of the two sides; a single sample needs no company.
    let lanes = |batch| Lanes::of::<f32>(batch).count();
    assert_eq!([0, 1].map(|batch| len(Formulation::Sparse, batch)), [0, 0]);
    assert_eq!([2, 20, 100].map(|batch| len(Formulation::Sparse, batch)), [2, 20, 100].map(|batch| lanes(batch) * 126));
    // 5 × 7 pixels with zeros inserted: two channels and seven rows of the flipped kernel's input, besides the lowering's own.
    assert!(len(Formulation::ZeroInsertion, 3) > 3 * 2 * 5 * 7);
}

#[test]
fn sparse_products_of_several_tasks_are_the_literal_sums() {
    let mut numbers = Numbers(5);
    // 5000 rows of 16 entries for 16 samples: some 2000 rows make a task.
    let g = Geometry::transposed([5000], [16], Channels { small: 1, large: 1 }, &Options::<1>::new()).unwrap();
    let weights = numbers.tensor(g.weight_shape());
    let (x, y) = (numbers.tensor(with_batch(16, g.large_shape())), numbers.tensor(with_batch(16, g.small_shape())));
    let options = FormulationOptions::default();
    let sparse = formulated(g.lift(), weights.clone().into_shared(), Formulation::Sparse, &options).unwrap();
    let forward = reference::convolution(&g, weights.view(), x.view()).unwrap();
    assert_eq!(sparse.apply(x.view()).unwrap().mapv(f64::from), forward);
    let adjoint = reference::transposed_convolution(&g, weights.view(), y.view()).unwrap();
    assert_eq!(sparse.apply_adjoint(y.view()).unwrap().mapv(f64::from), adjoint);
}
