//! The command line: one definition that the parser, the help, the man page and the completions
//! are made of. What an option's text means is read by the part that uses it.

mod answers;
mod common;
mod detect;
mod lock;
mod messages;
mod run_as;
mod serve;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueHint};

pub(crate) use answers::{AnswerArgs, AnswerFormat};
pub(crate) use common::{
    CodePageArgs, FileArgs, Format, ListArgs, ListFormat, ReadArgs, ScanFormat, ScanFormats,
    ServerArgs, ShowArgs, SortKey, SourceArgs, TerminalArgs, When, WorkArgs,
};
use common::{FILTER, ORDER, OUTPUT};
pub(crate) use detect::{By, DetectArgs, RuleLevel};
pub(crate) use lock::{LockArgs, bytes};
pub(crate) use messages::{
    BuildArgs, CataloguesArgs, ImportArgs, MessagesArgs, MessagesCommand, OutputArgs,
    ShowMessageArgs, VerifyArgs,
};
pub(crate) use quarry_program::args::TextArgs;
use quarry_program::args::values::duration;
#[cfg(windows)]
pub(crate) use run_as::ProviderName;
pub(crate) use run_as::{RunAsArgs, TypeName};
pub(crate) use serve::{LogonProcessArgs, ServeArgs};

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
  quarry serve logs/ --open

Exit status: 0 events came, 1 none did, 2 a usage error or nothing could be read, 3 some sources
failed (the rest was delivered), 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the events of servers and log files
    #[command(after_help = AFTER_SCAN)]
    Scan(ScanArgs),
    /// Find the events of servers and log files that match Sigma rules
    #[command(
        after_help = detect::AFTER_DETECT,
        mut_arg("level", |arg| arg.long("event-level")),
        mut_arg("rule", |arg| arg.help_heading(detect::RULES).help(
            "Only rules with this title, file name, or id or beginning of one; a glob, repeatable"
        ).long_help(None)),
        mut_arg("sources", |arg| arg.required(false).required_unless_present_any(["plan", "explain"])),
        mut_arg("log", |arg| arg.help(
            "Only events of this log (channel); a glob, repeatable [default: those that the rules look at]"
        ))
    )]
    Detect(Box<DetectArgs>),
    /// List who signed in to what, from where, and who failed to and why
    #[command(after_help = answers::AFTER_LOGONS)]
    Logons(AnswerArgs),
    /// List the script blocks that PowerShell ran, each whole
    #[command(after_help = answers::AFTER_POWERSHELL)]
    Powershell(AnswerArgs),
    /// List processes by host, each under the one that started it
    #[command(after_help = answers::AFTER_PROCESSES)]
    Processes(AnswerArgs),
    /// Print the last events of servers and log files, and then new ones as they come
    #[command(after_help = AFTER_TAIL, mut_arg("connections", |arg| arg.hide(true)))]
    Tail(TailArgs),
    /// Count the records of servers' logs and of log files, with the oldest and the newest time
    Count(CountArgs),
    /// List the logs (channels) that servers have, or that files hold events of
    Logs(LogsArgs),
    Messages(MessagesArgs),
    /// The inventory: list servers, test whether they can be read
    Hosts(HostsArgs),
    /// Show the events of servers and log files in a browser
    #[command(after_help = AFTER_SERVE, mut_arg("deadline", |arg| arg.hide(true)))]
    Serve(ServeArgs),
    /// Scan four simulated servers, one of which dies, over the real protocol; or show twelve of
    /// them in a browser
    #[command(after_help = AFTER_DEMO)]
    Demo(DemoArgs),
    /// Print the event in a raw BinXML fragment, to look into a record that comes out wrong
    Decode(DecodeArgs),
    Lock(LockArgs),
    RunAs(RunAsArgs),
    /// Simulate Windows servers on loopback, to develop and load-test against
    #[command(after_help = after_sim())]
    Sim(SimArgs),
    /// Check one password and stand for whose it is: what the page for others starts for each logon
    #[command(hide = true)]
    LogonProcess(LogonProcessArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Print the man page, of quarry or of one of its commands
    Man(ManArgs),
}

