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
trait VectorPass: Sized + Send {
    /// Elements of each vector.
    fn len(&self) -> usize;

    /// The pass over the first elements, and over the others.
    fn split_at(self, middle: usize) -> (Self, Self);

    /// Passes over all elements in order. Implementations are `#[inline(always)]`, as those of [`Job`].
    fn run(self) -> f64;
}

/// Runs a pass in blocks, and adds up what they return.
fn in_blocks(pass: impl VectorPass) -> f64 {
    let is_shared = pass.len() >= SHARED;
    halves(pass, is_shared)
}

fn halves<P: VectorPass>(pass: P, is_shared: bool) -> f64 {
    if pass.len() <= BLOCK {
        let mut sum = 0.0;
        Level::best().run::<f64>(InBlock { pass, sum: &mut sum });
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
struct InBlock<'a, P> {
    pass: P,
    sum: &'a mut f64,
}

impl<P: VectorPass> Job<f64> for InBlock<'_, P> {
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

impl<T: Scalar> VectorPass for Dot<'_, T> {
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

impl<T: Scalar> VectorPass for Combine<'_, T> {
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

impl<T: Scalar> VectorPass for Advancing<'_, T> {
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

impl<T: Scalar> VectorPass for Multiply<'_, T> {
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
mod tests;
