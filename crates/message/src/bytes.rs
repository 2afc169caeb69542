//! Reading little-endian numbers and text at offsets that a file gives, all of them checked.

use quarry_event::Utf16;
use quarry_event::text::Plain;

use crate::Error;

/// Bytes of a structure that is named in errors.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    bytes: &'a [u8],
    structure: &'static str,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8], structure: &'static str) -> Self {
        Bytes { bytes, structure }
    }

    /// The same bytes, called something else in errors.
    pub(crate) fn named(self, structure: &'static str) -> Self {
        Bytes { structure, ..self }
    }

    pub(crate) fn len(self) -> usize {
        self.bytes.len()
    }

    /// The error for something wrong at an offset.
    pub(crate) fn malformed(self, offset: usize) -> Error {
        Error::Malformed { structure: self.structure, offset: offset as u64 }
    }

    pub(crate) fn slice(self, offset: usize, len: usize) -> Result<&'a [u8], Error> {
        let end = offset.checked_add(len).ok_or_else(|| self.malformed(offset))?;
        self.bytes.get(offset..end).ok_or_else(|| self.malformed(offset))
    }

    /// The bytes from an offset on.
    pub(crate) fn from(self, offset: usize) -> Result<&'a [u8], Error> {
        self.bytes.get(offset..).ok_or_else(|| self.malformed(offset))
    }

    pub(crate) fn array<const N: usize>(self, offset: usize) -> Result<[u8; N], Error> {
        self.slice(offset, N)?.try_into().map_err(|_| self.malformed(offset))
    }

    pub(crate) fn u8(self, offset: usize) -> Result<u8, Error> {
        Ok(self.array::<1>(offset)?[0])
    }

    pub(crate) fn u16(self, offset: usize) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array(offset)?))
    }

    pub(crate) fn u32(self, offset: usize) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array(offset)?))
    }

    pub(crate) fn u64(self, offset: usize) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array(offset)?))
    }

    /// A 32-bit offset or length.
    pub(crate) fn size(self, offset: usize) -> Result<usize, Error> {
        self.u32(offset).map(|size| size as usize)
    }

    /// A 32-bit count of elements of at least `element` bytes each, which have to fit after
    /// `start`.
    pub(crate) fn count(self, offset: usize, start: usize, element: usize) -> Result<usize, Error> {
        let count = self.size(offset)?;
        let room = self.len().saturating_sub(start) / element;
        if count > room { Err(self.malformed(offset)) } else { Ok(count) }
    }

    /// Checks the four characters that a structure begins with.
    pub(crate) fn signature(self, offset: usize, expected: &[u8; 4]) -> Result<(), Error> {
        if self.array::<4>(offset)? == *expected { Ok(()) } else { Err(self.malformed(offset)) }
    }
}

/// UTF-16LE up to the first NUL, lone surrogates as U+FFFD.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    Utf16::new(bytes).push::<Plain>(&mut out);
    crate::format::into_string(out)
}
