//! The options that several commands have.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum, ValueHint};
use encoding_rs::Encoding;
use quarry_fleet::Authentication;

use super::values::{authentication, code_page, duration, threads};

pub(crate) const FILTER: &str = "Which events";
const SERVERS: &str = "Servers";
const FILES: &str = "Files";
pub(crate) const ORDER: &str = "How many, in which order";
pub(crate) const OUTPUT: &str = "Output";

#[derive(Debug, Args)]
// What stands in brackets is optional in a URL.
#[allow(rustdoc::broken_intra_doc_links)]
pub(crate) struct SourceArgs {
    /// A server (a name or address, a range dc[01:12], a glob or @group of the inventory, or
    /// even6://HOST[:MAPPER-PORT][?endpoint=PORT]; even://HOST[:PORT] over SMB), an .evtx or .evt
    /// file (by gzip or Zstandard too), a folder or zip archive (searched for them), . for this
    /// machine (on Windows), or - for a file on standard input
    #[arg(value_name = "SOURCE", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) sources: Vec<OsString>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = FILTER)]
pub(crate) struct FilterArgs {
    /// Of this log (channel); a glob, repeatable [default: System of a server, all of a file]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) log: Vec<String>,
    /// From this time on: 8h, "2 days ago", "last week", yesterday, monday, 2026-11-22T06:00 (local,
    /// or with a zone), @1700000000
    #[arg(short = 'S', long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// Up to this time
    #[arg(short = 'U', long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) until: Option<String>,
    /// Around this time, or that of an event (LOG.evtx#RECORD): from --window before it to --window
    /// after it
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until"])]
    pub(crate) around: Option<String>,
    /// How long before and after the time of --around [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "around")]
    pub(crate) window: Option<Duration>,
    /// With these ids: 4624,4700-4720,!4634
    #[arg(short, long, value_name = "IDS", allow_hyphen_values = true)]
    pub(crate) id: Vec<String>,
    /// Of this level or worse (critical, error, warning, information, verbose), of a range
    /// (warning..error), or an audit (audit-success, audit-failure)
    #[arg(short = 'p', long, value_name = "LEVEL")]
    pub(crate) level: Vec<String>,
    /// Of this provider; a glob, repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) provider: Vec<String>,
    /// Of this computer, as the event names it; a glob, repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) computer: Vec<String>,
    /// That name this user (a name, DOMAIN\name or SID); a glob, repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) event_user: Vec<String>,
    /// With this value, of UserData too: NAME=GLOB, or NAME~=REGEX; repeatable, all have to match
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) data: Vec<String>,
    /// With a match of this regular expression in the message, a value, or a value with its name
    /// (NAME=VALUE); case counts if it has an uppercase letter; repeatable, all have to match
    #[arg(short, long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(crate) grep: Vec<String>,
    /// That this Windows event query selects: XPath, or a whole QueryList document
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true)]
    pub(crate) xpath: Option<String>,
    /// That don't pass this test: id, level, provider, computer, event-user, data, grep, log or
    /// xpath; events without the value stay; repeatable
    #[arg(long, value_name = "WORD:VALUE")]
    pub(crate) not: Vec<String>,
}

/// How files are read.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = FILES)]
pub(crate) struct FileArgs {
    /// Also recover records that a log has given up, from slack space, and those that are anywhere
    /// in a file of any other kind: a damaged log, an image of a disk, a memory dump. They are
    /// marked: "recovered":true in JSON, a column in CSV and --fields, an attribute in XML, a word
    /// in tables. Of one that was overwritten in part, what is sure is shown, with a warning
    #[arg(long)]
    pub(crate) recover: bool,
}

/// How text in events is read.
#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub(crate) struct CodePageArgs {
    /// Read ANSI strings in events in this Windows code page: 1252, 1251, 932, utf-8
    #[arg(
        long, value_name = "CODEPAGE", default_value = "1252", value_parser = code_page
    )]
    pub(crate) ansi_codepage: &'static Encoding,
}

