//! How much memory one request may take. It knows no command.

use std::fmt;

use convmat::bytes_in_words;

use crate::error::{Failure, Result};

/// Limit on the bytes of all buffers of one request.
const LIMIT: u128 = 8 << 30;

/// Refuses what would not fit into memory, before anything of that size is allocated.
pub fn expect(what: impl fmt::Display, bytes: u128) -> Result<()> {
    if bytes <= LIMIT {
        return Ok(());
    }
    let (needed, limit) = (bytes_in_words(bytes), bytes_in_words(LIMIT));
    Err(Failure::Refused(format!("{what} needs {needed} of buffers, more than the limit of {limit}")))
}
