//! The crate against other people's locks, both ways: util-linux `flock`, Python's `fcntl` and the
//! package `filelock`, the standard library, and a C program. What is missing is installed (the
//! Python package, into the build folder) or the test fails.
#![cfg(unix)]

mod common;

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use common::open;
use quarry_lock::{ByteRange, Mode, RangeFile};
use tempfile::TempDir;

fn lock_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("test.lock");
    (folder, path)
}

/// A program that takes a lock, prints a line, and holds it until its standard input ends. If
/// it can't get the lock at once, it ends with status 1.
struct Foreign {
    child: Child,
}

impl Foreign {
    fn holding(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        output.read_line(&mut line).expect("it prints a line");
        assert_eq!(line.trim(), "held", "{command:?}");
        Self { child }
    }

    /// Whether it gets the lock.
    fn gets(mut command: Command) -> bool {
        let output = command.stdin(Stdio::null()).output().expect("it runs");
        match output.status.code() {
            Some(0) => true,
            Some(1) if output.stdout.is_empty() && output.stderr.is_empty() => false,
            _ => panic!("{command:?}: {output:?}"),
        }
    }

    fn release(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

/// Checks both ways: whom our locks keep out, and what keeps ours out.
fn exclude_each_other(path: &Path, foreign: impl Fn(Mode) -> Command) {
    let mut file = open(path);
    for ours in [Mode::Shared, Mode::Exclusive] {
        for theirs in [Mode::Shared, Mode::Exclusive] {
            let together = ours == Mode::Shared && theirs == Mode::Shared;

            let guard = file.lock(ours).expect("the lock is free");
            assert_eq!(Foreign::gets(foreign(theirs)), together, "ours {ours:?}, then {theirs:?}");
            guard.unlock().expect("it unlocks");

            let held = Foreign::holding(foreign(theirs));
            let taken = file.try_lock(ours).expect("it can be asked").is_some();
            assert_eq!(taken, together, "theirs {theirs:?}, then {ours:?}");
            held.release();
            assert!(file.try_lock(ours).expect("it can be asked").is_some());
        }
    }
}

#[test]
fn util_linux_flock_and_the_crate_exclude_each_other() {
    let (_folder, path) = lock_path();
    exclude_each_other(&path, |mode| {
        let mut command = Command::new("flock");
        let mode = if mode == Mode::Shared { "-s" } else { "-x" };
        command.args([mode, "-n"]).arg(&path).args(["sh", "-c", "echo held; read line; true"]);
        command
    });
}

#[test]
fn python_fcntl_and_the_crate_exclude_each_other() {
    let (_folder, path) = lock_path();
    let program = "
import fcntl, sys
how = fcntl.LOCK_SH if sys.argv[2] == 'Shared' else fcntl.LOCK_EX
with open(sys.argv[1]) as file:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(1)
    print('held', flush=True)
    sys.stdin.readline()
";
    exclude_each_other(&path, |mode| {
        let mut command = Command::new("python3");
        command.args(["-c", program]).arg(&path).arg(format!("{mode:?}"));
        command
    });
}

#[test]
fn python_filelock_and_the_crate_exclude_each_other() {
    let (_folder, path) = lock_path();
    let program = "
import filelock, sys
try:
    with filelock.FileLock(sys.argv[1], timeout=0):
        print('held', flush=True)
        sys.stdin.readline()
except filelock.Timeout:
    sys.exit(1)
";
    let command = || {
        let mut command = Command::new(python_with_filelock());
        command.args(["-c", program]).arg(&path);
        command
    };
    // It has exclusive locks only, and version 3.20 on deletes the file when it releases them.
    for mode in [Mode::Shared, Mode::Exclusive] {
        let guard = open(&path).lock_owned(mode).expect("the lock is free");
        assert!(!Foreign::gets(command()));
        guard.unlock().expect("it unlocks");
        let held = Foreign::holding(command());
        assert!(open(&path).try_lock(mode).expect("it can be asked").is_none());
        held.release();
        assert!(Foreign::gets(command()));
    }
}

fn python_with_filelock() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-filelock");
        let python = folder.join("bin/python");
        let has_it = || {
            let mut command = Command::new(&python);
            command.args(["-c", "import filelock"]).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !has_it() {
            let run = |program: &Path, arguments: &[&str]| {
                let status = Command::new(program).args(arguments).stdout(Stdio::null()).status();
                let status = status.unwrap_or_else(|error| panic!("{program:?}: {error}"));
                assert!(status.success(), "{program:?} {arguments:?}: {status}");
            };
            let folder = folder.to_str().expect("the build folder's path is text");
            run(Path::new("python3"), &["-m", "venv", "--clear", folder]);
            run(&python, &["-m", "pip", "install", "--quiet", "filelock>=3.12,<4"]);
            assert!(has_it(), "filelock was installed and can't be imported");
        }
        python
    })
}