/// How servers are found and read.
#[derive(Debug, Args)]
#[command(next_help_heading = SERVERS)]
pub(crate) struct ServerArgs {
    /// Sign in as this user: USER, DOMAIN\USER or USER@REALM [default: the inventory's]
    #[arg(short = 'u', long, value_name = "USER", value_hint = ValueHint::Username)]
    pub(crate) username: Option<String>,
    /// Read the password from the first line of a file, instead of asking for it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "password")]
    pub(crate) password_file: Option<PathBuf>,
    /// Read the password from an open file descriptor
    #[arg(long, value_name = "N", group = "password")]
    pub(crate) password_fd: Option<u32>,
    /// Read the password from an environment variable
    #[arg(long, value_name = "NAME", group = "password")]
    pub(crate) password_env: Option<String>,
    /// Take the password from the system's keyring: the kernel's on Linux, the credential manager
    /// of Windows, under the service quarry and the account
    #[arg(long, group = "password")]
    pub(crate) keyring: bool,
    /// Sign in by Kerberos, and by nothing else: with the password or keytab that is given, or else
    /// with the tickets that kinit got. With --authentication negotiate and a password, by NTLM
    /// where Kerberos can't be
    #[arg(short, long)]
    pub(crate) kerberos: bool,
    /// Sign in by Kerberos, with the key of -u in this keytab, or that of the account it is made for
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "password")]
    pub(crate) keytab: Option<PathBuf>,
    /// How to sign in [default: negotiate]
    #[arg(long, value_name = "HOW", value_parser = authentication())]
    pub(crate) authentication: Option<Authentication>,
    /// The file of servers, groups and credentials [default: quarry/inventory.toml in the user's
    /// configuration folder]
    #[arg(
        long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "QUARRY_INVENTORY",
        hide_env_values = true
    )]
    pub(crate) inventory: Option<PathBuf>,
    /// Give up on a server whose port takes no connection for this long, name look-up included
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub(crate) connect_timeout: Duration,
    /// Give up on a server after this long without a reply, or without progress in one; a logon has
    /// this long as a whole
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub(crate) timeout: Duration,
    /// When all has to be done; what came by then is kept
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) deadline: Option<Duration>,
    /// Servers open at once [default: 1000]
    #[arg(short = 'j', long, value_name = "N")]
    pub(crate) connections: Option<std::num::NonZeroUsize>,
}

/// The output of `count` and `logs`.
#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub(crate) struct ListArgs {
    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<ListFormat>,
    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub(crate) struct TerminalArgs {
    /// When to use colour; auto also heeds NO_COLOR and CLICOLOR_FORCE
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
    /// Read and show times in this zone: Europe/Berlin, +02:00, UTC [default: the system's]
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true, conflicts_with = "utc")]
    pub(crate) timezone: Option<String>,
    /// Read and show times in UTC
    #[arg(long)]
    pub(crate) utc: bool,
    /// No progress, warnings or summary on standard error; only errors, and which records are
    /// missing
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Say on standard error how each server is read; -vv also each call. QUARRY_LOG chooses parts,
    /// as in QUARRY_LOG=quarry_rpc=trace
    #[arg(short, long, conflicts_with = "quiet", action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl TerminalArgs {
    /// As by default, for a command that has no other of these options than `-q`.
    pub(crate) fn quiet(quiet: bool) -> Self {
        TerminalArgs { color: When::Auto, timezone: None, utc: false, quiet, verbose: 0 }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub(crate) struct WorkArgs {
    /// Decode with N threads [default: as many as there are cores]
    #[arg(long, value_name = "N", help_heading = "Work", value_parser = threads)]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// A field a line for people
    List,
    /// A JSON object a line
    Jsonl,
    /// One JSON array
    Json,
    /// Comma-separated values with a header line, for spreadsheets: no cell begins as a formula
    Csv,
    /// Comma-separated values exactly as they are, for programs
    CsvExact,
    /// An XML document, an event a line
    Xml,
}

/// The formats of `scan`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ScanFormat {
    /// Columns for people
    Table,
    /// A field a line for people
    List,
    /// A JSON object a line
    Jsonl,
    /// One JSON array
    Json,
    /// Comma-separated values with a header line, for spreadsheets: no cell begins as a formula
    Csv,
    /// Comma-separated values exactly as they are, for programs
    CsvExact,
    /// An XML document, an event a line
    Xml,
    /// A log file, for Event Viewer or quarry itself
    Evtx,
}

impl ScanFormat {
    /// The format, where it is one of text.
    pub(crate) fn text(self) -> Option<Format> {
        Some(match self {
            ScanFormat::Table => Format::Table,
            ScanFormat::Jsonl => Format::Jsonl,
            ScanFormat::Json => Format::Json,
            ScanFormat::List => Format::List,
            ScanFormat::Csv => Format::Csv,
            ScanFormat::CsvExact => Format::CsvExact,
            ScanFormat::Xml => Format::Xml,
            ScanFormat::Evtx => return None,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ListFormat {
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

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum SortKey {
    /// The event's own time
    Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
