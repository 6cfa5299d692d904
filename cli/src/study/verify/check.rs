//! A check and its outcome as plain data. It knows neither what is checked nor how it is printed.

use indicatif::ProgressBar;

use crate::commands::rounding::Worst;

pub struct Check {
    /// The equation.
    pub what: String,
    /// What computed it.
    pub by: String,
    pub outcome: Outcome,
}

pub enum Outcome {
    Measured(Worst),
    /// Not run, and why.
    Skipped(String),
}

/// Checks in the order in which they were made.
pub struct Checks {
    done: Vec<Check>,
    progress: ProgressBar,
}

impl Checks {
    pub const fn new(progress: ProgressBar) -> Self {
        Self { done: Vec::new(), progress }
    }

    pub fn measured(&mut self, what: impl Into<String>, by: impl Into<String>, worst: Worst) {
        self.push(what.into(), by.into(), Outcome::Measured(worst));
    }

    pub fn skipped(&mut self, what: impl Into<String>, by: impl Into<String>, why: impl Into<String>) {
        self.push(what.into(), by.into(), Outcome::Skipped(why.into()));
    }

    fn push(&mut self, what: String, by: String, outcome: Outcome) {
        self.done.push(Check { what, by, outcome });
        self.progress.inc_length(1);
        self.progress.inc(1);
    }

    pub fn finish(self) -> Vec<Check> {
        self.progress.finish_and_clear();
        self.done
    }
}
