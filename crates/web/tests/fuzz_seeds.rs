//! What the fuzz targets of this crate do, done with their seeds, and with the beginnings and small
//! changes of these.

#[cfg(target_os = "linux")]
#[path = "../../../fuzz/targets/helper.rs"]
mod helper;
#[path = "../../../fuzz/targets/view.rs"]
mod view;

#[test]
fn seeds_of_addresses_are_read() {
    for path in quarry_testkit::fuzz_seeds("view") {
        let seed = std::fs::read_to_string(path).expect("it is text");
        assert!(quarry_web::view::View::parse(&seed).is_ok(), "{seed}");
        for at in 0..seed.len() {
            view::run(&seed[..at]);
            for c in ["&", "=", "%", "+", "\u{e9}"] {
                view::run(&format!("{}{c}{}", &seed[..at], &seed[at + 1..]));
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn seeds_of_the_helpers_frames_are_read() {
    for path in quarry_testkit::fuzz_seeds("helper") {
        let seed = std::fs::read(path).expect("it can be read");
        helper::run(&seed);
        for at in 0..seed.len() {
            helper::run(&seed[..at]);
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = seed.clone();
                changed[at] = value;
                helper::run(&changed);
            }
        }
    }
}
