//! `convmat bench`: formulations measured against each other.
//!
//! This file turns arguments into a [`record::Run`] and writes what comes of it; what the figures mean is said elsewhere:
//!
//! ```text
//! let peers: Vec<Peer> = peers::read(path)?;                 for every --peers FILE
//! let reading = reading::read(&run, &peers);
//! table::print(&run, &peers, out)?;                          the table on the terminal
//! let plots = plots::draw(&run, &peers)?;                    time.svg, memory.svg, roofline.svg
//! report::markdown(&run, &peers, &reading)                   report.md
//! report::html(&run, &peers, &reading, &plots)               report.html
//! compare::print(&Run::read(old)?, &Run::read(new)?, out)?;  --compare OLD NEW
//! ```

// Until the command exists.
#![allow(dead_code)]

mod break_even;
mod compare;
mod family;
mod peers;
mod plots;
mod reading;
mod record;
mod report;
mod roofline;
#[cfg(test)]
mod samples;
mod series;
mod table;
mod verdict;
mod words;
