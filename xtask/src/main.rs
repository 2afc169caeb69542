//! The project's own tasks.
//!
//! | command | does |
//! |---|---|
//! | `cargo xtask test` | installs what the tests need, then everything CI runs |
//! | `cargo xtask bench [scan\|save\|lock\|fleet\|tail\|logon\|store\|web]` | ratios against peers in one run |
//! | `cargo xtask windows` | cross-builds for Windows and runs what can run under Wine |
//! | `cargo xtask fuzz [TARGET] [--seconds N]` | runs the fuzz targets |
//! | `cargo xtask fuzz hostile [--rounds N]` | a server whose answers are changed, against the client |
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod browser;
mod circles;
mod deps;
mod fuzz;
mod licences;
mod sh;
mod test;
mod tools;
mod windows;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["test", stages @ ..] => test::run(stages),
        ["bench", "lock-peer", how, path] => bench::lock::peer(how, path.as_ref()),
        ["bench", "logon-inside"] => bench::logon::inside(),
        ["bench", "web-inside"] => bench::web::inside(),
        ["bench", which @ ..] => bench::run(which),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["windows"] => windows::run(),
        ["deps"] => deps::check().and_then(|()| circles::check()),
        _ => bail!(
            "say what to do:\n  cargo xtask test [STAGE...]   (stages: {})\n  cargo xtask bench [scan|save|lock|fleet|tail|logon|store|web]\n  \
             cargo xtask windows\n  cargo xtask fuzz [TARGET] [--seconds N]",
            test::STAGES.map(|stage| stage.name).join(", ")
        ),
    }
}
