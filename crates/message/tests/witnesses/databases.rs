//! Databases of others', as SQLite itself reads and writes them.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use quarry_message::format::Text;
use quarry_message::import::import;
use quarry_message::{Catalogue, CatalogueKind, Error, LanguageId, OutType, Resources, status};
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
            assert_eq!(provider.message(id).map(flat), Some(flat(text)), "{name} {id:#x}");
            strings += 1;
        }
    }
    assert!(strings > 10_000, "{strings} strings");
    println!("{strings} strings of {} providers", witness.providers.len());
}

/// A text without line ends and tabs, in whichever form. What they are is not SQLite's to say.
fn flat(text: &str) -> String {
    text.replace("\\n", "").replace("\\r", "").replace("\\t", "").replace(['\r', '\n', '\t'], "")
}

#[test]
fn texts_of_plaso_s_database_have_the_line_ends_and_tabs_of_windows_own() {
    let (Some(plaso), Some(dll)) = (plaso(), crate::files::ADTSCHEMA.read()) else { return };
    let resources = Resources::read(&*dll).unwrap();
    let windows = resources.table(LanguageId::ENGLISH).unwrap();
    let provider = plaso.provider("Microsoft-Windows-Security-Auditing", None).unwrap();
    // Of one line and of many alike: a line end in a message is CR and LF, and `%n` writes the same.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut same_words = 0;
    let mut differ = Vec::new();
    for (id, text) in windows.iter() {
        // Of Windows 7, whose events all have the message of their own number.
        let Some(theirs) = provider.message(id) else { continue };
        let (text, theirs) = (Text::plain(text), Text::plain(theirs));
        if words(&text) != words(&theirs) {
            continue;
        }
        same_words += 1;
        if text.trim_end() != theirs.trim_end() {
            differ.push((id, text, theirs));
        }
    }
    println!("{same_words} messages of the same words, {} differ in white space", differ.len());
    assert!(same_words > 100, "{same_words}");
    assert!(differ.is_empty(), "{differ:#?}");
}

/// plaso's database has the messages of ntdll.dll and kernel32.dll of Windows 7, whose words MS-ERREF mostly has.
#[test]
fn status_codes_have_the_words_of_windows() {
    let Some(plaso) = plaso() else { return };
    let provider = plaso.provider("Microsoft-Windows-Security-Auditing", None).unwrap();
    let own = |kind, code| {
        let mut text = Vec::new();
        provider.push_status(kind, code, &mut text).then(|| String::from_utf8(text).unwrap())
    };
    let letters = |text: &str| {
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        letters.collect::<String>().to_lowercase()
    };
    let (mut all, mut same) = (0, 0);
    for (kind, codes) in [
        (OutType::NTSTATUS, 0xc000_0000..0xc000_0500),
        (OutType::WIN32_ERROR, 0..12_000),
        (OutType::HRESULT, 0x8009_0300..0x8009_0310),
    ] {
        for code in codes {
            if let (Some(ours), Some(theirs)) = (status::text(kind, code), own(kind, code)) {
                all += 1;
                if letters(ours) == letters(&theirs) {
                    same += 1;
                } else {
                    println!("{code:#x}: {ours:?}, in Windows 7 {theirs:?}");
                }
            }
        }
    }
    println!("{same} of {all} status codes have the same letters");
    assert!(all > 90 && same * 4 > all * 3, "{same} of {all}");
    // Both files have a message 2, and an HRESULT of facility 7 is a Win32 error.
    let file = "The system cannot find the file specified.";
    assert_eq!(own(OutType::WIN32_ERROR, 2).as_deref(), Some(file));
    assert_eq!(own(OutType::HRESULT, 0x8007_0002).as_deref(), Some(file));
    assert_eq!(own(OutType::NTSTATUS, 2).as_deref(), Some("STATUS_WAIT_2"));
    assert_eq!(own(OutType::NULL, 2), None);
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
