//! The options that say where message text comes from.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::duration;

/// Where message text comes from.
#[derive(Debug, Args)]
pub(crate) struct TextArgs {
    /// Where message text comes from
    #[arg(long, value_name = "WHERE", default_value = "auto", help_heading = "Output")]
    pub(crate) messages: MessagesFrom,
    /// Print events without their text when a server hasn't sent it after this long
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s",
        help_heading = "Output")]
    pub(crate) message_timeout: Duration,
}

impl Default for TextArgs {
    fn default() -> Self {
        TextArgs { messages: MessagesFrom::default(), message_timeout: Duration::from_secs(2) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum MessagesFrom {
    /// server for servers; for files local, where a catalogue or saved display strings know
    /// messages
    #[default]
    Auto,
    /// The servers that are read, each text once: what they send is kept as a catalogue of their
    /// build. Before that, what local has
    Server,
    /// Catalogues in the data folder (quarry messages), and the .MTA file beside an exported log;
    /// names and codes of the standard too
    Local,
    /// None: values only
    Never,
}
