//! Lines of what `count`, `logs` and `hosts` find, in the formats of a list.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use quarry_event::output::{CsvCells, push_cell, push_csv};
use quarry_event::text::is_active;
use serde_json::{Map, Value as Json};

use crate::args::{ListArgs, ListFormat};
use crate::console::{stdout_color, stdout_width};
use crate::error::Failure;
use crate::run::Closed;

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
    fn heading(&self) -> String {
        match self.name.strip_prefix("data.") {
            Some(name) => name.to_owned(),
            None => self.name.to_uppercase(),
        }
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
    let mut text = Vec::new();
    write(columns, rows, args, &mut text);
    let mut out = io::stdout().lock();
    match out.write_all(&text).and_then(|()| out.flush()).map_err(Closed::from) {
        Err(Closed::Failed(failure)) => Err(failure),
        Err(Closed::Pipe) | Ok(()) => Ok(()),
    }
}

fn write(columns: &[Column], rows: &[Vec<Cell>], args: &ListArgs, out: &mut Vec<u8>) {
    let default = if io::stdout().is_terminal() { ListFormat::Table } else { ListFormat::Jsonl };
    let object = |row: &Vec<Cell>| -> Json {
        let member = |(column, cell): (&Column, &Cell)| {
            (column.name.clone().into_owned(), cell.value.clone())
        };
        Json::Object(columns.iter().zip(row).map(member).collect::<Map<_, _>>())
    };
    // Writing to a vector can't fail.
    match args.output.unwrap_or(default) {
        ListFormat::Table => table(columns, rows, stdout_color(args.terminal.color), out),
        ListFormat::Jsonl => {
            for row in rows {
                let _ = writeln!(out, "{}", escaped(&object(row).to_string()));
            }
        }
        ListFormat::Json => {
            let array: Vec<Json> = rows.iter().map(object).collect();
            let _ = writeln!(out, "{}", escaped(&format!("{:#}", Json::Array(array))));
        }
        format @ (ListFormat::Csv | ListFormat::CsvExact) => {
            let form = match format {
                ListFormat::CsvExact => CsvCells::Exact,
                _ => CsvCells::Spreadsheet,
            };
            for (i, column) in columns.iter().enumerate() {
                out.extend_from_slice(if i > 0 { b"," } else { b"" });
                push_csv(&column.name, form, io::stdout().is_terminal(), out);
            }
            out.extend_from_slice(b"\r\n");
            for row in rows {
                for (i, cell) in row.iter().enumerate() {
                    out.extend_from_slice(if i > 0 { b"," } else { b"" });
                    csv_cell(&cell.value, form, out);
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }
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

/// Columns as wide as what stands in them, as far as the terminal goes.
fn table(columns: &[Column], rows: &[Vec<Cell>], color: bool, out: &mut Vec<u8>) {
    let heads: Vec<String> = columns.iter().map(Column::heading).collect();
    let head: Vec<&str> = heads.iter().map(String::as_str).collect();
    let body = rows.iter().map(|row| row.iter().map(|cell| &*cell.shown).collect());
    let lines: Vec<Vec<&str>> = std::iter::once(head).chain(body).collect();
    let mut widths = vec![0; columns.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(push_cell(cell, None, &mut Vec::new()));
        }
    }
    if let Some(room) = stdout_width() {
        let gaps = 2 * widths.len().saturating_sub(1);
        for (n, _) in columns.iter().enumerate().filter(|(_, column)| column.gives_way) {
            let total: usize = widths.iter().sum::<usize>() + gaps;
            let least = widths[n].min(16);
            widths[n] = widths[n].saturating_sub(total.saturating_sub(room)).max(least);
        }
    }
    let bold = if color { anstyle::Style::new().bold() } else { anstyle::Style::new() };
    for (i, line) in lines.iter().enumerate() {
        let style = if i == 0 { bold } else { anstyle::Style::new() };
        for (n, cell) in line.iter().enumerate() {
            let mut text = Vec::new();
            let used = push_cell(cell, Some(widths[n]), &mut text);
            let pad = widths[n] - used;
            let (before, behind) = match (columns[n].right, n + 1 == line.len()) {
                (true, _) => (pad, 0),
                // Nothing behind the last.
                (false, true) => (0, 0),
                (false, false) => (0, pad),
            };
            let gap = if n == 0 { 0 } else { 2 };
            out.resize(out.len() + gap + before, b' ');
            let _ = write!(out, "{style}");
            out.extend_from_slice(&text);
            let _ = write!(out, "{style:#}");
            out.resize(out.len() + behind, b' ');
        }
        out.push(b'\n');
    }
}
