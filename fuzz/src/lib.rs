//! What every reader of foreign bytes owes: whatever they are, a value that keeps its word or an error, within its limits.
//!
//! The readers of the command line are part of a program. They are compiled into this crate a second time, from the same files.

#[path = "../../cli/src/error.rs"]
#[allow(dead_code, reason = "commands fail in more ways than readers")]
mod error;
#[path = "../../cli/src/files.rs"]
#[allow(dead_code, reason = "nothing is written here")]
mod files;
pub mod layers;
pub mod network;
#[path = "../../cli/src/npy.rs"]
#[allow(dead_code, reason = "parts of files are read elsewhere")]
mod npy;
pub mod onnx;
pub mod state;
mod study;
#[path = "../../cli/src/taps.rs"]
#[allow(dead_code, reason = "nothing is written here")]
mod taps;
#[path = "../../cli/src/tensors.rs"]
mod tensors;

/// A file of tensors by name, for all that read one.
pub fn safetensors(bytes: &[u8]) {
    state::check(bytes);
    network::foreign::safetensors(bytes);
}
