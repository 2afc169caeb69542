//! Just enough of SQLite's file format to go through the rows of a table: read-only, bounded, and
//! without SQL. The databases that are imported are small files that nobody writes to.
//!
//! Section numbers are of "Database File Format" on SQLite's site.

use std::collections::HashMap;

use crate::Error;

/// A database's bytes.
pub(crate) struct Database<'a> {
    bytes: &'a [u8],
    page_size: usize,
    /// Bytes of each page that can be used.
    usable: usize,
    tables: HashMap<String, Table>,
}

/// How much more of a database is read for a table.
struct Left {
    pages: usize,
    bytes: usize,
}

struct Table {
    root: u32,
    columns: Vec<String>,
    /// The column that is the row's number, and is stored as NULL (section 2.3).
    row_number: Option<usize>,
}

/// A value of a row.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Cell<'r> {
    Null,
    Int(i64),
    Text(&'r str),
    /// A number with a point, or bytes: nothing that is imported has them.
    Other,
}

impl<'r> Cell<'r> {
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Cell::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&'r str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The deepest that a tree of pages can be, by far: each page of it has at least two below it.
const MAX_DEPTH: usize = 20;
/// The longest row.
const MAX_ROW: usize = 1 << 20;

const DAMAGED: &str = "SQLite database";

impl<'a> Database<'a> {
    /// Reads the header and the list of tables (section 1.3, 2.6).
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        const UTF8: u32 = 1;
        if !bytes.starts_with(b"SQLite format 3\0") {
            return Err(Error::NotA { expected: "an SQLite database" });
        }
        let number = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let page_size = match number(16) {
            Some(1) => 65536,
            Some(size) if size.is_power_of_two() && size >= 512 => usize::from(size),
            _ => return Err(damaged(16)),
        };
        let encoding = bytes.get(56..60).and_then(|bytes| bytes.try_into().ok());
        // An empty database has no encoding yet.
        if encoding.map(u32::from_be_bytes).is_none_or(|encoding| encoding > UTF8) {
            return Err(Error::Malformed { structure: "encoding of the database", offset: 56 });
        }
        let usable = page_size - usize::from(*bytes.get(20).ok_or_else(|| damaged(20))?);
        if usable < 480 {
            return Err(damaged(20));
        }
        let mut database = Database { bytes, page_size, usable, tables: HashMap::new() };
        let schema = Table { root: 1, columns: Vec::new(), row_number: None };
        let mut tables = HashMap::new();
        database.each_row_of(&schema, &mut |_, cells| {
            if let [kind, name, _, root, sql, ..] = cells
                && kind.text() == Some("table")
                && let (Some(name), Some(root), Some(sql)) = (name.text(), root.int(), sql.text())
                && let Ok(root) = u32::try_from(root)
            {
                let (columns, row_number) = columns(sql);
                tables.insert(name.to_owned(), Table { root, columns, row_number });
            }
        })?;
        database.tables = tables;
        Ok(database)
    }

