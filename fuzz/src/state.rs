//! Parameters of any bytes: all tensors of a file are there by name, or it is refused.

use convmat_network::{Limits, StateDict};

/// Reads the file within a limit of memory.
pub fn check(bytes: &[u8]) {
    match StateDict::from_bytes(bytes, &Limits::default().memory(1 << 24)) {
        Ok(state) => {
            for name in state.names() {
                let tensor = state.get(name).expect("a tensor has its name");
                assert!(tensor.len() * 8 <= 1 << 24, "{name}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
