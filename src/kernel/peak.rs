//! The rate of multiplications and additions that the processor reaches with registers alone. Benchmarks state other
//! rates as a share of it.

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
            // SAFETY: the portable set is available on every processor.
            Isa::Portable => unsafe { steps::<f32, Array4<f32>>() },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of AVX2 exists only where AVX2 and FMA are available.
            Isa::Avx2 => unsafe { avx2() },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of AVX-512 exists only where AVX-512F is available.
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
    // SAFETY: AVX2 and FMA are available, as `# Safety` demands.
    unsafe { steps::<f32, std::arch::x86_64::__m256>() }
}

/// # Safety
/// AVX-512F is available.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512() -> usize {
    // SAFETY: AVX-512F is available, as `# Safety` demands.
    unsafe { steps::<f32, std::arch::x86_64::__m512>() }
}

/// Multiplies and adds in registers, and returns the number of operations that this took.
///
/// # Safety
/// The instruction set of `V` is available.
#[inline(always)]
unsafe fn steps<T: Scalar, V: Vector<T>>() -> usize {
    // SAFETY: the instruction set is available, as `# Safety` demands; the stores are into an array of 16 elements, and
    // no vector has more (`MAX_LANES`).
    unsafe {
        // The sums converge to 1: denormal or infinite numbers could change the speed.
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
