//! Facts about the machine and its speed, measured or read from the operating system. It knows no layer.

use std::fs;
use std::time::Instant;

use convmat::{Isa, Result};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// A rayon pool of so many threads.
pub fn pool(threads: usize) -> std::result::Result<ThreadPool, String> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| format!("cannot start {threads} threads: {error}"))
}

/// Operations per second of all threads of the current pool with registers alone, f32.
pub fn peak(isa: Isa) -> Result<f64> {
    rayon::broadcast(|_| isa.measure_peak()).into_iter().sum()
}

/// Bytes per second, read and written, at which the threads of the current pool copy memory far larger than the caches.
pub fn copy_bandwidth() -> f64 {
    let from = vec![1f32; 1 << 25];
    let mut to = vec![0f32; from.len()];
    let part = from.len().div_ceil(rayon::current_num_threads());
    let seconds = (0..5).map(|_| {
        let start = Instant::now();
        to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
        start.elapsed().as_secs_f64()
    });
    2.0 * size_of_val(from.as_slice()) as f64 / seconds.fold(f64::INFINITY, f64::min)
}

/// The processor's name.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("unknown processor", |(_, name)| name.trim()).to_string()
}

/// Logical cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Bytes that can be had without swapping, where the operating system says so (Linux).
pub fn available_memory() -> Option<u128> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u128>().ok().map(|kib| kib << 10)
}

/// Processor time since the machine was started, in ticks of the operating system (Linux).
#[derive(Clone, Copy, Debug)]
pub struct CpuTime {
    /// Time that all programs took, and that a hypervisor stole.
    all: u64,
    /// Time that this program took.
    own: u64,
    /// Time of all cores, busy or idle.
    total: u64,
}

impl CpuTime {
    pub fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        // The two numbers that may follow, of guests, are contained in `user` and `nice`.
        let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
        let &[user, nice, system, idle, iowait, irq, softirq, steal] = ticks.as_slice() else { return None };
        let all = user + nice + system + irq + softirq + steal;
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name, in parentheses, may hold spaces and parentheses; utime and stime are the 12th and 13th
        // words after it.
        let mut words = own.rsplit_once(')')?.1.split_whitespace().skip(11).map_while(|word| word.parse::<u64>().ok());
        Some(Self { all, own: words.next()? + words.next()?, total: all + idle + iowait })
    }

    /// How many cores other programs kept busy since `self`, on average. `None` after less than ten ticks, a tenth of a
    /// second, because the count is too coarse then.
    pub fn others_since(self, cores: usize) -> Option<f64> {
        let now = Self::now()?;
        let total = now.total.saturating_sub(self.total) as f64 / cores as f64;
        let others = now.all.saturating_sub(self.all).saturating_sub(now.own.saturating_sub(self.own));
        (total >= 10.0).then(|| others as f64 / total)
    }
}
