//! Memory by a counting allocator. It counts the whole program, in which nothing else allocates while a formulation is
//! weighed.

use std::alloc::System;
use std::hint::black_box;

use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait};

/// The name of this method in the header of results.
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
/// The allocator states only its high-water mark. A block as large as the mark is allocated and freed: it raises the
/// mark to the bytes held now plus its own size.
pub fn held() -> u64 {
    let probe = ALLOCATOR.get_peak_memory().max(1);
    let mut block = Vec::<u8>::new();
    match block.try_reserve_exact(probe) {
        Ok(()) => {
            black_box(&block);
            ALLOCATOR.get_peak_memory().saturating_sub(block.capacity()) as u64
        }
        // Without such a block the high-water mark is the only bound known.
        Err(_) => probe as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks are far larger than what other tests, which run at the same time, allocate.
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
