//! Files of tensors by name: parameters, inputs, weights, taps.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| convmat_fuzz::safetensors(bytes));
