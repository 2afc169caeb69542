#![no_main]

#[path = "../targets/view.rs"]
mod view;

libfuzzer_sys::fuzz_target!(|query: &str| view::run(query));
