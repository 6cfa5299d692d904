//! `convmat explore`: a page for studying one convolution's matrix, served on loopback or written as one file.
//!
//! [`question`] reads what the page asks, [`answer`] computes everything it shows, [`server`] and [`export`] are the two ways to
//! bring the answers to the same page. The page itself looks numbers up and derives none.

mod answer;
mod counterpart;
mod export;
mod page;
mod question;
mod rows;
mod server;

use std::io::Write;

use self::answer::Answer;
use self::question::Question;
use crate::error::{Failure, Result};
use crate::study::args::ExploreArgs;
use crate::study::layer::Studied;

/// Most weights that may come from a file: they travel in the page's address.
const MAX_WEIGHTS_IN_ADDRESS: usize = 512;

pub fn run(args: &ExploreArgs, out: &mut dyn Write) -> Result<()> {
    let question = start(args)?;
    // What the page would refuse at once is refused here.
    Answer::to(&question)?;
    match &args.export {
        Some(path) => export::write(args, path, &question, out),
        None => server::run(args, &question, out),
    }
}

/// The layer that the page starts with. Weights of a file become listed ones: the page reads no files.
fn start(args: &ExploreArgs) -> Result<Question> {
    let question = Question { layer: args.layer.clone(), weights: args.weights.clone() };
    if question.weights.weights.is_none() {
        return Ok(question);
    }
    let studied = Studied::new(&question.layer, &question.weights)?;
    let values: Vec<_> = studied.weights.iter().flatten().copied().collect();
    if values.len() > MAX_WEIGHTS_IN_ADDRESS {
        let count = values.len();
        return Err(Failure::Refused(format!(
            "{count} weights are too many to explore; at most {MAX_WEIGHTS_IN_ADDRESS}"
        )));
    }
    Ok(question.with_weights(&studied, values))
}
