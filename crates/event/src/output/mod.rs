//! Events as text: JSON, XML, CSV, tables and lists.
//!
//! A [`Printer`] is made once, and any number of threads print events with it, each with a
//! [`Scratch`] of its own. A [`Document`] puts what they printed together: it writes what stands
//! before, between and after the events.

mod cell;
mod column;
mod csv;
mod document;
#[cfg(test)]
mod fake;
mod json;
mod kinds;
mod list;
mod messages;
mod plan;
mod row;
mod safe;
mod table;
mod values;
pub mod xml;
mod zoned;

pub use column::{Column, Member, Named, UnknownColumn};
pub use csv::{CsvCells, CsvOptions, push_csv};
pub use document::{Document, TooManyNames};
pub use list::ListOptions;
pub use messages::Messages;
pub use safe::push_cell;
pub use table::TableOptions;
pub use zoned::{clock_time, local_time, time_heading};

use std::sync::Arc;

use crate::{FieldSource, Origin, PartialSource, Texts};

/// Prints events in one format.
#[derive(Clone, Debug)]
pub struct Printer {
    style: Arc<Style>,
}

#[derive(Debug)]
enum Style {
    /// One object a line, or an array of them.
    Json {
        chosen: Option<json::Chosen>,
        array: bool,
        pretty: bool,
    },
    Csv(csv::Csv),
    Table(table::Table),
    List(list::List),
    Xml,
}

/// Memory that a thread uses again for each event it prints.
#[derive(Default, Debug)]
pub struct Scratch {
    json: json::Scratch,
    text: cell::Scratch,
    plans: plan::Plans,
}

impl Column {
    /// Writes the text of the column for an event as a cell of CSV has it, without quotes; nothing
    /// where the event has nothing there.
    pub fn write<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        cell::push(self, source, origin, texts, scratch, out);
    }

    /// The same as [`write`](Self::write) of an event that is not decoded, where what is known of it is
    /// enough. Says whether it is; otherwise something may have been written.
    #[inline]
    pub fn write_known<S: PartialSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> bool {
        self.is_known_early()
            && cell::known(self, source, origin, texts, &mut scratch.text, out).is_some()
    }

    /// Whether a cell of the column shows text that an event doesn't hold itself.
    pub fn shows_texts(&self) -> bool {
        match self {
            Column::Member(member) => member.shows_texts(),
            Column::Name(_) | Column::Data(_) | Column::UserData(_) | Column::EachData => true,
        }
    }

    /// Writes the name behind a number of the event that [`write`](Self::write) has written, in parentheses, as
    /// a list and a table show it; nothing for another column.
    pub fn write_names<S: FieldSource>(&self, source: &S, texts: Texts<'_>, out: &mut Vec<u8>) {
        if let Some(named) = self.named() {
            cell::push_names(source, named, texts, b" (", b")", out);
        }
    }

    /// Whether the column's values are whole numbers.
    pub fn is_number(&self) -> bool {
        table::is_number(self)
    }
}

impl Printer {
    /// JSON, an object a line; all members, or those asked for.
    pub fn jsonl(columns: Option<Vec<Column>>) -> Self {
        Printer::of(Style::Json {
            chosen: columns.map(json::Chosen::new),
            array: false,
            pretty: false,
        })
    }

    /// JSON, one array; all members, or those asked for; an object a line, or indented.
    pub fn json(columns: Option<Vec<Column>>, pretty: bool) -> Self {
        Printer::of(Style::Json { chosen: columns.map(json::Chosen::new), array: true, pretty })
    }

    /// CSV as in RFC 4180 with a header line. What is an object in JSON is JSON in its cell.
    pub fn csv(options: CsvOptions) -> Self {
        Printer::of(Style::Csv(csv::Csv::new(options)))
    }

    /// A table for people to read.
    pub fn table(options: TableOptions) -> Self {
        Printer::of(Style::Table(table::Table::new(options)))
    }

    /// A list for people to read, a field a line.
    pub fn list(options: ListOptions) -> Self {
        Printer::of(Style::List(list::List::new(options)))
    }

    /// An XML document, an event a line but for line ends in values.
    pub fn xml() -> Self {
        Printer::of(Style::Xml)
    }

    fn of(style: Style) -> Self {
        Printer { style: Arc::new(style) }
    }

