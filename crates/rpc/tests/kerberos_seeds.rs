//! What the fuzz target `kerberos` does, done with its seeds, and with the beginnings and small
//! changes of these.

#[path = "../../../fuzz/targets/kerberos.rs"]
mod target;

#[test]
fn seeds_of_kerberos_answers_and_keytabs_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/kerberos");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let seed = std::fs::read(&path).unwrap();
        // Under the ticket's key these two say what a server says.
        let believed = path.ends_with("subkey") || path.ends_with("signed");
        assert_eq!(target::run(&seed), believed, "{}", path.display());
        for at in 0..seed.len() {
            target::run(&seed[..at]);
            let mut changed = seed.clone();
            changed[at] = changed[at].wrapping_mul(31).wrapping_add((at % 251) as u8 + 1);
            target::run(&changed);
        }
        count += 1;
    }
    assert_eq!(count, 6, "a seed a kind");
}
