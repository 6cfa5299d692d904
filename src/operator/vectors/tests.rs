use rayon::ThreadPoolBuilder;

use super::*;
use crate::operator::dot_test::noise;

/// Lengths around lanes, blocks and what is shared.
const LENGTHS: [usize; 12] = [0, 1, 7, 8, 9, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5, SHARED + 13, 3 * SHARED];

const BY: Advance = Advance { step: 0.7, turn: -1.1, factor: 0.4, kept: -0.3, taken: 1.7 };

fn vector<T: Scalar>(len: usize, seed: u64) -> Array5<T> {
    noise(1, [1, 1, 1, len], seed).unwrap()
}

/// `|found − want| ≤ n·u·Σ|terms|`: any order of adding n terms in f64 (Higham 2002, section 4.2).
fn assert_sum(found: f64, terms: impl Iterator<Item = f64> + Clone, what: &str) {
    let (count, want) = (terms.clone().count(), terms.clone().sum::<f64>());
    let bound = 2.0 * count as f64 * f64::UNIT_ROUNDOFF * terms.map(f64::abs).sum::<f64>();
    assert!((found - want).abs() <= bound, "{what}: {found} for {want}, bound {bound:e}");
}

fn check_passes<T: Scalar>() {
    for len in LENGTHS {
        let (a, b): (Array5<T>, Array5<T>) = (vector(len, 1), vector(len, 2));
        let products = a.iter().zip(&b).map(|(a, b)| a.to_f64() * b.to_f64());
        assert_sum(dot(&a, &b), products, "dot");

        let mut to = a.clone();
        let square = combine(&mut to, -0.3, &b, 1.7);
        let want = Zip::from(&a).and(&b).map_collect(|a, b| T::from_f64(-0.3 * a.to_f64() + 1.7 * b.to_f64()));
        assert_eq!(to, want, "{len}");
        assert_sum(square, want.iter().map(|value| value.to_f64() * value.to_f64()), "combine");

        let [mut x, mut w, mut v, from] = [3, 4, 5, 6].map(|seed| vector::<T>(len, seed));
        let [old_x, old_w, old_v] = [&x, &w, &v].map(Array5::clone);
        let square = advance(BY, [&mut x, &mut w, &mut v], &from);
        let of = |[p, a]: [f64; 2], [b, c]: [&Array5<T>; 2], q: f64| {
            Zip::from(b).and(c).map_collect(|b, c| T::from_f64(p * (a * b.to_f64()) + q * c.to_f64()))
        };
        assert_eq!(x, of([1.0, 1.0], [&old_x, &old_w], BY.step), "{len}");
        assert_eq!(w, of([1.0, BY.factor], [&old_v, &old_w], BY.turn), "{len}");
        assert_eq!(v, of([BY.kept, BY.factor], [&old_v, &from], BY.taken), "{len}");
        assert_sum(square, v.iter().map(|value| value.to_f64() * value.to_f64()), "advance");

        let unchanged = v.clone();
        divide(&mut v, 0.0);
        assert_eq!(v, unchanged, "{len}");
        divide(&mut v, 4.0);
        assert_eq!(v, unchanged.mapv(|v| v * T::from_f64(0.25)), "{len}");
    }
}

#[test]
fn passes_are_their_formulas() {
    check_passes::<f32>();
    check_passes::<f64>();
}

#[test]
fn nothing_depends_on_the_number_of_threads() {
    let run = |threads: usize| {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let [mut x, mut w, mut v, from] = [3, 4, 5, 6].map(|seed| vector::<f32>(5 * SHARED + 77, seed));
            let sums = [dot(&x, &w), combine(&mut w, 0.3, &x, -1.9)];
            let sums = [sums[0], sums[1], advance(BY, [&mut x, &mut w, &mut v], &from)];
            divide(&mut v, 3.0);
            (sums.map(f64::to_bits), [x, w, v].map(|vector| vector.mapv(f32::to_bits)))
        })
    };
    let one = run(1);
    for threads in [2, 3, 8] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn strided_batches_are_added_and_multiplied_in_place() {
    for (batch, channels) in [(1, 3), (4, 5), (2, 80)] {
        let whole: Array5<f64> = noise(batch, [channels, 2, 20, 30], 7).unwrap();
        let from: Array5<f64> = noise(batch, [channels - 2, 2, 20, 30], 8).unwrap();
        let inside = ndarray::s![.., 1..channels - 1, .., ..;-1, ..];
        let mut to = whole.clone();
        add(to.slice_mut(inside), from.view());
        let mut want = whole.clone();
        want.slice_mut(inside).iter_mut().zip(&from).for_each(|(want, from)| *want += from);
        assert_eq!(to, want);
        multiply(to.slice_mut(inside), -3.0);
        want.slice_mut(inside).iter_mut().for_each(|want| *want *= -3.0);
        assert_eq!(to, want);
    }
    add(Array5::<f32>::zeros([0, 3, 1, 1, 1]).view_mut(), Array5::zeros([0, 3, 1, 1, 1]).view());
}

#[test]
fn the_inner_product_takes_any_layout() {
    let a: Array5<f64> = noise(2, [3, 1, 4, 5], 1).unwrap();
    let b: Array5<f64> = noise(2, [3, 1, 4, 5], 2).unwrap();
    let turned = b.view().permuted_axes([0, 2, 1, 4, 3]).as_standard_layout().into_owned();
    let turned = turned.permuted_axes([0, 2, 1, 4, 3]);
    assert_eq!((dot(&a, &turned), turned.is_standard_layout()), (dot(&a, &b), false));
}

/// A large term swallows the small ones that are added to it, but no more than those of its own block and lane.
#[test]
fn small_terms_are_lost_in_one_block_alone() {
    let len = 64 * BLOCK;
    let vector = |small: f64| Array5::from_shape_fn([1, 1, 1, 1, len], |at| if at.4 == 0 { 1.0 } else { small });
    let (small, root) = (2f64.powi(-54), 2f64.powi(-27));
    let want = 1.0 + (len - 1) as f64 * small;
    let bound = 2.0 * (BLOCK / LANES) as f64 * small;
    let ones = Array5::<f64>::ones([1, 1, 1, 1, len]);
    let found = dot(&vector(small), &ones);
    assert!((found - want).abs() <= bound, "dot: {found} for {want}");
    let found = combine(&mut ones.clone(), 0.0, &vector(root), 1.0);
    assert!((found - want).abs() <= bound, "combine: {found} for {want}");
}
