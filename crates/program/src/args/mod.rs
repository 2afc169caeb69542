//! The options that commands of both programs have.
#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets is a default")]

mod reading;
mod texts;
pub mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum, ValueHint};
use quarry_fleet::Authentication;

pub use reading::{CodePageArgs, FILTER, FileArgs, FilterArgs, SourceArgs, WorkArgs};
pub use texts::{MessagesFrom, TextArgs};
use values::{authentication, duration};

const SERVERS: &str = "Servers";

/// The heading of the options that say how things are shown.
pub const OUTPUT: &str = "Output";

/// How servers are found and read.
#[derive(Debug, Args)]
#[command(next_help_heading = SERVERS)]
pub struct ServerArgs {
    /// Sign in as this user: USER, DOMAIN\USER or USER@REALM [default: the inventory's]
    #[arg(short = 'u', long, value_name = "USER", value_hint = ValueHint::Username)]
    pub username: Option<String>,
    /// Read the password from the first line of a file, instead of asking for it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "password")]
    pub password_file: Option<PathBuf>,
    /// Read the password from an open file descriptor
    #[arg(long, value_name = "N", group = "password")]
    pub password_fd: Option<u32>,
    /// Read the password from an environment variable
    #[arg(long, value_name = "NAME", group = "password")]
    pub password_env: Option<String>,
    /// Take the password from the system's keyring: the kernel's on Linux, the credential manager
    /// of Windows, under the service quarry and the account
    #[arg(long, group = "password")]
    pub keyring: bool,
    /// Sign in by Kerberos, and by nothing else: with the password or keytab that is given, or else
    /// with the tickets that kinit got. With --authentication negotiate and a password, by NTLM
    /// where Kerberos can't be
    #[arg(short, long)]
    pub kerberos: bool,
    /// Sign in by Kerberos, with the key of -u in this keytab, or that of the account it is made for
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "password")]
    pub keytab: Option<PathBuf>,
    /// How to sign in [default: negotiate]
    #[arg(long, value_name = "HOW", value_parser = authentication())]
    pub authentication: Option<Authentication>,
    /// The file of servers, groups and credentials [default: quarry/inventory.toml in the user's
    /// configuration folder]
    #[arg(
        long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "QUARRY_INVENTORY",
        hide_env_values = true
    )]
    pub inventory: Option<PathBuf>,
    /// Give up on a server whose port takes no connection for this long, name look-up included
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub connect_timeout: Duration,
    /// Give up on a server after this long without a reply, or without progress in one; a logon has
    /// this long as a whole
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub timeout: Duration,
    /// Stop after this long; what came by then is kept
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Open at most N servers at once [default: 2500]
    #[arg(short = 'j', long, value_name = "N")]
    pub connections: Option<std::num::NonZeroUsize>,
}

/// What is read: the sources, which of their events, and how servers are found and read.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "the fields' own fields say what they are")]
pub struct ReadArgs {
    #[command(flatten)]
    pub sources: SourceArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub servers: ServerArgs,
}

/// How events are shown, and how much of the machine that takes.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "the fields' own fields say what they are")]
pub struct ShowArgs {
    #[command(flatten)]
    pub texts: TextArgs,
    #[command(flatten)]
    pub terminal: TerminalArgs,
    #[command(flatten)]
    pub work: WorkArgs,
    #[command(flatten)]
    pub code_page: CodePageArgs,
}

/// The output of `count` and `logs`.
#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub struct ListArgs {
    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<ListFormat>,
    #[allow(missing_docs, reason = "its own fields say what they are")]
    #[command(flatten)]
    pub terminal: TerminalArgs,
}

/// How things are shown.
#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub struct TerminalArgs {
    /// When to use colour; auto also heeds NO_COLOR and CLICOLOR_FORCE
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// Read and show times in this zone: Europe/Berlin, +02:00, UTC [default: the system's]
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true, conflicts_with = "utc")]
    pub timezone: Option<String>,
    /// Read and show times in UTC
    #[arg(long)]
    pub utc: bool,
    /// Print no progress, warnings or summary on standard error; only errors, and which records are
    /// missing
    #[arg(short, long)]
    pub quiet: bool,
    /// Say on standard error how each server is read; -vv also each call. QUARRY_LOG chooses parts,
    /// as in QUARRY_LOG=quarry_rpc=trace
    #[arg(short, long, conflicts_with = "quiet", action = ArgAction::Count)]
    pub verbose: u8,
}

impl TerminalArgs {
    /// As by default, for a command that has no other of these options than `-q`.
    pub fn quiet(quiet: bool) -> Self {
        TerminalArgs { color: When::Auto, timezone: None, utc: false, quiet, verbose: 0 }
    }
}

/// The formats of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ListFormat {
    /// Columns for people
    Table,
    /// A JSON object a line
    Jsonl,
    /// One JSON array
    Json,
    /// Comma-separated values with a header line, for spreadsheets: no cell begins as a formula
    Csv,
    /// Comma-separated values exactly as they are, for programs
    CsvExact,
}

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum When {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
