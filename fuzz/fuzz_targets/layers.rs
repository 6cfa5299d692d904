//! Files of layers, as benchmarks read them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| convmat_fuzz::layers::check(bytes));
