//! Going from record to record, and over what is none.
//!
//! A walk is linear in the bytes, whatever is in them: where the next whole record is is looked
//! for once. Walking a block again gives what walking the whole has given there.

use std::io;

use memchr::memmem;

use super::MAX_EVT_RECORD;
use super::header::SIGNATURE;
use super::span::Span;
use crate::classic::{FIXED_LEN, MIN_RECORD_LEN};
use crate::header::u32_at;
use crate::read_at::ReadAt;

/// What is read at a time.
const WINDOW: usize = 4 * MAX_EVT_RECORD;

/// What stands at a position. Lengths are in bytes and never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// A whole record: signature, and the same size before and after.
    Record { len: usize, number: u32 },
    /// A record whose size is wrong, or doesn't stand after it, and whose number says that it is
    /// the next one.
    Torn { len: usize, number: u32 },
    /// Bytes that are no record.
    Skip { len: usize },
    /// What is left before the end of the file where no record may begin.
    Padding { len: usize },
}

impl Piece {
    pub(super) fn len(self) -> usize {
        match self {
            Piece::Record { len, .. }
            | Piece::Torn { len, .. }
            | Piece::Skip { len }
            | Piece::Padding { len } => len,
        }
    }

    /// The number of the record that it is.
    pub(super) fn number(self) -> Option<u32> {
        match self {
            Piece::Record { number, .. } | Piece::Torn { number, .. } => Some(number),
            Piece::Skip { .. } | Piece::Padding { .. } => None,
        }
    }
}

/// The size and number of the whole record that bytes begin with.
pub(crate) fn record(bytes: &[u8]) -> Option<(usize, u32)> {
    let len = u32_at(bytes, 0) as usize;
    let is_whole = (MIN_RECORD_LEN..=MAX_EVT_RECORD.min(bytes.len())).contains(&len)
        && &bytes[4..8] == SIGNATURE
        && u32_at(bytes, len - 4) as usize == len;
    is_whole.then(|| (len, u32_at(bytes, 8)))
}

/// Walks over a span whose bytes come in windows, or over a block of it.
pub(super) struct Walker {
    at: u64,
    seam: Option<u64>,
    /// The number of the last record.
    last: Option<u32>,
    /// Where the bytes begin.
    start: u64,
    /// No whole record begins from `at` up to here, but for `found`.
    searched: u64,
    found: Option<u64>,
    /// Whether the bytes go up to the end of the walk.
    is_all: bool,
    /// How many bytes were looked through for the next record.
    #[cfg(test)]
    scanned: u64,
}

impl Walker {
    /// Over a block that begins at `start`, after a record with the number `last`.
    pub(super) fn of_block(span: &Span, start: u64, last: Option<u32>) -> Self {
        let seam = span.seam();
        Walker {
            at: start,
            seam,
            last,
            start,
            searched: start,
            found: None,
            is_all: true,
            #[cfg(test)]
            scanned: 0,
        }
    }

