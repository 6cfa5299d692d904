//! The largest singular values, through products alone.

use convmat::analysis::{SingularOptions, SingularValues, singular_values};
use convmat::{
    Adjoint, Channels, Convolution, Error, Geometry, LinearOperator, Options, Pad, PadMode, Result, Workspace,
};
use ndarray::{Array2, Array5, ArrayView5, ArrayViewMut5};

use super::{assert_near, jacobi, layers, operators, weights};
use crate::common::{for_cases, in_every_rank};

fn largest(count: usize) -> SingularOptions {
    SingularOptions::new().count(count)
}

/// A diagonal matrix with rows of zeros below.
struct Diagonal(Vec<f64>, usize);

impl LinearOperator<f64> for Diagonal {
    fn domain(&self) -> [usize; 4] {
        [1, 1, 1, self.0.len()]
    }
    fn range(&self) -> [usize; 4] {
        [1, 1, 1, self.0.len() + self.1]
    }
    fn apply_into(&self, x: ArrayView5<f64>, mut y: ArrayViewMut5<f64>, _: &mut Workspace<f64>) -> Result<()> {
        y.fill(0.0);
        y.indexed_iter_mut().for_each(|((n, .., i), y)| *y = self.0.get(i).map_or(0.0, |d| d * x[[n, 0, 0, 0, i]]));
        Ok(())
    }
    fn apply_adjoint_into(&self, y: ArrayView5<f64>, mut x: ArrayViewMut5<f64>, _: &mut Workspace<f64>) -> Result<()> {
        x.indexed_iter_mut().for_each(|((n, .., i), x)| *x = self.0[i] * y[[n, 0, 0, 0, i]]);
        Ok(())
    }
    fn workspace_len(&self, _batch: usize) -> usize {
        0
    }
}

/// Residuals below the bound, vectors orthonormal, and residuals that are what they say.
#[track_caller]
fn check<A: LinearOperator<f64> + ?Sized>(operator: &A, found: &SingularValues) {
    assert!(found.residual() <= 1e-8, "{}", found.residual());
    for vectors in [&found.left, &found.right] {
        let count = vectors.dim().0;
        let flat = vectors.view().into_shape_with_order((count, vectors.len() / count.max(1))).unwrap();
        let gram = flat.dot(&flat.t()) - Array2::<f64>::eye(count);
        assert!(gram.iter().all(|v| v.abs() < 1e-12), "{gram}");
    }
    let (images, preimages) =
        (operator.apply(found.right.view()).unwrap(), operator.apply_adjoint(found.left.view()).unwrap());
    for (i, &sigma) in found.values.iter().enumerate() {
        let distance = |product: &Array5<f64>, vectors: &Array5<f64>| {
            let (a, b) = (product.index_axis(ndarray::Axis(0), i), vectors.index_axis(ndarray::Axis(0), i));
            a.iter().zip(b).map(|(a, b)| (a - sigma * b).powi(2)).sum::<f64>().sqrt()
        };
        let want = (distance(&images, &found.left), distance(&preimages, &found.right));
        let (right, left) = found.residuals[i];
        let scale = found.values[0].max(1.0);
        assert!((right - want.0).abs() < 1e-13 * scale && (left - want.1).abs() < 1e-13 * scale);
    }
}

in_every_rank!(they_are_those_of_the_matrix);

fn they_are_those_of_the_matrix<const N: usize>() {
    for_cases(60, (layers::<N>(6000), 0..9usize), |((case, seed), count)| {
        let (c, transposed, matrix) = operators(&case, &weights(&case, seed));
        let want = jacobi(&matrix);
        let count = count.min(want.len());
        let found = singular_values(&c, &largest(count)).unwrap();
        assert_near(&found.values, &want[..count], 1e-12);
        check(&c, &found);
        let turned = singular_values(&transposed, &largest(count)).unwrap();
        assert_near(&turned.values, &want[..count], 1e-12);
        check(&transposed, &turned);
    });
}

#[test]
fn values_come_out_as_often_as_they_occur() {
    // More of one value than a basis holds: 48 vectors.
    let ones = Diagonal(vec![1.0; 300], 7);
    let found = singular_values(&ones, &largest(12)).unwrap();
    assert_near(&found.values, &[1.0; 12], 1e-14);
    check(&ones, &found);
    // Each value three times among many, with a gap or without.
    let values: Vec<f64> = (0..400).map(|i| 10.0 / (1 + i / 3) as f64).collect();
    let stairs = Diagonal(values.clone(), 0);
    for count in [1, 2, 5, 9] {
        let found = singular_values(&stairs, &largest(count)).unwrap();
        assert_near(&found.values, &values[..count], 1e-12);
        check(&stairs, &found);
    }
    // Close neighbours take restarts.
    let close: Vec<f64> = (0..600).map(|i| 1.0 - 1e-4 * i as f64).collect();
    let found = singular_values(&Diagonal(close.clone(), 0), &largest(3)).unwrap();
    assert!(found.restarts > 0);
    assert_near(&found.values, &close[..3], 1e-10);
    check(&Diagonal(close, 0), &found);
}

