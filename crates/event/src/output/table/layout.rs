//! Columns as wide as their content asks for. The first rows are held back and measured; after
//! that a column grows only where there is room, and never back, so that what streams by stays in
//! line.

use std::collections::HashMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::super::row::{Cell, Cells, Row, rows};
use super::super::values::is_dull;
use super::super::{Column, Member, safe};
use super::{MAX_NAME, MOST, Table, is_free, is_number, style_of};

/// Rows that are held back at most: the first screenful, and then some.
const MAX_HELD: usize = 200;
/// And their bytes.
const MAX_HELD_BYTES: usize = 1 << 20;

/// The least that a column is narrowed to.
const LEAST: usize = 8;

/// Columns that `data.*` becomes at most; further values share one.
const MAX_SPREAD: usize = 64;

/// The columns of a table that is being written.
#[derive(Debug, Default)]
pub(in super::super) struct Layout {
    /// Rows that are held back to be measured.
    held: Vec<u8>,
    held_rows: usize,
    /// The columns, once there are any.
    shown: Vec<Shown>,
    /// Which is the column of a name, of those that `data.*` became.
    by_name: HashMap<Vec<u8>, usize>,
}

/// A column as it is shown.
#[derive(Debug)]
struct Shown {
    heading: String,
    of: Of,
    width: usize,
    /// The width it may grow to.
    most: usize,
    right: bool,
    free: bool,
}

/// What a column shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    /// The cell of this place.
    Place(usize),
    /// One value of the cell of this place, by its name.
    Name(usize),
    /// The values of this place that have no column.
    Rest(usize),
}

impl Layout {
    /// Takes rows, and writes those that needn't be held back.
    pub(in super::super) fn rows(
        &mut self,
        table: &Table,
        text: &[u8],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if !self.shown.is_empty() {
            return self.write(table, text, out);
        }
        self.held.extend_from_slice(text);
        self.held_rows += rows(text).count();
        match self.held_rows >= MAX_HELD || self.held.len() >= MAX_HELD_BYTES {
            true => self.flush(table, out),
            false => Ok(()),
        }
    }

