#![no_main]

#[allow(dead_code)]
#[path = "../targets/sigma.rs"]
mod sigma;

libfuzzer_sys::fuzz_target!(|text: &str| sigma::rule(text));
