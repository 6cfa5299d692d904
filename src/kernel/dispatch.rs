//! The door from ordinary code to code compiled for an instruction set.

use super::isa::Isa;

/// An instruction set that this processor has: holding one is the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Isa);

impl Level {
    pub(crate) fn new(isa: Isa) -> Option<Self> {
        isa.is_available().then_some(Self(isa))
    }

    pub(crate) const fn isa(self) -> Isa {
        self.0
    }

    /// Runs a job with everything that is inlined into it compiled for this instruction set.
    pub(crate) fn run(self, job: impl Job) {
        match self.0 {
            Isa::Portable => job.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has the instruction set, or there would be no `Level` of it.
            Isa::Avx2 => unsafe { avx2(job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512 => unsafe { avx512(job) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => job.run(),
        }
    }
}

/// Work that gains from wide vectors, in safe code. Implementations are `#[inline(always)]`, and so is what they call often.
pub(crate) trait Job {
    fn run(self);
}

/// # Safety
/// AVX2 is available.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(job: impl Job) {
    job.run();
}

/// # Safety
/// AVX-512F is available.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(job: impl Job) {
    job.run();
}
