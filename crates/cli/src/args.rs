//! The command line: one definition that the parser, the help, the man page and the completions
//! are made of. What an option's text means is read by the part that uses it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Reads Windows event logs, on any system.
#[derive(Debug, Parser)]
#[command(name = "quarry", bin_name = "quarry", version, styles = STYLES, max_term_width = 100)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  quarry scan Security.evtx -i 4624,4625 -S yesterday
  quarry scan logs/ -p error --sort time -o jsonl
  quarry count logs/

Exit status: 0 events came, 1 none did, 2 a usage error or nothing could be read, 3 some sources
could not be read (the others were), 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the events of log files
    #[command(after_help = AFTER_SCAN)]
    Scan(ScanArgs),
    /// Count the records of log files, with the oldest and the newest time
    Count(CountArgs),
    /// List the logs (channels) that files hold events of
    Logs(LogsArgs),
    /// Print the event in a raw BinXML fragment, to look into a record that comes out wrong
    Decode(DecodeArgs),
    Lock(crate::lock::LockArgs),
    RunAs(crate::run_as::RunAsArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Print the man page, of quarry or of one of its commands
    #[command(hide = true)]
    Man(ManArgs),
}

const AFTER_SCAN: &str = "\
Examples:
  quarry scan Security.evtx                     all of a file, as a table
  quarry scan logs/ -i 4625 -S 8h               failed logons of the last eight hours
  quarry scan logs/ -p error -n 20 -r           the newest 20 errors of each file
  quarry scan a.evtx --data TargetUserName=bob --fields time,computer,data.IpAddress -o csv
  zcat a.evtx.gz | quarry scan - -g '(?i)powershell'";

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Print at most N events of each source
    #[arg(short = 'n', long, value_name = "N", help_heading = ORDER)]
    pub(crate) lines: Option<u64>,
    /// Newest first
    #[arg(short, long, help_heading = ORDER)]
    pub(crate) reverse: bool,
    /// Print the events of all sources in one order, when the last has been read; in bounded
    /// memory, with temporary files where that is too little
    #[arg(long, value_name = "KEY", help_heading = ORDER)]
    pub(crate) sort: Option<SortKey>,

    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT", help_heading = OUTPUT)]
    pub(crate) output: Option<Format>,
    /// The columns (table, csv) or members (jsonl, json), with commas between; data.NAME is one
    /// value of the event
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = OUTPUT)]
    pub(crate) fields: Vec<String>,
    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) output: ListArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) output: ListArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// A file with the bytes of an event or of a chunk, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The bytes are as a server sends them (names inline), not as a file's chunk holds them
    #[arg(long)]
    pub(crate) wire: bool,
    /// The format
    #[arg(short, long, value_name = "FORMAT", default_value = "xml")]
    pub(crate) output: Format,
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
pub(crate) struct SourceArgs {
    /// An .evtx file, a folder (searched for them), or - for a file on standard input
    #[arg(value_name = "SOURCE", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) sources: Vec<OsString>,
}

const FILTER: &str = "Which events";
const ORDER: &str = "How many, in which order";
const OUTPUT: &str = "Output";

#[derive(Debug, Default, Args)]
#[command(next_help_heading = FILTER)]
pub(crate) struct FilterArgs {
    /// Of this log (channel); a glob, repeatable
    #[arg(short, long, value_name = "NAME")]
    pub(crate) log: Vec<String>,
    /// From this time on: 8h, "2 days ago", yesterday, 2026-11-22T06:00 (local, or with a zone)
    #[arg(short = 'S', long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Up to this time
    #[arg(short = 'U', long, value_name = "TIME")]
    pub(crate) until: Option<String>,
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
    /// With this value: NAME=VALUE, or NAME~=REGEX; repeatable, all have to match
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) data: Vec<String>,
    /// With a match of this regular expression in the message or a value
    #[arg(short, long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(crate) grep: Option<String>,
    /// That this Windows event query selects: XPath, or a whole QueryList document
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true)]
    pub(crate) xpath: Option<String>,
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
    /// No progress, warnings or summary on standard error; errors only
    #[arg(short, long)]
    pub(crate) quiet: bool,
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
    /// A JSON object a line
    Jsonl,
    /// One JSON array
    Json,
    /// Comma-separated values, with a header line
    Csv,
    /// An XML document, an event a line
    Xml,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ListFormat {
    /// Columns for people
    Table,
    /// A JSON object a line
    Jsonl,
    /// One JSON array
    Json,
    /// Comma-separated values, with a header line
    Csv,
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
