#![no_main]

#[path = "../targets/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|text: &str| words::run(text));