#[test]
fn a_crowded_top_of_the_spectrum_is_told_apart() {
    // Pairs that differ by 1e-10, 4e-4 from one to the next, as where a symbol is sampled. A basis of 48 vectors is too small.
    let crowded: Vec<f64> =
        (0..3000).map(|i| 1.0 + (f64::from(i / 2) * 5e-4 + f64::from(i % 2) * 1e-10 + 1.0).cos()).collect();
    let mut sorted = crowded.clone();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    for (count, zeros) in [(1, 0), (3, 5), (8, 0), (8, 900)] {
        let operator = Diagonal(crowded.clone(), zeros);
        let found = singular_values(&operator, &largest(count)).unwrap();
        assert_near(&found.values, &sorted[..count], 1e-10);
        check(&operator, &found);
        check(
            &Adjoint(operator),
            &singular_values(&Adjoint(Diagonal(crowded.clone(), zeros)), &largest(count)).unwrap(),
        );
    }
}

#[test]
fn crowded_values_come_out_as_often_as_they_occur() {
    // Seven of each, more than the first blocks have vectors, with neighbours within 1e-3.
    let values: Vec<f64> = (0..2800).map(|i| 1.0 - 1e-3 * f64::from(i / 7)).collect();
    let operator = Diagonal(values.clone(), 3);
    for count in [5, 9] {
        let found = singular_values(&operator, &largest(count)).unwrap();
        assert_near(&found.values, &values[..count], 1e-10);
        check(&operator, &found);
    }
    // One value far above the crowd, and one wanted that many share.
    let mut values: Vec<f64> = (0..1500).map(|i| 1.0 - 1e-4 * f64::from(i)).collect();
    values[700] = 30.0;
    values[..40].fill(1.0);
    let operator = Diagonal(values, 0);
    let found = singular_values(&operator, &largest(6)).unwrap();
    assert_near(&found.values, &[30.0, 1.0, 1.0, 1.0, 1.0, 1.0], 1e-10);
    check(&operator, &found);
}

/// Reflections between which a diagonal matrix is dense; they change no singular value.
struct Reflected(Diagonal);

impl Reflected {
    fn reflect(mut x: ArrayViewMut5<f64>) {
        for mut x in x.outer_iter_mut() {
            let len = x.len() as f64;
            let direction = |i: usize| (1.0 + (i as f64).sin()) / len.sqrt();
            let square: f64 = (0..x.len()).map(|i| direction(i).powi(2)).sum();
            let along: f64 = x.iter().enumerate().map(|(i, x)| x * direction(i)).sum();
            x.iter_mut().enumerate().for_each(|(i, x)| *x -= 2.0 * along / square * direction(i));
        }
    }
}