    /// Prints one event, with the text that is known for it where the format shows text. The
    /// message that an event carries wins over others.
    #[inline]
    pub fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        match &*self.style {
            Style::Json { chosen, array, pretty } => {
                let start = out.len();
                let scratch = &mut scratch.json;
                match chosen {
                    None => json::event(source, origin, texts, scratch, out),
                    Some(chosen) => chosen.event(source, origin, texts, scratch, out),
                }
                if *pretty {
                    json::indent(start, scratch, out);
                }
                if !array {
                    out.push(b'\n');
                }
            }
            Style::Csv(csv) => csv.event(source, origin, texts, scratch, out),
            Style::Table(table) => table.event(source, origin, texts, scratch, out),
            Style::List(list) => list.event(source, origin, texts, scratch, out),
            Style::Xml => {
                match origin.recovered {
                    true => xml::write_recovered(source, out),
                    false => source.write_xml(out),
                }
                out.push(b'\n');
            }
        }
    }

    /// Whether [`known`](Self::known) can print events.
    pub fn is_known_early(&self) -> bool {
        match &*self.style {
            Style::Json { chosen: Some(chosen), pretty: false, .. } => chosen.is_known_early(),
            Style::Csv(csv) => csv.is_known_early(),
            Style::Json { .. } | Style::Table(_) | Style::List(_) | Style::Xml => false,
        }
    }

    /// The same as [`event`](Self::event) of an event that is not decoded, where what is known of it is enough
    /// for the columns. Says whether it is; otherwise nothing is printed.
    #[inline]
    pub fn known<S: PartialSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> bool {
        match &*self.style {
            Style::Json { chosen: Some(chosen), array, pretty: false } => {
                let is_known = chosen.known(source, origin, texts, scratch, out);
                if is_known && !array {
                    out.push(b'\n');
                }
                is_known
            }
            Style::Csv(csv) => csv.known(source, origin, texts, scratch, out),
            Style::Json { .. } | Style::Table(_) | Style::List(_) | Style::Xml => false,
        }
    }

    /// Whether what is printed has text that an event doesn't hold itself: its message, names,
    /// words behind values.
    pub fn shows_texts(&self) -> bool {
        let any = |columns: &[Column]| columns.iter().any(Column::shows_texts);
        match &*self.style {
            Style::Json { chosen, .. } => chosen.as_ref().is_none_or(json::Chosen::shows_texts),
            Style::Csv(csv) => any(csv.columns()),
            Style::Table(table) => {
                table.columns().any(|column| column.shows_texts() || column.named().is_some())
            }
            Style::List(list) => list.shows_texts(),
            Style::Xml => false,
        }
    }

    /// Whether it is read by people, who want words beside values: a table or a list.
    pub fn is_for_people(&self) -> bool {
        matches!(&*self.style, Style::Table(_) | Style::List(_))
    }

    /// What a whole output is put together with.
    pub fn document(&self) -> Document {
        Document::new(self.clone())
    }

    /// What stands between two events.
    pub fn separator(&self) -> &'static [u8] {
        match &*self.style {
            Style::Json { array: true, .. } => b",\n",
            Style::List(_) => b"\n",
            _ => b"",
        }
    }

    /// Whether the events of a batch end with a line, so that something else can be shown below them while more
    /// come. Those of an array end with what the next one's comma comes after.
    pub fn ends_lines(&self) -> bool {
        !matches!(&*self.style, Style::Json { array: true, .. })
    }

    /// Writes what stands before the first event.
    fn header(&self, names: &csv::Names, out: &mut Vec<u8>) {
        match &*self.style {
            Style::Json { array: false, .. } => {}
            Style::Json { .. } => out.push(b'['),
            Style::Csv(csv) => csv.header(&names.list, out),
            // A table's is decided on with its first rows.
            Style::Table(_) | Style::List(_) => {}
            Style::Xml => {
                out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Events>\n");
            }
        }
    }

    /// Writes what stands after the last event.
    fn footer(&self, out: &mut Vec<u8>) {
        match &*self.style {
            Style::Json { array: true, .. } => out.extend_from_slice(b"]\n"),
            Style::Xml => out.extend_from_slice(b"</Events>\n"),
            _ => {}
        }
    }
}
