#![no_main]

#[path = "../targets/binxml_wire.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
