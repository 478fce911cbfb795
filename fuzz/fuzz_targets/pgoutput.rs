#![no_main]

#[path = "../checks/pgoutput.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
