#![no_main]

#[path = "../targets/smb.rs"]
mod smb;

libfuzzer_sys::fuzz_target!(|data: &[u8]| smb::run(data));
