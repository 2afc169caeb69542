//! Archives and compressed files through the whole program, copies of a log, and what is recovered
//! from files of any kind.

use std::io::Write;

use super::evt::{evt_ring::Ring, record};
use super::*;

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn a_log(first: u64, events: u64) -> Vec<u8> {
    let events: Vec<_> =
        (first..first + events).map(|n| event(n, n, 4624, &format!("user{n}"))).collect();
    file(&[events])
}

fn sources(ran: &Ran) -> Vec<String> {
    ran.lines().iter().map(|line| json(line)["source"].as_str().unwrap().to_owned()).collect()
}

fn numbers(ran: &Ran) -> Vec<u64> {
    ran.lines().iter().map(|line| json(line)["log_record"].as_u64().unwrap()).collect()
}

#[test]
fn a_zip_archive_is_read_as_a_folder_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(1024, 4096, 1);
    ring.write(|number| record(number, "running"));
    let bytes = zip(&[
        ("C/Windows/System32/winevt/Logs/Security.evtx", &a_log(1, 2)),
        ("C\\Windows\\System32\\config\\SysEvent.Evt", &ring.closed()),
        ("C/notes.txt", b"no log"),
        ("a.evtx.gz", &gzip(&a_log(7, 1))),
        ("../evil.evtx", &a_log(9, 1)),
    ]);
    fs::write(folder.path().join("triage.zip"), bytes).unwrap();
    let ran = run(folder.path(), &["scan", "triage.zip"]);
    assert_eq!(
        sources(&ran),
        [
            "triage.zip/../evil.evtx",
            "triage.zip/C/Windows/System32/config/SysEvent.Evt",
            "triage.zip/C/Windows/System32/winevt/Logs/Security.evtx",
            "triage.zip/C/Windows/System32/winevt/Logs/Security.evtx",
            "triage.zip/a.evtx.gz",
        ],
        "{}",
        ran.shown()
    );
    assert_eq!(ran.stderr, "4 of 4 files read; 5 records, 5 matched\n");
    assert_eq!(ran.status, Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is unpacked to a name");
    // A folder with an archive in it is searched as deep.
    fs::write(folder.path().join("none.zip"), zip(&[("a.txt", b"")])).unwrap();
    let in_folder = run(folder.path(), &["count", "./", "-o", "jsonl"]);
    assert_eq!(in_folder.lines().len(), 4, "{}", in_folder.shown());
    assert!(sources(&in_folder)[0].ends_with("triage.zip/../evil.evtx"), "{}", in_folder.shown());
}

#[test]
fn what_of_an_archive_cannot_be_read_is_named_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    // With an encrypted file and an archive inside, as zip 3.0 makes it.
    let mixed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../archive/tests/fixtures/mixed.zip");
    fs::copy(mixed, folder.path().join("mixed.zip")).unwrap();
    fs::write(folder.path().join("a.evtx"), a_log(1, 1)).unwrap();
    let ran = run(folder.path(), &["scan", "mixed.zip", "a.evtx"]);
    assert_eq!((ran.status, sources(&ran)), (Some(3), vec!["a.evtx".to_owned()]));
    for line in [
        "error: mixed.zip/C/secret.evtx: it is encrypted in the archive\n",
        "hint: unpack it with its password first\n",
        "error: mixed.zip/inner.zip: a zip archive in an archive is not opened\n",
        "error: mixed.zip/C/Windows/Security.evtx: this is not an event log",
        "1 of 4 files read, 3 failed; 1 record, 1 matched\n",
    ] {
        assert!(ran.stderr.contains(line), "{line}{}", ran.stderr);
    }
    fs::write(folder.path().join("none.zip"), zip(&[("a.txt", b"")])).unwrap();
    let ran = run(folder.path(), &["scan", "none.zip"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("there are no .evtx or .evt files in the archive none.zip"));
}