    /// Whether there is a table of a name.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// Visits the values of the named columns of each row.
    pub(crate) fn each_row<const N: usize>(
        &self,
        table: &str,
        columns: [&str; N],
        mut visit: impl FnMut([Cell<'_>; N]),
    ) -> Result<(), Error> {
        let missing = |what: String| Error::Database { what };
        let table_of_rows =
            self.tables.get(table).ok_or_else(|| missing(format!("table {table}")))?;
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(columns) {
            let column = table_of_rows.columns.iter().position(|column| column == name);
            *place = column.ok_or_else(|| missing(format!("column {table}.{name}")))?;
        }
        self.each_row_of(table_of_rows, &mut |number, cells| {
            visit(places.map(|place| match cells.get(place) {
                _ if Some(place) == table_of_rows.row_number => Cell::Int(number),
                Some(cell) => cell.clone(),
                // A column that was added after the row was written.
                None => Cell::Null,
            }));
        })
    }

    fn each_row_of(
        &self,
        table: &Table,
        visit: &mut dyn FnMut(i64, &[Cell<'_>]),
    ) -> Result<(), Error> {
        // Each page is in one place only, and so is each byte of a row.
        let mut left =
            Left { pages: self.bytes.len() / self.page_size + 1, bytes: self.bytes.len() };
        self.walk(table.root, 0, &mut left, visit)
    }

    fn page(&self, number: u32) -> Result<&'a [u8], Error> {
        let start = (number as usize)
            .checked_sub(1)
            .and_then(|before| before.checked_mul(self.page_size))
            .ok_or_else(|| damaged(0))?;
        let page = start.checked_add(self.page_size).and_then(|end| self.bytes.get(start..end));
        page.map(|page| &page[..self.usable]).ok_or_else(|| damaged(start))
    }

    /// Goes through a tree of pages (section 1.6).
    fn walk(
        &self,
        number: u32,
        depth: usize,
        left: &mut Left,
        visit: &mut dyn FnMut(i64, &[Cell<'_>]),
    ) -> Result<(), Error> {
        const INTERIOR: u8 = 5;
        const LEAF: u8 = 13;
        let page = self.page(number)?;
        let at = if number == 1 { 100 } else { 0 };
        left.pages = left.pages.checked_sub(1).ok_or_else(|| damaged(0))?;
        if depth > MAX_DEPTH {
            return Err(damaged(0));
        }
        let kind = byte(page, at)?;
        let header = match kind {
            INTERIOR => 12,
            LEAF => 8,
            _ => return Err(damaged(0)),
        };
        let count = usize::from(be16(page, at + 3)?);
        for i in 0..count {
            let cell = usize::from(be16(page, at + header + 2 * i)?);
            if kind == INTERIOR {
                self.walk(be32(page, cell)?, depth + 1, left, visit)?;
            } else {
                self.row(page, cell, left, visit)?;
            }
        }
        if kind == INTERIOR {
            self.walk(be32(page, at + 8)?, depth + 1, left, visit)?;
        }
        Ok(())
    }

    /// Reads a row, with what of it lies on overflow pages.
    fn row(
        &self,
        page: &[u8],
        at: usize,
        left: &mut Left,
        visit: &mut dyn FnMut(i64, &[Cell<'_>]),
    ) -> Result<(), Error> {
        let (len, at) = varint(page, at)?;
        let (number, at) = varint(page, at)?;
        let len = usize::try_from(len).ok().filter(|&len| len <= MAX_ROW);
        let limit = MAX_ROW as u64;
        let len = len.ok_or(Error::Limit { what: "bytes in a row of a database", limit })?;
        left.bytes = left.bytes.checked_sub(len).ok_or_else(|| damaged(at))?;
        // How much is on the page itself (section 1.6, "Calculating the overflow").
        let most = self.usable - 35;
        if len <= most {
            let payload = page.get(at..at + len).ok_or_else(|| damaged(at))?;
            return cells(payload, number as i64, visit);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let here = least + (len - least) % (self.usable - 4);
        let here = if here <= most { here } else { least };
        let mut payload = page.get(at..at + here).ok_or_else(|| damaged(at))?.to_vec();
        let mut next = be32(page, at + here)?;
        while payload.len() < len {
            let page = self.page(next)?;
            next = be32(page, 0)?;
            let more = (len - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(&page[4..4 + more]);
        }
        cells(&payload, number as i64, visit)
    }
}

/// Takes a row apart (section 2.1).
fn cells(
    payload: &[u8],
    number: i64,
    visit: &mut dyn FnMut(i64, &[Cell<'_>]),
) -> Result<(), Error> {
    let (header, mut at) = varint(payload, 0)?;
    let header = usize::try_from(header).map_err(|_| damaged(0))?;
    let mut value = header;
    let mut found = Vec::new();
    while at < header {
        let (kind, behind) = varint(payload, at)?;
        at = behind;
        let len = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).map_err(|_| damaged(at))?,
            _ => return Err(damaged(at)),
        };
        let end = value.checked_add(len).ok_or_else(|| damaged(at))?;
        let bytes = payload.get(value..end).ok_or_else(|| damaged(at))?;
        value = end;
        found.push(match kind {
            0 => Cell::Null,
            1..=6 => {
                // Sign-extended, the highest byte first.
                let first = if bytes[0] & 0x80 == 0 { 0 } else { -1i64 };
                Cell::Int(bytes.iter().fold(first, |sum, &byte| sum << 8 | i64::from(byte)))
            }
            8 => Cell::Int(0),
            9 => Cell::Int(1),
            kind if kind >= 13 && kind % 2 == 1 => match std::str::from_utf8(bytes) {
                Ok(text) => Cell::Text(text),
                Err(_) => Cell::Other,
            },
            _ => Cell::Other,
        });
    }
    visit(number, &found);
    Ok(())
}

/// The names of a table's columns, and which of them is the row's number.
fn columns(sql: &str) -> (Vec<String>, Option<usize>) {
    let mut names = Vec::new();
    let mut row_number = None;
    let Some((_, rest)) = sql.split_once('(') else { return (names, None) };
    let mut depth = 0;
    let definitions = rest.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    for definition in definitions {
        let mut words = definition.split_whitespace();
        let Some(first) = words.next() else { continue };
        let upper = first.to_uppercase();
        if ["FOREIGN", "PRIMARY", "UNIQUE", "CHECK", "CONSTRAINT"].contains(&&*upper) {
            continue;
        }
        let rest: Vec<String> = words.map(str::to_uppercase).collect();
        if rest.starts_with(&["INTEGER".to_owned(), "PRIMARY".to_owned()]) {
            row_number = Some(names.len());
        }
        let quotes: &[char] = &['"', '`', '[', ']', '\''];
        names.push(first.trim_matches(quotes).to_owned());
    }
    (names, row_number)
}

/// A number of one to nine bytes (section 1.6, "varint").
fn varint(bytes: &[u8], mut at: usize) -> Result<(u64, usize), Error> {
    let mut number = 0;
    for i in 0..9 {
        let byte = byte(bytes, at)?;
        at += 1;
        if i == 8 {
            return Ok((number << 8 | u64::from(byte), at));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok((number, at))
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, Error> {
    bytes.get(at).copied().ok_or_else(|| damaged(at))
}

fn be16(bytes: &[u8], at: usize) -> Result<u16, Error> {
    let two = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    two.map(u16::from_be_bytes).ok_or_else(|| damaged(at))
}

fn be32(bytes: &[u8], at: usize) -> Result<u32, Error> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_be_bytes).ok_or_else(|| damaged(at))
}

fn damaged(at: usize) -> Error {
    Error::Malformed { structure: DAMAGED, offset: at as u64 }
}
