#![no_main]

#[path = "../checks/copy_text.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
