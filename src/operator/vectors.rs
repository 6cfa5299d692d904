//! Passes over vectors, on the threads of the current pool: what solvers and sums of operators do between products.
//!
//! A vector is cut in halves, and these again, down to blocks that one thread passes over. Where it is cut follows from its
//! length, and what blocks return is added up along the same cuts, so that no result depends on the number of threads. A pass
//! does all that is to be done to an element at once: between two products of a convolution, vectors have left the fast caches,
//! and every pass reads them anew. Loops are plain and compiled for the processor's instruction set, which changes no bit:
//! nothing is fused, and sums run in a fixed number of lanes. It knows arrays and no operator, and of the kernels only how to
//! be called for an instruction set.

use ndarray::{Array5, ArrayView5, ArrayViewMut5, Zip};

use super::reserved;
use crate::error::Result;
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::vector::Vector;
use crate::scalar::Scalar;

/// Elements that one thread passes over at a time.
const BLOCK: usize = 1 << 13;
/// Elements from which other threads are asked for help: some tens of microseconds.
const SHARED: usize = 1 << 16;
/// Sums that run side by side, so that no addition waits for the one before.
const LANES: usize = 8;

/// Something done to vectors of one length, element by element, with a sum over what it meets.
trait Pass: Sized + Send {
    /// Elements of each vector.
    fn len(&self) -> usize;

    /// The pass over the first elements, and over the others.
    fn split_at(self, middle: usize) -> (Self, Self);

    /// Passes over all elements in order. Implementations are `#[inline(always)]`, as those of [`Job`].
    fn run(self) -> f64;
}

/// Runs a pass in blocks, and adds up what they return.
fn in_blocks(pass: impl Pass) -> f64 {
    let is_shared = pass.len() >= SHARED;
    halves(pass, is_shared)
}

fn halves<P: Pass>(pass: P, is_shared: bool) -> f64 {
    if pass.len() <= BLOCK {
        let mut sum = 0.0;
        Level::best().run::<f64>(Block { pass, sum: &mut sum });
        return sum;
    }
    let middle = (pass.len() / 2).next_multiple_of(LANES);
    let (first, second) = pass.split_at(middle);
    let (first, second) = match is_shared {
        true => rayon::join(|| halves(first, true), || halves(second, true)),
        false => (halves(first, false), halves(second, false)),
    };
    first + second
}

/// A pass over so few elements that one thread does it.
struct Block<'a, P> {
    pass: P,
    sum: &'a mut f64,
}

impl<P: Pass> Job<f64> for Block<'_, P> {
    #[inline(always)]
    fn run<V: Vector<f64>>(self, _: Available<V>) {
        *self.sum = self.pass.run();
    }
}

/// Elements of a vector in order.
fn elements<T>(vector: &Array5<T>) -> &[T] {
    vector.as_slice().expect("vectors are made contiguous")
}

fn elements_mut<T>(vector: &mut Array5<T>) -> &mut [T] {
    vector.as_slice_mut().expect("vectors are made contiguous")
}

/// ⟨a, b⟩, summed in f64.
pub(crate) fn dot<T: Scalar>(a: &Array5<T>, b: &Array5<T>) -> f64 {
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    let slices = a.as_slice().zip(b.as_slice());
    let (a, b) = slices.expect("a standard layout is contiguous");
    in_blocks(Dot { a, b })
}

struct Dot<'a, T> {
    a: &'a [T],
    b: &'a [T],
}

impl<T: Scalar> Pass for Dot<'_, T> {
    fn len(&self) -> usize {
        self.a.len()
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let ((a, a_rest), (b, b_rest)) = (self.a.split_at(middle), self.b.split_at(middle));
        (Self { a, b }, Self { a: a_rest, b: b_rest })
    }

    #[inline(always)]
    fn run(self) -> f64 {
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (a, b) in a.iter().zip(b) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += a.to_f64() * b.to_f64();
            }
        }
        for (sum, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
            *sum += a.to_f64() * b.to_f64();
        }
        sums.iter().sum()
    }
}

