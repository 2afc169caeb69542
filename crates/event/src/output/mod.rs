//! Events as text: JSON, XML, CSV and tables.
//!
//! A [`Printer`] is made once, and any number of threads print with it, each with a [`Scratch`] of
//! its own. What stands around the events ([`header`](Printer::header),
//! [`separator`](Printer::separator), [`footer`](Printer::footer)) is left to the one that puts
//! the threads' output together.

mod cell;
mod column;
mod csv;
#[cfg(test)]
mod fake;
mod json;
mod table;
pub mod xml;

pub use column::{Column, Member, UnknownColumn};
pub use table::{TableOptions, local_time, push_cell};

use crate::{FieldSource, Origin};

/// Prints events in one format.
#[derive(Debug)]
pub struct Printer {
    style: Style,
}

#[derive(Debug)]
enum Style {
    /// One object a line, or an array of them.
    Json {
        columns: Option<Vec<Column>>,
        array: bool,
        pretty: bool,
    },
    Csv(csv::Csv),
    Table(table::Table),
    Xml,
}

/// Message text that was made for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The text.
    pub text: &'a str,
    /// Who made it.
    pub by: MessageBy,
}

/// Who made an event's message text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageBy {
    /// The server that has the event, or the one that forwarded it.
    Server,
    /// A catalogue of messages.
    Catalogue,
    /// Nobody: it is the event's values one after another.
    Strings,
}

impl MessageBy {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            MessageBy::Server => "server",
            MessageBy::Catalogue => "catalogue",
            MessageBy::Strings => "strings",
        }
    }
}

/// Memory that a thread uses again for each event it prints.
#[derive(Default, Debug)]
pub struct Scratch {
    json: json::Scratch,
    text: cell::Scratch,
}

impl Printer {
    /// JSON, an object a line; all members, or those asked for.
    pub fn jsonl(columns: Option<Vec<Column>>) -> Self {
        Printer { style: Style::Json { columns, array: false, pretty: false } }
    }

    /// JSON, one array; all members, or those asked for; an object a line, or indented.
    pub fn json(columns: Option<Vec<Column>>, pretty: bool) -> Self {
        Printer { style: Style::Json { columns, array: true, pretty } }
    }

    /// CSV as in RFC 4180 with a header line; the columns asked for, or one for each member of
    /// JSON but the version. What is an object in JSON is JSON in its cell.
    pub fn csv(columns: Option<Vec<Column>>) -> Self {
        Printer { style: Style::Csv(csv::Csv::new(columns)) }
    }

    /// The same with a column `recovered`, for those who look at slack too.
    pub fn csv_with_recovered() -> Self {
        Printer { style: Style::Csv(csv::Csv::with_recovered()) }
    }

    /// A table for people to read.
    pub fn table(options: TableOptions) -> Self {
        Printer { style: Style::Table(table::Table::new(options)) }
    }

    /// An XML document, an event a line but for line ends in values.
    pub fn xml() -> Self {
        Printer { style: Style::Xml }
    }

    /// Prints one event. A message that is given wins over one that the event carries.
    #[inline]
    pub fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        message: Option<Message<'_>>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        match &self.style {
            Style::Json { columns, array, pretty } => {
                let start = out.len();
                match columns {
                    None => json::event(source, origin, message, &mut scratch.json, out),
                    Some(columns) => {
                        json::chosen(source, origin, message, columns, &mut scratch.json, out);
                    }
                }
                if *pretty {
                    json::indent(start, &mut scratch.json, out);
                }
                if !array {
                    out.push(b'\n');
                }
            }
            Style::Csv(csv) => csv.event(source, origin, message, scratch, out),
            Style::Table(table) => table.event(source, origin, message, scratch, out),
            Style::Xml => {
                match origin.recovered {
                    true => xml::write_recovered(source, out),
                    false => source.write_xml(out),
                }
                out.push(b'\n');
            }
        }
    }

    /// Writes what stands before the first event.
    pub fn header(&self, out: &mut Vec<u8>) {
        match &self.style {
            Style::Json { array: false, .. } => {}
            Style::Json { .. } => out.push(b'['),
            Style::Csv(csv) => csv.header(out),
            Style::Table(table) => table.header(out),
            Style::Xml => {
                out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Events>\n");
            }
        }
    }

    /// What stands between two events.
    pub fn separator(&self) -> &'static [u8] {
        match &self.style {
            Style::Json { array: true, .. } => b",\n",
            _ => b"",
        }
    }

    /// Writes what stands behind the last event.
    pub fn footer(&self, out: &mut Vec<u8>) {
        match &self.style {
            Style::Json { array: true, .. } => out.extend_from_slice(b"]\n"),
            Style::Xml => out.extend_from_slice(b"</Events>\n"),
            _ => {}
        }
    }
}
