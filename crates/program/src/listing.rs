//! Lines of what `count`, `logs` and `hosts` find, in the formats of a list.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use anstyle::Style;
use jiff::tz::TimeZone;
use quarry_event::EventTime;
use quarry_event::output::{CsvCells, clock_time, push_cell, push_csv, time_heading};
use quarry_event::text::is_active;
use serde_json::{Map, Value as Json};

use crate::args::{ListArgs, ListFormat};
use crate::console::{grouped, stdout_color, stdout_width};
use crate::error::{Closed, Failure, delivered};
use crate::filter::Zone;

/// A column of a list.
#[derive(Clone, Debug)]
pub struct Column {
    /// The member in JSON; in capitals, the head of the table's column, if that has no other.
    name: Cow<'static, str>,
    heading: Option<String>,
    /// How narrow it can be, in columns of the terminal.
    least: usize,
    right: bool,
    gives_way: bool,
    /// Whether it has what is left of the terminal.
    is_main: bool,
    /// Whether its texts are cut at their beginning.
    is_path: bool,
    /// Its place among the columns that a table leaves out that is too wide, from 1.
    dropped: Option<u8>,
    /// Whether a table has its texts on lines of their own.
    is_below: bool,
}

/// What a column that gives way keeps at least, in columns of the terminal.
const LEAST: usize = 12;
/// The same of the main one.
const LEAST_MAIN: usize = 30;
/// How long a time is: `2026-08-22 12:00:00`.
const TIME: usize = 19;
/// Texts that a table has below a row at most.
const MOST_BELOW: usize = 6;
/// What they are put in by, and their second lines.
const BELOW: [&str; 2] = ["  ", "    "];

impl Column {
    /// A column of text.
    pub const fn text(name: &'static str) -> Self {
        Column {
            name: Cow::Borrowed(name),
            heading: None,
            least: LEAST,
            right: false,
            gives_way: false,
            is_main: false,
            is_path: false,
            dropped: None,
            is_below: false,
        }
    }

    /// A column of numbers.
    pub const fn number(name: &'static str) -> Self {
        let mut column = Column::text(name);
        column.right = true;
        column
    }

    /// A column of times in a zone, which the heading names.
    pub fn time(name: &'static str, zone: &TimeZone) -> Self {
        let heading = time_heading(&name.to_uppercase(), zone, Some(TIME));
        Column { heading: Some(heading), ..Column::text(name) }
    }

    /// A column of values of an event's field.
    pub fn field(name: &str) -> Self {
        Column { name: Cow::Owned(name.to_owned()), gives_way: true, ..Column::text("") }
    }

    /// What stands over it: a value's name as the event has it, others in capitals.
    pub fn heading(&self) -> String {
        if let Some(heading) = &self.heading {
            return heading.clone();
        }
        match self.name.strip_prefix("data.") {
            Some(name) => name.to_owned(),
            None => self.name.to_uppercase(),
        }
    }

    /// Whether it has numbers.
    pub fn is_number(&self) -> bool {
        self.right
    }

    /// A column that has what is left of the terminal.
    #[must_use]
    pub const fn main(mut self) -> Self {
        self.gives_way = true;
        self.is_main = true;
        self.least = LEAST_MAIN;
        self
    }

    /// A column that is narrowed to so much where the table is too wide.
    #[must_use]
    pub const fn at_least(mut self, columns: usize) -> Self {
        self.gives_way = true;
        self.least = columns;
        self
    }

    /// A column of paths, which are cut at their beginning.
    #[must_use]
    pub const fn path(mut self) -> Self {
        self.is_path = true;
        self
    }

    /// A column that a table leaves out that is too wide otherwise, the one with the least number
    /// first. Other formats have it.
    #[must_use]
    pub const fn dropped(mut self, order: u8) -> Self {
        self.dropped = Some(order);
        self
    }

    /// A column of texts, or of lists of texts: a table has each whole on a line of its own below the
    /// row.
    #[must_use]
    pub const fn below(mut self) -> Self {
        self.is_below = true;
        self
    }

    /// How narrow it can be, of a width that it needs.
    fn least(&self, needed: usize) -> usize {
        if self.gives_way { needed.min(self.least) } else { needed }
    }

    /// A column that is narrowed where the table is too wide.
    pub const fn giving_way(mut self) -> Self {
        self.gives_way = true;
        self
    }
}

