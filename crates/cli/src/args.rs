//! The command line: one definition that the parser, the help, the man page and the completions
//! are made of. What an option's text means is read by the part that uses it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use encoding_rs::Encoding;
use quarry_fleet::Authentication;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Reads the event logs of many Windows servers at once, and log files, on any system.
#[derive(Debug, Parser)]
#[command(name = "quarry", bin_name = "quarry", version, styles = STYLES, max_term_width = 100)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  quarry demo
  quarry scan fred barney wilma betty -u 'CORP\\ann' -S 8h
  quarry scan Security.evtx -i 4624,4625 -S yesterday
  quarry scan logs/ -p error --sort time -o jsonl
  quarry count logs/

Exit status: 0 events came, 1 none did, 2 a usage error or nothing could be read, 3 some sources
failed (the rest was delivered), 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the events of servers and log files
    #[command(after_help = AFTER_SCAN)]
    Scan(ScanArgs),
    /// Print the last events of servers and log files, and then new ones as they come
    #[command(after_help = AFTER_TAIL, mut_arg("connections", |arg| arg.hide(true)))]
    Tail(TailArgs),
    /// Count the records of servers' logs and of log files, with the oldest and the newest time
    Count(CountArgs),
    /// List the logs (channels) that servers have, or that files hold events of
    Logs(LogsArgs),
    Messages(crate::messages::MessagesArgs),
    /// The inventory: list servers, test whether they can be read
    Hosts(HostsArgs),
    /// Scan four simulated servers, one of which dies, over the real protocol
    Demo(DemoArgs),
    /// Print the event in a raw BinXML fragment, to look into a record that comes out wrong
    Decode(DecodeArgs),
    Lock(crate::lock::LockArgs),
    RunAs(crate::run_as::RunAsArgs),
    /// Simulate Windows servers on loopback, to develop and load-test against
    #[command(after_help = after_sim())]
    Sim(SimArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Print the man page, of quarry or of one of its commands
    Man(ManArgs),
}

const AFTER_SCAN: &str = "\
Examples:
  quarry scan fred barney -u ann -S 8h          the System log of two servers, eight hours back
  quarry scan @dcs -l Security -i 4625 -S 1d    failed logons on a group of the inventory
  quarry scan Security.evtx                     all of a file, as a table
  quarry scan logs/ -i 4625 -S 8h               failed logons of the last eight hours
  quarry scan logs/ -p error -n 20 -r           the newest 20 errors of each file
  quarry scan SysEvent.Evt --recover            an old log, and what is left of overwritten records
  quarry scan disk.img --recover                what is left of any log in an image
  quarry scan triage.zip --unique               the logs in an archive, each event once
  quarry scan a.evtx --data TargetUserName=bob --fields time,computer,data.IpAddress -o csv
  quarry scan dc01 -l Security -S 1d -o evtx > dc01.evtx
  quarry scan a.evtx.gz -g '(?i)powershell'";

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,

    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) code_page: CodePageArgs,

    /// Print at most N events of each source; with --sort, of all sources together
    #[arg(short = 'n', long, value_name = "N", help_heading = ORDER)]
    pub(crate) lines: Option<u64>,
    /// With --sort, print at most N events of each source, those it would give without --sort
    #[arg(long, requires = "lines", help_heading = ORDER)]
    pub(crate) per_source: bool,
    /// Newest first
    #[arg(short, long, help_heading = ORDER)]
    pub(crate) reverse: bool,
    /// Print the events of all sources in one order, when the last has been read; in bounded
    /// memory, with temporary files where that is too little
    #[arg(long, value_name = "KEY", help_heading = ORDER)]
    pub(crate) sort: Option<SortKey>,
    /// Print each event once, however many copies of its log are read: events of one computer,
    /// channel, record number and time are the same. Up to 29 million events are remembered
    #[arg(long, help_heading = ORDER)]
    pub(crate) unique: bool,

    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT", help_heading = OUTPUT)]
    pub(crate) output: Option<ScanFormat>,
    /// The columns (table, csv) or members (jsonl, json), with commas between; data.NAME is one
    /// value of the event, data.* each of its values, user_data.A.B one of an element in UserData
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = OUTPUT)]
    pub(crate) fields: Vec<String>,
    #[command(flatten)]
    pub(crate) texts: crate::texts::TextArgs,
    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

