//! What the fuzz targets do, done with their seeds, and with the beginnings and small changes of
//! these.

#[path = "../../../fuzz/targets/messages.rs"]
mod messages;

use std::path::Path;

/// Places in each seed where it is cut, and where a byte is changed.
const PLACES: usize = 400;

fn run_seeds(target: &str, run: fn(&[u8]) -> usize) {
    for path in quarry_testkit::fuzz_seeds(target) {
        let seed = std::fs::read(&path).unwrap();
        assert!(run(&seed) > 0, "{} can be read", path.display());
        for place in 0..PLACES {
            let at = seed.len() * place / PLACES;
            run(&seed[..at]);
            for value in [0, 0xff, 0x80, place as u8] {
                let mut changed = seed.clone();
                changed[at] = value;
                run(&changed);
            }
        }
    }
}

#[test]
fn seeds_of_provider_files_are_read() {
    run_seeds("provider_file", messages::provider_file);
}

#[test]
fn seeds_of_manifests_are_read() {
    run_seeds("manifest", messages::manifests);
}

#[test]
fn seeds_of_mta_files_are_read() {
    run_seeds("mta", messages::mta);
}

#[test]
fn seeds_of_hives_are_read() {
    run_seeds("hive", messages::hive);
}

#[test]
fn seeds_of_catalogues_are_read() {
    run_seeds("catalogue", messages::catalogue);
}

#[test]
fn seeds_of_what_servers_render_are_read() {
    run_seeds("learned", messages::learned);
}

/// If each were read, a file would cost the square of its length.
#[test]
fn lists_of_an_mta_file_that_have_one_name_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/mta");
    let mut file = std::fs::read(folder.join("generated-102")).unwrap();
    // The second list's name, after its offset, length and the length of its name.
    let first_name = u32::from_le_bytes(file[0x28..0x2c].try_into().unwrap()) as usize;
    let second = 0x2c + first_name;
    let name = file[0x2c..second].to_vec();
    assert_eq!(file[second + 16..second + 20], file[0x28..0x2c]);
    file[second + 20..second + 20 + name.len()].copy_from_slice(&name);
    let error = quarry_message::Mta::read(file).unwrap_err();
    assert!(error.to_string().starts_with("damaged MTA file"), "{error}");
}

#[test]
fn pages_of_an_mta_file_that_overlap_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/mta");
    let mut file = std::fs::read(folder.join("generated-102")).unwrap();
    assert_eq!(messages::mta(&file), 102);
    // The first list's first page: its next page begins 8 bytes after it.
    let start = u64::from_le_bytes(file[0x18..0x20].try_into().unwrap()) as usize;
    file[start + 72..start + 80].copy_from_slice(&8u64.to_le_bytes());
    let error = quarry_message::Mta::read(file).unwrap_err();
    assert!(error.to_string().starts_with("damaged list of an MTA file"), "{error}");
}
