//! What is locked and how: the mode of a lock, and the part of the file.

use crate::Error;

/// Whether a lock may be held together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Any number of shared locks may be held at a time, and no exclusive one beside them.
    Shared,
    /// Nobody else holds the lock.
    Exclusive,
}

/// A range of bytes in a file: where it starts, and how many bytes it has.
///
/// The range need not exist in the file. The highest byte is 2^63 − 2, the limit that Linux,
/// macOS and SMB servers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    start: u64,
    /// `None`: to the end of the file, however far it grows.
    len: Option<u64>,
}

impl ByteRange {
    /// One past the highest byte a range may have.
    pub const END: u64 = i64::MAX as u64;

    /// The `len` bytes from `start` on.
    ///
    /// # Errors
    /// [`Error::BadRange`] if `len` is 0 or the range ends past [`ByteRange::END`].
    pub fn new(start: u64, len: u64) -> Result<Self, Error> {
        match start.checked_add(len) {
            Some(end) if len > 0 && end <= Self::END => Ok(Self { start, len: Some(len) }),
            _ => Err(Error::BadRange { start, len }),
        }
    }

    /// Everything from `start` on, however far the file grows.
    ///
    /// # Errors
    /// [`Error::BadRange`] if `start` is not below [`ByteRange::END`].
    pub fn starting_at(start: u64) -> Result<Self, Error> {
        if start < Self::END {
            Ok(Self { start, len: None })
        } else {
            Err(Error::BadRange { start, len: 0 })
        }
    }

    /// The first byte.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes, or `None` for a range that reaches to the end of the file.
    pub fn len(&self) -> Option<u64> {
        self.len
    }

    /// Always false: a range has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether the two have a byte in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    fn end(&self) -> u64 {
        self.len.map_or(Self::END, |len| self.start + len)
    }
}

impl std::fmt::Display for ByteRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.start, self.len.unwrap_or(0))
    }
}

/// What the layer under the public types locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Region {
    Whole,
    Range(ByteRange),
}

impl Region {
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Range(a), Self::Range(b)) => a.overlaps(b),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_not_empty_and_stays_below_the_limit() {
        assert!(ByteRange::new(0, 0).is_err());
        assert!(ByteRange::new(u64::MAX, 2).is_err());
        assert!(ByteRange::new(ByteRange::END - 1, 2).is_err());
        assert!(ByteRange::new(ByteRange::END - 1, 1).is_ok());
        assert!(ByteRange::starting_at(ByteRange::END).is_err());
    }

    #[test]
    fn ranges_overlap_exactly_when_they_share_a_byte() {
        let range = |start, len| ByteRange::new(start, len).expect("a valid range");
        assert!(range(0, 10).overlaps(&range(9, 1)));
        assert!(!range(0, 10).overlaps(&range(10, 1)));
        assert!(ByteRange::starting_at(5).expect("valid").overlaps(&range(1 << 60, 1)));
        assert!(!ByteRange::starting_at(5).expect("valid").overlaps(&range(0, 5)));
    }
}