/// `to ← kept·to + taken·from`, each element in f64 and rounded once, and ‖to‖² then.
pub(super) fn combine<T: Scalar>(to: &mut Array5<T>, kept: f64, from: &Array5<T>, taken: f64) -> f64 {
    in_blocks(Combine { to: elements_mut(to), from: elements(from), kept, taken })
}

struct Combine<'a, T> {
    to: &'a mut [T],
    from: &'a [T],
    kept: f64,
    taken: f64,
}

impl<T: Scalar> Pass for Combine<'_, T> {
    fn len(&self) -> usize {
        self.to.len()
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { to, from, kept, taken } = self;
        let ((to, to_rest), (from, from_rest)) = (to.split_at_mut(middle), from.split_at(middle));
        (Self { to, from, kept, taken }, Self { to: to_rest, from: from_rest, kept, taken })
    }

    #[inline(always)]
    fn run(self) -> f64 {
        let factors = [self.kept, self.taken];
        let (to, to_rest) = self.to.as_chunks_mut::<LANES>();
        let (from, from_rest) = self.from.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (to, from) in to.iter_mut().zip(from) {
            // All lanes are read before one is written: so they become vectors.
            let (mut lanes, from) = (*to, *from);
            for (sum, (lane, from)) in sums.iter_mut().zip(lanes.iter_mut().zip(from)) {
                combine_one(factors, lane, from, sum);
            }
            *to = lanes;
        }
        for (sum, (to, &from)) in sums.iter_mut().zip(to_rest.iter_mut().zip(from_rest)) {
            combine_one(factors, to, from, sum);
        }
        sums.iter().sum()
    }
}

#[inline(always)]
fn combine_one<T: Scalar>([kept, taken]: [f64; 2], to: &mut T, from: T, sum: &mut f64) {
    *to = T::from_f64(kept * to.to_f64() + taken * from.to_f64());
    *sum += to.to_f64() * to.to_f64();
}

/// Factors of [`advance`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Advance {
    /// Of the old direction in x.
    pub(super) step: f64,
    /// Of the old direction in the new one.
    pub(super) turn: f64,
    /// Of v, before anything else is done with it.
    pub(super) factor: f64,
    /// Of v and of the vector that is added, in the new v.
    pub(super) kept: f64,
    pub(super) taken: f64,
}

/// One step of a method that goes along a direction w, and whose basis has the vectors v:
/// `x ← x + step·w`, `w ← factor·v + turn·w`, `v ← kept·factor·v + taken·from`, all of the old values, each element in f64
/// and rounded once, and ‖v‖² then.
pub(super) fn advance<T: Scalar>(by: Advance, [x, w, v]: [&mut Array5<T>; 3], from: &Array5<T>) -> f64 {
    let [x, w, v] = [x, w, v].map(elements_mut);
    in_blocks(Advancing { by, x, w, v, from: elements(from) })
}

struct Advancing<'a, T> {
    by: Advance,
    x: &'a mut [T],
    w: &'a mut [T],
    v: &'a mut [T],
    from: &'a [T],
}