const AFTER_SERVE: &str = "\
Examples:
  quarry serve @all                   every server of the inventory, as it is now
  quarry serve 'dc[01:12].corp' -u ann
  quarry serve logs/ --open           a folder of logs, in the browser
  quarry demo --web                   twelve simulated servers
  quarry serve @all --listen 0.0.0.0:8443 --access access.toml --audit audit.jsonl

The page is for who started it: the address that is printed has a token, which signs in once, within
five minutes. Nobody but this machine can connect. With --access it is for the accounts of this
system, over TLS; docs/serve.md has the rules.";

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
    pub(crate) read: ReadArgs,

    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// Print at most N events of each source; with --sort, of all sources together
    #[arg(short = 'n', long, value_name = "N", help_heading = ORDER)]
    pub(crate) lines: Option<u64>,
    /// With --sort, print at most N events of each source, those it would give without --sort
    #[arg(long, requires = "lines", help_heading = ORDER)]
    pub(crate) per_source: bool,
    /// Print the newest events first
    #[arg(short, long, help_heading = ORDER)]
    pub(crate) reverse: bool,
    /// Print the events of all sources in one order: those of files as soon as none before them can
    /// come, others when the last has been read; in bounded memory, with temporary files where that
    /// is too little
    #[arg(long, value_name = "KEY", help_heading = ORDER)]
    pub(crate) sort: Option<SortKey>,
    /// Print each event once, however many copies of its log are read: events of one computer,
    /// channel, record number and time are the same. Up to 29 million events are remembered
    #[arg(long, help_heading = ORDER)]
    pub(crate) unique: bool,

    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(
        short, long, value_name = "FORMAT", value_parser = ScanFormats, help_heading = OUTPUT
    )]
    pub(crate) output: Option<ScanFormat>,
    /// The columns (table, csv) or members (jsonl, json), with commas between; data.NAME is one
    /// value of the event, data.* each of its values, user_data.A.B one of an element in UserData
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = OUTPUT)]
    pub(crate) fields: Vec<String>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

const AFTER_TAIL: &str = "\
Examples:
  quarry tail fred barney -u ann -p error          errors of two servers, as they come
  quarry tail @dcs -l Security -i 4625 -n 0        failed logons from now on
  quarry tail @all --cursor-file all.cursor -o jsonl >> all.jsonl
                                                   started again, it goes on where it was

It goes on until it is interrupted. A connection that is lost is made again, and nothing is lost or
comes twice; records that were overwritten before they were read are reported on standard
error.
With a cursor file that holds from one run to the next; after a kill, what was printed in the last
second may come again.";

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,

    /// Print the last N events of each log first
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
    pub(crate) texts: TextArgs,
    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
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
    List(ChosenHostsArgs),
    /// Connect to servers, sign in, and ask for their logs
    Test(ChosenHostsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ChosenHostsArgs {
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
    /// Show twelve simulated servers in a browser: one is dead, one is slow, one has a gap, and all of
    /// them grow
    #[arg(long, conflicts_with = "output")]
    pub(crate) web: bool,
    /// Open the page in the browser
    #[arg(long, requires = "web")]
    pub(crate) open: bool,
    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Leave the servers up until Ctrl-C, with events still coming, and print commands to try on them
    #[arg(long, conflicts_with = "web")]
    pub(crate) keep: bool,
}

const AFTER_DEMO: &str = "\
Examples:
  quarry demo
  quarry demo --keep        in one terminal, and what it says to try in another";

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
    /// How many bytes of added events a log holds; then the oldest are overwritten
    #[arg(long, value_name = "BYTES")]
    pub(crate) log_size: Option<usize>,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
