//! What the fuzz targets do, done with their seeds, and with the beginnings and small changes of
//! these.

#[path = "../../../fuzz/targets/sigma.rs"]
mod sigma;

/// Places in each seed where it is cut, and where a byte is changed.
const PLACES: usize = 48;

fn run_seeds(target: &str, run: fn(&str)) {
    for path in quarry_testkit::fuzz_seeds(target) {
        let seed = std::fs::read_to_string(&path).unwrap();
        run(&seed);
        for place in 0..PLACES {
            let at = seed.len() * place / PLACES;
            let at = seed.floor_char_boundary(at);
            run(&seed[..at]);
            let mut changed = seed.clone().into_bytes();
            if let Some(byte) = changed.get_mut(at) {
                *byte = byte.wrapping_mul(31).wrapping_add(place as u8 + 1) & 0x7f;
            }
            run(&String::from_utf8_lossy(&changed));
        }
    }
}

#[test]
fn seeds_of_rules_are_read() {
    run_seeds("sigma_rule", sigma::rule);
}

#[test]
fn seeds_of_conditions_are_read() {
    run_seeds("sigma_condition", sigma::condition);
}

#[test]
fn seeds_of_rules_with_events_are_matched_alike() {
    run_seeds("sigma_event", sigma::event);
}