impl<T: Scalar> Pass for Advancing<'_, T> {
    fn len(&self) -> usize {
        self.x.len()
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { by, x, w, v, from } = self;
        let [(x, x_rest), (w, w_rest), (v, v_rest)] = [x, w, v].map(|vector| vector.split_at_mut(middle));
        let (from, from_rest) = from.split_at(middle);
        (Self { by, x, w, v, from }, Self { by, x: x_rest, w: w_rest, v: v_rest, from: from_rest })
    }

    #[inline(always)]
    fn run(self) -> f64 {
        let (x, x_rest) = self.x.as_chunks_mut::<LANES>();
        let (w, w_rest) = self.w.as_chunks_mut::<LANES>();
        let (v, v_rest) = self.v.as_chunks_mut::<LANES>();
        let (from, from_rest) = self.from.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (((x, w), v), from) in x.iter_mut().zip(w).zip(v).zip(from) {
            let (mut xs, mut ws, mut vs, from) = (*x, *w, *v, *from);
            for ((((x, w), v), from), sum) in xs.iter_mut().zip(&mut ws).zip(&mut vs).zip(from).zip(&mut sums) {
                advance_one(self.by, [x, w, v], from, sum);
            }
            (*x, *w, *v) = (xs, ws, vs);
        }
        let rest = x_rest.iter_mut().zip(w_rest).zip(v_rest).zip(from_rest);
        for ((((x, w), v), &from), sum) in rest.zip(&mut sums) {
            advance_one(self.by, [x, w, v], from, sum);
        }
        sums.iter().sum()
    }
}

#[inline(always)]
fn advance_one<T: Scalar>(by: Advance, [x, w, v]: [&mut T; 3], from: T, sum: &mut f64) {
    let (along, basis) = (w.to_f64(), by.factor * v.to_f64());
    *x = T::from_f64(x.to_f64() + by.step * along);
    *w = T::from_f64(basis + by.turn * along);
    *v = T::from_f64(by.kept * basis + by.taken * from.to_f64());
    *sum += v.to_f64() * v.to_f64();
}

/// `vector ← vector/length`, unless that is 0.
pub(super) fn divide<T: Scalar>(vector: &mut Array5<T>, length: f64) {
    if length > 0.0 {
        in_blocks(Multiply { vector: elements_mut(vector), factor: 1.0 / length });
    }
}

struct Multiply<'a, T> {
    vector: &'a mut [T],
    factor: f64,
}

impl<T: Scalar> Pass for Multiply<'_, T> {
    fn len(&self) -> usize {
        self.vector.len()
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { vector, factor } = self;
        let (vector, rest) = vector.split_at_mut(middle);
        (Self { vector, factor }, Self { vector: rest, factor })
    }

    #[inline(always)]
    fn run(self) -> f64 {
        self.vector.iter_mut().for_each(|value| *value = T::from_f64(self.factor * value.to_f64()));
        0.0
    }
}

/// `to ← to + from`, for any strides.
pub(super) fn add<T: Scalar>(to: ArrayViewMut5<T>, from: ArrayView5<T>) {
    let pairs = Zip::from(to).and(from);
    shared(pairs, |pairs| pairs.size(), |pairs| pairs.split(), &|pairs| pairs.for_each(|to, &from| *to += from));
}

/// `batch ← factor·batch`, for any strides.
pub(super) fn multiply<T: Scalar>(batch: ArrayViewMut5<T>, factor: T) {
    let elements = Zip::from(batch);
    shared(elements, |all| all.size(), |all| all.split(), &|all| all.for_each(|element| *element *= factor));
}

/// Runs `body` on parts of what can be split. Which thread gets an element changes nothing there.
fn shared<Z: Send>(all: Z, size: fn(&Z) -> usize, split: fn(Z) -> (Z, Z), body: &(impl Fn(Z) + Sync)) {
    if size(&all) < SHARED {
        return body(all);
    }
    let (first, second) = split(all);
    rayon::join(|| shared(first, size, split, body), || shared(second, size, split, body));
}

/// A vector of one's own, contiguous as all here are, with the same elements.
pub(super) fn contiguous_copy<T: Scalar>(view: &ArrayView5<T>, what: &'static str) -> Result<Array5<T>> {
    reserved::<T>(view.len(), what)?;
    Ok(view.as_standard_layout().into_owned())
}

#[cfg(test)]
mod tests {
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::operator::dot_test::noise;

    /// Lengths around lanes, blocks and what is shared.
    const LENGTHS: [usize; 12] =
        [0, 1, 7, 8, 9, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5, SHARED + 13, 3 * SHARED];

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

            divide(&mut v, 0.0);
            let unchanged = v.clone();
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
}
