//! Progress of long work: on stderr, and only on a terminal. It knows no command.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

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
