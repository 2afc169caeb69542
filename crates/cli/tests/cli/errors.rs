//! What goes wrong: one line that says what, what to do, the right exit status, and the other
//! sources unharmed.

use super::*;

#[test]
fn every_mistake_is_named_with_what_to_do() {
    let folder = logs();
    let root = folder.path();
    fs::write(root.join("notes.txt"), "no log\n").unwrap();
    // Else it is warned of where it is taken for a keytab.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let own = fs::Permissions::from_mode(0o600);
        fs::set_permissions(root.join("notes.txt"), own).unwrap();
    }
    fs::write(root.join("packed.evtx"), b"\x1f\x8b\x08\0").unwrap();
    fs::write(root.join("empty.evtx"), "").unwrap();
    fs::create_dir(root.join("nothing")).unwrap();
    fs::create_dir(root.join("older")).unwrap();
    fs::write(root.join("older/x.evt"), "").unwrap();
    let mistakes: &[&[&str]] = &[
        &["scan"],
        &["scan", "--lines", "x", "a.evtx"],
        &["scan", "missing.evtx"],
        &["scan", ""],
        &["scan", "dc01"],
        &["scan", "dc01:135"],
        &["scan", "even6://dc01"],
        &["scan", "dc01", "-k", "--authentication", "ntlm"],
        &["scan", "dc01", "--keytab", "missing.keytab"],
        &["scan", "dc01", "--keytab", "notes.txt", "-u", "a@b@"],
        &["scan", "dc01", "--keytab", "notes.txt", "-u", "ann"],
        &["scan", "dc01", "--keytab", "notes.txt", "--password-file", "notes.txt"],
        &["scan", "@web"],
        &["scan", "."],
        &["scan", "notes.txt"],
        &["scan", "packed.evtx"],
        &["scan", "empty.evtx"],
        &["scan", "nothing"],
        &["scan", "older"],
        &["scan", "a.evtx/b.evtx"],
        &["scan", "a.evtx", "-i", "46x4"],
        &["scan", "a.evtx", "-p", "eror"],
        &["scan", "a.evtx", "-S", "soon"],
        &["scan", "a.evtx", "-S", "2026-08-23", "-U", "2026-08-22"],
        &["scan", "a.evtx", "--data", "x"],
        &["scan", "a.evtx", "-g", "(a"],
        &["scan", "a.evtx", "--xpath", "*[System[EventID=]]"],
        &["scan", "a.evtx", "--provider", "[a"],
        &["scan", "a.evtx", "--fields", "time,mesage"],
        &["scan", "a.evtx", "--fields", "qqq"],
        &["scan", "a.evtx", "--fields", ""],
        &["scan", "a.evtx", "--fields", "time", "-o", "xml"],
        &["scan", "a.evtx", "-o", "yaml"],
        &["scan", "a.evtx", "-n", "0"],
        &["scan", "a.evtx", "--threads", "0"],
        &["scan", "a.evtx", "--threads", "1025"],
        &["decode", "a.evtx"],
        &["decode", "notes.txt"],
    ];
    let mut shown = String::new();
    for args in mistakes {
        let ran = run(root, args);
        assert_eq!(ran.status, Some(2), "{args:?}: {}", ran.shown());
        assert!(ran.stderr.contains("error: "), "{args:?}");
        shown.push_str(&format!("$ quarry {}\n{}\n", args.join(" "), ran.stderr));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_format_of_quarryd_s_names_the_program_that_writes_it() {
    let folder = logs();
    for words in [&["scan", "a.evtx"][..], &["detect", "--rules", "rules", "a.evtx"]] {
        let ran = run(folder.path(), &[words, &["-o", "parquet"]].concat());
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("`quarryd export SOURCE... -o FILE.parquet`"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_source_that_fails_leaves_the_others_unharmed() {
    let folder = logs();
    fs::write(folder.path().join("notes.txt"), "no log\n").unwrap();
    let ran = run(folder.path(), &["scan", "notes.txt", "a.evtx"]);
    assert_eq!(ran.lines().len(), 4);
    assert_eq!(ran.status, Some(3));
    assert!(ran.stderr.contains("error: notes.txt: this is not an event log (.evtx or .evt) file"));
    assert!(ran.stderr.ends_with("1 of 2 files read, 1 failed; 4 records, 4 matched\n"));
}

#[test]
fn an_empty_log_is_no_error_and_no_event() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.evtx"), file(&[])).unwrap();
    let ran = run(folder.path(), &["scan", "a.evtx"]);
    assert_eq!(
        ran.shown(),
        "--- stderr ---\n1 of 1 file read; 0 records, 0 matched\n--- status 1 ---"
    );
}

#[test]
fn nothing_that_matches_is_status_1() {
    let folder = logs();
    let ran = run(folder.path(), &["scan", "a.evtx", "-i", "1"]);
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.status, Some(1));
    assert_eq!(ran.stderr, "1 of 1 file read; 4 records, 0 matched\n");
}

#[test]
fn damage_is_named_with_its_place_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let chunks = [vec![event(1, 1, 1, "a")], vec![event(2, 2, 2, "b")], vec![event(3, 3, 3, "c")]];
    let mut bytes = file(&chunks);
    // The second chunk is overwritten, the third is cut.
    bytes[4096 + 65_536..4096 + 2 * 65_536].fill(0xee);
    bytes.truncate(4096 + 2 * 65_536 + 4096);
    fs::write(folder.path().join("a.evtx"), bytes).unwrap();
    let ran = run(folder.path(), &["scan", "a.evtx", "--fields", "event_id"]);
    assert_eq!(ran.stdout, "{\"event_id\":1}\n{\"event_id\":3}\n");
    assert_eq!(ran.status, Some(0));
    let warnings: Vec<&str> =
        ran.stderr.lines().filter(|line| line.starts_with("warning: a.evtx: at byte")).collect();
    assert!(warnings.iter().any(|line| line.contains("at byte 69632:")), "{}", ran.stderr);
    assert!(warnings.iter().any(|line| line.contains("the file ends here")), "{}", ran.stderr);
    let quiet = run(folder.path(), &["scan", "a.evtx", "-q"]);
    assert_eq!(quiet.stderr, "");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let folder = logs();
    for args in [&["scan", "a.evtx"][..], &["count", "a.evtx"], &["help", "scan"], &["--version"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran: Ran = quarry(folder.path()).args(args).stdout(full).output().unwrap().into();
        assert_eq!(ran.status, Some(2), "{args:?}: {}", ran.shown());
        let told = "error: standard output: no space left on device\n";
        assert!(ran.stderr.starts_with(told), "{args:?}: {}", ran.shown());
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf8_is_read_and_shown() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"caf\xe9\x1b[31m\".evtx");
    if fs::write(folder.path().join(name), file(&[vec![event(1, 1, 1, "a")]])).is_err() {
        return; // A file system that has UTF-8 names only.
    }
    let ran = run(folder.path(), &["scan", "./"]);
    assert_eq!(ran.status, Some(0));
    assert_eq!(json(&ran.stdout)["source"], "./caf\u{fffd}\u{1b}[31m\".evtx");
    assert!(!ran.stdout.contains('\u{1b}'));
    let table = run(folder.path(), &["scan", "./", "-o", "table", "--fields", "source"]);
    assert!(!table.stdout.contains('\u{1b}'));
    fs::write(folder.path().join(name), "no log").unwrap();
    let ran = run(folder.path(), &["scan", "./"]);
    assert_eq!(ran.status, Some(2));
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
}