#[test]
fn compressed_files_are_read_as_files_are_also_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = gzip(&a_log(1, 3));
    fs::write(folder.path().join("Security.evtx.gz"), &bytes).unwrap();
    // What a file is is told by what is in it.
    fs::write(folder.path().join("renamed.evtx"), &bytes).unwrap();
    let ran = run(folder.path(), &["scan", "Security.evtx.gz", "renamed.evtx", "--unique"]);
    assert_eq!(numbers(&ran), [1, 2, 3], "{}", ran.shown());
    assert_eq!(json(ran.lines()[0])["log"], "Security");
    assert_eq!(ran.status, Some(0));
    let mut child = quarry(folder.path())
        .args(["scan", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(numbers(&ran), [1, 2, 3], "{}", ran.shown());
    let file = fs::File::open(folder.path().join("Security.evtx.gz")).unwrap();
    let ran: Ran = quarry(folder.path()).args(["scan", "-"]).stdin(file).output().unwrap().into();
    assert_eq!(numbers(&ran), [1, 2, 3], "{}", ran.shown());
}

#[test]
fn the_source_of_an_event_in_an_archive_is_a_source_too() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = zip(&[("C/Logs/Security.evtx", &a_log(1, 2)), ("C/LogsOld.evtx", &a_log(7, 1))]);
    fs::write(folder.path().join("t.zip"), bytes).unwrap();
    for (source, found) in
        [("t.zip/C/Logs/Security.evtx", 2), ("t.zip/C/Logs", 2), ("t.zip/C", 3), ("t.zip/C/", 3)]
    {
        let ran = run(folder.path(), &["scan", source]);
        assert_eq!((ran.status, ran.lines().len()), (Some(0), found), "{}", ran.shown());
    }
    assert!(sources(&run(folder.path(), &["scan", "t.zip/C/Logs"]))[0].ends_with("Security.evtx"));
    let ran = run(folder.path(), &["scan", "t.zip/C/Log"]);
    assert_eq!(ran.status, Some(2));
    let error = "error: there is no .evtx or .evt file C/Log in the archive t.zip\n";
    assert!(ran.stderr.starts_with(error), "{}", ran.stderr);
}

#[test]
fn a_zip_archive_on_standard_input_is_refused_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.zip");
    fs::write(&path, zip(&[("Security.evtx", &a_log(1, 2))])).unwrap();
    let file = fs::File::open(path).unwrap();
    let ran: Ran = quarry(folder.path()).args(["scan", "-"]).stdin(file).output().unwrap().into();
    assert_eq!(ran.status, Some(2));
    let told = "error: standard input: a zip archive is only read as a file\n\
                hint: save it, and name that file\n";
    assert!(ran.stderr.starts_with(told), "{}", ran.stderr);
}

#[test]
fn a_file_that_is_compressed_in_another_way_has_a_hint_that_is_true() {
    let folder = tempfile::tempdir().unwrap();
    for (name, start) in
        [("a.7z", &b"7z\xbc\xaf\x27\x1c"[..]), ("a.xz", b"\xfd7zXZ\0"), ("a.bz2", b"BZh91AY")]
    {
        fs::write(folder.path().join(name), [start, &[0; 100]].concat()).unwrap();
        let ran = run(folder.path(), &["scan", name]);
        assert_eq!(ran.status, Some(2));
        let hint = "hint: it is compressed in a way that is not read: unpack it first\n";
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
    }
}

#[test]
fn what_is_no_log_is_refused_with_the_way_to_search_it_and_that_way_finds_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    // An .evt file without its header is one by a record that is near its beginning.
    let mut image = vec![0x5a; 300_001];
    image.extend_from_slice(&a_log(1, 5)[4096..]);
    image.extend_from_slice(&[0x5a; 333]);
    image.extend_from_slice(&record(77, "stopped"));
    fs::write(folder.path().join("disk.img"), &image).unwrap();
    let ran = run(folder.path(), &["scan", "disk.img"]);
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""));
    assert!(
        ran.stderr.contains("hint: quarry scan --recover finds what is left"),
        "{}",
        ran.stderr
    );
    let ran = run(folder.path(), &["scan", "disk.img", "--recover"]);
    let mut found = numbers(&ran);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5, 77], "{}", ran.shown());
    assert_eq!(ran.status, Some(0));
    fs::write(folder.path().join("disk.img.gz"), gzip(&image)).unwrap();
    let packed = run(folder.path(), &["scan", "disk.img.gz", "--recover"]);
    assert_eq!(numbers(&packed), numbers(&ran), "{}", packed.shown());
}

