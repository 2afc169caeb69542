//! The `quarry` command.
#![forbid(unsafe_code)]

mod lock;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "quarry", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Lock(lock::LockArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        let is_lock = std::env::args_os().nth(1).is_some_and(|name| name == "lock");
        let usage = if is_lock { lock::USAGE.into() } else { 2 };
        std::process::exit(if error.use_stderr() { usage } else { 0 });
    });
    match cli.command {
        Command::Lock(args) => lock::run(args),
    }
}
