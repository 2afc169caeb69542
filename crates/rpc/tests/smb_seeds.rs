//! What the fuzz target `smb` does, done with its seeds, and with the beginnings and small changes
//! of these.

#[path = "../../../fuzz/targets/smb.rs"]
mod target;

#[test]
fn seeds_of_smb_answers_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/smb");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        target::run(&seed);
        for at in 0..seed.len() {
            target::run(&seed[..at]);
            let mut changed = seed.clone();
            changed[at] = changed[at].wrapping_mul(31).wrapping_add((at % 251) as u8 + 1);
            target::run(&changed);
        }
        count += 1;
    }
    assert_eq!(count, 5, "a seed a dialect");
}
