#![no_main]

#[path = "../targets/helper.rs"]
mod helper;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| helper::run(bytes));
