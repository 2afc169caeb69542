//! The options that say where message text comes from.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::duration;

/// Where message text comes from.
#[derive(Debug, Args)]
pub struct TextArgs {
    /// Where message text comes from
    #[arg(long, value_name = "WHERE", default_value = "auto", help_heading = "Output")]
    pub messages: MessagesFrom,
    /// Print a server's events without their text if it doesn't send that within this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s",
        help_heading = "Output")]
    pub message_timeout: Duration,
    /// Where catalogues are, if that isn't the data folder.
    #[arg(skip)]
    pub folder: Option<PathBuf>,
}

impl Default for TextArgs {
    fn default() -> Self {
        let message_timeout = Duration::from_secs(2);
        TextArgs { messages: MessagesFrom::default(), message_timeout, folder: None }
    }
}

/// Where message text comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum MessagesFrom {
    /// As server for servers; as local for files, if a catalogue or saved display strings have
    /// messages
    #[default]
    Auto,
    /// What local has, and then the servers that are read: each is asked for a text once, and what
    /// it sends is kept in the data folder
    Server,
    /// Catalogues in the data folder (quarry messages), the .MTA file beside an exported log, and the
    /// standard's names and codes
    Local,
    /// None: values only
    Never,
}
