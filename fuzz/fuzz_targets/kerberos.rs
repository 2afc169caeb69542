#![no_main]

#[path = "../targets/kerberos.rs"]
mod kerberos;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kerberos::run(data);
});
