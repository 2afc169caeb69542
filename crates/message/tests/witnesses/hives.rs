//! A real hive, against what regipy reads in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use quarry_event::Guid;
use quarry_message::hive::Hive;
use quarry_message::registry::Registry;

type Source = (String, String, HashMap<String, String>);

#[test]
fn every_event_source_of_a_real_hive_is_read_as_regipy_does() {
    let Some((_folder, path)) = system() else { return };
    let sources: Vec<Source> = serde_json::from_slice(&python(&["sources"], &[&path])).unwrap();
    let hive = Hive::read(std::fs::read(path).unwrap(), &[]).unwrap();
    let logs = hive.key("ControlSet001\\Services\\EventLog").unwrap();
    let mut compared = 0;
    for (log, name, values) in &sources {
        let source = logs.child(log).and_then(|log| log.child(name));
        let source = source.unwrap_or_else(|| panic!("no {log}\\{name}"));
        for value in
            ["EventMessageFile", "ParameterMessageFile", "CategoryMessageFile", "providerGuid"]
        {
            assert_eq!(
                source.text(value).as_ref(),
                values.get(&value.to_lowercase()),
                "{log}\\{name} {value}"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, 403);
    let ours: usize = logs.children().iter().map(|log| log.children().len()).sum();
    assert_eq!(ours, compared);

    let mut registry = Registry::default();
    registry.add_system(&hive);
    let with_guid = sources.iter().filter(|source| source.2.contains_key("providerguid")).count();
    assert_eq!(with_guid, 170);
    // Lists with semicolons.
    let several = registry.providers().filter(|provider| provider.messages.len() > 1).count();
    assert!(several > 20, "{several}");
    assert!(
        registry.providers().all(|provider| provider.messages.iter().all(|p| !p.contains(';')))
    );
    let security = Guid::parse("{54849625-5478-4994-a5ba-3e3b0328c30d}");
    let security = registry.providers().find(|provider| provider.guid == security).unwrap();
    assert_eq!(security.parameters, [r"%SystemRoot%\System32\MsObjs.dll"], "{security:?}");
}

#[test]
fn a_hive_that_was_not_closed_is_brought_up_to_date_by_its_logs() {
    let Some((folder, path)) = system() else { return };
    let (old, log) = (folder.path().join("OLD"), folder.path().join("OLD.LOG1"));
    python(&["dirty"], &[&path, &old, &log]);
    let (old, log) = (std::fs::read(old).unwrap(), std::fs::read(log).unwrap());
    let sources = |hive: &Hive| {
        let mut registry = Registry::default();
        registry.add_system(hive);
        registry.providers().cloned().collect::<Vec<_>>()
    };
    let expected = sources(&Hive::read(std::fs::read(path).unwrap(), &[]).unwrap());
    assert!(!expected.is_empty());
    assert_eq!(sources(&Hive::read(old.clone(), &[&log]).unwrap()), expected);
    // The other log has nothing, and one of another hive doesn't hurt.
    assert_eq!(sources(&Hive::read(old.clone(), &[&[], &old, &log]).unwrap()), expected);
    assert!(sources(&Hive::read(old.clone(), &[]).unwrap()).is_empty());
    // A damaged entry and those after it aren't used.
    let mut damaged = log;
    damaged[4096] ^= 1;
    assert!(sources(&Hive::read(old, &[&damaged]).unwrap()).is_empty());
}

/// A copy of the hive in a folder of its own.
fn system() -> Option<(tempfile::TempDir, PathBuf)> {
    let packed = quarry_testkit::corpus_file("messages/SYSTEM.xz")?;
    if !quarry_testkit::has_program("python3", "python3-venv") {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("SYSTEM");
    std::fs::write(&path, quarry_testkit::unpack_xz(&packed)).unwrap();
    Some((folder, path))
}

fn python(words: &[&str], paths: &[&Path]) -> Vec<u8> {
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/witnesses/requirements.txt");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/witnesses/hives.py");
    let output = Command::new(quarry_testkit::python("message", Path::new(requirements)))
        .arg(script)
        .args(words)
        .args(paths)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
