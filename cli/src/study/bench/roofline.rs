//! Rates, intensities and the roofline that bounds them. The only place that computes them.
//!
//! The model is that of S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for
//! multicore architectures", CACM 52(4), 2009: a kernel of I operations per byte runs at no more than min(peak,
//! I·bandwidth). Only useful operations are counted, so that a formulation that multiplies by zeros has a lower rate.

use super::record::{Ceiling, Record, Work};

/// Which of the two lines bounds a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Bandwidth,
    Peak,
}

impl Work {
    /// Useful operations per byte; 0 without bytes.
    pub fn intensity(&self) -> f64 {
        if self.bytes == 0 { 0.0 } else { self.useful_flops as f64 / self.bytes as f64 }
    }
}

impl Ceiling {
    /// Operations per byte at which both lines meet.
    pub fn ridge(&self) -> f64 {
        self.flops_peak / self.bandwidth
    }

    /// Operations per second that an intensity allows: min(peak, intensity·bandwidth).
    pub fn roof(&self, intensity: f64) -> f64 {
        self.flops_peak.min(intensity * self.bandwidth)
    }
}

impl Record {
    /// Useful operations per second of the median call.
    pub fn rate(&self) -> Option<f64> {
        self.measured().map(|measured| self.work.useful_flops as f64 / measured.run.median)
    }

    /// The part of the peak that the median call reaches.
    pub fn share_of_peak(&self) -> Option<f64> {
        self.rate().map(|rate| rate / self.ceiling.flops_peak)
    }

    /// The part of its roof that the median call reaches. It is above 1 where caches deliver more than memory could.
    /// `None` without useful operations.
    pub fn share_of_roof(&self) -> Option<f64> {
        let roof = self.ceiling.roof(self.work.intensity());
        self.rate().filter(|_| roof > 0.0).map(|rate| rate / roof)
    }

    pub fn bound(&self) -> Bound {
        if self.work.intensity() < self.ceiling.ridge() { Bound::Bandwidth } else { Bound::Peak }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, run};
    use super::*;

    #[test]
    fn a_roof_is_the_lower_of_two_lines() {
        let ceiling = Ceiling { flops_peak: 100.0, bandwidth: 10.0 };
        assert_eq!(
            (ceiling.ridge(), ceiling.roof(2.0), ceiling.roof(10.0), ceiling.roof(11.0)),
            (10.0, 20.0, 100.0, 100.0)
        );
        assert_eq!(Work { useful_flops: 0, executed_flops: None, bytes: 0 }.intensity(), 0.0);
    }

    #[test]
    fn shares_follow_from_the_median() {
        // 1e9 operations on 1e8 bytes in 0.1 s; peak 1e11, bandwidth 1e10.
        let run = run(None, &[Sample::new("a", 0.0).work(1_000_000_000, 100_000_000).run(0.1)]);
        let record = &run.records[0];
        assert_eq!((record.rate(), record.share_of_peak(), record.share_of_roof()), (Some(1e10), Some(0.1), Some(0.1)));
        assert_eq!(record.bound(), Bound::Peak, "10 per byte is the ridge itself");
    }
}