#[test]
fn a_copy_of_a_log_is_told_and_with_unique_each_event_comes_once() {
    let folder = tempfile::tempdir().unwrap();
    let chunk = |first: u64| (first..first + 3).map(|n| event(n, n, 4624, "alice")).collect();
    // A day later the first chunk is gone, and another has come.
    let monday: Vec<Vec<Event>> = vec![chunk(1), chunk(4)];
    let tuesday: Vec<Vec<Event>> = vec![chunk(4), chunk(7)];
    fs::write(folder.path().join("monday.evtx"), file(&monday)).unwrap();
    fs::write(folder.path().join("tuesday.evtx"), file(&tuesday)).unwrap();
    let ran = run(folder.path(), &["scan", "monday.evtx", "tuesday.evtx"]);
    assert_eq!(ran.lines().len(), 12);
    let told = "warning: tuesday.evtx: it is a copy: records of it are in monday.evtx too";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert_eq!(ran.status, Some(0));
    for more in [&[][..], &["--sort", "time"], &["--threads", "1"]] {
        let args = [&["scan", "monday.evtx", "tuesday.evtx", "--unique"][..], more].concat();
        let ran = run(folder.path(), &args);
        assert_eq!(numbers(&ran), (1..10).collect::<Vec<_>>(), "{}", ran.shown());
        assert!(ran.stderr.contains("  3 copies left out\n"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    }
    // Of each source as many as are wanted, copies not counted.
    let args = ["scan", "monday.evtx", "tuesday.evtx", "--unique", "-n", "2"];
    assert_eq!(numbers(&run(folder.path(), &args)), [1, 2, 4, 5]);
    let saved = run(
        folder.path(),
        &["scan", "monday.evtx", "tuesday.evtx", "--unique", "-o", "csv", "--fields", "log_record"],
    );
    assert_eq!(saved.lines().len(), 10, "{}", saved.shown());
}

#[test]
fn unique_saves_each_event_once_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.evtx"), a_log(1, 4)).unwrap();
    fs::write(folder.path().join("b.evtx"), a_log(1, 4)).unwrap();
    let out = fs::File::create(folder.path().join("out.bin")).unwrap();
    let status = quarry(folder.path())
        .args(["scan", "a.evtx", "b.evtx", "--unique", "-o", "evtx", "-q"])
        .stdout(out)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let ran = run(folder.path(), &["count", "out.bin", "-o", "jsonl"]);
    assert_eq!(json(&ran.stdout)["records"], 4, "{}", ran.shown());
}

#[test]
fn a_code_page_that_is_none_is_refused_with_those_that_are() {
    let folder = logs();
    for wrong in ["1", "klingon", "utf-16"] {
        let ran = run(folder.path(), &["scan", "a.evtx", "--ansi-codepage", wrong]);
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains("no ANSI code page of Windows: 874, 932"), "{}", ran.stderr);
    }
    for right in ["1251", "cp932", "utf-8", "windows-1253"] {
        let ran = run(folder.path(), &["scan", "a.evtx", "--ansi-codepage", right]);
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
    }
}

#[test]
fn ansi_strings_are_read_in_the_code_page_that_is_given() {
    use quarry_binxml::write::{
        Element, Fragment, Instance, Piece, Template, TypedValue, ValueType,
    };
    let data = Element::new("EventData").child(
        Element::new("Data").attribute("Name", "Who").piece(Piece::value(0, ValueType::AnsiString)),
    );
    let event = Element::new("Event").child(Element::new("System")).child(data);
    let event = Fragment::Instance(Instance {
        template: Template::new(quarry_event::Guid::from_bytes([7; 16]), event).unwrap(),
        // The same bytes are "\u{416}\u{423}\u{41a}" in 1251 and "\u{c6}\u{d3}\u{ca}" in 1252.
        values: vec![TypedValue::AnsiString(b"\xc6\xd3\xca".into())],
    });
    let mut writer = quarry_logfile::EvtxWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    writer.write(&event, quarry_event::EventTime::from_filetime(134_000_000_000_000_000)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.evtx"), writer.finish().unwrap().into_inner()).unwrap();
    for (page, text) in [("1251", "ЖУК"), ("1252", "ÆÓÊ")] {
        let ran = run(folder.path(), &["scan", "a.evtx", "--ansi-codepage", page]);
        assert_eq!(json(&ran.stdout)["data"]["Who"], text, "{}", ran.shown());
        let count = run(
            folder.path(),
            &["count", "a.evtx", "--ansi-codepage", page, "--data", &format!("Who={text}")],
        );
        assert!(count.stderr.contains("1 matched"), "{}", count.shown());
    }
}
