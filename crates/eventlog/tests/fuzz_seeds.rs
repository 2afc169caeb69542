//! What the fuzz targets do, done with their seeds, and with the beginnings and small changes of
//! these.

#[path = "../../../fuzz/targets/mod.rs"]
mod targets;

/// Places in each seed where it is cut, and where a byte is changed.
const PLACES: usize = 48;

fn run_seeds(target: &str, run: fn(&[u8])) {
    for path in quarry_testkit::fuzz_seeds(target) {
        let seed = std::fs::read(&path).unwrap();
        run(&seed);
        for place in 0..PLACES {
            let at = seed.len() * place / PLACES;
            run(&seed[..at]);
            let mut changed = seed.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte = byte.wrapping_mul(31).wrapping_add(place as u8 + 1);
            }
            run(&changed);
        }
    }
}

#[test]
fn seeds_of_binxml_on_the_wire_are_read() {
    run_seeds("binxml_wire", targets::binxml_wire::run);
}

#[test]
fn seeds_of_binxml_in_a_file_are_read() {
    run_seeds("binxml_file", targets::binxml_file::run);
}

#[test]
fn seeds_of_log_files_are_read() {
    run_seeds("evtx", targets::evtx::run);
}

#[test]
fn seeds_of_old_log_files_are_read() {
    run_seeds("evt", targets::evt::run);
}

#[test]
fn seeds_of_files_of_any_kind_are_searched() {
    run_seeds("recover", targets::recover::run);
}

#[test]
fn seeds_of_classic_records_are_read() {
    run_seeds("classic", targets::classic::run);
}
