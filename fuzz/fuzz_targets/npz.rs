//! NumPy's archives of arrays.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| convmat_fuzz::network::foreign::npz(bytes));
