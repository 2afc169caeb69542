//! `.evt` files through the whole program, and what is recovered from slack, of both formats.

#[path = "../../../logfile/tests/classic_parts/mod.rs"]
mod classic_parts;
#[path = "../../../logfile/tests/evt_ring/mod.rs"]
pub(crate) mod evt_ring;

use std::collections::BTreeSet;
use std::io::Write;

use super::*;
use classic_parts::Parts;
use evt_ring::Ring;
use serde_json::{Value, json};

/// A record of a service that has come to a state.
pub(crate) fn record(number: u32, state: &str) -> Vec<u8> {
    let is_error = number.is_multiple_of(5);
    let parts = Parts {
        number,
        generated: 1_300_000_000 + 60 * number,
        written: 1_300_000_001 + 60 * number,
        id: if is_error { 0xc000_1b7c } else { 0x4000_1b7c },
        kind: if is_error { 1 } else { 4 },
        category: 3,
        source: "Service Control Manager".into(),
        computer: "WINXP".into(),
        sid: vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0],
        strings: vec!["Spooler".into(), state.into()],
        data: if is_error { vec![0xde, 0xad] } else { Vec::new() },
    };
    parts.encode()
}

/// A log of 20 records of which the first ones are overwritten, and still open.
fn ring() -> Ring {
    let mut ring = Ring::new(1024, 2520, 1);
    for n in 1..=20 {
        ring.write(|number| record(number, if n % 2 == 0 { "stopped" } else { "running" }));
    }
    ring
}

/// A folder with that log as `SysEvent.Evt`, and a log of today in `sub`.
fn folder() -> (TempDir, Vec<u32>) {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring();
    fs::write(folder.path().join("SysEvent.Evt"), ring.open()).unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let b = vec![vec![event(1, 50, 4624, "dave"), event(2, 400, 4625, "Alice")]];
    fs::write(folder.path().join("sub/b.evtx"), file(&b)).unwrap();
    (folder, ring.numbers())
}

fn numbers(ran: &Ran) -> Vec<u32> {
    let number = |line: &&str| json(line)["log_record"].as_u64().unwrap() as u32;
    ran.lines().iter().map(number).collect()
}

#[test]
fn a_record_is_printed_as_an_event_of_today() {
    let (folder, live) = folder();
    let ran = run(folder.path(), &["scan", "SysEvent.Evt"]);
    assert_eq!((ran.status, numbers(&ran)), (Some(0), live), "{}", ran.shown());
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    let printed = ran.lines().into_iter().map(json).find(|event| event["log_record"] == 20);
    let expected = json!({
        "v": 1, "time": "2011-03-13T07:26:40.0000000Z", "source": "SysEvent.Evt", "host": "WINXP",
        "log": "SysEvent", "log_record": 20, "computer": "WINXP", "channel": "System",
        "record_id": 20, "provider": "Service Control Manager", "provider_guid": null,
        "event_id": 7036, "qualifiers": 0xc000, "version": null, "level": 2,
        "level_name": "Error", "task": 3, "opcode": null, "keywords": "0x80000000000000",
        "user_sid": "S-1-5-18", "process_id": null, "thread_id": null, "activity_id": null,
        "related_activity_id": null,
        "data": {"param1": "Spooler", "param2": "stopped", "Binary": "DEAD"},
        "user_data": null, "message": null, "message_source": null,
    });
    assert_eq!(printed, Some(expected));
}