const AFTER_TAIL: &str = "\
Examples:
  quarry tail fred barney -u ann -p error          errors of two servers, as they come
  quarry tail @dcs -l Security -i 4625 -n 0        failed logons from now on
  quarry tail @all --cursor-file all.cursor -o jsonl >> all.jsonl
                                                   started again, it goes on where it was

It goes on until it is interrupted. A connection that is lost is made again, and nothing is lost or
comes twice; records that were overwritten before they were read are told of on standard error.
With a cursor file that holds from one run to the next; after a kill, what was printed in the last
second may come again.";

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,

    /// First the last N events of each log
    #[arg(short = 'n', long, value_name = "N", default_value = "10", help_heading = ORDER)]
    pub(crate) lines: u64,
    /// Keep in this file where each log was read to, and go on there the next time
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = ORDER)]
    pub(crate) cursor_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) code_page: CodePageArgs,

    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT", help_heading = OUTPUT)]
    pub(crate) output: Option<Format>,
    /// The columns (table, csv) or members (jsonl), with commas between; data.NAME is one value of
    /// the event, data.* each of its values, user_data.A.B one of an element in UserData
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = OUTPUT)]
    pub(crate) fields: Vec<String>,
    #[command(flatten)]
    pub(crate) texts: crate::texts::TextArgs,
    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// Count by these fields, with commas between, the most frequent first: event_id,
    /// data.TargetUserName
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = ORDER)]
    pub(crate) by: Vec<String>,
    /// With --by, print the N most frequent only
    #[arg(short = 'n', long, value_name = "N", requires = "by", help_heading = ORDER)]
    pub(crate) lines: Option<usize>,
    #[command(flatten)]
    pub(crate) code_page: CodePageArgs,
    #[command(flatten)]
    pub(crate) output: ListArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Only this log (channel); a glob, repeatable
    #[arg(short, long, value_name = "NAME", help_heading = FILTER)]
    pub(crate) log: Vec<String>,
    /// Only logs that have records
    #[arg(long, help_heading = FILTER)]
    pub(crate) not_empty: bool,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    #[command(flatten)]
    pub(crate) output: ListArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HostsArgs {
    #[command(subcommand)]
    pub(crate) command: HostsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// List servers as the inventory has them
    List(HostsListArgs),
    /// Connect to servers, sign in, and ask for their logs
    Test(HostsTestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HostsListArgs {
    /// Names, ranges, globs or @groups [default: all of the inventory]
    #[arg(value_name = "SERVER")]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    #[command(flatten)]
    pub(crate) output: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HostsTestArgs {
    /// Names, ranges, globs or @groups [default: all of the inventory]
    #[arg(value_name = "SERVER")]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    #[command(flatten)]
    pub(crate) output: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// A file with the bytes of an event or of a chunk, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The bytes are as a server sends them (names inline), not as a file's chunk holds them
    #[arg(long)]
    pub(crate) wire: bool,
    #[command(flatten)]
    pub(crate) code_page: CodePageArgs,
    /// The format
    #[arg(short, long, value_name = "FORMAT", default_value = "xml")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// How many servers, or their names with commas between
    #[arg(long, value_name = "N|NAMES", default_value = "4")]
    pub(crate) servers: String,
    /// How many events each of a server's logs System, Security and Application has
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) events: u64,
    /// From one event to the next, back from now
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub(crate) every: Duration,
    /// Add an event to each of these logs every so often
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) grow: Option<Duration>,
    /// The number of the first record
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) first_record: u64,
    /// Fill each event up to about so many bytes, at most 60000
    #[arg(long, value_name = "BYTES")]
    pub(crate) size: Option<usize>,
    /// What the events are made from: the same seed, the same events
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,
    /// Channels without events, which every server has besides
    #[arg(long, value_name = "N", default_value = "1100")]
    pub(crate) channels: usize,
    /// Serve the events of this file, instead of generated ones; repeatable
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) evtx: Vec<PathBuf>,
    /// How long a question is on its way before it is answered
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0")]
    pub(crate) latency: Duration,
    /// What is wrong with a server; NAME may be a glob; repeatable
    #[arg(long, value_name = "NAME=KIND")]
    pub(crate) fault: Vec<String>,
    /// Write an inventory of the servers, and the password into a file beside it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) inventory: Option<PathBuf>,
    /// Don't log the queries that come
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// The kinds of faults, out of their one definition.
fn after_sim() -> String {
    let mut text = "\
Examples:
  quarry sim --servers fred,barney --inventory sim.toml
  quarry sim --servers 20 --latency 50ms --fault server03=silent:500 --inventory sim.toml
  quarry scan --inventory sim.toml @all

Kinds of faults (their defaults in brackets):
"
    .to_owned();
    for (kind, what) in quarry_sim::Fault::KINDS {
        text += &format!("  {kind:<25}{what}\n");
    }
    text += "\nIt serves until it is interrupted, and exits with 0.";
    text
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

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

const FILTER: &str = "Which events";
const SERVERS: &str = "Servers";
const FILES: &str = "Files";
const ORDER: &str = "How many, in which order";
const OUTPUT: &str = "Output";

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
    /// Around this time: from --window before it to --window after it
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

/// A code page of Windows by its number, or an encoding by its name.
fn code_page(text: &str) -> Result<&'static Encoding, String> {
    let number = text.strip_prefix("cp").or(text.strip_prefix("CP")).unwrap_or(text);
    let encoding = match number.parse() {
        Ok(number) => codepage::to_encoding(number),
        Err(_) => Encoding::for_label(text.as_bytes()),
    };
    let is_ansi = |encoding: &&Encoding| {
        *encoding != encoding_rs::UTF_16LE && *encoding != encoding_rs::UTF_16BE
    };
    encoding.filter(is_ansi).ok_or_else(|| {
        format!(
            "{text} is no ANSI code page of Windows: 874, 932, 936, 949, 950, 1250 to 1258, or utf-8"
        )
    })
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

/// The ways to authenticate, each with what it means.
fn authentication() -> impl TypedValueParser<Value = Authentication> {
    let values = [
        PossibleValue::new("negotiate").help("SPNEGO: what both sides have"),
        PossibleValue::new("ntlm").help("NTLM by itself"),
        PossibleValue::new("kerberos").help("Kerberos by itself"),
    ];
    PossibleValuesParser::new(values).try_map(|word| word.parse::<Authentication>())
}

/// A length of time: `500ms`, `5s`, `2m`, `1h30m`; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is no length of time such as 500ms, 5s or 2m");
    let time = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
            Duration::try_from(span).map_err(|_| wrong())?
        }
    };
    match time <= MAX_TIME {
        true => Ok(time),
        false => Err(format!("{text} is over a year")),
    }
}

/// The longest time-out.
const MAX_TIME: Duration = Duration::from_secs(366 * 86_400);

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
    /// No progress, warnings or summary on standard error; errors, and gaps of tail, only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Say on standard error how each server is read; -vv also each call. QUARRY_LOG chooses parts,
    /// as in QUARRY_LOG=quarry_rpc=trace
    #[arg(short, long, conflicts_with = "quiet", action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Args)]
#[command(next_help_heading = OUTPUT)]
pub(crate) struct WorkArgs {
    /// Decode with N threads [default: as many as there are cores]
    #[arg(long, value_name = "N", help_heading = "Work")]
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
