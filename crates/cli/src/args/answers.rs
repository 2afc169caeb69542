//! The options of the commands that answer a question: `logons`, `powershell` and `processes`.

use clap::{Args, ValueEnum};

use super::{CodePageArgs, FileArgs, OUTPUT, ReadArgs, TerminalArgs, WorkArgs};

pub(super) const AFTER_LOGONS: &str = "\
Examples:
  quarry logons Security.evtx                       who signed in to what, from where, and who failed to
  quarry logons @dcs -S 1d --event-user '*admin*'   of a group of servers, a day back
  quarry logons logs/ -o html > logons.html         a page to send to somebody

It reads 4624 and 4625 of the log Security, and of a domain controller's what failed of 4768, 4771 and 4776. Lines are of one user, host, address, type and reason, with
how often, first and last.";

pub(super) const AFTER_POWERSHELL: &str = "\
Examples:
  quarry powershell logs/ -o jsonl                  script blocks, each whole
  quarry powershell dc01 --around 2026-08-22T10:00  what ran five minutes before and after

It reads 4104 of the logs of Windows PowerShell and PowerShell 7. Long scripts are logged in parts: these are
joined, and those that are missing are named.";

pub(super) const AFTER_PROCESSES: &str = "\
Examples:
  quarry processes logs/                            the processes of each host, as a tree
  quarry processes logs/ --around 'Sysmon.evtx#812' --window 10m
  quarry processes @web -S 1h -o html > tree.html

It reads Sysmon 1 and 5, and 4688 and 4689 of the log Security, which have command lines where the audit
policy says so; a process that both tell of stands there once, as Sysmon tells it.";

#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT", help_heading = OUTPUT)]
    pub(crate) output: Option<AnswerFormat>,
    #[command(flatten)]
    pub(crate) code_page: CodePageArgs,
    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

/// The formats of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum AnswerFormat {
    /// Columns for people
    Table,
    /// Each value whole on lines of its own, with its name before it
    List,
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values with a header line, for spreadsheets: no cell begins as a formula
    Csv,
    /// One page that holds all it needs, without scripts
    Html,
}
