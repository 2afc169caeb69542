//! The `quarry` command.
//!
//! [`args`] is the one definition of the command line; a module for each command does what it
//! says. Standard output is data only; [`console`] is standard error.
#![forbid(unsafe_code)]

mod answers;
mod args;
mod count;
mod count_by;
mod decode;
mod demo;
mod detect;
mod evtx;
mod hosts;
mod lock;
mod messages;
mod meta;
mod out;
mod print;
mod printed;
mod run_as;
mod scan;
mod serve;
mod signals;
mod sim;
mod sort;
mod spool;
mod tail;
mod tallies;
mod unique;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, When};
use console::Console;
use error::Outcome;
use quarry_program::{
    catalogues, console, error, filter, hints, input, interrupt, listing, public, record, run,
    secret, servers, source, texts, undumped,
};

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let printed = error.print().and_then(|()| std::io::stdout().flush());
        if let (false, Err(error::Closed::Failed(failure))) =
            (error.use_stderr(), printed.map_err(error::Closed::from))
        {
            Console::new(When::Auto, true).error(&failure);
            std::process::exit(2);
        }
        // quarry lock has the exit codes of flock(1).
        let is_lock = std::env::args_os().nth(1).is_some_and(|name| name == "lock");
        let usage = if is_lock { lock::USAGE.into() } else { 2 };
        std::process::exit(if error.use_stderr() { usage } else { 0 });
    });
    let (result, color) = match cli.command {
        Command::Scan(args) => (scan::run(&args).map(Outcome::exit_code), args.show.terminal.color),
        Command::Detect(args) => {
            let color = args.scan.show.terminal.color;
            (detect::run(*args), color)
        }
        Command::Logons(args) => {
            let color = args.terminal.color;
            (answers::logons(args), color)
        }
        Command::Powershell(args) => {
            let color = args.terminal.color;
            (answers::powershell(args), color)
        }
        Command::Processes(args) => {
            let color = args.terminal.color;
            (answers::processes(args), color)
        }
        Command::Tail(args) => (tail::run(&args), args.terminal.color),
        Command::Count(args) => (count::count(&args), args.output.terminal.color),
        Command::Logs(args) => (count::logs(&args), args.output.terminal.color),
        Command::Hosts(args) => (hosts::run(&args), When::Auto),
        Command::Serve(args) => (serve::run(&args), When::Auto),
        Command::LogonProcess(args) => (public::logon_process(&args.service), When::Auto),
        Command::Demo(args) => (demo::run(&args), When::Auto),
        Command::Messages(args) => (messages::run(&args), When::Auto),
        Command::Decode(args) => (decode::run(&args), When::Auto),
        Command::Sim(args) => (sim::run(&args), When::Auto),
        Command::Completions(args) => (meta::completions(&args), When::Auto),
        Command::Man(args) => (meta::man(&args), When::Auto),
        Command::Lock(args) => return lock::run(args).unwrap_or_else(report),
        Command::RunAs(args) => return run_as::run(&args),
    };
    result.unwrap_or_else(|failure| {
        Console::new(color, true).error(&failure);
        ExitCode::from(2)
    })
}

fn report(error: anyhow::Error) -> ExitCode {
    Console::new(When::Auto, true).error(&error::Failure::new(format!("{error:#}")));
    ExitCode::FAILURE
}
