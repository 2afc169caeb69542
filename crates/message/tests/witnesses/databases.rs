//! Databases of others', as SQLite itself reads and writes them.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use quarry_message::import::import;
use quarry_message::{Catalogue, CatalogueKind, Error};
use quarry_testkit::{Package, package_file};
use serde::Deserialize;

const PLASO: Package = Package::Wheel { name: "plaso", version: "20260720" };

/// What SQLite reads in plaso's database.
#[derive(Deserialize)]
struct Strings {
    /// The strings of each message file, by its path in lower case.
    files: BTreeMap<String, BTreeMap<u32, String>>,
    /// Names of providers, and the paths of their message files.
    providers: Vec<(String, Vec<String>)>,
}

/// The catalogue that is made of plaso's database.
pub(crate) fn plaso() -> Option<Catalogue> {
    Some(catalogue(&std::fs::read(plaso_file()?).unwrap()))
}

fn plaso_file() -> Option<std::path::PathBuf> {
    package_file(PLASO, "plaso/data/winevt-rc.db")
}

fn catalogue(database: &[u8]) -> Catalogue {
    let (builder, info) = import(database).unwrap();
    let mut file = Cursor::new(Vec::new());
    builder.write(info, &mut file).unwrap();
    let catalogue = Catalogue::read(file).unwrap();
    catalogue.verify().unwrap();
    catalogue
}

#[test]
fn every_string_of_plaso_s_database_is_imported_with_its_marks() {
    let Some(path) = plaso_file() else { return };
    let Some(output) = python("strings", &path) else { return };
    let witness: Strings = serde_json::from_slice(&output).unwrap();
    let catalogue = plaso().unwrap();
    assert_eq!(catalogue.info().kind, CatalogueKind::Foreign);
    assert_eq!(catalogue.info().build, "6.1.7600.16385");
    let mut strings = 0;
    for (name, paths) in &witness.providers {
        let provider = catalogue.provider(name, None).unwrap_or_else(|| panic!("no {name}"));
        // Of two providers with one name the first counts.
        let (_, first) = witness.providers.iter().find(|known| known.0 == *name).unwrap();
        if first != paths {
            continue;
        }
        let mut expected: BTreeMap<u32, &str> = BTreeMap::new();
        for path in paths {
            for (id, text) in witness.files.get(path).into_iter().flatten() {
                expected.entry(*id).or_insert(text);
            }
        }
        for (id, text) in expected {
            assert_eq!(provider.message(id), Some(text), "{name} {id:#x}");
            strings += 1;
        }
    }
    assert!(strings > 10_000, "{strings} strings");
    println!("{strings} strings of {} providers", witness.providers.len());
}

#[test]
fn a_database_as_those_of_welm_is_read_with_rows_on_many_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("welm.db");
    if python("make", &path).is_none() {
        return;
    }
    let catalogue = catalogue(&std::fs::read(&path).unwrap());
    assert_eq!(catalogue.providers().len(), 60);
    for provider in 0..60 {
        let name = format!("Provider-{provider}");
        let texts = catalogue.provider(&name, None).unwrap();
        for event in 0..100u32 {
            let long = "x".repeat((event * event * 2) as usize);
            let expected = format!("%1 of {name}: {event} é€ {long}");
            assert_eq!(texts.message(event * 655), Some(&*expected));
        }
    }
}

#[test]
fn damaged_and_other_databases_are_errors() {
    let Some(path) = plaso_file() else { return };
    let bytes = std::fs::read(path).unwrap();
    let import = |bytes: &[u8]| import(bytes).map(|(_, info)| info);
    let error = import(&[]);
    assert!(matches!(error, Err(Error::NotA { .. })), "{error:?}");
    let error = import(&bytes[..5000]);
    assert!(matches!(error, Err(Error::Malformed { .. })), "{error:?}");
    // The root page of the schema leads to itself.
    let mut endless = bytes[..8192].to_vec();
    endless[100] = 5;
    endless[103..105].copy_from_slice(&[0, 0]);
    endless[108..112].copy_from_slice(&1u32.to_be_bytes());
    let error = import(&endless);
    assert!(matches!(error, Err(Error::Malformed { .. })), "{error:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("welm.db");
    if python("make", &path).is_none() {
        return;
    }
    let mut other = std::fs::read(&path).unwrap();
    while let Some(at) = other[..4096].windows(9).position(|bytes| bytes == b"providers") {
        other[at] = b'P';
    }
    let error = import(&other);
    assert!(matches!(error, Err(Error::Database { .. })), "{error:?}");
}

fn python(what: &str, path: &Path) -> Option<Vec<u8>> {
    if !quarry_testkit::has_program("python3", "python3") {
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/witnesses/databases.py");
    let output = Command::new("python3").arg(script).arg(what).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}
