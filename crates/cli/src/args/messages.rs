//! The command line of `quarry messages`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::common::{ListArgs, ServerArgs};

/// Build message catalogues, and look into them
///
/// A catalogue has the message text of one build of Windows in one language. Scans use those in the
/// user's data folder.
#[derive(Debug, Args)]
#[command(after_help = AFTER_MESSAGES)]
pub(crate) struct MessagesArgs {
    #[command(subcommand)]
    pub(crate) command: MessagesCommand,
}

const AFTER_MESSAGES: &str = "\
Examples:
  quarry messages build --from /mnt/c               of a mounted system disk
  quarry messages build --from dlls/ -o own.catalogue
  quarry messages build --server dc01 -u ann        of a server, over the network
  quarry messages import winevt-rc.db
  quarry messages list
  quarry messages show Microsoft-Windows-Security-Auditing 4625";

#[derive(Debug, Subcommand)]
pub(crate) enum MessagesCommand {
    /// Build a catalogue of provider files, folders of them, a mounted system disk, or a server
    Build(Box<BuildArgs>),
    /// Make a catalogue of a database: plaso's winevt-rc.db, or one of the NSA's WELM
    Import(ImportArgs),
    /// List the catalogues that scans use, or the providers in one
    List(CataloguesArgs),
    /// Print what a catalogue has of a provider, or of one of its events
    Show(ShowMessageArgs),
    /// Read catalogues whole, and say which are damaged
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Provider files (.dll, .exe, .sys, .mui), folders of them, or the root of a mounted Windows
    /// disk
    #[arg(long, value_name = "PATH", required_unless_present = "server", num_args = 1..,
        value_hint = ValueHint::AnyPath)]
    pub(crate) from: Vec<PathBuf>,
    /// A server, which is asked for each message that its providers define
    #[arg(long, value_name = "HOST", conflicts_with = "from")]
    pub(crate) server: Option<String>,
    /// The language of the messages
    #[arg(long, value_name = "NAME", default_value = "en-US")]
    pub(crate) language: String,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The database
    #[arg(value_name = "DATABASE", value_hint = ValueHint::FilePath)]
    pub(crate) database: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// The catalogue to write [default: one in the data folder, named after build and language]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Don't say what was done
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CataloguesArgs {
    /// A catalogue whose providers to list [default: list the catalogues in the data folder]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) catalogue: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowMessageArgs {
    /// The provider's name, in any case
    #[arg(value_name = "PROVIDER")]
    pub(crate) provider: String,
    /// The event's number
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u16>,
    /// The catalogue [default: those in the data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) catalogue: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The catalogues [default: those in the data folder]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) catalogues: Vec<PathBuf>,
}
