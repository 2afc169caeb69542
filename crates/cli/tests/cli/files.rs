//! Output that goes to a file: nothing is glued to half a line, and nothing half is left.
#![cfg(target_os = "linux")]

use super::*;

/// What the shell does; the program is `$Q`.
fn shell(folder: &Path, script: &str) -> Ran {
    let mut command = Command::new("sh");
    command.current_dir(folder).stdin(Stdio::null()).args(["-c", script]);
    command.env("Q", env!("CARGO_BIN_EXE_quarry")).env("TZ", "UTC");
    command.env("XDG_CONFIG_HOME", folder).env("HOME", folder);
    command.output().unwrap().into()
}

/// A log of so many events.
fn log(events: u64) -> Vec<u8> {
    let events: Vec<Event> = (1..=events).map(|n| event(n, n, 4624, "alice")).collect();
    file(&events.chunks(80).map(|chunk| chunk.iter().map(copy).collect()).collect::<Vec<_>>())
}

fn copy(event: &Event) -> Event {
    Event { time: event.time.clone(), data: event.data.clone(), ..*event }
}

/// The record numbers of lines, each of which has to be whole.
fn numbers(folder: &Path, name: &str) -> Vec<u64> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    assert!(text.ends_with('\n'), "{:?}", text.lines().last());
    text.lines().map(|line| json(line)["log_record"].as_u64().unwrap()).collect()
}

#[test]
fn half_a_line_at_the_end_of_a_file_is_ended_before_events_are_added() {
    let folder = logs();
    for (before, after) in [("{\"half", "{\"half\n"), ("whole\n", "whole\n"), ("", "")] {
        fs::write(folder.path().join("out"), before).unwrap();
        let ran = shell(folder.path(), "$Q scan a.evtx -o jsonl -q >> out");
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
        let text = fs::read_to_string(folder.path().join("out")).unwrap();
        let events = text.strip_prefix(after).unwrap();
        assert_eq!(events.lines().map(json).filter(|event| event["v"] == 1).count(), 4);
    }
    // Nothing is added where nothing comes.
    fs::write(folder.path().join("out"), "half").unwrap();
    shell(folder.path(), "$Q scan a.evtx -o jsonl -q -i 1 >> out");
    assert_eq!(fs::read_to_string(folder.path().join("out")).unwrap(), "half");
    // A file that is replaced has no such line.
    shell(folder.path(), "$Q scan a.evtx -o jsonl -q 1<> out");
    assert!(fs::read_to_string(folder.path().join("out")).unwrap().starts_with("{\"v\":1"));
}

#[test]
fn what_does_not_fit_is_taken_back_and_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log.evtx"), log(400)).unwrap();
    // The shell's limit of a file's size, in blocks of 512 bytes, stands for a disk that is full.
    let tail = "$Q tail log.evtx -o jsonl -n 400 --cursor-file c --deadline 4s >> out";
    let ran = shell(folder.path(), &format!("trap '' XFSZ; ulimit -f 200; {tail}"));
    assert_eq!(ran.status, Some(2), "{}", ran.shown());
    assert!(ran.stderr.contains("standard output: "), "{}", ran.stderr);
    let before = numbers(folder.path(), "out");
    assert!(!before.is_empty() && before.len() < 400, "{before:?}");
    let ran = shell(folder.path(), tail);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    // What was printed before the cursor was saved is printed again, and none is missing.
    let after = numbers(folder.path(), "out").split_off(before.len());
    assert_eq!(after, (after[0]..=400).collect::<Vec<_>>());
    assert!(after[0] <= before.len() as u64 + 1);
}

#[test]
fn a_scan_that_does_not_fit_leaves_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log.evtx"), log(1000)).unwrap();
    let ran = shell(folder.path(), "trap '' XFSZ; ulimit -f 300; $Q scan log.evtx -o jsonl > out");
    assert_eq!(ran.status, Some(2), "{}", ran.shown());
    let printed = numbers(folder.path(), "out");
    assert_eq!(printed, (1..=printed.len() as u64).collect::<Vec<_>>());
    assert!(printed.len() > 10);
}
