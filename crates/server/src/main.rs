//! The `quarryd` command.
//!
//! [`args`] is the command line, [`config`] the configuration. [`serve`] puts the parts together:
//! [`collect`] follows servers into the store, [`watch`] takes up changes of the configuration,
//! [`status`] knows how everything is, [`site`] serves the page, which
//! [`page`] answers from the store. [`export`] needs no store.
#![forbid(unsafe_code)]

mod args;
mod collect;
mod commands;
mod config;
mod demo;
mod export;
mod page;
mod serve;
mod site;
mod sql;
mod status;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use quarry_program::args::When;
use quarry_program::console::Console;
use quarry_program::error::Failure;
use quarry_program::public;

use args::{Cli, Command, StoreCommand};

/// Rows and records of all sizes come and go on many threads for months: what the system's allocator keeps
/// of that is several times what is in use.
#[cfg(not(windows))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        // There is nowhere else to tell that it can't be printed.
        let _ = error.print().and_then(|()| std::io::stdout().flush());
        std::process::exit(if error.use_stderr() { 2 } else { 0 });
    });
    let result: Result<(), Failure> = match cli.command {
        Command::Export(args) => {
            let color = args.show.terminal.color;
            return match export::run(&args) {
                Ok(outcome) => outcome.exit_code(),
                Err(failure) => failed(color, &failure),
            };
        }
        Command::Serve(args) => {
            return serve::run(&args).unwrap_or_else(|failure| failed(When::Auto, &failure));
        }
        Command::LogonProcess(args) => {
            let served = public::logon_process(&args.service);
            return served.unwrap_or_else(|failure| failed(When::Auto, &failure));
        }
        Command::Demo => demo::run(),
        Command::Check(args) => commands::check(&args.config),
        Command::Sql(args) => sql::run(&args),
        Command::Store(args) => match args.command {
            StoreCommand::Info(args) => commands::info(&args.config),
            StoreCommand::Maintain(args) => commands::maintain(&args.config),
            StoreCommand::Expire(args) => commands::expire(&args),
        },
        Command::Status(args) => commands::status(&args.config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(When::Auto, &failure),
    }
}

fn failed(color: When, failure: &Failure) -> ExitCode {
    Console::new(color, true).error(failure);
    ExitCode::from(2)
}
