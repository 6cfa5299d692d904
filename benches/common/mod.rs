//! What the benchmarks, the measuring examples and `convmat bench` share: layers described in JSON, the formulations ready to
//! run, their check against the definition, timing in turns, and what the machine can do.
// Every target uses a part of this module and would call the rest dead.
#![allow(dead_code, unused_imports)]

pub mod check;
pub mod machine;
pub mod method;
pub mod turns;
pub mod workload;

pub use machine::{available_memory, copy_bandwidth, peak, pool, processor};
pub use turns::{Effort, geometric_mean, in_turns, median};
pub use workload::{Workload, layer_file, random};
