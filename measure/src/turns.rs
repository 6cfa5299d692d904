//! Timing of candidates that take turns, and what is said about a list of times. It knows no layer.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long [`in_turns`] measures.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Time of each candidate, untimed calls included.
    pub time: Duration,
    /// Number of turns that the time is spread over.
    pub turns: usize,
    /// Samples that a slow candidate gets even if they take longer than `time`, as far as they fit into `most`. Each
    /// candidate gets one sample in any case.
    pub fewest: usize,
    /// Time that the `fewest` samples of a slow candidate may take.
    pub most: Duration,
}

/// A sample lasts at least so many times as long as reading the clock, so that reading takes less than 1 % of it.
const CLOCK_SHARE: f64 = 100.0;

/// Seconds per call of every candidate, a list of samples for each.
///
/// The candidates take turns (A B C, A B C, …), so that a machine that speeds up, slows down or has other work to do treats all
/// alike. A candidate whose calls are short makes many in a turn, after one that does not count: it brings the candidate's
/// data back into the caches. One whose calls are longer than its part of a turn makes one call, in as many turns, evenly spread, as
/// its time allows. A sample is one call, or as many as last a hundred times as long as reading the clock, of which the mean counts.
///
/// `call` runs a candidate once; what it returns is dropped outside of the time, unless calls are so short that a
/// sample has several. `stop` is called after each candidate's part of a turn, and the measurement ends when it returns
/// true.
pub fn in_turns<R>(
    effort: &Effort,
    candidates: usize,
    mut call: impl FnMut(usize) -> R,
    mut stop: impl FnMut() -> bool,
) -> Vec<Vec<f64>> {
    let clock = clock_seconds();
    let mut samples = vec![Vec::new(); candidates];
    if stop() {
        return samples;
    }
    // The second of two calls sets the pace, because the first one may find cold caches and has to allocate. If one
    // call alone takes longer than all the time, it has to do.
    let paces: Vec<Pace> = (0..candidates)
        .map(|i| {
            let first = timed(1, || call(i));
            let seconds = if first > effort.time.as_secs_f64() { first } else { timed(1, || call(i)) };
            Pace::new(effort, seconds, clock)
        })
        .collect();
    let mut spent = vec![0.0; candidates];
    for turn in 1..=effort.turns {
        for (i, pace) in paces.iter().enumerate() {
            // At the end of a turn a candidate has used the part of its time that falls to the turns so far. A slow one
            // has used more, and sits out until the turns have caught up or a sample that it is owed is due.
            let part = turn as f64 / effort.turns as f64;
            let has_time = spent[i] < part * effort.time.as_secs_f64();
            if !has_time && samples[i].len() as f64 >= (part * pace.fewest as f64).ceil() {
                continue;
            }
            let start = Instant::now();
            if pace.is_short {
                call(i);
            }
            loop {
                samples[i].push(timed(pace.calls, || call(i)));
                if !pace.is_short || start.elapsed().as_secs_f64() >= pace.slice {
                    break;
                }
            }
            spent[i] += start.elapsed().as_secs_f64();
            if stop() {
                return samples;
            }
        }
    }
    samples
}

/// How a candidate uses its turns.
struct Pace {
    /// Seconds of a turn.
    slice: f64,
    /// Whether several samples fit into it.
    is_short: bool,
    /// Calls of a sample.
    calls: usize,
    fewest: usize,
}

impl Pace {
    fn new(effort: &Effort, seconds: f64, clock: f64) -> Self {
        let slice = effort.time.as_secs_f64() / effort.turns.max(1) as f64;
        let seconds = seconds.max(1e-9);
        Self {
            slice,
            is_short: 3.0 * seconds < slice,
            calls: (CLOCK_SHARE * clock / seconds).ceil().clamp(1.0, 1e6) as usize,
            fewest: ((effort.most.as_secs_f64() / seconds) as usize).clamp(1, effort.fewest.max(1)),
        }
    }
}

/// Times calls one by one and returns their median times their number. It is for criterion, which asks for the sum of
/// many calls and divides it by their number: a few calls that the system interrupts make that mean a per cent or two
/// longer than the median that [`in_turns`] leads to.
pub fn medians(calls: u64, mut call: impl FnMut()) -> Duration {
    let seconds: Vec<f64> = (0..calls).map(|_| timed(1, &mut call)).collect();
    Duration::from_secs_f64(median(&seconds) * calls as f64)
}

/// Mean seconds of so many calls.
fn timed<R>(calls: usize, mut call: impl FnMut() -> R) -> f64 {
    let start = Instant::now();
    for _ in 1..calls {
        black_box(call());
    }
    let last = call();
    let seconds = start.elapsed().as_secs_f64() / calls as f64;
    black_box(last);
    seconds
}

/// Seconds that the two readings of the clock around a sample take.
pub fn clock_seconds() -> f64 {
    const READINGS: u32 = 1000;
    let start = Instant::now();
    for _ in 0..READINGS {
        black_box(Instant::now());
    }
    2.0 * start.elapsed().as_secs_f64() / f64::from(READINGS)
}

/// The value below which `part` of the values lie, `part` from 0 to 1, interpolated between the two nearest values
/// (NumPy's default; R. Hyndman and Y. Fan, *Sample quantiles in statistical packages*, 1996, definition 7).
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = part.clamp(0.0, 1.0) * last as f64;
    let below = sorted[at as usize];
    let above = sorted[(at as usize + 1).min(last)];
    below + (above - below) * at.fract()
}

/// The middle value, or the mean of the two middle ones if the number of values is even.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The geometric mean.
pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}
