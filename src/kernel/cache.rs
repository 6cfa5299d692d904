//! Sizes of the data caches, of the processor that runs or of any other.

use std::sync::OnceLock;

/// Bytes of the first- and second-level data cache that one core may count on. Plans are cut to them.
///
/// ```
/// use convmat::{Caches, PlanOptions};
/// // As on a processor that has 48 KiB and 2 MiB, wherever this runs.
/// let options = PlanOptions::new().caches(Caches::new(48 << 10, 2 << 20));
/// assert_ne!(options, PlanOptions::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caches {
    pub(crate) first: usize,
    pub(crate) second: usize,
}

impl Caches {
    /// Caches of so many bytes.
    #[must_use]
    pub const fn new(first: usize, second: usize) -> Self {
        Self { first, second }
    }

    /// Bytes of the first level.
    #[must_use]
    pub const fn first_level(self) -> usize {
        self.first
    }

    /// Bytes of the second level.
    #[must_use]
    pub const fn second_level(self) -> usize {
        self.second
    }

    /// Those of this processor, asked once per process: a virtual machine takes tens of microseconds to answer.
    #[must_use]
    pub fn detected() -> Self {
        static DETECTED: OnceLock<Caches> = OnceLock::new();
        *DETECTED.get_or_init(Self::detect)
    }

    /// What the processor reports, clamped to the sizes of processors of the last decade, because virtual machines
    /// report sizes that no processor has.
    fn detect() -> Self {
        let reported = report();
        let level = |number: usize, low: usize, high: usize| reported[number].unwrap_or(low).clamp(low, high);
        Self { first: level(0, 32 << 10, 64 << 10), second: level(1, 256 << 10, 2 << 20) }
    }
}

/// Bytes of the data caches of levels 1 and 2, from the processor's deterministic cache parameters: leaf 4, on AMD
/// 0x8000_001D (Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E.4.15).
#[cfg(target_arch = "x86_64")]
fn report() -> [Option<usize>; 2] {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let mut found = [None; 2];
    for (base, leaf) in [(0, 4), (0x8000_0000, 0x8000_001D)] {
        if __cpuid(base).eax < leaf {
            continue;
        }
        for index in 0..8 {
            let cache = __cpuid_count(leaf, index);
            let (kind, level) = (cache.eax & 0x1F, (cache.eax >> 5 & 0x7) as usize);
            if kind == 0 {
                break;
            }
            // Line size, partitions, ways and sets are stored less one; their product is the size.
            let field = |low: u32, bits: u32| (cache.ebx >> low & ((1 << bits) - 1)) as usize + 1;
            let bytes = field(0, 12) * field(12, 10) * field(22, 10) * (cache.ecx as usize + 1);
            // Kind 2 is an instruction cache.
            if kind != 2 && (1..=2).contains(&level) {
                found[level - 1] = Some(bytes);
            }
        }
    }
    found
}

#[cfg(not(target_arch = "x86_64"))]
fn report() -> [Option<usize>; 2] {
    [None; 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_of_a_plausible_size() {
        let caches = Caches::detect();
        assert!((32 << 10..=64 << 10).contains(&caches.first));
        assert!((256 << 10..=2 << 20).contains(&caches.second));
    }
}
