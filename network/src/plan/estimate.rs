//! How long a batch takes as a whole, its layers shared among threads, and in parts, each on a thread of its own: from numbers alone.
//!
//! It need only tell which is shorter. It knows no values and runs nothing. The numbers are those of an AMD processor with AVX-512,
//! *Zen 4* with two cores, in December 2026, where they are within 15 % of the times of a U-Net, a generator of images, a vocoder and a
//! detector of text; elsewhere they are a guess.

use super::facts::Facts;
use super::steps::{Action, Step, UnpackedLayer};

/// Operations of a layer per nanosecond and thread.
const RATE: f64 = 90.0;
/// Nanoseconds that any other operator takes for an operation.
const OTHER: f64 = 0.3;
/// Bytes of weights that a thread reads per nanosecond: they are read again for every part.
const WEIGHTS: f64 = 10.0;
/// Bytes per nanosecond of values that have left the caches.
const VALUES: f64 = 30.0;
/// Bytes of values that all threads keep in a cache.
const CACHE: f64 = (32 << 20) as f64;
/// Nanoseconds that a step takes whatever its size.
const STEP: f64 = 2000.0;
/// Nanoseconds until threads have taken shares of a step, and all are done.
const SHARED: f64 = 10_000.0;
/// The part of a layer's time on one thread that threads wait until the last one is done: a quarter of one of 16 cells.
const WAITING: f64 = 1.0 / 64.0;
/// Operations of a layer, or elements of another operator, that are worth a thread.
const WORTH_A_THREAD: [f64; 2] = [(1 << 20) as f64, (1 << 14) as f64];
/// Parts are taken if they are estimated to take so much of the time of the whole at most.
const WORTH_IT: f64 = 0.97;
/// Smaller parts take less memory, which is worth so much of the time.
const WORTH_LESS: f64 = 1.01;

/// What steps take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Operations and bytes of weights of layers, operations of other operators.
    operations: f64,
    weights: f64,
    is_layer: bool,
}

/// A network's steps for all samples.
#[derive(Debug)]
pub(super) struct Estimate {
    work: Vec<Work>,
    /// Bytes that are written, and those that live at the same time.
    written: f64,
    alive: f64,
    samples: usize,
    threads: usize,
}

impl Estimate {
    /// Of steps for so many samples, whose values take so many bytes at the same time.
    pub(super) fn new(
        steps: &[Step<UnpackedLayer>],
        facts: &Facts,
        alive: u128,
        (samples, threads): (usize, usize),
    ) -> Self {
        let running = || steps.iter().filter(|step| !matches!(step.action, Action::Reshape));
        let work = running().map(|step| match &step.action {
            Action::Layer(layer) => {
                Work { operations: step.operations as f64, weights: layer.weight_bytes() as f64, is_layer: true }
            }
            _ => Work { operations: step.operations as f64, weights: 0.0, is_layer: false },
        });
        let written = running().flat_map(|step| &step.outputs).filter_map(|&value| facts.signature(value).ok());
        let written = written.map(|signature| signature.bytes() as f64).sum();
        Self { work: work.collect(), written, alive: alive as f64, samples, threads: threads.max(1) }
    }

    /// The samples of a part, if parts take less time than the whole.
    pub(super) fn samples_of_part(&self) -> Option<usize> {
        let largest = self.samples.div_ceil(self.threads);
        let lengths = std::iter::successors(Some(largest), |&length| (length > 1).then_some(length.div_ceil(2)));
        // Threads that have more samples than there are take more memory than the whole.
        let fits =
            |length: usize| self.threads.min(self.samples.div_ceil(length)) * length <= self.samples + self.samples / 8;
        let lengths: Vec<usize> = lengths.filter(|&length| length < self.samples && fits(length)).collect();
        let least = lengths.iter().map(|&length| self.in_parts(length)).min_by(f64::total_cmp)?;
        let smallest = lengths.into_iter().rev().find(|&length| self.in_parts(length) <= WORTH_LESS * least)?;
        (self.in_parts(smallest) <= WORTH_IT * self.as_a_whole()).then_some(smallest)
    }

    /// Nanoseconds of all samples at once, all threads in each step.
    fn as_a_whole(&self) -> f64 {
        let of = |work: &Work| {
            let worth = WORTH_A_THREAD[usize::from(!work.is_layer)];
            let threads = (work.operations / worth).floor().clamp(1.0, self.threads as f64);
            let waiting = if threads > 1.0 { SHARED + WAITING * work.alone() } else { 0.0 };
            STEP + work.alone() / threads + work.weights / WEIGHTS / threads + waiting
        };
        self.work.iter().map(of).sum::<f64>() + self.beyond_caches(self.alive)
    }

    /// Nanoseconds of parts of so many samples, each on one thread.
    fn in_parts(&self, length: usize) -> f64 {
        let parts = self.samples.div_ceil(length);
        let (workers, rounds) = (self.threads.min(parts), parts.div_ceil(self.threads));
        let share = length as f64 / self.samples as f64;
        let of = |work: &Work| STEP + share * work.alone() + work.weights / WEIGHTS;
        let alive = self.alive * share * workers as f64;
        rounds as f64 * self.work.iter().map(of).sum::<f64>() + self.beyond_caches(alive)
    }

    /// Nanoseconds that are spent on values in memory, if so many bytes of them live at the same time.
    fn beyond_caches(&self, alive: f64) -> f64 {
        2.0 * self.written / VALUES / self.threads as f64 * (alive / CACHE).min(1.0)
    }
}

impl Work {
    /// Nanoseconds on one thread, without what weights take.
    fn alone(&self) -> f64 {
        self.operations * if self.is_layer { 1.0 / RATE } else { OTHER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_layers(layers: &[(f64, f64)], samples: usize, threads: usize) -> Estimate {
        let of = |&(operations, weights): &(f64, f64)| Work {
            operations: operations * samples as f64,
            weights,
            is_layer: true,
        };
        let work = layers.iter().map(of).collect();
        Estimate { work, written: 1e5, alive: 1e5, samples, threads }
    }

    #[test]
    fn parts_are_for_many_small_layers() {
        let small = [(2e6, 1e4); 40];
        assert_eq!(of_layers(&small, 8, 2).samples_of_part(), Some(4));
        assert_eq!(of_layers(&small, 8, 8).samples_of_part(), Some(1));
        // Seven samples are not shared evenly; where layers are too small to be shared, parts of four would take the memory of eight.
        assert_eq!(of_layers(&small, 7, 2).samples_of_part(), None);
        assert_eq!(of_layers(&[(2e5, 1e4); 40], 7, 2).samples_of_part(), Some(2));
        // A thread for every sample, and more threads than samples.
        assert_eq!(of_layers(&small, 2, 2).samples_of_part(), Some(1));
        assert_eq!(of_layers(&[(2e9, 1e4); 40], 2, 8).samples_of_part(), None);
        // There are no parts of one sample, and on one thread they do not pay.
        assert_eq!(of_layers(&small, 1, 2).samples_of_part(), None);
        assert_eq!(of_layers(&small, 8, 1).samples_of_part(), None);
    }

    #[test]
    fn parts_are_not_for_weights_that_take_long_to_read() {
        assert_eq!(of_layers(&[(6e7, 3e6); 5], 8, 2).samples_of_part(), None);
    }

    #[test]
    fn parts_keep_values_in_caches() {
        let large = Estimate { written: 2e8, alive: 1e8, ..of_layers(&[(1e8, 1e4); 17], 4, 1) };
        assert_eq!(large.samples_of_part(), Some(1));
    }
}
