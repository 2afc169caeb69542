//! Rows on their way from the threads that print events to the [`Document`](super::Document) that
//! decides how wide columns are and which there are: a row's length, a tag, and its cells, each
//! with its width in columns and its length.
//!
//! A cell that stands for any number of columns holds pairs: the name's cell and the value's.

/// Begins a row; [`end`] ends it.
pub(super) fn begin(tag: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(tag);
    start
}

/// Ends the row that was begun at `start`.
pub(super) fn end(start: usize, out: &mut [u8]) {
    let len = out.len() - start - 4;
    out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
}

/// Writes a cell, whose text `write` writes, and says the width of.
pub(super) fn cell(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> usize) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    let width = write(out);
    let len = out.len() - start - 8;
    out[start..start + 4].copy_from_slice(&(width as u32).to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&(len as u32).to_le_bytes());
}

/// A row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) tag: u8,
    cells: &'a [u8],
}

impl<'a> Row<'a> {
    pub(super) fn cells(&self) -> Cells<'a> {
        Cells(self.cells)
    }
}

/// The rows in some bytes.
pub(super) fn rows(bytes: &[u8]) -> impl Iterator<Item = Row<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&len, after) = rest.split_first_chunk()?;
        let (row, after) = after.split_at_checked(u32::from_le_bytes(len) as usize)?;
        rest = after;
        let (&tag, cells) = row.split_first()?;
        Some(Row { tag, cells })
    })
}

/// A cell.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a> {
    /// Its width in columns of the terminal.
    pub(super) width: usize,
    pub(super) text: &'a [u8],
}

/// The cells of a row, or of a cell that holds pairs.
#[derive(Clone)]
pub(super) struct Cells<'a>(&'a [u8]);

impl<'a> Cells<'a> {
    /// The cells in a cell.
    pub(super) fn of(cell: Cell<'a>) -> Self {
        Cells(cell.text)
    }

    /// Names and values.
    pub(super) fn pairs(mut self) -> impl Iterator<Item = (Cell<'a>, Cell<'a>)> {
        std::iter::from_fn(move || Some((self.next()?, self.next()?)))
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        let (&width, rest) = self.0.split_first_chunk()?;
        let (&len, rest) = rest.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(len) as usize)?;
        self.0 = rest;
        Some(Cell { width: u32::from_le_bytes(width) as usize, text })
    }
}
