//! ONNX models: read, planned, run.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| convmat_fuzz::onnx::check(bytes));