    /// Writes what is held back.
    pub(in super::super) fn flush(&mut self, table: &Table, out: &mut dyn Write) -> io::Result<()> {
        if self.held_rows == 0 {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        self.held_rows = 0;
        self.begin(table, &held, out)?;
        self.write(table, &held, out)
    }

    /// Writes what is held back, and the heading if there was no row.
    pub(in super::super) fn finish(
        &mut self,
        table: &Table,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match self.shown.is_empty() && self.held_rows == 0 {
            true => self.begin(table, &[], out),
            false => self.flush(table, out),
        }
    }

    /// Decides on the columns, and writes the heading.
    fn begin(&mut self, table: &Table, held: &[u8], out: &mut dyn Write) -> io::Result<()> {
        for (n, place) in table.places.iter().enumerate() {
            match place.column {
                Column::EachData => self.spread(table, n, held),
                _ => self.shown.push(Shown {
                    heading: table.heading(place),
                    of: Of::Place(n),
                    width: 0,
                    most: place.most,
                    right: is_number(&place.column),
                    free: is_free(&place.column),
                }),
            }
        }
        let heading = |column: &Shown| safe_width(column.heading.as_bytes()).min(MAX_NAME);
        let mut widths: Vec<usize> = self.shown.iter().map(heading).collect();
        for row in rows(held) {
            for (column, cell) in self.cells(row).into_iter().enumerate() {
                widths[column] = widths[column].max(cell.width());
            }
        }
        for (column, width) in self.shown.iter_mut().zip(widths) {
            column.width = width.min(column.most);
            // A time is never cut.
            if let Of::Place(n) = column.of
                && table.places[n].column == Column::Member(Member::Time)
            {
                column.width = width.max(column.most);
            }
        }
        if let Some(width) = table.width {
            self.fit(table, width);
        }
        let style = if table.color { Style::new().bold() } else { Style::new() };
        let mut line = Vec::new();
        for i in 0..self.shown.len() {
            let mut text = Vec::new();
            let most = table.width.map(|_| MAX_NAME);
            let width = safe::push_safe(self.shown[i].heading.as_bytes(), most, &mut text);
            let cell = Cell { width, text: &text };
            self.cell(table, i, &Shape::Of(cell), style, &mut line);
        }
        line.push(b'\n');
        out.write_all(&line)
    }

    /// The columns that `data.*` becomes: one for each name in the first rows, those in which all
    /// values are dull last, as far as there is room; then one for the rest.
    fn spread(&mut self, table: &Table, place: usize, held: &[u8]) {
        let mut names: Vec<(Vec<u8>, usize, bool)> = Vec::new();
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        for row in rows(held) {
            let Some(cell) = row.cells().nth(place) else { continue };
            for (name, value) in Cells::of(cell).pairs() {
                let at = *places.entry(name.text).or_insert_with(|| {
                    names.push((name.text.to_vec(), 0, true));
                    names.len() - 1
                });
                let (_, width, dull) = &mut names[at];
                *width = (*width).max(value.width).max(name.width.min(MAX_NAME));
                *dull &= is_dull(value.text);
            }
        }
        names.sort_by_key(|&(.., dull)| dull);
        let mut room = match table.width {
            // Other columns need some of it.
            Some(width) => width.saturating_sub((LEAST + table.gap) * (table.places.len() - 1)),
            None => MOST,
        };
        // The rest's own.
        room = room.saturating_sub(LEAST);
        let names = names.into_iter().take(MAX_SPREAD).take_while(|&(_, width, _)| {
            let least = width.min(3 * LEAST) + table.gap;
            let fits = least <= room;
            room = room.saturating_sub(least);
            fits
        });
        for (name, ..) in names.collect::<Vec<_>>() {
            self.by_name.insert(name.clone(), self.shown.len());
            self.shown.push(Shown {
                heading: String::from_utf8_lossy(&name).into_owned(),
                of: Of::Name(place),
                width: 0,
                most: MOST,
                right: false,
                free: false,
            });
        }
        let has_rest = rows(held).filter_map(|row| row.cells().nth(place)).any(|cell| {
            Cells::of(cell).pairs().any(|(name, _)| !self.by_name.contains_key(name.text))
        });
        self.shown.push(Shown {
            heading: if has_rest { "DATA".to_owned() } else { String::new() },
            of: Of::Rest(place),
            width: 0,
            most: MOST,
            right: false,
            free: true,
        });
    }

    /// Makes the columns fit: those of any length share what the others leave; where that is too
    /// little, the widest give way.
    fn fit(&mut self, table: &Table, width: usize) {
        let gaps = table.gap * self.shown.len().saturating_sub(1);
        let room = width.saturating_sub(gaps).max(self.shown.len());
        let least_free = self.least_free(room);
        let natural: usize = self.shown.iter().map(|column| column.width).sum();
        if natural > room {
            let free = self.shown.iter().filter(|column| column.free);
            let wanted: usize = free.map(|column| column.width.min(least_free)).sum();
            let fixed = |shown: &[Shown]| -> usize {
                shown.iter().filter(|column| !column.free).map(|column| column.width).sum()
            };
            for least in [LEAST, 3] {
                while fixed(&self.shown) + wanted > room {
                    let gives_way = |column: &&mut Shown| !column.free && column.most == MOST;
                    let widest = |column: &&mut Shown| column.width;
                    let given: Option<&mut Shown> =
                        self.shown.iter_mut().filter(gives_way).max_by_key(widest);
                    let given = match given.filter(|column| column.width > least) {
                        Some(column) => Some(column),
                        None => self
                            .shown
                            .iter_mut()
                            .filter(|column| !column.free && !is_time(table, column))
                            .max_by_key(widest)
                            .filter(|column| column.width > least),
                    };
                    match given {
                        Some(column) => column.width -= 1,
                        None => break,
                    }
                }
            }
            let mut rest = room.saturating_sub(fixed(&self.shown));
            let mut left = self.shown.iter().filter(|column| column.free).count();
            for column in self.shown.iter_mut().filter(|column| column.free) {
                column.width = (rest / left).clamp(1, column.width.max(1));
                rest = rest.saturating_sub(column.width);
                left -= 1;
            }
        }
        // What is left is for longer values to come.
        let used: usize = self.shown.iter().map(|column| column.width).sum();
        let rest = room.saturating_sub(used);
        let last_free = self.shown.iter().rposition(|column| column.free);
        let last = self.shown.len().checked_sub(1).filter(|&last| !self.shown[last].right);
        if let Some(column) = last_free.or(last) {
            self.shown[column].width += rest;
        }
    }

    /// What a column of any length keeps where others need room.
    fn least_free(&self, room: usize) -> usize {
        let free = self.shown.iter().filter(|column| column.free).count();
        (room / 3 / free.max(1)).max(LEAST)
    }

    fn write(&mut self, table: &Table, text: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let mut line = Vec::new();
        for row in rows(text) {
            line.clear();
            let style = if table.color { style_of(row.tag) } else { Style::new() };
            let cells = self.cells(row);
            for (i, cell) in cells.iter().enumerate() {
                self.grow(table, i, cell.width());
                let is_level = matches!(self.shown[i].of, Of::Place(n) if matches!(
                    table.places[n].column, Column::Member(Member::LevelName | Member::Level)
                ));
                let style = if is_level { style } else { Style::new() };
                self.cell(table, i, cell, style, &mut line);
            }
            // Nothing after the last that there is.
            line.truncate(line.trim_ascii_end().len());
            line.push(b'\n');
            out.write_all(&line)?;
        }
        Ok(())
    }

    /// The cells of a row, a column each.
    fn cells<'a>(&self, row: Row<'a>) -> Vec<Shape<'a>> {
        let mut shapes: Vec<Shape<'a>> = Vec::with_capacity(self.shown.len());
        shapes.resize_with(self.shown.len(), || Shape::Of(Cell { width: 0, text: &[] }));
        for (n, cell) in row.cells().enumerate() {
            let of = |wanted: Of| self.shown.iter().position(|column| column.of == wanted);
            if let Some(column) = of(Of::Place(n)) {
                shapes[column] = Shape::Of(cell);
            } else if let Some(rest) = of(Of::Rest(n)) {
                let mut others = Vec::new();
                for (name, value) in Cells::of(cell).pairs() {
                    match self.by_name.get(name.text) {
                        Some(&column) => shapes[column] = Shape::Of(value),
                        None => others.push((name, value)),
                    }
                }
                shapes[rest] = Shape::rest(&others);
            }
        }
        shapes
    }

    /// Widens a column for a cell, as far as it may grow and columns of any length can give.
    fn grow(&mut self, table: &Table, i: usize, wanted: usize) {
        let column = &self.shown[i];
        let wanted = wanted.min(column.most);
        if wanted <= column.width || column.free {
            return;
        }
        let Some(width) = table.width else {
            self.shown[i].width = wanted;
            return;
        };
        let gaps = table.gap * self.shown.len().saturating_sub(1);
        let least = self.least_free(width.saturating_sub(gaps));
        let missing = wanted - column.width;
        let giving = self.shown.iter().rposition(|column| column.free);
        if let Some(giving) = giving {
            let given = missing.min(self.shown[giving].width.saturating_sub(least));
            self.shown[giving].width -= given;
            self.shown[i].width += given;
        }
    }

    /// Writes a cell, and the blanks that stand before and after it.
    fn cell(&self, table: &Table, i: usize, cell: &Shape<'_>, style: Style, out: &mut Vec<u8>) {
        let column = &self.shown[i];
        if i > 0 {
            out.resize(out.len() + table.gap, b' ');
        }
        let start = out.len();
        let width = if table.width.is_some() { column.width } else { MOST };
        let found = match table.color {
            true => AnsiColor::Red.on_default().bold(),
            false => Style::new(),
        };
        // Writing to a vector can't fail.
        let _ = write!(out, "{style}");
        let used = safe::push_window(cell.text(), cell.width(), width, found, out);
        let _ = write!(out, "{style:#}");
        let missing = column.width.saturating_sub(used);
        if column.right && missing > 0 {
            out.resize(out.len() + missing, b' ');
            out[start..].rotate_right(missing);
        } else if i + 1 < self.shown.len() {
            out.resize(out.len() + missing, b' ');
        } else if used == 0 {
            out.truncate(start);
        }
    }
}

fn is_time(table: &Table, column: &Shown) -> bool {
    matches!(column.of, Of::Place(n) if table.places[n].column == Column::Member(Member::Time))
}

/// What stands in a column: a cell of the row, or text put together of several.
enum Shape<'a> {
    Of(Cell<'a>),
    Made(usize, Vec<u8>),
}

impl Shape<'_> {
    /// Names and values on one line.
    fn rest(values: &[(Cell<'_>, Cell<'_>)]) -> Shape<'static> {
        let (mut width, mut text) = (0, Vec::new());
        for (i, (name, value)) in values.iter().enumerate() {
            if i > 0 {
                text.extend_from_slice(b", ");
                width += 2;
            }
            text.extend_from_slice(name.text);
            text.push(b'=');
            text.extend_from_slice(value.text);
            width += name.width + 1 + value.width;
        }
        Shape::Made(width, text)
    }

    fn width(&self) -> usize {
        match self {
            Shape::Of(cell) => cell.width,
            Shape::Made(width, _) => *width,
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Shape::Of(cell) => cell.text,
            Shape::Made(_, text) => text,
        }
    }
}

fn safe_width(text: &[u8]) -> usize {
    safe::push_safe(text, None, &mut Vec::new())
}
