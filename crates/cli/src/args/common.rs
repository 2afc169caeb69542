//! The options that several commands have.

use std::ffi::OsStr;

use clap::ValueEnum;
use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
pub(crate) use quarry_program::args::{
    CodePageArgs, FILTER, FileArgs, ListArgs, ListFormat, OUTPUT, ReadArgs, ServerArgs, ShowArgs,
    SourceArgs, TerminalArgs, When, WorkArgs,
};

pub(crate) const ORDER: &str = "How many, in which order";

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

/// Reads a format of `scan`, and knows who writes the one that it doesn't have.
#[derive(Clone)]
pub(crate) struct ScanFormats;

impl TypedValueParser for ScanFormats {
    type Value = ScanFormat;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<ScanFormat, clap::Error> {
        if value == "parquet" {
            let message = "quarry has no writer of Parquet files; `quarryd export SOURCE... -o \
                           FILE.parquet` reads the same sources";
            return Err(command.clone().error(ErrorKind::InvalidValue, message));
        }
        EnumValueParser::<ScanFormat>::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = ScanFormat::value_variants().iter();
        Some(Box::new(values.filter_map(ValueEnum::to_possible_value)))
    }
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
pub(crate) enum SortKey {
    /// The event's own time
    Time,
}
