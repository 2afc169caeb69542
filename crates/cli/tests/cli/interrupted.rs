//! A pipe that closes, and Ctrl-C.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};

use super::*;

/// Far more than a pipe holds.
fn large() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let chunks: Vec<Vec<Event>> = (0..40)
        .map(|chunk| (0..60).map(|i| event(chunk * 60 + i + 1, i, 4624, "alice")).collect())
        .collect();
    fs::write(folder.path().join("a.evtx"), file(&chunks)).unwrap();
    folder
}

#[test]
fn a_pipe_that_closes_ends_it_silently() {
    let folder = large();
    for threads in ["1", "4"] {
        let mut child = quarry(folder.path())
            .args(["scan", "a.evtx", "--threads", threads])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert_eq!(json(&line)["record_id"], 1);
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(output.status.code(), Some(0));
    }
}

fn interrupt(child: &std::process::Child) {
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
}

#[test]
fn ctrl_c_ends_the_output_after_an_event_and_sums_up() {
    let folder = large();
    let mut child = quarry(folder.path())
        .args(["scan", "a.evtx", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    // It waits now, as the pipe is full.
    interrupt(&child);
    // The signal is on its way.
    std::thread::sleep(std::time::Duration::from_millis(200));
    stdout.read_to_string(&mut text).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // What came is a whole document.
    let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!((1..2400).contains(&events.len()), "{}", events.len());
    assert!(stderr.starts_with("interrupted: 0 of 1 file read; "), "{stderr}");
    assert!(stderr.ends_with(&format!("{} matched\n", grouped(events.len()))), "{stderr}");
}

fn grouped(number: usize) -> String {
    if number < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", number / 1000, number % 1000)
}

#[test]
fn ctrl_c_ends_the_wait_for_standard_input() {
    let folder = logs();
    let mut child = quarry(folder.path())
        .args(["scan", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    // Until it has got as far as to catch signals.
    std::thread::sleep(std::time::Duration::from_millis(500));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "interrupted: 0 of 1 file read; 0 records, 0 matched\n");
}
