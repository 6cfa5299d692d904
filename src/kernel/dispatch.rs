//! Calls from ordinary code into code that is compiled for an instruction set.

use std::marker::PhantomData;

use super::isa::Isa;
use super::portable::Array4;
use super::vector::Vector;
use crate::scalar::Scalar;

/// An instruction set that this processor has. Both constructors check that it does, so that holding a level proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Isa);

impl Level {
    pub(crate) fn new(isa: Isa) -> Option<Self> {
        isa.is_available().then_some(Self(isa))
    }

    /// The widest instruction set of this processor.
    pub(crate) fn best() -> Self {
        Self(Isa::best())
    }

    pub(crate) const fn isa(self) -> Isa {
        self.0
    }

    /// Runs a job with everything that is inlined into it compiled for this instruction set.
    pub(crate) fn run<T: Scalar>(self, job: impl Job<T>) {
        match self.0 {
            Isa::Portable => job.run(Available::<Array4<T>>(PhantomData)),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: AVX2 and FMA are available: `new` and `best` make a `Level` of an available instruction set only.
            Isa::Avx2 => unsafe { avx2(job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: AVX-512F is available: `new` and `best` make a `Level` of an available instruction set only.
            Isa::Avx512 => unsafe { avx512(job) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => job.run(Available::<Array4<T>>(PhantomData)),
        }
    }
}

/// Proof that the instruction set of the vectors `V` is available: only [`Level::run`] makes one. It hands it to a
/// [`Job`], and what is inlined into the job is compiled for that instruction set.
#[derive(Debug)]
pub(crate) struct Available<V>(PhantomData<V>);

impl<V> Clone for Available<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Available<V> {}

/// Work that gains from wide vectors. Implementations are `#[inline(always)]`, and so are the functions that they call
/// in loops, because a function that is not inlined is compiled for the target's least instruction set. No attribute
/// inlines a closure, so loops should not call one.
pub(crate) trait Job<T> {
    fn run<V: Vector<T>>(self, vectors: Available<V>);
}

/// # Safety
/// AVX2 with FMA is available.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<T: Scalar>(job: impl Job<T>) {
    job.run(Available::<T::Avx2>(PhantomData));
}

/// # Safety
/// AVX-512F is available.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<T: Scalar>(job: impl Job<T>) {
    job.run(Available::<T::Avx512>(PhantomData));
}
