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

/// services.exe says itself that its messages are in a `.mui` file, and adtschema.dll has English ones.
#[test]
fn files_without_messages_in_the_language_are_counted() {
    let (Some(security), Some(services)) = (files::ADTSCHEMA.fetch(), files::SERVICES.fetch())
    else {
        return;
    };
    let mut options = BuildOptions::default();
    let paths = [security, services.clone()];
    let english = build(&paths, &options).unwrap();
    assert_eq!((english.other_language, &*english.without_mui), (0, &[services.clone()][..]));
    options.language = quarry_message::LanguageId::from_name("de-DE").unwrap();
    options.language_name = "de-DE".to_owned();
    let german = build(&paths, &options).unwrap();
    assert_eq!((german.other_language, &*german.without_mui), (1, &[services][..]));
}

/// A file's resource MUI says whether its messages are in it (type 11 among its own types), in its `.mui`
/// file, or in both: services.exe has them there, adtschema.dll in both.
#[test]
fn messages_are_read_where_the_mui_resource_says_that_they_are() {
    let (Some(security), Some(services), Some(table)) =
        (files::ADTSCHEMA.read(), files::SERVICES.read(), files::PGEVENT.read())
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // As `.mui` files pgevent.dll serves, whose one message has a number that the others lack.
    fs::create_dir(folder.join("en-US")).unwrap();
    // The same, but that it has no messages in its `.mui` file: another type in place of theirs.
    let mut alone = security.clone();
    let at = alone.windows(4).position(|bytes| bytes == [0xcd, 0xfe, 0xcd, 0xfe]).unwrap();
    let number = |at: usize| u32::from_le_bytes(security[at..at + 4].try_into().unwrap()) as usize;
    let types = at + number(at + 108);
    assert_eq!((number(types), number(types + 4)), (11, 16));
    alone[types] = 6;
    for (name, file) in [("both.dll", &security), ("alone.dll", &alone), ("there.exe", &services)] {
        fs::write(folder.join(name), file).unwrap();
        fs::write(folder.join(format!("en-US/{name}.mui")), &table).unwrap();
    }
    let own = |name: &str| {
        let (_, file) = built(&[&folder.join(name)]);
        let catalogue = Catalogue::read(Cursor::new(file)).unwrap();
        let provider = catalogue.providers().next().map(|(name, _)| name.to_owned()).unwrap();
        let provider = catalogue.provider(&provider, None).unwrap();
        let is_failed_logon =
            |(_, text): (u32, &str)| text.starts_with("An account failed to log on");
        let has_own = provider.messages().any(is_failed_logon);
        (has_own, provider.message(0).is_some())
    };
    assert_eq!(own("both.dll"), (true, true));
    assert_eq!(own("alone.dll"), (true, false));
    assert_eq!(own("there.exe"), (false, true));
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
