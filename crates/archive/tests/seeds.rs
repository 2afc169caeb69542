//! What the fuzz target `archive` does, done with its seeds, and with the beginnings and small
//! changes of these.

#[path = "../../../fuzz/targets/archive.rs"]
#[allow(unreachable_pub)]
mod target;

use std::path::Path;

#[test]
fn seeds_of_archives_are_read_within_the_bounds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/archive");
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        target::run(&seed);
        for at in 0..seed.len() {
            target::run(&seed[..at]);
            let mut changed = seed.clone();
            changed[at] = changed[at].wrapping_mul(31).wrapping_add(at as u8).wrapping_add(1);
            target::run(&changed);
        }
        seeds += 1;
    }
    assert!(seeds >= 3);
}
