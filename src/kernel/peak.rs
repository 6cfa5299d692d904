//! The rate of multiplications and additions that the processor reaches with registers alone: what other rates are a share of.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::dispatch::Level;
use super::isa::Isa;
use super::portable::Array4;
use super::vector::Vector;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// Independent sums: enough to hide the latency of two multiplications per cycle, few enough for 16 registers.
const SUMS: usize = 12;
/// Steps between two looks at the clock.
const STEPS: usize = 20_000;

impl Isa {
    /// Floating-point operations per second of one thread that multiplies and adds in registers, f32: measured now, for about
    /// 50 ms, the best of five runs.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this processor lacks the instruction set.
    ///
    /// ```
    /// # fn main() -> convmat::Result<()> {
    /// assert!(convmat::Isa::best().measure_peak()? > 1e6);
    /// # Ok(())
    /// # }
    /// ```
    pub fn measure_peak(self) -> Result<f64> {
        let level = Level::new(self).ok_or(Error::Unsupported { option: self.name(), on: "this processor" })?;
        let best = (0..5).map(|_| once(level)).fold(0.0, f64::max);
        Ok(best)
    }
}

fn once(level: Level) -> f64 {
    let (start, mut operations) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_millis(10) {
        operations += match level.isa() {
            // SAFETY: the portable set is always available.
            Isa::Portable => unsafe { steps::<f32, Array4<f32>>() },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level is proof of the instruction set.
            Isa::Avx2 => unsafe { avx2() },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512 => unsafe { avx512() },
            #[cfg(not(target_arch = "x86_64"))]
            _ => 0,
        };
    }
    operations as f64 / start.elapsed().as_secs_f64()
}

/// # Safety
/// AVX2 and FMA are available.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2() -> usize {
    // SAFETY: the caller's word.
    unsafe { steps::<f32, std::arch::x86_64::__m256>() }
}

/// # Safety
/// AVX-512F is available.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512() -> usize {
    // SAFETY: the caller's word.
    unsafe { steps::<f32, std::arch::x86_64::__m512>() }
}

/// The number of operations that were done.
///
/// # Safety
/// The instruction set of `V` is available.
#[inline(always)]
unsafe fn steps<T: Scalar, V: Vector<T>>() -> usize {
    // SAFETY: the caller's word; the store is into an array of as many elements.
    unsafe {
        // The sums converge to 1 and stay ordinary numbers.
        let (factor, term) = (V::splat(black_box(T::from_f64(0.5))), V::splat(black_box(T::from_f64(0.5))));
        let mut sums = [V::zero(); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, term);
            }
        }
        let mut lanes = [T::zero(); 16];
        for sum in sums {
            sum.store(lanes.as_mut_ptr());
            black_box(&lanes);
        }
        2 * STEPS * SUMS * V::LANES
    }
}
