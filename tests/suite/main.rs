//! The crate from outside: everything here goes through the public interface.

mod common;
mod contracts;
mod formulations;
mod oracle;
mod tiles;
mod values;
mod views;
mod windows;