impl LinearOperator<f64> for Reflected {
    fn domain(&self) -> [usize; 4] {
        self.0.domain()
    }
    fn range(&self) -> [usize; 4] {
        self.0.range()
    }
    fn apply_into(&self, x: ArrayView5<f64>, mut y: ArrayViewMut5<f64>, workspace: &mut Workspace<f64>) -> Result<()> {
        let mut x = x.to_owned();
        Self::reflect(x.view_mut());
        self.0.apply_into(x.view(), y.view_mut(), workspace)?;
        Self::reflect(y);
        Ok(())
    }
    fn apply_adjoint_into(&self, y: ArrayView5<f64>, mut x: ArrayViewMut5<f64>, w: &mut Workspace<f64>) -> Result<()> {
        let mut y = y.to_owned();
        Self::reflect(y.view_mut());
        self.0.apply_adjoint_into(y.view(), x.view_mut(), w)?;
        Self::reflect(x);
        Ok(())
    }
    fn workspace_len(&self, _batch: usize) -> usize {
        0
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    /// Long vectors, so that a basis is restarted and filters are of use: clusters of any width and multiplicity.
    #[test]
    fn clusters_of_any_width_are_found(
        (steps, multiplicity, bulk) in (proptest::collection::vec(0u32..5, 1..12), 1..7usize, 300..900usize),
        (count, zeros, seed) in (1..9usize, 0..2000usize, proptest::prelude::any::<u64>()),
    ) {
        // Values that lie 0 to 1e-1 below each other, then a bulk below 0.9 of the last.
        let mut value = 1.0;
        let mut values = Vec::new();
        for step in &steps {
            values.extend(vec![value; multiplicity]);
            value *= 1.0 - f64::from(u8::from(*step > 0)) * 10f64.powi(*step as i32 - 5);
        }
        values.extend((0..bulk).map(|i| 0.9 * value * (1.0 - i as f64 / bulk as f64)));
        let operator = Reflected(Diagonal(values.clone(), zeros));
        let found = singular_values(&operator, &largest(count).seed(seed)).unwrap();
        assert_near(&found.values, &values[..count], 1e-10);
        check(&operator, &found);
    }
}

#[test]
fn an_orthogonal_layer_and_a_grouped_one() {
    // Kernel = stride with an orthogonal block: every singular value is 1.
    let r = 0.5f64.sqrt();
    let haar = Array5::from_shape_vec([2, 1, 1, 1, 2], vec![r, r, r, -r]).unwrap();
    let g = Geometry::convolution([400], [2], Channels { small: 2, large: 1 }, &Options::new().stride([2])).unwrap();
    let c = Convolution::new(g, haar).unwrap();
    assert_near(&singular_values(&c, &largest(6)).unwrap().values, &[1.0; 6], 1e-14);
    // Four groups of the same weights: every value four times.
    let group = [0.3, -0.7, 0.9];
    let weights = Array5::from_shape_fn([4, 1, 1, 1, 3], |i| group[i.4]);
    let options = Options::new().groups(4).padding([1]);
    let g = Geometry::convolution([150], [3], Channels { small: 4, large: 4 }, &options).unwrap();
    let c = Convolution::new(g, weights).unwrap();
    let found = singular_values(&c, &largest(8)).unwrap();
    check(&c, &found);
    for block in found.values.chunks(4) {
        assert_near(block, &[block[0]; 4], 1e-10);
    }
    assert!(found.values[3] - found.values[4] > 1e-6);
}

#[test]
fn no_rank_no_rows_and_no_values() {
    let zero = Diagonal(vec![0.0; 70], 3);
    let found = singular_values(&zero, &largest(4)).unwrap();
    assert_eq!((found.values.clone(), found.residual()), (vec![0.0; 4], 0.0));
    check(&zero, &found);
    // Rank 2, more asked for.
    let mut few = vec![0.0; 90];
    (few[40], few[3]) = (2.0, 5.0);
    let found = singular_values(&Diagonal(few.clone(), 0), &largest(5)).unwrap();
    assert_near(&found.values, &[5.0, 2.0, 0.0, 0.0, 0.0], 1e-14);
    check(&Diagonal(few, 0), &found);
    // More asked for than there are.
    let found = singular_values(&Diagonal(vec![3.0, 1.0, 2.0], 9), &largest(50)).unwrap();
    assert_near(&found.values, &[3.0, 2.0, 1.0], 1e-14);
    let nothing = Pad::new([1, 1, 1, 0], [(0, 0), (0, 0), (2, 0)], PadMode::Zeros).unwrap();
    let found = singular_values(&nothing, &largest(3)).unwrap();
    assert!(found.values.is_empty() && found.left.dim() == (0, 1, 1, 1, 2));
    assert!(singular_values(&zero, &largest(0)).unwrap().values.is_empty());
}

#[test]
fn what_is_refused() {
    let ones = Diagonal(vec![1.0; 300], 0);
    let limited = largest(2).memory_limit(1000);
    assert!(matches!(singular_values(&ones, &limited), Err(Error::MemoryLimit { limit: 1000, .. })));
    for tolerance in [0.0, -1.0, f64::NAN] {
        let options = largest(2).tolerance(tolerance);
        assert!(matches!(singular_values(&ones, &options), Err(Error::NotFinite { .. })));
    }
    for bad in [f64::NAN, f64::INFINITY] {
        let broken = Diagonal(vec![1.0, bad, 2.0], 0);
        assert!(matches!(singular_values(&broken, &largest(1)), Err(Error::NotFinite { .. })));
    }
    let stopped = largest(3).max_restarts(0);
    let close = Diagonal((0..600).map(|i| 1.0 - 1e-4 * i as f64).collect(), 0);
    assert!(singular_values(&close, &stopped).unwrap().residual() > 1e-8, "it says that it did not get there");
}

#[test]
fn bits_do_not_depend_on_threads_and_follow_the_seed() {
    let close = Diagonal((0..9000).map(|i| 1.0 / (1.0 + i as f64)).collect(), 0);
    let run = |threads: usize, seed: u64| {
        let pool = rayon_pool(threads);
        pool.install(|| singular_values(&close, &largest(3).seed(seed)).unwrap().right)
    };
    assert_eq!(run(1, 5), run(2, 5));
    assert_ne!(run(1, 5), run(1, 6));
    let found = singular_values(&Adjoint(close), &largest(3)).unwrap();
    assert_near(&found.values, &[1.0, 0.5, 1.0 / 3.0], 1e-12);
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}
