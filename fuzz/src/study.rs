//! What the commands about matrices read.

#[path = "../../cli/src/study/tensors.rs"]
#[allow(dead_code, reason = "files have no names here")]
pub mod tensors;
