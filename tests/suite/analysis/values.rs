//! The largest singular values, through products alone.

use convmat::analysis::{SingularOptions, SingularValues, singular_values};
use convmat::{
    Adjoint, Channels, Convolution, Error, Geometry, LinearOperator, Options, Pad, PadMode, Result, Workspace,
};
use ndarray::{Array2, Array5, ArrayView5, ArrayViewMut5};

use super::{assert_near, jacobi, layers, operators, weights};
use crate::common::{for_cases, in_every_rank};

fn largest(count: usize) -> SingularOptions {
    SingularOptions { count, ..SingularOptions::default() }
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
    let limited = SingularOptions { byte_limit: 1000, ..largest(2) };
    assert!(matches!(singular_values(&ones, &limited), Err(Error::ByteLimit { limit: 1000, .. })));
    for tolerance in [0.0, -1.0, f64::NAN] {
        let options = SingularOptions { tolerance, ..largest(2) };
        assert!(matches!(singular_values(&ones, &options), Err(Error::NotFinite { .. })));
    }
    for bad in [f64::NAN, f64::INFINITY] {
        let broken = Diagonal(vec![1.0, bad, 2.0], 0);
        assert!(matches!(singular_values(&broken, &largest(1)), Err(Error::NotFinite { .. })));
    }
    let stopped = SingularOptions { max_restarts: 0, ..largest(3) };
    let close = Diagonal((0..600).map(|i| 1.0 - 1e-4 * i as f64).collect(), 0);
    assert!(singular_values(&close, &stopped).unwrap().residual() > 1e-8, "it says that it did not get there");
}

#[test]
fn bits_do_not_depend_on_threads_and_follow_the_seed() {
    let close = Diagonal((0..9000).map(|i| 1.0 / (1.0 + i as f64)).collect(), 0);
    let run = |threads: usize, seed: u64| {
        let pool = rayon_pool(threads);
        pool.install(|| singular_values(&close, &SingularOptions { seed, ..largest(3) }).unwrap().right)
    };
    assert_eq!(run(1, 5), run(2, 5));
    assert_ne!(run(1, 5), run(1, 6));
    let found = singular_values(&Adjoint(close), &largest(3)).unwrap();
    assert_near(&found.values, &[1.0, 0.5, 1.0 / 3.0], 1e-12);
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}
