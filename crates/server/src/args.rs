//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use quarry_program::args::values::duration;
use quarry_program::args::{OUTPUT, ReadArgs, ShowArgs};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const ORDER: &str = "How many, in which order";

/// Follows a fleet of Windows servers, keeps their events in one table, and answers in SQL.
#[derive(Debug, Parser)]
#[command(name = "quarryd", bin_name = "quarryd", version, styles = STYLES, max_term_width = 100)]
#[command(after_help = "docs/quarryd.md is the guide, with every key of a configuration.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Follow the servers of a configuration and store their events, until it is stopped
    Serve(ServeArgs),
    /// Show all of it: twelve simulated servers, followed into a temporary folder, with their page
    Demo,
    /// Say what a configuration means, or where its mistake is
    Check(ConfigArgs),
    /// Answer one SELECT on the stored events: the views events and notices
    #[command(after_help = AFTER_SQL)]
    Sql(SqlArgs),
    /// Write the events of servers and log files as one Parquet file, with the columns of the table
    #[command(after_help = AFTER_EXPORT)]
    Export(Box<ExportArgs>),
    /// Look after the table
    Store(StoreArgs),
    /// Say how far each server is stored and, where several collectors share the store, whose it is
    Status(ConfigArgs),
    /// Check one password and stand for whose it is: what the page for accounts starts for each logon
    #[command(hide = true)]
    LogonProcess(LogonProcessArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration, in TOML
    #[arg(value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: PathBuf,
    /// This is the process without privileges, whose helper is root's
    #[arg(long, hide = true)]
    pub(crate) unprivileged: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogonProcessArgs {
    /// The PAM service
    pub(crate) service: String,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration, in TOML
    #[arg(value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: PathBuf,
}

const AFTER_SQL: &str = "\
Examples:
  quarryd sql 'SELECT host, count(*) AS n FROM events GROUP BY host ORDER BY n DESC' -c quarryd.toml
  quarryd sql \"SELECT * FROM events WHERE event_id = 4625\" -c quarryd.toml -o parquet > failed.parquet

It reads what was committed. What came in the last seconds is in the page and in /api/v1/sql.";

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// The statement
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// The configuration whose store is asked
    #[arg(
        short, long, value_name = "CONFIG", value_hint = ValueHint::FilePath, env = "QUARRYD_CONFIG",
        default_value = "/etc/quarry/quarryd.toml"
    )]
    pub(crate) config: PathBuf,
    /// The format [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<SqlFormat>,
    /// Give up after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    pub(crate) time: Duration,
}

/// The formats of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum SqlFormat {
    /// Columns for people
    Table,
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values with a header line, for spreadsheets: no cell begins as a formula
    Csv,
    /// Comma-separated values exactly as they are, for programs
    CsvExact,
    /// A Parquet file
    Parquet,
    /// A stream of Arrow's
    Arrow,
}

const AFTER_EXPORT: &str = "\
Examples:
  quarryd export Security.evtx -o security.parquet
  quarryd export logs/ -i 4624,4625 -S 30d --columns TargetUserName,IpAddress -o logons.parquet
  quarryd export @dcs -l Security -S 1d -u ann -o - | duckdb -c \"SELECT ...\"

It reads what quarry scan reads, needs no table, and gives the rows in the order of quarry scan. A
file appears when it is whole: until then it has a temporary name beside it. Exit status: 0 events
came, 1 none did, 2 a usage error or nothing could be read, 3 some sources failed (the rest was
written), 130 interrupted (nothing was written).";

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,

    /// Write at most N events of each source
    #[arg(short = 'n', long, value_name = "N", help_heading = ORDER)]
    pub(crate) lines: Option<u64>,
    /// Write the newest events first
    #[arg(short, long, help_heading = ORDER)]
    pub(crate) reverse: bool,

    /// The file, or - for standard output
    #[arg(
        short, long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = OUTPUT
    )]
    pub(crate) output: PathBuf,
    /// Names of event data that get a column of their own, data_NAME, with commas between
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = OUTPUT)]
    pub(crate) columns: Vec<String>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Say where the table is, its version, and how far each log was read
    Info(ConfigArgs),
    /// Do the maintenance that is due: checkpoints, small files put together, events that are too
    /// old, files that nothing refers to. quarryd serve does it by itself
    Maintain(ConfigArgs),
    /// Delete files that nothing refers to: what a crash between a data file and its commit has
    /// left, and what was put together. Maintenance does it by itself for those older than a day
    Expire(ExpireArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExpireArgs {
    /// The configuration, in TOML
    #[arg(value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: PathBuf,
    /// Only files at least this old, an hour or more: a collector may be about to commit a younger
    /// one, or a question still read it
    #[arg(long, value_name = "TIME", value_parser = an_hour_or_more, default_value = "24h")]
    pub(crate) older_than: Duration,
    /// List them, and delete nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// A length of time that no commit and no question takes.
fn an_hour_or_more(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time >= Duration::from_secs(3600) => Ok(time),
        _ => Err("it has to be an hour or more".to_owned()),
    }
}
