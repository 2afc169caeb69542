#![no_main]

#[path = "../targets/inventory.rs"]
mod inventory;

libfuzzer_sys::fuzz_target!(|text: &str| inventory::run(text));
