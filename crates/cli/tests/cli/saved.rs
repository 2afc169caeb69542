//! `-o evtx`: what is saved is what was matched, to quarry and to another implementation.

use super::*;

/// Runs and keeps the file that comes.
fn save(folder: &Path, args: &[&str], to: &Path) -> Ran {
    let file = fs::File::create(to).unwrap();
    let output = quarry(folder).args(args).args(["-o", "evtx"]).stdout(file).output().unwrap();
    output.into()
}

/// The number of records that the crate `evtx` reads, which checks the checksums.
fn records_by_another_reader(path: &Path) -> usize {
    let settings = evtx_crate::ParserSettings::new().validate_checksums(true);
    let mut parser = evtx_crate::EvtxParser::from_path(path).unwrap().with_configuration(settings);
    parser
        .records_json_value()
        .filter(|record| record.as_ref().unwrap().event_record_id > 0)
        .count()
}

#[test]
fn events_that_match_are_saved_as_they_were() {
    let folder = logs();
    let root = folder.path();
    let saved = root.join("saved.evtx");
    let filter = ["scan", "a.evtx", "sub/b.evtx", "-i", "4624"];
    let ran = save(root, &filter, &saved);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(records_by_another_reader(&saved), 3);
    let xml = |args: &[&str]| run(root, &[args, &["-o", "xml"]].concat()).stdout;
    assert_eq!(xml(&["scan", "saved.evtx"]), xml(&filter));
    // The newest of each.
    save(root, &["scan", "a.evtx", "sub/b.evtx", "-r", "-n", "1"], &saved);
    let ids = run(root, &["scan", "saved.evtx", "--fields", "record_id", "-o", "csv"]);
    assert_eq!(ids.lines(), ["record_id", "4", "2"]);
    // Behind what is there already, if that is how the file was opened, and only once.
    for before in [&b""[..], b"before"] {
        fs::write(&saved, before).unwrap();
        let file = fs::OpenOptions::new().append(true).open(&saved).unwrap();
        quarry(root).args(filter).args(["-o", "evtx"]).stdout(file).status().unwrap();
        let bytes = fs::read(&saved).unwrap();
        fs::write(&saved, bytes.strip_prefix(before).unwrap()).unwrap();
        assert_eq!(records_by_another_reader(&saved), 3);
    }
    // To a pipe as well.
    let piped = quarry(root).args(filter).args(["-o", "evtx"]).output().unwrap();
    fs::write(&saved, piped.stdout).unwrap();
    assert_eq!(records_by_another_reader(&saved), 3);
}

#[test]
fn nothing_matched_is_an_empty_log() {
    let folder = logs();
    let saved = folder.path().join("saved.evtx");
    let ran = save(folder.path(), &["scan", "a.evtx", "-i", "1"], &saved);
    assert_eq!(ran.status, Some(1));
    assert_eq!(records_by_another_reader(&saved), 0);
    assert_eq!(run(folder.path(), &["scan", "saved.evtx"]).status, Some(1));
}

#[test]
fn what_evtx_cannot_do_is_said() {
    let folder = logs();
    for (args, what) in [
        (&["scan", "a.evtx", "--fields", "time"][..], "--fields: evtx has no columns"),
        (&["scan", "a.evtx", "--sort", "time"], "--sort: evtx keeps the order"),
    ] {
        let ran = run(folder.path(), &[args, &["-o", "evtx"]].concat());
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
    }
}

#[test]
fn every_record_of_the_samples_is_saved_as_it_was() {
    let Some(corpus) = corpus::corpus() else { return };
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.evtx");
    let mut records = 0;
    for name in ["evtx-crate", "mitre"] {
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let path = path.to_str().unwrap();
            if !path.ends_with(".evtx") || fs::metadata(path).unwrap().len() > 3 << 20 {
                continue;
            }
            let ran = save(&corpus, &["scan", path], &saved);
            let xml = |path: &str| run(&corpus, &["scan", path, "-q", "-o", "xml"]).stdout;
            // A record that can't be saved is reported.
            if ran.stderr.contains("can't be saved") {
                println!("{path}: {}", ran.stderr);
                continue;
            }
            let count = records_by_another_reader(&saved);
            assert_eq!(xml(saved.to_str().unwrap()), xml(path), "{path}");
            records += count;
        }
    }
    println!("{records} records saved and read again");
    assert!(records > 10_000, "{records}");
}
