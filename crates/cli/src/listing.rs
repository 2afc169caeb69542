//! Lines of what `count`, `logs` and `hosts` find, in the formats of a list.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use anstyle::Style;
use quarry_event::output::{CsvCells, push_cell, push_csv};
use quarry_event::text::is_active;
use serde_json::{Map, Value as Json};

use crate::args::{ListArgs, ListFormat};
use crate::console::{stdout_color, stdout_width};
use crate::error::{Closed, Failure, delivered};

/// A column of a list.
#[derive(Clone)]
pub(crate) struct Column {
    /// The member in JSON; in capitals, the head of the table's column.
    name: Cow<'static, str>,
    right: bool,
    gives_way: bool,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(name: &'static str) -> Self {
        Column { name: Cow::Borrowed(name), right: false, gives_way: false }
    }

    /// A column of numbers.
    pub(crate) const fn number(name: &'static str) -> Self {
        Column { name: Cow::Borrowed(name), right: true, gives_way: false }
    }

    /// A column of values of an event's field.
    pub(crate) fn field(name: &str) -> Self {
        Column { name: Cow::Owned(name.to_owned()), right: false, gives_way: true }
    }

    /// What stands over it: a value's name as the event has it, others in capitals.
    pub(crate) fn heading(&self) -> String {
        match self.name.strip_prefix("data.") {
            Some(name) => name.to_owned(),
            None => self.name.to_uppercase(),
        }
    }

    /// Whether it has numbers.
    pub(crate) fn is_number(&self) -> bool {
        self.right
    }

    /// A column that is narrowed where the table is too wide.
    pub(crate) const fn giving_way(mut self) -> Self {
        self.gives_way = true;
        self
    }
}

/// A cell: the value, and how the table shows it.
pub(crate) struct Cell {
    value: Json,
    shown: String,
}

impl Cell {
    pub(crate) fn new(value: impl Into<Json>, shown: impl Into<String>) -> Self {
        Cell { value: value.into(), shown: shown.into() }
    }

    /// What the table shows, however wide.
    pub(crate) fn whole(&self) -> &str {
        &self.shown
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Cell { value: Json::String(text.clone()), shown: text }
    }
}

/// Prints a list on standard output. A closed pipe is no error.
pub(crate) fn print(
    columns: &[Column],
    rows: &[Vec<Cell>],
    args: &ListArgs,
) -> Result<(), Failure> {
    let mut list = Rows::new(columns.to_vec(), args);
    delivered(list.add(rows).and_then(|()| list.finish()))
}

/// A list that is printed on standard output as its rows come. A table's columns get wider when a
/// row needs that.
pub(crate) struct Rows {
    columns: Vec<Column>,
    format: ListFormat,
    color: bool,
    /// What each column of a table has needed so far.
    widths: Vec<usize>,
    /// Rows of an array, which is printed as a whole.
    held: Vec<Json>,
    is_begun: bool,
}

impl Rows {
    pub(crate) fn new(columns: Vec<Column>, args: &ListArgs) -> Self {
        let default =
            if io::stdout().is_terminal() { ListFormat::Table } else { ListFormat::Jsonl };
        let heads = columns.iter().map(|column| width(&column.heading()));
        Rows {
            format: args.output.unwrap_or(default),
            color: stdout_color(args.terminal.color),
            widths: heads.collect(),
            held: Vec::new(),
            is_begun: false,
            columns,
        }
    }

