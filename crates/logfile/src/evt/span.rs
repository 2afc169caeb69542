//! A run of bytes in the ring, which may go on after the header where the file ends.

use std::io;

use crate::read_at::ReadAt;

/// Parts of a file, read as one. A position in it is not an offset of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// Up to the end of the file, or the only part.
    first: (u64, u64),
    /// Behind the header.
    second: (u64, u64),
    /// Whether the first part ends where the ring does, even if there is nothing after the header.
    has_seam: bool,
}

impl Span {
    /// One part of a file.
    pub(super) fn one(from: u64, to: u64) -> Self {
        let to = to.max(from);
        Span { first: (from, to), second: (to, to), has_seam: false }
    }

    /// Two parts of a file, the second after the first.
    pub(super) fn two(first: (u64, u64), second: (u64, u64)) -> Self {
        let whole = |(from, to): (u64, u64)| (from, to.max(from));
        Span { first: whole(first), second: whole(second), has_seam: true }
    }

    pub(super) fn len(&self) -> u64 {
        self.first_len() + (self.second.1 - self.second.0)
    }

    /// The position where the second part begins, if the span goes up to there.
    pub(super) fn seam(&self) -> Option<u64> {
        self.has_seam.then(|| self.first_len())
    }

    /// Where in the file a position is.
    pub(super) fn offset(&self, at: u64) -> u64 {
        match at.checked_sub(self.first_len()) {
            Some(behind) if self.seam().is_some() => self.second.0 + behind,
            _ => self.first.0 + at,
        }
    }

    /// The beginning of it, up to a position.
    pub(super) fn up_to(&self, at: u64) -> Self {
        let behind = at.saturating_sub(self.first_len());
        Span {
            has_seam: self.has_seam && at >= self.first_len(),
            first: (self.first.0, self.first.1.min(self.first.0 + at)),
            second: (self.second.0, self.second.1.min(self.second.0 + behind)),
        }
    }

    /// Fills a buffer from a position on, as far as there are bytes, and says how far.
    pub(super) fn read(&self, file: &dyn ReadAt, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let in_first = self.first_len().saturating_sub(at).min(buffer.len() as u64) as usize;
        let (head, tail) = buffer.split_at_mut(in_first);
        let read = file.read_full_at(head, self.first.0 + at)?;
        if read < head.len() {
            return Ok(read);
        }
        let behind = (at + in_first as u64).saturating_sub(self.first_len());
        let from = self.second.0 + behind;
        let there = self.second.1.saturating_sub(from).min(tail.len() as u64) as usize;
        Ok(read + file.read_full_at(&mut tail[..there], from)?)
    }

    fn first_len(&self) -> u64 {
        self.first.1 - self.first.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn two_parts_are_read_as_one() {
        let file = Cursor::new((0..100u8).collect::<Vec<_>>());
        let span = Span::two((90, 100), (10, 20));
        assert_eq!((span.len(), span.seam()), (20, Some(10)));
        let mut buffer = [0; 8];
        assert_eq!(span.read(&file, 6, &mut buffer).unwrap(), 8);
        assert_eq!(buffer, [96, 97, 98, 99, 10, 11, 12, 13]);
        assert_eq!(span.read(&file, 15, &mut buffer).unwrap(), 5);
        assert_eq!(buffer[..5], [15, 16, 17, 18, 19]);
        assert_eq!([9, 10].map(|at| span.offset(at)), [99, 10]);
        assert_eq!(span.up_to(12), Span::two((90, 100), (10, 12)));
        assert_eq!(span.up_to(4).len(), 4);
        assert_eq!(span.up_to(4).seam(), None);
        // Where the second part is empty there is a seam all the same.
        assert_eq!(Span::two((90, 100), (10, 10)).seam(), Some(10));
    }
}
