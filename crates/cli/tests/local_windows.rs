//! `.`, this machine, on Windows. Most of it runs against a stand-in for the Windows Event Log API
//! (`crates/winevt/tests/fake/wevtapi.c`, which says what its logs do), as Wine's own API has no
//! events; `cargo xtask windows` builds it and puts it beside the program.
#![cfg(windows)]

use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

struct Ran {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// On a busy machine Wine sometimes fails to start a process, with this error of its own.
const ERROR_INTERNAL_ERROR: i32 = 1359;

fn output(command: &mut Command) -> Output {
    for _ in 0..5 {
        match command.output() {
            Err(error) if error.raw_os_error() == Some(ERROR_INTERNAL_ERROR) => {}
            ended => return ended.expect("quarry runs"),
        }
    }
    panic!("Wine starts no process");
}

fn quarry(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
    let output = output(command.args(arguments).stdin(Stdio::null()));
    Ran {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

impl Ran {
    fn events(&self) -> Vec<Json> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(read).collect()
    }

    fn numbers(&self) -> Vec<u64> {
        let number = |event: Json| event["log_record"].as_u64().expect("a number");
        self.events().into_iter().map(number).collect()
    }

    #[track_caller]
    fn is(&self, status: i32) -> &Self {
        assert_eq!(self.status, Some(status), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

fn scan(arguments: &[&str]) -> Ran {
    quarry(&[&["scan", ".", "-o", "jsonl"], arguments].concat())
}

/// On Windows the log is read. Under Wine there is none.
#[test]
fn this_machine_is_read_or_it_is_said_why_not() {
    for arguments in [&["scan", ".", "-n", "3"][..], &["count", "."], &["logs", "."]] {
        let ran = quarry(arguments);
        match ran.status {
            Some(0) => assert!(!ran.stdout.is_empty()),
            Some(2) => {
                assert_eq!(ran.stdout, "", "{arguments:?}");
                assert!(ran.stderr.contains("under Wine there is no event log"), "{}", ran.stderr);
            }
            _ => panic!("{arguments:?}: {:?}\n{}", ran.status, ran.stderr),
        }
    }
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn an_event_of_this_machine_has_all_members() {
    let ran = scan(&["-l", "application"]);
    let events = ran.is(0).events();
    let source = events[0]["source"].as_str().unwrap();
    let host = source.strip_prefix("winevt://").expect("the machine's name");
    let expected = json!({
        "v": 1, "time": "2026-08-22T10:00:01.1234567Z", "source": source, "host": host,
        "log": "Application", "log_record": 1, "computer": "FAKE.example", "channel": "Application",
        "record_id": 1, "provider": "Fake-Provider",
        "provider_guid": "{54849625-5478-4994-a5ba-3e3b0328c30d}", "event_id": 1,
        "qualifiers": null, "version": 0, "level": 4, "level_name": "Information", "task": 1,
        "opcode": 0, "keywords": "0x8000000000000000", "user_sid": "S-1-5-18", "process_id": 4,
        "thread_id": 8, "activity_id": null, "related_activity_id": null,
        "data": {
            "Number": "1", "Guid": "{54849625-5478-4994-a5ba-3e3b0328c30d}", "Text": "a & b"
        },
        "user_data": null,
    });
    let mut event = events[0].clone();
    let members = event.as_object_mut().unwrap();
    members.retain(|name, _| !matches!(&**name, "message" | "message_source"));
    assert_eq!(event, expected);
    assert_eq!(ran.numbers(), (1..=10).collect::<Vec<_>>());
    let told = scan(&["-l", "Application", "-v"]);
    assert!(told.stderr.contains("the Windows Event Log API"), "{}", told.stderr);
    assert_eq!(events[2]["data"]["Text"].as_str().unwrap().len(), 20_000);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn a_log_of_many_batches_is_read_in_either_order() {
    assert_eq!(scan(&[]).is(0).numbers(), (101..=700).collect::<Vec<_>>());
    assert_eq!(scan(&["-r"]).is(0).numbers(), (101..=700).rev().collect::<Vec<_>>());
    assert_eq!(scan(&["-r", "-n", "3"]).is(0).numbers(), [700, 699, 698]);
    assert_eq!(scan(&["-n", "300"]).is(0).numbers(), (101..=400).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn filters_are_pushed_down_and_tested_again() {
    let sevens: Vec<u64> = (101..=700).filter(|n| n % 10 == 7).collect();
    assert_eq!(scan(&["-i", "7"]).is(0).numbers(), sevens);
    assert_eq!(scan(&["-i", "7", "-r", "-n", "2"]).is(0).numbers(), [697, 687]);
    assert_eq!(scan(&["--data", "Number=345"]).is(0).numbers(), [345]);
    assert_eq!(scan(&["-g", "^34[56]$"]).is(0).numbers(), [345, 346]);
    // A query that Windows refuses is done without it.
    let refused = scan(&["-i", "666"]);
    assert!(refused.is(1).numbers().is_empty());
    assert!(refused.stderr.contains("600 records, 0 matched"), "{}", refused.stderr);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn forwarded_events_are_told_by_the_log_they_are_in() {
    let events = scan(&["-l", "ForwardedEvents"]).is(0).events();
    assert_eq!(events.len(), 10);
    for (n, event) in (1u64..).zip(&events) {
        assert_eq!(event["log"], "ForwardedEvents");
        assert_eq!(event["log_record"], n);
        assert_eq!(event["channel"], "Security");
        assert_eq!(event["record_id"], 9000 + n);
    }
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn what_windows_can_not_give_at_once_is_asked_for_in_parts() {
    // The record that can't be had is a hole: the status is 3.
    let all: Vec<u64> = (1..=40).filter(|n| *n != 20).collect();
    let ran = scan(&["-l", "Fake-Big"]);
    assert_eq!(ran.is(3).numbers(), all);
    assert!(ran.stderr.contains("record 20 of Fake-Big missing"), "{}", ran.stderr);
    let backward = scan(&["-l", "Fake-Big", "-r"]);
    assert_eq!(backward.is(3).numbers(), all.iter().rev().copied().collect::<Vec<_>>());
    assert!(backward.stderr.contains("record 20 of Fake-Big missing"), "{}", backward.stderr);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn what_was_overwritten_meanwhile_is_told() {
    let ran = scan(&["-l", "Fake-Wrapping"]);
    let left: Vec<u64> = (1..=5).chain(10..=20).collect();
    assert_eq!(ran.is(3).numbers(), left);
    let missing = "records 6 to 9 of Fake-Wrapping missing";
    assert!(ran.stderr.contains(missing), "{}", ran.stderr);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn a_slow_log_is_waited_for() {
    assert_eq!(scan(&["-l", "Fake-Slow"]).is(0).numbers(), (1..=10).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn each_refusal_is_named_with_what_to_do() {
    let denied = scan(&["-l", "Security"]);
    denied.is(2);
    assert!(denied.stderr.contains("may not read Security"), "{}", denied.stderr);
    assert!(denied.stderr.contains("run this as administrator"), "{}", denied.stderr);
    let missing = scan(&["-l", "Nothing"]);
    missing.is(2);
    assert!(missing.stderr.contains("there is no log Nothing"), "{}", missing.stderr);
    assert!(missing.stderr.contains("quarry logs . lists"), "{}", missing.stderr);
    let direct = scan(&["-l", "Fake-Direct", "-r"]);
    direct.is(2);
    assert!(direct.stderr.contains("analytic or debug log"), "{}", direct.stderr);
    assert_eq!(scan(&["-l", "Fake-Direct"]).is(0).numbers().len(), 10);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn one_log_that_can_not_be_read_does_not_keep_the_others_back() {
    let ran = scan(&["-l", "Application", "-l", "Security", "-l", "Fake-Slow"]);
    assert_eq!(ran.is(3).numbers().len(), 20);
    assert!(ran.stderr.contains("may not read Security"), "{}", ran.stderr);
    let two = scan(&["-l", "Application", "-l", "ForwardedEvents"]);
    let logs: Vec<Json> =
        two.is(0).events().into_iter().map(|event| event["log"].clone()).collect();
    let of = |log: &str| logs.iter().filter(|name| *name == log).count();
    assert_eq!((of("Application"), of("ForwardedEvents")), (10, 10));
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn one_log_that_makes_no_sense_does_not_keep_the_others_back() {
    for logs in [["Fake-Odd", "Application"], ["Application", "Fake-Odd"]] {
        let ran = scan(&["-l", logs[0], "-l", logs[1]]);
        assert_eq!(ran.is(3).numbers(), (1..=10).collect::<Vec<_>>());
        assert!(ran.stderr.contains("what can't be"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("report it"), "{}", ran.stderr);
    }
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn user_data_are_in_the_same_form_as_of_a_file() {
    let event = &scan(&["-l", "Fake-UserData", "-n", "1"]).is(0).events()[0];
    let text = event["user_data"].to_string();
    assert!(text.contains("\"{54849625-5478-4994-a5ba-3e3b0328c30d}\""), "{text}");
    // A text that looks like a GUID is a text.
    assert!(text.contains("\"{54849625-5478-4994-A5BA-3E3B0328C30D}\""), "{text}");
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn all_logs_are_read_but_those_that_can_not_be() {
    let ran = scan(&["-l", "S*", "-l", "A*"]);
    let events = ran.is(0).events();
    let of = |log: &str| events.iter().filter(|event| event["log"] == log).count();
    let counts = [("Application", 10), ("System", 600), ("Security", 0)];
    assert_eq!(counts.map(|(log, _)| (log, of(log))), counts);
    assert!(ran.stderr.contains("left out: the account may not read Security"), "{}", ran.stderr);
    // Fake-Big and Fake-Wrapping have holes.
    let every = scan(&["-l", "*"]).is(3).numbers().len();
    assert!(every >= 10 + 600 + 10 + 39 + 16 + 10 + 3 + 10 + 10 + 10, "{every}");
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn a_log_is_saved_as_a_file_that_has_the_same_events() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
    let output = output(command.args(["scan", ".", "-l", "Application", "-o", "evtx"]));
    assert_eq!(output.status.code(), Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.evtx");
    std::fs::write(&file, output.stdout).unwrap();
    let fields = ["-o", "jsonl", "--fields", "time,event_id,record_id,provider_guid,user_sid,data"];
    let saved = quarry(&[&["scan", file.to_str().unwrap()], &fields[..]].concat());
    let live = quarry(&[&["scan", ".", "-l", "Application"], &fields[..]].concat());
    assert_eq!(saved.is(0).events(), live.is(0).events());
    assert_eq!(live.events().len(), 10);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn an_event_without_xml_is_shown_as_far_as_it_goes() {
    let ran = scan(&["-l", "Fake-NoXml", "-n", "2"]);
    let events = ran.is(0).events();
    assert_eq!(events[0]["event_id"], 1);
    assert_eq!(events[0]["data"], json!({}));
    assert!(ran.stderr.contains("record 1 of Fake-NoXml can't be read whole"), "{}", ran.stderr);
    // Where nobody wants more than the values, the XML isn't even asked for.
    let fields = ["-l", "Fake-NoXml", "--fields", "event_id,time"];
    let ran = scan(&fields);
    assert_eq!(ran.is(0).events().len(), 10);
    assert!(!ran.stderr.contains("can't be read"), "{}", ran.stderr);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn count_and_logs_tell_what_there_is() {
    let count = quarry(&["count", ".", "-o", "jsonl"]);
    let line = &count.is(0).events()[0];
    assert_eq!((&line["log"], &line["records"]), (&json!("System"), &json!(600)));
    assert_eq!(line["oldest"], "2026-08-22T10:01:41.1234567Z");
    assert_eq!(line["newest"], "2026-08-22T10:11:40.1234567Z");
    let filtered = quarry(&["count", ".", "-i", "7", "-o", "jsonl"]);
    assert_eq!(filtered.is(0).events()[0]["records"], 60);
    let logs = quarry(&["logs", ".", "-o", "jsonl"]);
    let lines = logs.is(0).events();
    assert_eq!(lines.len(), 13, "{}", logs.stdout);
    assert!(logs.stderr.contains("left out"), "{}", logs.stderr);
    let direct = lines.iter().find(|line| line["log"] == "Fake-Direct").unwrap();
    // Windows counts nothing there: it is read through.
    assert_eq!(direct["records"], 10);
    assert_eq!(direct["oldest"], "2026-08-22T10:00:01.1234567Z");
    assert_eq!(direct["newest"], "2026-08-22T10:00:10.1234567Z");
    let count = quarry(&["count", ".", "-l", "Fake-Direct", "-o", "jsonl"]);
    assert_eq!(count.is(0).events()[0]["records"], 10);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn tail_gives_the_last_events_and_then_each_new_one_once() {
    let tail = |deadline: &str, more: &[&str]| {
        let args = ["tail", ".", "-l", "Fake-Growing", "-o", "jsonl", "--deadline", deadline];
        quarry(&[&args, more].concat())
    };
    let all = tail("6s", &["-n", "100"]);
    assert_eq!(all.is(0).numbers(), (1..=30).collect::<Vec<_>>());
    // The second goes on where the first was, though the log begins anew with each program, with
    // three records.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cursors");
    let file = ["--cursor-file", file.to_str().unwrap()];
    let first = tail("1s", &[&["-n", "2"][..], &file].concat()).is(0).numbers();
    assert!(first.len() >= 4, "{first:?}");
    assert!(first.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{first:?}");
    let second = tail("6s", &file);
    let next = first.last().unwrap() + 1;
    if second.stderr.contains(&format!("records from {next} on may be missing")) {
        assert_eq!(second.is(3).numbers(), (1..=30).collect::<Vec<_>>());
    } else {
        // It had grown up to the cursor before it was looked at.
        assert_eq!(second.is(0).numbers(), (next..=30).collect::<Vec<_>>());
    }
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn tail_tells_what_was_overwritten_before_it_came() {
    let args = ["tail", ".", "-l", "Fake-Wrapping", "-n", "100", "-o", "jsonl", "--deadline", "3s"];
    let ran = quarry(&args);
    assert_eq!(ran.is(3).numbers(), (1..=5).chain(10..=20).collect::<Vec<_>>());
    assert!(ran.stderr.contains("gap: records 6 to 9 of Fake-Wrapping"), "{}", ran.stderr);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn tail_gets_past_what_windows_can_not_give_at_once() {
    let args = ["tail", ".", "-l", "Fake-Big", "-n", "100", "-o", "jsonl", "--deadline", "3s"];
    let ran = quarry(&args);
    assert_eq!(ran.is(3).numbers(), (1..=40).filter(|n| *n != 20).collect::<Vec<_>>());
    assert!(ran.stderr.contains("record 20 of Fake-Big missing"), "{}", ran.stderr);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn tail_gets_what_a_slow_log_has_without_another_signal() {
    let args = ["tail", ".", "-l", "Fake-Slow", "-n", "100", "-o", "jsonl", "--deadline", "5s"];
    assert_eq!(quarry(&args).is(0).numbers(), (1..=10).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn tail_can_not_follow_a_direct_log_and_says_so() {
    let ran = quarry(&["tail", ".", "-l", "Fake-Direct", "--deadline", "3s"]);
    ran.is(2);
    assert!(ran.stderr.contains("analytic or debug log"), "{}", ran.stderr);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn this_machine_twice_is_read_once() {
    let ran = quarry(&["scan", ".", ".", "-l", "Application", "-o", "jsonl"]);
    assert_eq!(ran.is(0).numbers().len(), 10);
}
