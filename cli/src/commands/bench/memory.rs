//! Memory by a counting allocator: the whole program's, but nothing else allocates while a formulation is weighed.

use std::alloc::System;
use std::hint::black_box;

use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait};

/// What the header says of it.
pub const COUNTED_BY: &str = "counting allocator";

/// Passes every request to the system's allocator and adds up the bytes.
#[global_allocator]
static ALLOCATOR: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts from here on.
pub fn start() {
    ALLOCATOR.reset_peak_memory();
}

/// The most bytes that were held at one time since the start, beyond those held then.
pub fn peak() -> u64 {
    ALLOCATOR.get_peak_memory() as u64
}

/// The bytes held now beyond those held at the start. It ends the count: [`peak`] is meaningless until the next start.
///
/// The allocator tells its high-water mark alone. A block as large as that, asked for and given back untouched, raises the mark to what
/// is held plus its size.
pub fn held() -> u64 {
    let probe = ALLOCATOR.get_peak_memory().max(1);
    let mut block = Vec::<u8>::new();
    match block.try_reserve_exact(probe) {
        Ok(()) => {
            black_box(&block);
            ALLOCATOR.get_peak_memory().saturating_sub(block.capacity()) as u64
        }
        // Then it is not known to be less.
        Err(_) => probe as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests run at the same time: a block far larger than what they use.
    #[test]
    fn blocks_are_counted_while_they_are_held_and_after() {
        const MIB: u64 = 1 << 20;
        let near = |bytes: u64, mib: u64| bytes.abs_diff(mib * MIB) < 24 * MIB;
        start();
        let kept = black_box(vec![0u8; 100 << 20]);
        drop(black_box(vec![0u8; 200 << 20]));
        assert!(near(peak(), 300), "{} bytes at most", peak());
        let now = held();
        assert!(near(now, 100), "{now} bytes held");
        start();
        drop(kept);
        assert!(near(peak(), 0), "{} bytes", peak());
    }
}
