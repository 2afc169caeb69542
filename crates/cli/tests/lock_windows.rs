//! `quarry lock` on Windows.
#![cfg(windows)]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

fn quarry(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
    command.arg("lock").args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    quarry(arguments).output().expect("quarry runs")
}

fn code(arguments: &[&str]) -> Option<i32> {
    run(arguments).status.code()
}

/// A command that holds the lock until its standard input ends.
struct Holding {
    child: Child,
}

impl Holding {
    fn new(arguments: &[&str]) -> Self {
        let mut child = quarry(arguments)
            .args(["-c", "echo held& set /p line="])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("quarry starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line.trim(), "held");
        Self { child }
    }

    fn release(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("it ends");
    }
}

fn place() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("lockfile").to_str().expect("text").to_owned();
    (folder, path)
}

#[test]
fn the_exit_status_is_the_commands_with_all_its_bits() {
    let (_folder, file) = place();
    assert_eq!(code(&[&file, "cmd", "/c", "exit 0"]), Some(0));
    assert_eq!(code(&[&file, "--", "cmd", "/c", "exit 42"]), Some(42));
    assert_eq!(code(&[&file, "-c", "exit 43"]), Some(43));
    assert_eq!(code(&[&file, "cmd", "/c", "exit 1000000"]), Some(1_000_000));
    assert_eq!(code(&[&file, "no-such-program-anywhere"]), Some(69));
    assert_eq!(code(&["9"]), Some(64));
    assert_eq!(code(&["-F", &file, "cmd", "/c", "exit 0"]), Some(64));
}

#[test]
fn contention_is_told_as_on_unix() {
    let (_folder, file) = place();
    for (held, wanted, expected) in
        [("-x", "-s", Some(1)), ("-x", "-x", Some(1)), ("-s", "-x", Some(1)), ("-s", "-s", Some(0))]
    {
        let holding = Holding::new(&[held, &file]);
        assert_eq!(code(&[wanted, "-n", &file, "-c", "exit 0"]), expected, "{held} {wanted}");
        holding.release();
    }
    let holding = Holding::new(&[&file]);
    let began = Instant::now();
    assert_eq!(code(&["-w", "0.5", "-E", "7", &file, "-c", "exit 0"]), Some(7));
    assert!(began.elapsed() >= Duration::from_millis(500));
    let waiting = quarry(&[&file, "-c", "exit 5"]).spawn().expect("quarry starts");
    std::thread::sleep(Duration::from_millis(500));
    holding.release();
    let output = waiting.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn a_killed_holder_leaves_no_lock_behind() {
    let (_folder, file) = place();
    let mut holding = Holding::new(&[&file]);
    assert_eq!(code(&["-n", &file, "-c", "exit 0"]), Some(1));
    holding.child.kill().expect("it can be killed");
    holding.child.wait().expect("it ends");
    assert_eq!(code(&["-w", "30", &file, "-c", "exit 0"]), Some(0));
}

#[test]
fn ranges_exclude_each_other_where_they_overlap() {
    let (_folder, file) = place();
    let holding = Holding::new(&["--range", "10:10", &file]);
    assert_eq!(code(&["-n", "--range", "0:10", &file, "-c", "exit 0"]), Some(0));
    assert_eq!(code(&["-n", "--range", "19:1", &file, "-c", "exit 0"]), Some(1));
    holding.release();
}

#[test]
fn who_names_the_holder() {
    let (_folder, file) = place();
    assert_eq!(code(&["--who", &file]), Some(1));
    let holding = Holding::new(&[&file]);
    // The command may say that it runs before its holder has been announced.
    let end = Instant::now() + Duration::from_secs(30);
    let output = loop {
        let output = run(&["--who", &file]);
        if output.status.success() {
            break output;
        }
        assert!(Instant::now() < end, "{output:?}");
    };
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with(&format!("{}\t", holding.child.id())), "{text}");
    assert!(text.contains("\texclusive\t"), "{text}");
    // The program, and none of its arguments: they may be secrets.
    assert!(text.trim_end().to_lowercase().ends_with("cmd.exe"), "{text}");
    assert!(!text.contains("set /p"), "{text}");
    holding.release();
}
