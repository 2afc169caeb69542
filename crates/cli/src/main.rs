//! The `quarry` command.
//!
//! [`args`] is the one definition of the command line; a module for each command does what it
//! says. Standard output is data only; [`console`] is standard error.
#![forbid(unsafe_code)]

mod args;
mod console;
mod decode;
mod engine;
mod error;
mod filter;
mod list;
mod meta;
mod run;
mod scan;
mod sort;
mod source;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, When};
use console::Console;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (result, color) = match &cli.command {
        Command::Scan(args) => (scan::run(args), args.terminal.color),
        Command::Count(args) => (list::count(args), args.output.terminal.color),
        Command::Logs(args) => (list::logs(args), args.output.terminal.color),
        Command::Decode(args) => (decode::run(args), When::Auto),
        Command::Completions(args) => (meta::completions(args), When::Auto),
        Command::Man(args) => (meta::man(args), When::Auto),
    };
    result.unwrap_or_else(|failure| {
        Console::new(color, true).error(&failure);
        ExitCode::from(2)
    })
}
