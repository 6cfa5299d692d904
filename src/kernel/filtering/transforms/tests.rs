use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::kernel::Isa;
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::vector::MAX_LANES;

/// All sets (n, r), and the finite points of n + r − 1 products.
const SETS: [(usize, usize); 10] = [(2, 2), (3, 2), (2, 3), (4, 2), (3, 3), (2, 4), (5, 2), (4, 3), (3, 4), (2, 5)];

fn points(products: usize) -> &'static [f64] {
    match products {
        3 => &[0.0, -1.0],
        4 => &[0.0, 1.0, -1.0],
        5 => &[0.375, -0.375, 1.25, -1.25],
        _ => &[0.0, 0.625, -0.625, 1.5, -1.5],
    }
}

/// Bᵀd or, with a number of outputs, Aᵀd of the first lane in `x`, the other lanes being multiples of it by powers of two.
struct Transform<'a> {
    outputs: Option<usize>,
    x: &'a [f64],
    y: &'a mut Vec<f64>,
}

impl<T: Scalar> Job<T> for Transform<'_> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        match (self.x.len(), self.outputs) {
            (3, None) => self.with(input_3::<T, V>),
            (4, None) => self.with(input_4::<T, V>),
            (5, None) => self.with(input_5::<T, V>),
            (6, None) => self.with(input_6::<T, V>),
            (3, Some(2)) => self.with(output_3_2::<T, V>),
            (4, Some(2)) => self.with(output_4_2::<T, V>),
            (4, Some(3)) => self.with(output_4_3::<T, V>),
            (5, Some(2)) => self.with(output_5_2::<T, V>),
            (5, Some(3)) => self.with(output_5_3::<T, V>),
            (5, Some(4)) => self.with(output_5_4::<T, V>),
            (6, Some(2)) => self.with(output_6_2::<T, V>),
            (6, Some(3)) => self.with(output_6_3::<T, V>),
            (6, Some(4)) => self.with(output_6_4::<T, V>),
            (6, Some(5)) => self.with(output_6_5::<T, V>),
            other => panic!("no transform {other:?}"),
        }
    }
}

impl Transform<'_> {
    #[inline(always)]
    fn with<T: Scalar, V: Vector<T>, const P: usize, const N: usize>(self, transform: unsafe fn([V; P]) -> [V; N]) {
        let lanes: [[T; MAX_LANES]; P] =
            std::array::from_fn(|j| std::array::from_fn(|lane| T::from_f64(self.x[j] * scale(lane))));
        let mut sums = [[T::zero(); MAX_LANES]; N];
        // SAFETY: `Available`, which the caller holds, proves that the instruction set is available; an array of
        // MAX_LANES elements has room for every vector.
        unsafe {
            let sum = transform(std::array::from_fn(|j| V::load(lanes[j].as_ptr())));
            for (sum, to) in sum.into_iter().zip(&mut sums) {
                sum.store(to.as_mut_ptr());
            }
        }
        for sum in sums {
            for (lane, &value) in sum.iter().enumerate().take(V::LANES) {
                assert_eq!(value.to_f64(), sum[0].to_f64() * scale(lane), "lane {lane}");
            }
        }
        *self.y = sums.map(|sum| sum[0].to_f64()).to_vec();
    }
}

fn scale(lane: usize) -> f64 {
    f64::from(1u32 << lane)
}

fn transform<T: Scalar>(isa: Isa, outputs: Option<usize>, x: &[f64]) -> Vec<f64> {
    let mut y = Vec::new();
    Level::new(isa).unwrap().run::<T>(Transform { outputs, x, y: &mut y });
    y
}

fn integers(random: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| f64::from(random.random_range(-9..=9i8))).collect()
}

