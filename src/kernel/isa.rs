//! Instruction sets as values.

use std::fmt;
use std::str::FromStr;

use crate::error::ParseNameError;

/// An instruction set that kernels are compiled for. All kernels are one piece of code over vectors of different width.
///
/// ```
/// use convmat::Isa;
/// assert!(Isa::available().any(|isa| isa == Isa::Portable));
/// assert!(Isa::best().is_available());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// What the target guarantees: fixed-width arrays, left to the compiler. No fused multiplication.
    Portable,
    /// AVX2 and FMA: 16 registers of 256 bits.
    Avx2,
    /// AVX-512F: 32 registers of 512 bits.
    Avx512,
}

impl Isa {
    /// Every instruction set, narrow ones first.
    pub const ALL: &'static [Self] = &[Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this processor (and operating system) has it. Asked once, remembered by the standard library.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && Self::Avx2.is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The instruction sets of this processor, narrow ones first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|isa| isa.is_available())
    }

    /// The widest one of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::Portable)
    }

    /// The name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = ParseNameError;

    fn from_str(name: &str) -> Result<Self, ParseNameError> {
        ParseNameError::find("instruction set", Self::ALL, Self::name, name)
    }
}
