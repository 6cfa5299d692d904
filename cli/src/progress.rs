//! Progress of long work: on stderr, and only on a terminal. It knows no command.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A bar of `steps` steps that clears itself; without colours, so that `NO_COLOR` needs nothing.
pub fn bar(steps: usize, what: &'static str) -> ProgressBar {
    // indicatif draws to stderr, and nothing at all where that is no terminal.
    let bar = ProgressBar::new(steps as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A bar over the pixels of several images, with their rate and the time that is left. Its message says what is counted.
pub fn pixels(count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count);
    // A rate that cannot be written is not shown.
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{:.1} megapixels/s", state.per_sec() / 1e6);
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bar:30} {percent}% {rate}, {eta} left") {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A bar over so many images, with their rate and the time that is left.
pub fn images(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{:.1} images/s", state.per_sec());
    };
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {pos}/{len} images {bar:30} {percent}% {rate}, {eta} left")
    {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A bar over the problems of a benchmark, with the time that is left. Nothing draws it between the calls of [`Problems::at`], so that
/// it takes no time of what is measured.
pub struct Problems(ProgressBar);

/// Steps of the bar per problem.
const PARTS: f64 = 100.0;

pub fn problems(count: u64) -> Problems {
    let bar = ProgressBar::new(count * PARTS as u64);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bar:30} {percent}%, {eta} left") {
        bar.set_style(style);
    }
    Problems(bar)
}

impl Problems {
    /// What is measured now.
    pub fn set_message(&self, what: String) {
        self.0.set_message(what);
    }

    /// So many problems are done.
    pub fn at(&self, problems: f64) {
        self.0.set_position((problems * PARTS) as u64);
        self.0.tick();
    }

    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