    /// Makes a column wide enough for texts that are still to come.
    pub(crate) fn expect<'t>(&mut self, column: usize, texts: impl Iterator<Item = &'t str>) {
        let widest = texts.map(width).max().unwrap_or(0);
        self.widths[column] = self.widths[column].max(widest);
    }

    /// Prints rows.
    pub(crate) fn add(&mut self, rows: &[Vec<Cell>]) -> Result<(), Closed> {
        if self.format == ListFormat::Json {
            let objects: Vec<Json> = rows.iter().map(|row| self.object(row)).collect();
            self.held.extend(objects);
            return Ok(());
        }
        let mut text = Vec::new();
        if !rows.is_empty() {
            self.begin(rows, &mut text);
        }
        for row in rows {
            self.row(row, &mut text);
        }
        write(&text)
    }

    /// Ends the list, an empty one too.
    pub(crate) fn finish(mut self) -> Result<(), Closed> {
        let mut text = Vec::new();
        if self.format == ListFormat::Json {
            let array = Json::Array(std::mem::take(&mut self.held));
            text = format!("{}\n", escaped(&format!("{array:#}"))).into_bytes();
        }
        self.begin(&[], &mut text);
        write(&text)
    }

    /// Writes what comes before the first row, and learns how wide the next ones are.
    fn begin(&mut self, rows: &[Vec<Cell>], out: &mut Vec<u8>) {
        if self.format == ListFormat::Table {
            for row in rows {
                for (needed, cell) in self.widths.iter_mut().zip(row) {
                    *needed = (*needed).max(width(&cell.shown));
                }
            }
        }
        if std::mem::replace(&mut self.is_begun, true) {
            return;
        }
        match self.format {
            ListFormat::Table => {
                let style = if self.color { Style::new().bold() } else { Style::new() };
                let heads: Vec<String> = self.columns.iter().map(Column::heading).collect();
                self.line(heads.iter().map(String::as_str), style, out);
            }
            ListFormat::Csv | ListFormat::CsvExact => {
                for (i, column) in self.columns.iter().enumerate() {
                    out.extend_from_slice(if i > 0 { b"," } else { b"" });
                    push_csv(&column.name, self.cells(), io::stdout().is_terminal(), out);
                }
                out.extend_from_slice(b"\r\n");
            }
            ListFormat::Jsonl | ListFormat::Json => {}
        }
    }

    fn row(&self, row: &[Cell], out: &mut Vec<u8>) {
        match self.format {
            ListFormat::Table => self.line(row.iter().map(|cell| &*cell.shown), Style::new(), out),
            ListFormat::Jsonl | ListFormat::Json => {
                out.extend_from_slice(escaped(&self.object(row).to_string()).as_bytes());
                out.push(b'\n');
            }
            ListFormat::Csv | ListFormat::CsvExact => {
                for (i, cell) in row.iter().enumerate() {
                    out.extend_from_slice(if i > 0 { b"," } else { b"" });
                    csv_cell(&cell.value, self.cells(), out);
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn cells(&self) -> CsvCells {
        match self.format {
            ListFormat::CsvExact => CsvCells::Exact,
            _ => CsvCells::Spreadsheet,
        }
    }

    fn object(&self, row: &[Cell]) -> Json {
        let member = |(column, cell): (&Column, &Cell)| {
            (column.name.clone().into_owned(), cell.value.clone())
        };
        Json::Object(self.columns.iter().zip(row).map(member).collect::<Map<_, _>>())
    }

    /// A line of the table, in columns as wide as they have to be, as far as the terminal goes.
    fn line<'c>(&self, cells: impl Iterator<Item = &'c str>, style: Style, out: &mut Vec<u8>) {
        let mut widths = self.widths.clone();
        if let Some(room) = stdout_width() {
            let gaps = 2 * widths.len().saturating_sub(1);
            for (n, _) in self.columns.iter().enumerate().filter(|(_, column)| column.gives_way) {
                let total: usize = widths.iter().sum::<usize>() + gaps;
                let least = widths[n].min(16);
                widths[n] = widths[n].saturating_sub(total.saturating_sub(room)).max(least);
            }
        }
        for (n, cell) in cells.enumerate() {
            let mut text = Vec::new();
            let used = push_cell(cell, Some(widths[n]), &mut text);
            let pad = widths[n] - used;
            let (before, after) = match (self.columns[n].right, n + 1 == widths.len()) {
                (true, _) => (pad, 0),
                // Nothing after the last.
                (false, true) => (0, 0),
                (false, false) => (0, pad),
            };
            let gap = if n == 0 { 0 } else { 2 };
            out.resize(out.len() + gap + before, b' ');
            // Writing to a vector can't fail.
            let _ = write!(out, "{style}");
            out.extend_from_slice(&text);
            let _ = write!(out, "{style:#}");
            out.resize(out.len() + after, b' ');
        }
        out.push(b'\n');
    }
}

fn width(text: &str) -> usize {
    push_cell(text, None, &mut Vec::new())
}

fn write(text: &[u8]) -> Result<(), Closed> {
    let mut out = io::stdout().lock();
    Ok(out.write_all(text).and_then(|()| out.flush())?)
}

fn csv_cell(value: &Json, cells: CsvCells, out: &mut Vec<u8>) {
    let terminal = io::stdout().is_terminal();
    match value {
        Json::Null => {}
        Json::String(text) => push_csv(text, cells, terminal, out),
        other => push_csv(&other.to_string(), cells, terminal, out),
    }
}

/// JSON in which nothing acts on a terminal: what `serde_json` leaves as it is, is escaped too.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // Other controls than line ends between lines are escapes already.
        match is_active(c) && c != '\n' {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = std::fmt::Write::write_fmt(&mut text, format_args!("\\u{unit:04x}"));
            }),
            false => text.push(c),
        }
    }
    text
}
