//! What is read and how, as every command that reads sources has it.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, ValueHint};
use encoding_rs::Encoding;

use super::OUTPUT;
use super::values::{code_page, duration, threads};

/// The heading of the options that say which events are wanted.
pub const FILTER: &str = "Which events";
const FILES: &str = "Files";

/// What is read.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// A server (a name or address, a range dc[01:12], a glob or @group of the inventory, or
    /// even6://HOST[:MAPPER-PORT][?endpoint=PORT]; even://HOST[:PORT] over SMB), an .evtx or .evt
    /// file (by gzip or Zstandard too), a folder or zip archive (searched for them), . for this
    /// machine (on Windows), or - for a file on standard input
    #[arg(value_name = "SOURCE", required = true, value_hint = ValueHint::AnyPath)]
    pub sources: Vec<OsString>,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = FILTER)]
pub struct FilterArgs {
    /// Only events of this log (channel); a glob, repeatable [default: System of a server, all of a
    /// file]
    #[arg(short, long, value_name = "NAME")]
    pub log: Vec<String>,
    /// Only events from this time on: 8h, "2 days ago", "last week", yesterday, monday,
    /// 2026-11-22T06:00 (local, or with a zone), @1700000000
    #[arg(short = 'S', long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only events up to this time
    #[arg(short = 'U', long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Only events around this time, or that of an event (LOG.evtx#RECORD): from --window before it
    /// to --window after it
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until"])]
    pub around: Option<String>,
    /// Take this long before and after the time of --around [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "around")]
    pub window: Option<Duration>,
    /// Only events with these IDs: 4624,4700-4720,!4634
    #[arg(short, long, value_name = "IDS", allow_hyphen_values = true)]
    pub id: Vec<String>,
    /// Only events of this level or worse (critical, error, warning, information, verbose), of a
    /// range (warning..error), or of an audit (audit-success, audit-failure)
    #[arg(short = 'p', long, value_name = "LEVEL")]
    pub level: Vec<String>,
    /// Only events of this provider, Microsoft-Windows- left out or not; a glob, repeatable
    #[arg(long, value_name = "GLOB")]
    pub provider: Vec<String>,
    /// Only events of this computer, as the event names it; a glob, repeatable
    #[arg(long, value_name = "GLOB")]
    pub computer: Vec<String>,
    /// Only events that name this user (a name, DOMAIN\name or SID); a glob, repeatable
    #[arg(long, value_name = "GLOB")]
    pub event_user: Vec<String>,
    /// Only events that match this detection rule, by its id or title; a glob, repeatable. Only
    /// events that were stored carry the rules that they match; quarry detect tests others
    #[arg(long, value_name = "RULE")]
    pub rule: Vec<String>,
    /// Only events with this value, of UserData too: NAME=GLOB, or NAME~=REGEX; repeatable, all have
    /// to match
    #[arg(long, value_name = "NAME=VALUE")]
    pub data: Vec<String>,
    /// Only events with a match of this regular expression in the message, a value, or a value with
    /// its name (NAME=VALUE); a blank is any white space; case counts if it has an uppercase letter;
    /// repeatable, all have to match
    #[arg(short, long, value_name = "REGEX", allow_hyphen_values = true)]
    pub grep: Vec<String>,
    /// Only events that this Windows event query selects: XPath, or a whole QueryList document
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true)]
    pub xpath: Option<String>,
    /// Leave out events that pass this test: id, level, provider, computer, event-user, rule, data,
    /// grep, log or xpath; events without the value stay; repeatable
    #[arg(long, value_name = "WORD:VALUE")]
    pub not: Vec<String>,
}

/// How files are read.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = FILES)]
pub struct FileArgs {
    /// Also recover records that a log has given up, from slack space, and those that are anywhere
    /// in a file of any other kind: a damaged log, an image of a disk, a memory dump. They are
    /// marked: "recovered":true in JSON, a column in CSV and --fields, an attribute in XML, a word
    /// in tables. Of one that was overwritten in part, what is sure is shown, with a warning
    #[arg(long)]
    pub recover: bool,
}

/// How text in events is read.
#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub struct CodePageArgs {
    /// Read ANSI strings in events in this Windows code page: 1252, 1251, 932, utf-8
    #[arg(
        long, value_name = "CODEPAGE", default_value = "1252", value_parser = code_page
    )]
    pub ansi_codepage: &'static Encoding,
}

/// How much of the machine is taken.
#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub struct WorkArgs {
    /// Decode with N threads [default: as many as there are cores]
    #[arg(long, value_name = "N", help_heading = "Work", value_parser = threads)]
    pub threads: Option<std::num::NonZeroUsize>,
}