/// A cell: the value, and how the table shows it.
#[derive(Clone, Debug)]
pub struct Cell {
    value: Json,
    shown: String,
}

impl Cell {
    /// A value, and how the table shows it.
    pub fn new(value: impl Into<Json>, shown: impl Into<String>) -> Self {
        Cell { value: value.into(), shown: shown.into() }
    }

    /// A time, where there is one, shown in a zone.
    pub fn time(time: Option<EventTime>, zone: &TimeZone) -> Self {
        match time {
            Some(time) => Cell::new(time.to_string(), clock_time(time, zone)),
            None => Cell::new(Json::Null, ""),
        }
    }

    /// What the table shows, however wide.
    pub fn whole(&self) -> &str {
        &self.shown
    }

    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Cell { value: Json::String(text.clone()), shown: text }
    }
}

/// Prints a list on standard output. A closed pipe is no error.
///
/// # Errors
/// Standard output can't be written.
pub fn print(columns: &[Column], rows: &[Vec<Cell>], args: &ListArgs) -> Result<(), Failure> {
    let mut list = Rows::new(columns.to_vec(), args);
    delivered(list.add(rows).and_then(|()| list.finish()))
}

/// The zone to show a list's times in. Only a table shows any: for the other formats it is UTC, as finding the
/// system's takes longer than to count a small log.
pub fn zone(zone: &Zone, args: &ListArgs) -> TimeZone {
    match format(args) {
        ListFormat::Table => zone.get(),
        _ => TimeZone::UTC,
    }
}

/// The format that the options name, or else that standard output suggests.
fn format(args: &ListArgs) -> ListFormat {
    let usual = || match io::stdout().is_terminal() {
        true => ListFormat::Table,
        false => ListFormat::Jsonl,
    };
    args.output.unwrap_or_else(usual)
}

/// A list that is printed on standard output as its rows come. A table's columns get wider when a
/// row needs that.
#[derive(Debug)]
pub struct Rows {
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
    /// A list in the format that the options name, or else that standard output suggests.
    pub fn new(columns: Vec<Column>, args: &ListArgs) -> Self {
        let heads = columns.iter().map(|column| width(&column.heading()));
        Rows {
            format: format(args),
            color: stdout_color(args.terminal.color),
            widths: heads.collect(),
            held: Vec::new(),
            is_begun: false,
            columns,
        }
    }