/// Bᵀd is d evaluated against the polynomials Π (x − other point), Aᵀm sums powers of points: both exactly, in `f32` too.
#[test]
fn straight_code_is_the_matrix() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for isa in Isa::available() {
        for (n, r) in SETS {
            let p = n + r - 1;
            let x = integers(&mut random, p);
            let of_input: Vec<f64> = (0..p)
                .map(|j| {
                    let others = points(p).iter().enumerate().filter(|&(i, _)| i != j).map(|(_, &point)| point);
                    // Multiplying by (x − point) shifts, and subtracts a multiple: of what d pairs with, from the end.
                    let last = others.fold(x.clone(), |d, point| d.windows(2).map(|d| d[1] - point * d[0]).collect());
                    last[0]
                })
                .collect();
            let power = |point: f64, i: usize| point.powi(i as i32);
            let of_output: Vec<f64> = (0..n)
                .map(|i| {
                    let finite: f64 = points(p).iter().zip(&x).map(|(&point, x)| power(point, i) * x).sum();
                    finite + if i + 1 == n { x[p - 1] } else { 0.0 }
                })
                .collect();
            assert_eq!(transform::<f32>(isa, None, &x), of_input, "{isa} F({n}, {r})");
            assert_eq!(transform::<f64>(isa, None, &x), of_input, "{isa} F({n}, {r})");
            assert_eq!(transform::<f32>(isa, Some(n), &x), of_output, "{isa} F({n}, {r})");
            assert_eq!(transform::<f64>(isa, Some(n), &x), of_output, "{isa} F({n}, {r})");
        }
    }
}

/// y_i = Σ_k g_k·d_(i+k), and the filter's transform of G.
fn correlation(d: &[f64], g: &[f64]) -> Vec<f64> {
    d.windows(g.len()).map(|d| d.iter().zip(g).map(|(d, g)| d * g).sum()).collect()
}

fn filtered<T: Scalar>(isa: Isa, d: &[f64], g: &[f64]) -> Vec<f64> {
    let n = d.len() + 1 - g.len();
    let matrix = filter_matrix(n, g.len()).unwrap();
    let g = matrix.iter().map(|row| {
        let products =
            row.iter().zip(g).map(|(&(numerator, denominator), g)| g * numerator as f64 / denominator as f64);
        products.sum::<f64>()
    });
    let products: Vec<f64> = g.zip(transform::<T>(isa, None, d)).map(|(g, d)| g * d).collect();
    transform::<T>(isa, Some(n), &products)
}

/// Integers for inputs, and taps that no denominator divides: then nothing rounds.
#[test]
fn sets_are_the_correlation_exactly() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for isa in Isa::available() {
        for (n, r) in SETS {
            let odd = |denominator: i64| denominator >> denominator.trailing_zeros();
            let clear = filter_matrix(n, r).unwrap().iter().flat_map(|row| row.iter().map(|&(_, of)| odd(of)));
            let clear = clear.fold(1, |all, of| if all % of == 0 { all } else { all * of });
            for _ in 0..20 {
                let d = integers(&mut random, n + r - 1);
                let g: Vec<f64> = integers(&mut random, r).iter().map(|g| g * clear as f64).collect();
                assert_eq!(filtered::<f64>(isa, &d, &g), correlation(&d, &g), "{isa} F({n}, {r})");
            }
        }
    }
}

#[test]
fn sets_are_the_correlation_of_any_numbers() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for isa in Isa::available() {
        for (n, r) in SETS {
            for _ in 0..20 {
                let mut numbers = |count| (0..count).map(|_| random.random_range(-1.0..1.0f64)).collect::<Vec<_>>();
                let (d, g) = (numbers(n + r - 1), numbers(r));
                let want = correlation(&d, &g);
                let close = |y: &[f64], tolerance| y.iter().zip(&want).all(|(y, want)| (y - want).abs() < tolerance);
                assert!(close(&filtered::<f64>(isa, &d, &g), 1e-13), "{isa} F({n}, {r})");
                assert!(close(&filtered::<f32>(isa, &d, &g), 1e-5), "{isa} F({n}, {r})");
            }
        }
    }
}

#[test]
fn other_sets_there_are_none() {
    for n in 0..9 {
        for r in 0..9 {
            let matrix = filter_matrix(n, r);
            assert_eq!(matrix.is_some(), SETS.contains(&(n, r)), "F({n}, {r})");
            for row in matrix.into_iter().flatten() {
                assert_eq!(row.len(), r);
                assert!(row.iter().all(|&(_, denominator)| denominator > 0));
            }
            assert!(matrix.is_none_or(|matrix| matrix.len() == n + r - 1));
        }
    }
}
