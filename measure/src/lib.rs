//! The measuring code that convmat's criterion benches, its measuring examples and `convmat bench` share: layers
//! described in JSON, the formulations ready to run, their check against the definition, timing in turns, what the
//! machine can do, and how much minimal filtering rounds.
//!
//! It is a client of the library's public interface and knows no command, no file but layer files, and no plot.

pub mod check;
pub mod filtering;
pub mod machine;
pub mod method;
pub mod product;
pub mod turns;
pub mod workload;

pub use machine::{available_memory, copy_bandwidth, peak, pool, processor};
pub use turns::{Effort, geometric_mean, in_turns, median};
pub use workload::{Workload, layer_file, random};