#[test]
fn the_standard_library_and_the_crate_exclude_each_other() {
    let (_folder, path) = lock_path();
    let mut file = open(&path);
    let theirs = File::open(&path).expect("it opens");

    let guard = file.lock(Mode::Exclusive).expect("the lock is free");
    assert!(theirs.try_lock().is_err());
    assert!(theirs.try_lock_shared().is_err());
    drop(guard);
    let guard = file.lock(Mode::Shared).expect("the lock is free");
    assert!(theirs.try_lock().is_err());
    theirs.try_lock_shared().expect("both are shared");
    drop(guard);
    assert!(file.try_lock(Mode::Exclusive).expect("it can be asked").is_none());
    assert!(file.try_lock(Mode::Shared).expect("it can be asked").is_some());
    theirs.unlock().expect("it unlocks");
    theirs.lock().expect("it is free");
    assert!(file.try_lock(Mode::Shared).expect("it can be asked").is_none());
    theirs.unlock().expect("it unlocks");
    assert!(file.try_lock(Mode::Exclusive).expect("it can be asked").is_some());
}

const C_PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

/* FILE shared|exclusive [START LENGTH]: with a range, an open file description lock. */
int main(int argc, char **argv)
{
	int shared = strcmp(argv[2], "Shared") == 0;
	int fd = open(argv[1], O_RDWR | O_CREAT, 0666);
	int failed;
	if (argc > 4) {
		struct flock range = { .l_type = shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET,
			.l_start = atoll(argv[3]), .l_len = atoll(argv[4]) };
		failed = fcntl(fd, F_OFD_SETLK, &range);
	} else {
		failed = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
	}
	if (failed && (errno == EAGAIN || errno == EACCES))
		return 1;
	if (failed) {
		perror(argv[1]);
		return 2;
	}
	puts("held");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
"#;

fn c_program() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join("locker");
        let mut gcc = Command::new("gcc")
            .args(["-Wall", "-Werror", "-x", "c", "-", "-o"])
            .arg(&program)
            .stdin(Stdio::piped())
            .spawn()
            .expect("gcc is installed");
        let mut input = gcc.stdin.take().expect("a pipe");
        input.write_all(C_PROGRAM.as_bytes()).expect("gcc reads");
        drop(input);
        assert!(gcc.wait().expect("gcc ends").success());
        (folder, program)
    });
    program
}

#[test]
fn a_c_program_and_the_crate_exclude_each_other() {
    let (_folder, path) = lock_path();
    exclude_each_other(&path, |mode| {
        let mut command = Command::new(c_program());
        command.arg(&path).arg(format!("{mode:?}"));
        command
    });
}

#[cfg(target_os = "linux")]
#[test]
fn ranges_of_a_c_program_and_of_the_crate_exclude_each_other_where_they_overlap() {
    let (_folder, path) = lock_path();
    let theirs = |start: u64, len: u64, mode: Mode| {
        let mut command = Command::new(c_program());
        command.arg(&path).arg(format!("{mode:?}")).arg(start.to_string()).arg(len.to_string());
        command
    };
    let mut file = RangeFile::open(&path).expect("it can be opened");
    let ten = ByteRange::new(10, 10).expect("a valid range");
    let to_the_end = ByteRange::starting_at(10).expect("a valid range");

    let guard = file.lock(ten, Mode::Exclusive).expect("the range is free");
    assert!(!Foreign::gets(theirs(19, 1, Mode::Shared)));
    assert!(Foreign::gets(theirs(20, 0, Mode::Exclusive)));
    assert!(Foreign::gets(theirs(0, 10, Mode::Exclusive)));
    drop(guard);
    let guard = file.lock(to_the_end, Mode::Shared).expect("the range is free");
    assert!(!Foreign::gets(theirs(1 << 40, 1, Mode::Exclusive)));
    assert!(Foreign::gets(theirs(1 << 40, 1, Mode::Shared)));
    drop(guard);
    let held = Foreign::holding(theirs(19, 5, Mode::Shared));
    assert!(file.try_lock(ten, Mode::Exclusive).expect("it can be asked").is_none());
    assert!(file.try_lock(ten, Mode::Shared).expect("it can be asked").is_some());
    held.release();
    assert!(file.try_lock(ten, Mode::Exclusive).expect("it can be asked").is_some());
}

#[test]
fn cargo_waits_for_the_crate() {
    let (folder, _) = lock_path();
    std::fs::create_dir_all(folder.path().join("src")).expect("a folder");
    std::fs::write(folder.path().join("src/lib.rs"), "").expect("a file");
    let manifest =
        "[package]\nname = \"waits\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(folder.path().join("Cargo.toml"), manifest).expect("a file");
    let build = |offline_check: &str| {
        let mut command = Command::new(env!("CARGO"));
        command
            .args([offline_check, "--offline"])
            .current_dir(folder.path())
            .env("CARGO_TARGET_DIR", folder.path().join("target"))
            .env_remove("CARGO_BUILD_TARGET")
            .stderr(Stdio::piped());
        command
    };
    assert!(build("check").status().expect("cargo runs").success());
    // Cargo holds this one while it builds.
    let lock = folder.path().join("target/debug/.cargo-lock");
    assert!(lock.exists(), "cargo locks another file now: find out which");
    let guard = open(&lock).lock_owned(Mode::Exclusive).expect("cargo is done");
    let mut cargo = build("check").spawn().expect("cargo runs");
    let mut said = BufReader::new(cargo.stderr.take().expect("a pipe")).lines();
    let waits = said.by_ref().map_while(Result::ok).find(|line| line.contains("Blocking"));
    assert!(waits.is_some(), "cargo did not say that it waits");
    assert!(cargo.try_wait().expect("it can be asked").is_none());
    guard.unlock().expect("it unlocks");
    said.for_each(drop);
    assert!(cargo.wait().expect("cargo ends").success());
}
