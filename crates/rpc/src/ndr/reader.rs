//! Reading stubs that somebody else made.

use std::ops::RangeInclusive;

use uuid::Uuid;

use super::{ContextHandle, WideString};
use crate::error::NdrError;
use crate::limits::{MAX_NDR_DEPTH, MAX_NDR_REFERENTS};

/// A bounded reader over one stub. Alignment counts from the stub's start.
#[derive(Clone, Debug)]
pub struct NdrReader<'a> {
    stub: &'a [u8],
    at: usize,
    depth: u32,
    referents: u32,
}

impl<'a> NdrReader<'a> {
    /// Reads a stub from its start.
    pub fn new(stub: &'a [u8]) -> Self {
        Self { stub, at: 0, depth: 0, referents: 0 }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.stub.len() - self.at
    }

    /// Bytes that were read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Skips to a multiple of `alignment`; what the padding holds is not looked at.
    ///
    /// # Errors
    /// [`NdrError::Truncated`] at the stub's end.
    pub fn align(&mut self, alignment: usize) -> Result<(), NdrError> {
        let pad = self.at.next_multiple_of(alignment) - self.at;
        self.bytes(pad).map(drop)
    }

    /// Takes bytes as they are.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], NdrError> {
        if len > self.left() {
            return Err(NdrError::Truncated { wanted: len, at: self.at, left: self.left() });
        }
        let taken = &self.stub[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NdrError> {
        self.align(N.min(8))?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.bytes(N)?);
        Ok(bytes)
    }

    /// An octet.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, NdrError> {
        Ok(self.array::<1>()?[0])
    }

    /// A short, aligned.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, NdrError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A long, aligned.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, NdrError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A hyper, aligned.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, NdrError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A signed hyper, aligned.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn i64(&mut self) -> Result<i64, NdrError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A UUID, aligned to four.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn uuid(&mut self) -> Result<Uuid, NdrError> {
        self.align(4)?;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(self.bytes(16)?);
        Ok(Uuid::from_bytes_le(bytes))
    }

    /// A context handle.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn context_handle(&mut self) -> Result<ContextHandle, NdrError> {
        Ok(ContextHandle { attributes: self.u32()?, uuid: self.uuid()? })
    }

    /// The referent id of a unique or full pointer; true when it is not null.
    ///
    /// # Errors
    /// [`NdrError::TooMany`] past [`MAX_NDR_REFERENTS`].
    pub fn pointer(&mut self) -> Result<bool, NdrError> {
        let set = self.u32()? != 0;
        if set {
            self.referents += 1;
            if self.referents > MAX_NDR_REFERENTS {
                return Err(NdrError::TooMany { what: "pointers", limit: MAX_NDR_REFERENTS });
            }
        }
        Ok(set)
    }

    /// A count (a `max_count`, or a parameter that `size_is` names), checked
    /// against the definition's range, and against what is left for at least
    /// `min_size` bytes an element.
    ///
    /// # Errors
    /// [`NdrError::Range`], [`NdrError::Truncated`].
    pub fn count(
        &mut self,
        what: &'static str,
        range: RangeInclusive<u32>,
        min_size: usize,
    ) -> Result<usize, NdrError> {
        let count = self.u32()?;
        check_range(what, count, &range)?;
        let wanted = (count as usize).saturating_mul(min_size);
        if wanted > self.left() {
            return Err(NdrError::Truncated { wanted, at: self.at, left: self.left() });
        }
        Ok(count as usize)
    }

    /// A `max_count` that must equal a count read before.
    ///
    /// # Errors
    /// [`NdrError::Disagree`], [`NdrError::Truncated`].
    pub fn same_count(
        &mut self,
        what: &'static str,
        count: u32,
        min_size: usize,
    ) -> Result<usize, NdrError> {
        let max_count = self.u32()?;
        if max_count != count {
            return Err(NdrError::Disagree { what, one: count.into(), other: max_count.into() });
        }
        let wanted = (count as usize).saturating_mul(min_size);
        if wanted > self.left() {
            return Err(NdrError::Truncated { wanted, at: self.at, left: self.left() });
        }
        Ok(count as usize)
    }

    /// A terminated wide string: conformant and varying, its counts in UTF-16
    /// units with the terminator and within `range`.
    ///
    /// # Errors
    /// [`NdrError::Range`], [`NdrError::BadString`], [`NdrError::Truncated`].
    pub fn wide_string(
        &mut self,
        what: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<WideString, NdrError> {
        let max_count = self.u32()?;
        let offset = self.u32()?;
        let actual = self.u32()?;
        check_range(what, max_count, &(0..=*range.end()))?;
        check_range(what, actual, &range)?;
        if offset != 0 {
            return Err(NdrError::BadValue { what, value: offset.into() });
        }
        if actual > max_count {
            let (one, other) = (max_count.into(), actual.into());
            return Err(NdrError::Disagree { what, one, other });
        }
        let (pairs, _) = self.bytes(actual as usize * 2)?.as_chunks::<2>();
        let Some(([0, 0], text)) = pairs.split_last() else {
            return Err(NdrError::BadString(what));
        };
        let units: Vec<u16> = text.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        if units.contains(&0) {
            return Err(NdrError::BadString(what));
        }
        Ok(WideString::from_units(units))
    }

    /// A unique pointer to a terminated wide string, the string following at once.
    ///
    /// # Errors
    /// As [`wide_string`](Self::wide_string).
    pub fn unique_wide_string(
        &mut self,
        what: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<WideString>, NdrError> {
        if self.pointer()? { self.wide_string(what, range).map(Some) } else { Ok(None) }
    }

    /// The longs of an array, after its count was read.
    ///
    /// # Errors
    /// [`NdrError::Truncated`].
    pub fn u32_array(&mut self, count: usize) -> Result<Vec<u32>, NdrError> {
        self.align(4)?;
        let (longs, _) = self.bytes(count.saturating_mul(4))?.as_chunks::<4>();
        Ok(longs.iter().map(|long| u32::from_le_bytes(*long)).collect())
    }

    /// Reads a nested type, no deeper than [`MAX_NDR_DEPTH`].
    ///
    /// # Errors
    /// [`NdrError::TooMany`], and what `read` says.
    pub fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, NdrError>,
    ) -> Result<T, NdrError> {
        if self.depth == MAX_NDR_DEPTH {
            return Err(NdrError::TooMany { what: "nested types", limit: MAX_NDR_DEPTH });
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

fn check_range(
    what: &'static str,
    count: u32,
    range: &RangeInclusive<u32>,
) -> Result<(), NdrError> {
    if range.contains(&count) {
        return Ok(());
    }
    let (min, max) = (u64::from(*range.start()), u64::from(*range.end()));
    Err(NdrError::Range { what, count: count.into(), min, max })
}