    /// Makes a column wide enough for texts that are still to come.
    pub fn expect<'t>(&mut self, column: usize, texts: impl Iterator<Item = &'t str>) {
        let widest = texts.map(width).max().unwrap_or(0);
        self.widths[column] = self.widths[column].max(widest);
    }

    /// Prints rows.
    ///
    /// # Errors
    /// [`Closed`]: nobody reads them, or they can't be written.
    pub fn add(&mut self, rows: &[Vec<Cell>]) -> Result<(), Closed> {
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
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn finish(mut self) -> Result<(), Closed> {
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
            ListFormat::Table => {
                self.line(row.iter().map(|cell| &*cell.shown), Style::new(), out);
                let below = self.columns.iter().zip(row).filter(|(column, _)| column.is_below);
                below.for_each(|(_, cell)| lines_below(&cell.value, stdout_width(), out));
            }
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
        let widths = fitted(&self.columns, &self.widths, stdout_width());
        let last = widths.iter().rposition(Option::is_some);
        let mut is_first = true;
        for (n, cell) in cells.enumerate() {
            let Some(width) = widths[n] else { continue };
            let mut text = Vec::new();
            let used = match self.columns[n].is_path {
                true => push_cell(&path_end(cell, width), Some(width), &mut text),
                false => push_cell(cell, Some(width), &mut text),
            };
            let pad = width - used;
            let (before, after) = match (self.columns[n].right, Some(n) == last) {
                (true, _) => (pad, 0),
                // Nothing after the last.
                (false, true) => (0, 0),
                (false, false) => (0, pad),
            };
            let gap = if std::mem::take(&mut is_first) { 0 } else { 2 };
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

/// How wide each column is in so much room, of the widths that they need; nothing for one that is
/// left out.
fn fitted(columns: &[Column], needed: &[usize], room: Option<usize>) -> Vec<Option<usize>> {
    let in_line = |(column, needed): (&Column, &usize)| (!column.is_below).then_some(*needed);
    let mut widths: Vec<Option<usize>> = columns.iter().zip(needed).map(in_line).collect();
    let Some(room) = room else { return widths };
    let total = |widths: &[Option<usize>]| {
        let shown = widths.iter().flatten().count();
        widths.iter().flatten().sum::<usize>() + 2 * shown.saturating_sub(1)
    };
    if total(&widths) <= room {
        return widths;
    }
    for (width, column) in widths.iter_mut().zip(columns) {
        *width = width.map(|width| column.least(width));
    }
    let mut order: Vec<(u8, usize)> =
        columns.iter().enumerate().filter_map(|(n, column)| Some((column.dropped?, n))).collect();
    order.sort_unstable();
    for (_, n) in order {
        if total(&widths) > room {
            widths[n] = None;
        }
    }
    // What is left is the main column's, and then the others'.
    let mut left = room.saturating_sub(total(&widths));
    let (main, others): (Vec<usize>, Vec<usize>) =
        (0..columns.len()).partition(|n| columns[*n].is_main);
    // The main one, unless the others need no more than a little.
    for n in others.into_iter().chain(main).rev() {
        if let Some(width) = &mut widths[n] {
            let more = needed[n].saturating_sub(*width).min(left);
            *width += more;
            left -= more;
        }
    }
    // What can't be dropped may be too much yet: as narrow as need be.
    let over = total(&widths).saturating_sub(room);
    if over > 0
        && let Some(n) = (0..columns.len())
            .filter(|n| columns[*n].gives_way && widths[*n].is_some())
            .max_by_key(|n| widths[*n])
    {
        widths[n] = widths[n].map(|width| width.saturating_sub(over).max(4));
    }
    widths
}

/// Writes a text, or those of a list, below its row, each whole.
fn lines_below(value: &Json, room: Option<usize>, out: &mut Vec<u8>) {
    let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    let texts: Vec<&str> = values.iter().filter_map(Json::as_str).collect();
    let mut shown: Vec<Cow<'_, str>> =
        texts.iter().take(MOST_BELOW).map(|text| Cow::Borrowed(*text)).collect();
    if let Some(more @ 1..) = texts.len().checked_sub(MOST_BELOW) {
        shown.push(format!("and {} more, which -o jsonl has", grouped(more as u64)).into());
    }
    for text in shown {
        let lines = match room {
            Some(room) => textwrap::wrap(&text, room.saturating_sub(BELOW[1].len()).max(20)),
            None => vec![Cow::Borrowed(&*text)],
        };
        for (n, line) in lines.iter().enumerate() {
            out.extend_from_slice(BELOW[n.min(1)].as_bytes());
            push_cell(line, None, out);
            out.push(b'\n');
        }
    }
}

/// The end of a path that fits.
fn path_end(path: &str, room: usize) -> Cow<'_, str> {
    if width(path) <= room {
        return Cow::Borrowed(path);
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += width(c.encode_utf8(&mut [0; 4])).max(1);
        used <= room
    };
    let kept: usize = path.chars().rev().take_while(fits).map(char::len_utf8).sum();
    Cow::Owned(format!("…{}", &path[path.len() - kept..]))
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
        Json::Array(values) => {
            let texts: Vec<String> = values
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            push_csv(&texts.join("; "), cells, terminal, out);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_its_terminal_by_leaving_out_what_matters_least() {
        let columns = [
            Column::text("host").giving_way().dropped(2),
            Column::text("started"),
            Column::number("depth").dropped(1),
            Column::text("image").giving_way().path(),
            Column::text("command").main(),
        ];
        let needed = [20, 19, 5, 40, 200];
        let fit = |room| fitted(&columns, &needed, Some(room));
        for room in [60, 80, 120, 200] {
            let widths = fit(room);
            let shown: Vec<usize> = widths.iter().copied().flatten().collect();
            assert!(shown.iter().sum::<usize>() + 2 * (shown.len() - 1) <= room, "{widths:?}");
        }
        // Without the depth, then without the host; the command has the rest.
        assert_eq!(fit(80), [Some(12), Some(19), None, Some(12), Some(31)]);
        assert_eq!(fit(70), [None, Some(19), None, Some(12), Some(35)]);
        assert_eq!(fit(300), needed.map(Some));
        assert_eq!(fitted(&columns, &needed, None), needed.map(Some));
        // Twelve columns, with the mark.
        assert_eq!(path_end(r"C:\Windows\System32\cmd.exe", 12), r"…m32\cmd.exe");
        assert_eq!(path_end("short", 12), "short");
    }
}
