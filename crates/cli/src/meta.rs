//! What is made of the definition of the command line: completions and man pages.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::error::{Closed, Failure, delivered};

pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "quarry", &mut text);
    print(&text)
}

pub(crate) fn man(args: &ManArgs) -> Result<ExitCode, Failure> {
    let mut quarry = Cli::command();
    quarry.build();
    let command = match &args.command {
        None => quarry,
        Some(name) => match quarry.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(Failure::new(format!("there is no command {name}"))),
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut text)
        .map_err(|e| Failure::io("the man page", &e))?;
    print(&text)
}

fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    delivered(stdout.write_all(text).and_then(|()| stdout.flush()).map_err(Closed::from))?;
    Ok(ExitCode::SUCCESS)
}
