//! The crate from outside: everything here goes through the public interface.

mod bad_input;
mod bad_layers;
mod common;
mod contracts;
mod formulations;
mod layers;
mod limits;
mod operators;
mod oracle;
mod padding;
mod pooling;
mod resizing;
mod tiles;
mod upscaler;
mod values;
mod views;
mod windows;