#[test]
fn filters_and_queries_work_on_it() {
    let (folder, live) = folder();
    let of = |args: &[&str]| {
        let ran = run(folder.path(), &[&["scan", "SysEvent.Evt"], args].concat());
        assert!(matches!(ran.status, Some(0 | 1)), "{}", ran.shown());
        numbers(&ran)
    };
    let errors: Vec<u32> = live.iter().copied().filter(|n| n % 5 == 0).collect();
    let stopped: Vec<u32> = live.iter().copied().filter(|n| n % 2 == 0).collect();
    assert!(errors.len() > 1 && stopped.len() > 1);
    assert_eq!(of(&["-p", "error"]), errors);
    assert_eq!(of(&["-i", "7036"]), live);
    assert_eq!(of(&["-i", "7035"]), Vec::<u32>::new());
    assert_eq!(of(&["--provider", "service*", "-g", "stopped"]), stopped);
    assert_eq!(of(&["--data", "param2=stopped"]), stopped);
    assert_eq!(of(&["-l", "System"]), live);
    assert_eq!(of(&["-l", "Security"]), Vec::<u32>::new());
    assert_eq!(of(&["--event-user", "S-1-5-18", "--computer", "winxp"]), live);
    assert_eq!(of(&["-S", "2011-03-13T07:25:00Z"]), [19, 20]);
    assert_eq!(of(&["--xpath", "*[System[Level=2 and EventID=7036]]"]), errors);
    assert_eq!(of(&["--xpath", "*[EventData[Data='stopped']]"]), stopped);
    assert_eq!(of(&["--xpath", "*[System/Provider[@Name='Service Control Manager']]"]), live);
    assert_eq!(of(&["-n", "2"]), live[..2]);
    assert_eq!(of(&["-r", "-n", "3"]), [20, 19, 18]);
    assert_eq!(of(&["-r"]), live.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(of(&["--sort", "time", "-r", "-n", "2"]), [20, 19]);
}

#[test]
fn a_folder_is_searched_for_both_kinds_and_sorted_as_one() {
    let (folder, live) = folder();
    let ran = run(folder.path(), &["scan", "./", "--sort", "time"]);
    let sources: Vec<_> = ran.lines().iter().map(|line| json(line)["source"].clone()).collect();
    assert_eq!(sources.len(), live.len() + 2);
    assert_eq!(sources[..live.len()], vec![json!("./SysEvent.Evt"); live.len()]);
    assert_eq!(sources[live.len()..], vec![json!("./sub/b.evtx"); 2]);
    assert!(ran.stderr.starts_with("2 of 2 files read; "), "{}", ran.stderr);
}

#[test]
fn it_is_read_from_standard_input_and_under_any_name() {
    let (folder, live) = folder();
    let bytes = fs::read(folder.path().join("SysEvent.Evt")).unwrap();
    let mut child = quarry(folder.path())
        .args(["scan", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(numbers(&ran), live);
    let event = json(ran.lines()[0]);
    assert_eq!([&event["source"], &event["log"]], ["-", "-"]);
    // Nobody knows what log it was.
    assert_eq!(event["channel"], Value::Null);
    fs::write(folder.path().join("renamed.evtx"), bytes).unwrap();
    let ran = run(folder.path(), &["scan", "renamed.evtx"]);
    assert_eq!(numbers(&ran), live);
    assert_eq!(json(ran.lines()[0])["channel"], "renamed");
}

#[test]
fn count_and_logs_tell_what_is_in_it() {
    let (folder, live) = folder();
    let ran = run(folder.path(), &["count", "SysEvent.Evt"]);
    let [counted] = &*ran.lines() else { panic!("{}", ran.shown()) };
    let oldest = 1_300_000_000 + 60 * i64::from(live[0]);
    let oldest = jiff::Timestamp::from_second(oldest).unwrap();
    let expected = json!({
        "source": "SysEvent.Evt", "log": "SysEvent", "records": live.len(),
        "oldest": format!("{oldest:.7}"), "newest": "2011-03-13T07:26:40.0000000Z",
    });
    assert_eq!(json(counted), expected);
    let ran = run(folder.path(), &["logs", "SysEvent.Evt"]);
    assert_eq!(json(ran.lines()[0])["log"], "System");
}

#[test]
fn damage_is_named_with_its_place_and_the_rest_is_read() {
    let (folder, live) = folder();
    let path = folder.path().join("SysEvent.Evt");
    let mut bytes = fs::read(&path).unwrap();
    let third = ring().written.into_iter().find(|record| record.number == live[2]).unwrap();
    bytes[third.at..third.at + 8].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let ran = run(folder.path(), &["scan", "SysEvent.Evt"]);
    let left: Vec<u32> = live.iter().copied().filter(|n| *n != live[2]).collect();
    assert_eq!((ran.status, numbers(&ran)), (Some(0), left));
    let warning = format!(
        "warning: SysEvent.Evt: at byte {}: {} bytes are no record and are left out\n",
        third.at,
        third.bytes.len()
    );
    assert!(ran.stderr.starts_with(&warning), "{}", ran.stderr);
}

#[test]
fn records_of_slack_are_marked_in_every_format_and_shown_only_if_asked_for() {
    let (folder, _) = folder();
    let mut ring = ring();
    ring.clear();
    for _ in 1..=4 {
        ring.write(|number| record(number, "paused"));
    }
    let live = ring.numbers();
    fs::write(folder.path().join("SysEvent.Evt"), ring.open()).unwrap();
    let all = |args: &[&str]| run(folder.path(), &[&["scan", "SysEvent.Evt"], args].concat());
    let ran = all(&["--recover"]);
    let events: Vec<Value> = ran.lines().into_iter().map(json).collect();
    let (recovered, rest): (Vec<_>, Vec<_>) =
        events.iter().partition(|event| event["recovered"] == true);
    assert_eq!((rest.len(), live.len()), (4, 4));
    assert!(rest.iter().all(|event| event.get("recovered").is_none()));
    let given_up: BTreeSet<u64> = ring.given_up().iter().map(|r| r.number.into()).collect();
    assert!(!given_up.is_empty());
    let found = recovered.iter().map(|event| event["log_record"].as_u64().unwrap());
    // Those that are half overwritten may come besides.
    assert!(given_up.is_subset(&found.collect()));
    let marked = recovered.len();
    assert!(!all(&[]).stdout.contains("recovered"));

    let csv = all(&["--recover", "-o", "csv"]).stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let column = reader.headers().unwrap().iter().position(|name| name == "recovered").unwrap();
    let cells: Vec<_> = reader.records().map(|row| row.unwrap()[column].to_owned()).collect();
    assert_eq!(cells.len(), events.len());
    assert_eq!(cells.iter().filter(|cell| *cell == "true").count(), marked);
    assert!(!all(&["-o", "csv"]).stdout.contains("recovered"));

    let xml = all(&["--recover", "-o", "xml"]).stdout;
    assert_eq!(xml.matches("<Event recovered=\"true\" xmlns=").count(), marked);
    let table = all(&["--recover", "-o", "table"]).stdout;
    assert_eq!(table.matches("[recovered] Spooler").count(), marked);
    let fields = all(&["--recover", "--fields", "log_record"]).stdout;
    assert_eq!(fields.matches(",\"recovered\":true}\n").count(), marked);
    assert_eq!(fields.matches(",\"recovered\":false}\n").count(), live.len());
    let csv = all(&["--recover", "--fields", "id", "-o", "csv"]).stdout;
    assert_eq!(csv.lines().next(), Some("event_id,recovered"));
    assert_eq!(csv.matches("7036,true").count(), marked);
    let fields = all(&["--recover", "--fields", "recovered"]).stdout;
    assert_eq!(fields.matches("{\"recovered\":true}\n").count(), marked);
    assert_eq!(fields.matches("{\"recovered\":false}\n").count(), live.len());

    let ran = run(folder.path(), &["count", "SysEvent.Evt", "--recover"]);
    let counted = json(ran.lines()[0]);
    assert_eq!(counted["records"], live.len());
    assert_eq!(counted["recovered"], marked);
    // The range is that of the log's own records.
    let without = run(folder.path(), &["count", "SysEvent.Evt"]);
    let own = json(without.lines()[0]);
    assert_eq!([&counted["oldest"], &counted["newest"]], [&own["oldest"], &own["newest"]]);
    let times = events.iter().map(|event| event["time"].as_str().unwrap());
    assert!(times.max().unwrap() > own["newest"].as_str().unwrap());

    let ran = all(&["--recover", "-o", "evtx"]);
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{}", ran.shown());
    assert!(ran.stderr.contains("--recover: an .evtx file can't say"), "{}", ran.stderr);

    // Newest first it is the other way round.
    let mut forward = numbers(&all(&["--recover"]));
    forward.reverse();
    assert_eq!(numbers(&all(&["--recover", "-r"])), forward);
}

#[test]
fn records_of_slack_in_an_evtx_file_are_recovered_once() {
    let folder = tempfile::tempdir().unwrap();
    // A chunk that is used again: the records of before lie after those of now, another chunk is
    // not used any more, and one has lost its header.
    let before: Vec<Event> = (11..=30).map(|n| event(n, n, 4624, "old")).collect();
    let now: Vec<Event> = (41..=43).map(|n| event(n, n, 4625, "new")).collect();
    let unused: Vec<Event> = (31..=40).map(|n| event(n, n, 4624, "old")).collect();
    let mut bytes = file(&[now]);
    let older = file(&[before, unused]);
    const FILE_HEADER: usize = 4096;
    const CHUNK: usize = 65_536;
    let end = u32::from_le_bytes(bytes[FILE_HEADER + 48..FILE_HEADER + 52].try_into().unwrap());
    let free = FILE_HEADER + end as usize;
    bytes[free..FILE_HEADER + CHUNK].copy_from_slice(&older[free..FILE_HEADER + CHUNK]);
    bytes.extend_from_slice(&older[FILE_HEADER + CHUNK..]);
    // The next record's number, and the checksum.
    bytes[24..32].copy_from_slice(&44u64.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..120]);
    bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
    fs::write(folder.path().join("a.evtx"), &bytes).unwrap();

    let ran = run(folder.path(), &["scan", "a.evtx"]);
    assert_eq!(numbers(&ran), [41, 42, 43], "{}", ran.shown());
    // What isn't shown is reported.
    assert!(ran.stderr.contains("1 chunk with older records is not counted"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--recover shows"), "{}", ran.stderr);
    let ran = run(folder.path(), &["scan", "a.evtx", "--recover"]);
    // All that is older comes first, or last.
    let mut backward = numbers(&ran);
    backward.reverse();
    assert_eq!(backward[..3], [43, 42, 41]);
    let newest_first = |args: &[&str]| {
        let args = [&["scan", "a.evtx", "--recover", "-r"], args].concat();
        numbers(&run(folder.path(), &args))
    };
    assert_eq!(newest_first(&[]), backward);
    assert_eq!(newest_first(&["-n", "2"]), [43, 42]);
    let events: Vec<Value> = ran.lines().into_iter().map(json).collect();
    let of = |is_recovered: bool| -> Vec<u64> {
        let events = events.iter().filter(|event| (event["recovered"] == true) == is_recovered);
        events.map(|event| event["log_record"].as_u64().unwrap()).collect()
    };
    assert_eq!(of(false), [41, 42, 43]);
    // Records are of one size, and the first three are written over.
    let recovered = of(true);
    assert!(!ran.stderr.contains("warning: "), "{}", ran.stderr);
    assert!(recovered.ends_with(&(31..=40).collect::<Vec<_>>()), "{recovered:?}");
    let of_chunk = &recovered[..recovered.len() - 10];
    assert_eq!(of_chunk, (14..=30).collect::<Vec<_>>());
}

/// What an event holds, but where it was read and when that was recovered.
fn essence(line: &str) -> Value {
    let mut event = json(line);
    for place in ["source", "log", "log_record", "recovered"] {
        event.as_object_mut().unwrap().remove(place);
    }
    event
}

#[test]
fn it_is_saved_as_an_evtx_file_with_the_same_events() {
    let (folder, _) = folder();
    let root = folder.path();
    let args = &["scan", "SysEvent.Evt"];
    let saved = quarry(root).args(args).args(["-o", "evtx"]).output().unwrap();
    fs::write(root.join("saved.evtx"), &saved.stdout).unwrap();
    let (from, to) = (run(root, args), run(root, &["scan", "saved.evtx"]));
    let essences = |ran: &Ran| ran.lines().into_iter().map(essence).collect::<Vec<_>>();
    assert_eq!(essences(&from), essences(&to));
}
