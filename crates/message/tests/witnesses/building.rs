//! Catalogues that are built of real provider files and a real hive.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use quarry_message::build::{Build, BuildOptions, build};
use quarry_message::{Catalogue, Resources};

use crate::files;

fn built(paths: &[&Path]) -> (Build, Vec<u8>) {
    let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).to_owned()).collect();
    let mut built = build(&paths, &BuildOptions::default()).unwrap();
    let mut file = Cursor::new(Vec::new());
    let builder = std::mem::take(&mut built.builder);
    builder.write(built.info.clone(), &mut file).unwrap();
    (built, file.into_inner())
}

#[test]
fn files_alone_give_the_providers_that_they_describe() {
    let (Some(security), Some(nssm)) = (files::ADTSCHEMA.fetch(), files::NSSM.fetch()) else {
        return;
    };
    let (build, file) = built(&[&security, &nssm]);
    assert!(build.failures.is_empty(), "{:?}", build.failures);
    assert_eq!(build.info.build, "10.0.26100");
    let catalogue = Catalogue::read(Cursor::new(file)).unwrap();
    catalogue.verify().unwrap();
    let names: Vec<&str> = catalogue.providers().map(|(name, _)| name).collect();
    assert_eq!(names, ["Microsoft-Windows-Security-Auditing", "nssm"]);
    let security = catalogue.provider("microsoft-windows-security-auditing", None).unwrap();
    // The message of version 2 has another identifier than the event's number suggests.
    let text = security.event(4688, 2, None).unwrap().text();
    assert!(text.literals().next().unwrap().starts_with("A new process has been created."));
    let mut task = Vec::new();
    assert!(security.push_task(12544, &mut task));
    assert_eq!(task, b"Logon");
}

#[test]
fn a_mounted_disk_is_read_by_its_registry_whatever_the_case_of_its_names() {
    let Some(hive) = quarry_testkit::corpus_file("messages/SYSTEM.xz") else { return };
    let (Some(security), Some(services), Some(table)) =
        (files::ADTSCHEMA.fetch(), files::SERVICES.fetch(), files::PGEVENT.fetch())
    else {
        return;
    };
    let disk = tempfile::tempdir().unwrap();
    let folder = disk.path().join("WINDOWS/System32");
    fs::create_dir_all(folder.join("config")).unwrap();
    fs::create_dir_all(folder.join("en-US")).unwrap();
    fs::write(folder.join("config/SYSTEM"), quarry_testkit::unpack_xz(&hive)).unwrap();
    fs::copy(security, folder.join("AdtSchema.dll")).unwrap();
    fs::copy(services, folder.join("Services.exe")).unwrap();
    // Messages that only the `.mui` file of a program has.
    fs::copy(&table, folder.join("en-US/Services.exe.mui")).unwrap();
    // A file that nothing in the registry names isn't read.
    fs::write(folder.join("other.dll"), "no PE file").unwrap();
    // A link that leads up again.
    #[cfg(unix)]
    std::os::unix::fs::symlink(disk.path(), folder.join("drivers")).unwrap();
    let (build, file) = built(&[disk.path()]);
    assert!(build.failures.is_empty(), "{:?}", build.failures);
    assert!(build.missing.len() > 50, "{:?}", build.missing);
    let catalogue = Catalogue::read(Cursor::new(file)).unwrap();
    catalogue.verify().unwrap();
    let security = catalogue.provider("Microsoft-Windows-Security-Auditing", None).unwrap();
    assert!(security.event(4624, 2, None).is_some());
    let services = catalogue.provider("Service Control Manager", None).unwrap();
    let manifest = services.provider().manifest.as_ref().unwrap();
    assert!(manifest.events.iter().any(|event| event.id == 7036));
    let table = Resources::read(&*fs::read(table).unwrap()).unwrap();
    let (id, text) = table.tables[0].1.iter().next().unwrap();
    assert_eq!(services.message(id), Some(text));
    // The Windows folder by itself is the same.
    let (_, same) = built(&[&disk.path().join("WINDOWS")]);
    let same = Catalogue::read(Cursor::new(same)).unwrap();
    assert_eq!(same.providers().len(), catalogue.providers().len());
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_built() {
    let Some(security) = files::ADTSCHEMA.fetch() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::copy(security, folder.path().join("a/b/adtschema.DLL")).unwrap();
    fs::write(folder.path().join("a/broken.dll"), "MZ and no more").unwrap();
    fs::write(folder.path().join("a/SYSTEM"), "no hive").unwrap();
    fs::write(folder.path().join("a/notes.txt"), "not looked at").unwrap();
    let (build, file) = built(&[folder.path()]);
    let mut failures: Vec<String> = build
        .failures
        .iter()
        .map(|(path, error)| format!("{}: {error}", path.file_name().unwrap().display()))
        .collect();
    failures.sort();
    assert_eq!(failures, ["SYSTEM: not a registry hive", "broken.dll: not a PE file"]);
    assert_eq!(Catalogue::read(Cursor::new(file)).unwrap().providers().len(), 1);
    assert!(
        quarry_message::build::build(&[folder.path().join("none")], &BuildOptions::default())
            .is_err()
    );
}
