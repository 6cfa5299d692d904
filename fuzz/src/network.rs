//! What the commands about networks read.

#[path = "../../cli/src/network/arrays.rs"]
#[allow(dead_code, reason = "files have no names here")]
mod arrays;
#[path = "../../cli/src/network/foreign.rs"]
pub mod foreign;
#[path = "../../cli/src/network/npz.rs"]
mod npz;
#[path = "../../cli/src/network/sounds.rs"]
#[allow(dead_code, reason = "files have no names here")]
mod sounds;
