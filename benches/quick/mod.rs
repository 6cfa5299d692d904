//! How long criterion measures.

use std::time::Duration;

use criterion::Criterion;

/// Criterion with few samples: a ratio of medians needs no more, and all benchmarks together stay within minutes.
pub fn quick() -> Criterion {
    let (warm_up, measurement) = (Duration::from_millis(300), Duration::from_millis(700));
    Criterion::default().sample_size(10).warm_up_time(warm_up).measurement_time(measurement)
}
