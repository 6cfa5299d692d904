//! The door from ordinary code to code compiled for an instruction set.

use std::marker::PhantomData;

use super::isa::Isa;
use super::portable::Array4;
use super::vector::Vector;
use crate::scalar::Scalar;

/// An instruction set that this processor has: holding one is the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Isa);

impl Level {
    pub(crate) fn new(isa: Isa) -> Option<Self> {
        isa.is_available().then_some(Self(isa))
    }

    /// The widest one.
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
            // SAFETY: the processor has the instruction set, or there would be no `Level` of it.
            Isa::Avx2 => unsafe { avx2(job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512 => unsafe { avx512(job) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => job.run(Available::<Array4<T>>(PhantomData)),
        }
    }
}

/// Proof that the instruction set of a vector is available, and that code inlined into its holder is compiled for it.
#[derive(Debug)]
pub(crate) struct Available<V>(PhantomData<V>);

impl<V> Clone for Available<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Available<V> {}

/// Work that gains from wide vectors, in safe code. Implementations are `#[inline(always)]`, and so is what they call often;
/// closures are not, and so are best avoided.
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