    /// The next piece and its position; nothing at the end.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<(u64, Piece)> {
        let rest = bytes.get((self.at - self.start) as usize..).filter(|rest| !rest.is_empty())?;
        let at = self.at;
        let piece = self.piece(bytes, rest);
        self.at += piece.len() as u64;
        if piece.number().is_some() {
            self.last = piece.number();
        }
        Some((at, piece))
    }

    fn piece(&mut self, bytes: &[u8], rest: &[u8]) -> Piece {
        if let Some((len, number)) = record(rest) {
            return Piece::Record { len, number };
        }
        // The fixed part of a record is never split, and what is left is filled up.
        let before_seam = self.seam.and_then(|seam| seam.checked_sub(self.at));
        if let Some(left) = before_seam.filter(|left| (1..FIXED_LEN as u64).contains(left)) {
            return Piece::Padding { len: (left as usize).min(rest.len()) };
        }
        let gap = match self.find(bytes) {
            Some(found) => (found - self.at) as usize,
            None if self.is_all => rest.len(),
            None => (self.searched - self.at) as usize,
        };
        let number = u32_at(rest, 8);
        let goes_on = self.last.is_some_and(|last| number == last.wrapping_add(1));
        if goes_on && gap >= MIN_RECORD_LEN && &rest[4..8] == SIGNATURE {
            let size = u32_at(rest, 0) as usize;
            let is_plausible = (MIN_RECORD_LEN..=gap).contains(&size);
            let len = if is_plausible { size } else { gap };
            return Piece::Torn { len: len.min(MAX_EVT_RECORD), number };
        }
        // Up to the end of the file first: what is after the seam is another matter.
        let gap = before_seam.filter(|left| *left > 0).map_or(gap, |left| gap.min(left as usize));
        Piece::Skip { len: gap.max(1) }
    }

    /// Where the next whole record begins, after the current position.
    fn find(&mut self, bytes: &[u8]) -> Option<u64> {
        if let Some(found) = self.found.filter(|found| *found > self.at) {
            return Some(found);
        }
        let from = self.searched.max(self.at + 1);
        // One that begins later might not be there whole.
        let room = if self.is_all { 0 } else { MAX_EVT_RECORD };
        let until = self.start + bytes.len().saturating_sub(room) as u64;
        if from >= until {
            self.found = None;
            self.searched = self.searched.max(from);
            return None;
        }
        let (first, end) = ((from - self.start) as usize, (until - self.start) as usize);
        // The signatures of records that begin before the end.
        let places = bytes.get(first + 4..bytes.len().min(end + 7)).unwrap_or_default();
        self.found = memmem::find_iter(places, SIGNATURE)
            .map(|place| first + place)
            .find(|place| record(&bytes[*place..]).is_some())
            .map(|place| self.start + place as u64);
        #[cfg(test)]
        {
            self.scanned += self.found.unwrap_or(until) - from;
        }
        self.searched = self.found.unwrap_or(until);
        self.found
    }
}

/// Walks over a span of a file from its beginning. `visit` is given each piece with its position
/// and the number of the record before, until it says that it has seen enough.
pub(super) fn walk(
    file: &dyn ReadAt,
    span: &Span,
    last: Option<u32>,
    mut visit: impl FnMut(u64, Piece, Option<u32>) -> bool,
) -> io::Result<()> {
    let mut walker = Walker::of_block(span, 0, last);
    let mut window = Vec::new();
    walker.is_all = false;
    loop {
        // Enough for a record at the position, and for one after what isn't.
        let ahead = (walker.start + window.len() as u64).saturating_sub(walker.at);
        if !walker.is_all && ahead < 2 * MAX_EVT_RECORD as u64 {
            let len = (span.len() - walker.at.min(span.len())).min(WINDOW as u64) as usize;
            window.resize(len, 0);
            let read = span.read(file, walker.at, &mut window)?;
            window.truncate(read);
            walker.start = walker.at;
            walker.is_all = read < len || walker.at + read as u64 >= span.len();
        }
        let last = walker.last;
        let Some((at, piece)) = walker.next(&window) else { return Ok(()) };
        if !visit(at, piece, last) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_looked_through_once_for_the_next_record() {
        // Records in sequence, none of which has its size after it.
        let mut bytes = Vec::new();
        for number in 1u32.. {
            if bytes.len() >= 3 << 20 {
                break;
            }
            bytes.extend_from_slice(&(MIN_RECORD_LEN as u32).to_le_bytes());
            bytes.extend_from_slice(SIGNATURE);
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.resize(bytes.len() + MIN_RECORD_LEN - 12, 7);
        }
        // With and without the end of them in sight.
        for is_all in [true, false] {
            let span = Span::one(0, bytes.len() as u64);
            let mut walker = Walker { is_all, ..Walker::of_block(&span, 0, Some(0)) };
            let mut torn = 0;
            while let Some((_, piece)) = walker.next(&bytes) {
                torn += usize::from(matches!(piece, Piece::Torn { .. }));
            }
            assert!(torn > 30_000, "{torn}");
            assert!(walker.scanned <= bytes.len() as u64, "{}", walker.scanned);
        }
    }
}
