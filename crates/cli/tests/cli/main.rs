//! The `quarry` command as a user meets it: the real program, in temporary folders.

#![allow(clippy::print_stdout)] // What a run leaves out is said.

mod answers;
mod archives;
mod corpus;
mod detect;
mod errors;
mod evt;
mod evtx;
mod expansion;
mod files;
mod help;
mod interrupted;
mod messages;
#[cfg(target_os = "linux")]
mod nested;
mod output;
mod samba;
mod saved;
mod sim;
mod sorted;
mod sources;
mod tables;
mod words;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use evtx::{Event, event, file};

/// The program in a folder, with nothing of the tester's environment in its way.
fn quarry(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["COLUMNS", "LINES", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    // No inventory of the tester's.
    command.env("TZ", "UTC").env("XDG_CONFIG_HOME", folder).env("HOME", folder);
    command
}

/// What a run of the program gave.
struct Ran {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

impl Ran {
    fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// Everything, for a snapshot.
    fn shown(&self) -> String {
        format!(
            "{}--- stderr ---\n{}--- status {} ---",
            self.stdout,
            self.stderr,
            self.status.map_or("none".into(), |status| status.to_string())
        )
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            status: output.status.code(),
        }
    }
}

fn run<A: AsRef<OsStr>>(folder: &Path, args: &[A]) -> Ran {
    quarry(folder).args(args).output().unwrap().into()
}

/// What a terminal of so many columns would show.
fn at_width(folder: &Path, width: usize, args: &[&str]) -> Ran {
    quarry(folder).env("COLUMNS", width.to_string()).args(args).output().unwrap().into()
}

/// What commands print for terminals of 80 and of 120 columns, none of whose lines is wider.
fn at_both_widths(folder: &Path, commands: &[&[&str]]) -> String {
    let mut shown = String::new();
    for args in commands {
        for width in [80, 120] {
            let ran = at_width(folder, width, args);
            assert_eq!(ran.status, Some(0), "{}", ran.shown());
            for line in ran.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            shown += &format!("$ quarry {} ({width} columns)\n{}\n", args.join(" "), ran.stdout);
        }
    }
    shown
}

/// A folder with logs: `a.evtx` and `sub/b.evtx`, whose times lie between one another's.
fn logs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let a: Vec<Vec<Event>> = vec![
        vec![event(1, 100, 4624, "alice"), event(2, 300, 4625, "bob")],
        vec![event(3, 200, 4624, "carol"), event(4, 500, 4634, "alice")],
    ];
    let b = vec![vec![event(1, 50, 4624, "dave"), event(2, 400, 4625, "Alice")]];
    fs::write(folder.path().join("a.evtx"), file(&a)).unwrap();
    fs::write(folder.path().join("sub/b.evtx"), file(&b)).unwrap();
    folder
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}
