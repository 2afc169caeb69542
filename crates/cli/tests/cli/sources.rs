//! Sources that are no plain files at rest: one that grows or shrinks while it is read, one that
//! may not be read, a named pipe.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;

use super::*;

const CHUNK: usize = 65_536;
const CHUNKS: usize = 40;
const EVENTS: u64 = 60;

/// A file of far more events than a pipe holds, once they are printed.
fn large(chunks: std::ops::Range<usize>) -> Vec<u8> {
    let chunk = |n: usize| {
        let first = n as u64 * EVENTS + 1;
        (first..first + EVENTS).map(|i| event(i, i % EVENTS, 4624, "alice")).collect()
    };
    file(&chunks.map(chunk).collect::<Vec<_>>())
}

/// A scan that has begun, and waits because nobody reads on.
struct Waiting {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    records: Vec<u64>,
}

impl Waiting {
    fn new(folder: &Path, args: &[&str]) -> Self {
        let mut child = quarry(folder)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let records = vec![json(&line)["log_record"].as_u64().unwrap()];
        Waiting { child, stdout, records }
    }

    /// The records of all events, what was said, and the exit status.
    fn finish(mut self) -> (Vec<u64>, String, Option<i32>) {
        for line in self.stdout.lines() {
            self.records.push(json(&line.unwrap())["log_record"].as_u64().unwrap());
        }
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.records, stderr, self.child.wait().unwrap().code())
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_gives_what_was_there_when_it_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evtx");
    fs::write(&path, large(0..CHUNKS)).unwrap();
    for threads in ["1", "3"] {
        let scan = Waiting::new(folder.path(), &["scan", "a.evtx", "--threads", threads]);
        // New chunks, the last of them not whole yet.
        let new = large(CHUNKS..CHUNKS + 3);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&new[4096..4096 + 2 * CHUNK + 700]).unwrap();
        let (records, stderr, status) = scan.finish();
        let expected: Vec<u64> = (1..=CHUNKS as u64 * EVENTS).collect();
        assert_eq!(records, expected);
        assert_eq!(stderr, "1 of 1 file read; 2,400 records, 2,400 matched\n");
        assert_eq!(status, Some(0));
        // From now on they are there.
        let ran = run(folder.path(), &["count", "a.evtx", "-o", "jsonl"]);
        let records = json(&ran.stdout)["records"].as_u64().unwrap();
        assert!((2400 + 2 * EVENTS..2400 + 3 * EVENTS).contains(&records), "{records}");
        assert!(ran.stderr.contains("the file ends here"), "{}", ran.stderr);
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(4096 + (CHUNKS * CHUNK) as u64)
            .unwrap();
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_read_gives_what_is_left_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evtx");
    let left = 20;
    for threads in ["1", "3"] {
        fs::write(&path, large(0..CHUNKS)).unwrap();
        let scan = Waiting::new(folder.path(), &["scan", "a.evtx", "--threads", threads]);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len((4096 + left * CHUNK) as u64).unwrap();
        let (records, stderr, status) = scan.finish();
        // What was read before it was cut may be more.
        let expected: Vec<u64> = (1..=records.len() as u64).collect();
        assert_eq!(records, expected);
        assert!(records.len() as u64 >= left as u64 * EVENTS && records.len() < 2400);
        let end = 4096 + records.len() / EVENTS as usize * CHUNK;
        let warning = format!("warning: a.evtx: at byte {end}: the file has been cut");
        assert!(stderr.starts_with(&warning), "{stderr}");
        assert_eq!(status, Some(0));
    }
}

/// Runs as a user whom permissions bind: as the tester, or, where that is root, as nobody. `None`
/// where there is no way to.
fn bound(folder: &Path, locked: &Path) -> Option<Command> {
    if fs::File::open(locked).is_err() {
        return Some(quarry(folder));
    }
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    // The program has to be where nobody can run it.
    let program = PathBuf::from(env!("CARGO_BIN_EXE_quarry"));
    let copy = folder.join("quarry");
    fs::copy(program, &copy).ok()?;
    let tried = Command::new("setpriv").args(as_nobody).arg(&copy).arg("--version").output();
    if !tried.is_ok_and(|output| output.status.success()) {
        println!("root reads every file, and setpriv is not here: nothing is tested");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(as_nobody).arg(copy).current_dir(folder).stdin(Stdio::null());
    Some(command)
}

#[test]
fn a_file_that_may_not_be_read_is_named_and_the_others_are_read() {
    let folder = logs();
    let root = folder.path();
    let locked = root.join("locked.evtx");
    fs::write(&locked, file(&[vec![event(1, 1, 1, "a")]])).unwrap();
    fs::create_dir(root.join("closed")).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for path in [&locked, &root.join("closed")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let Some(mut command) = bound(root, &locked) else { return };
    let ran: Ran = command.args(["scan", "./", "-o", "jsonl"]).output().unwrap().into();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran.lines().len(), 6, "{}", ran.shown());
    assert_eq!(ran.status, Some(3));
    assert!(ran.stderr.contains("error: ./locked.evtx: permission denied\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: ./closed: permission denied\n"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("2 of 4 files read, 2 failed; 6 records, 6 matched\n"));
    let Some(mut command) = bound(root, &locked) else { return };
    let ran: Ran = command.args(["scan", "locked.evtx"]).output().unwrap().into();
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{}", ran.shown());
    assert!(ran.stderr.starts_with("error: locked.evtx: permission denied\n"), "{}", ran.stderr);
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_named_pipe_is_read_as_a_file_is() {
    let folder = logs();
    let path = folder.path().join("p.evtx");
    pipe(&path);
    let bytes = fs::read(folder.path().join("a.evtx")).unwrap();
    // Opening a pipe waits for the other end.
    let writer = std::thread::spawn(move || fs::write(path, bytes).unwrap());
    let ran = run(folder.path(), &["scan", "p.evtx", "sub/b.evtx"]);
    writer.join().unwrap();
    assert_eq!(ran.status, Some(0));
    let sources: Vec<_> = ran.lines().iter().map(|line| json(line)["source"].clone()).collect();
    assert_eq!(sources, ["p.evtx", "p.evtx", "p.evtx", "p.evtx", "sub/b.evtx", "sub/b.evtx"]);
    assert_eq!(ran.stderr, "2 of 2 files read; 6 records, 6 matched\n");
}

#[test]
fn a_named_pipe_without_a_log_is_named() {
    let folder = logs();
    let path = folder.path().join("p.evtx");
    pipe(&path);
    let writer = std::thread::spawn(move || fs::write(path, "no log").unwrap());
    let ran = run(folder.path(), &["scan", "p.evtx", "a.evtx"]);
    writer.join().unwrap();
    assert_eq!((ran.status, ran.lines().len()), (Some(3), 4));
    assert!(
        ran.stderr.starts_with("error: p.evtx: this is not an event log (.evtx or .evt) file\n")
    );
}

#[test]
fn a_pipe_in_a_folder_is_left_alone() {
    let folder = logs();
    pipe(&folder.path().join("p.evtx"));
    let ran = run(folder.path(), &["scan", "./"]);
    assert_eq!((ran.status, ran.lines().len()), (Some(0), 6), "{}", ran.shown());
}

#[test]
fn ctrl_c_ends_the_wait_for_a_named_pipe() {
    let folder = logs();
    pipe(&folder.path().join("p.evtx"));
    let child = quarry(folder.path())
        .args(["scan", "p.evtx"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Until it has got as far as to catch signals.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "interrupted: 0 of 1 file read; 0 records, 0 matched\n");
}
