//! The crate from outside: everything here goes through the public interface.

#[cfg(feature = "analysis")]
mod analysis;
mod assemblies;
mod bad_input;
mod bad_layers;
mod choices;
mod common;
mod contracts;
mod engine;
mod epilogues;
mod filtered;
mod filtered_plans;
mod filtered_windows;
mod first_steps;
mod formulations;
mod goldens;
mod input_activations;
mod layers;
mod limits;
mod operators;
mod oracle;
mod padding;
mod plan_windows;
mod plans;
mod pooling;
mod random_layers;
mod ranks;
mod recipes;
mod resizing;
mod room;
mod solvers;
mod tiles;
mod upscaler;
mod values;
mod views;
mod windows;
