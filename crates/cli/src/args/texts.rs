//! The options that say where message text comes from.

use clap::{Args, ValueEnum};

/// Where message text comes from.
#[derive(Debug, Default, Args)]
pub(crate) struct TextArgs {
    /// Where message text comes from
    #[arg(long, value_name = "WHERE", default_value = "auto", help_heading = "Output")]
    pub(crate) messages: MessagesFrom,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum MessagesFrom {
    /// local, where a catalogue or saved display strings know messages
    #[default]
    Auto,
    /// Catalogues in the data folder (quarry messages), and the .MTA file beside an exported log;
    /// names and codes of the standard too
    Local,
    /// None: values only
    Never,
}
