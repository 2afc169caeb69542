//! Reading tokens and names, within bounds.

use crate::error::{Fault, Result};

/// Where names and template definitions stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Dialect {
    /// At offsets in a chunk of an `.evtx` file.
    File,
    /// In place, as MS-EVEN6 sends events.
    #[default]
    Wire,
}

/// Tokens without their flag (MS-EVEN6 2.2.12).
pub(crate) mod token {
    pub(crate) const EOF: u8 = 0x00;
    pub(crate) const OPEN_START_ELEMENT: u8 = 0x01;
    pub(crate) const CLOSE_START_ELEMENT: u8 = 0x02;
    pub(crate) const CLOSE_EMPTY_ELEMENT: u8 = 0x03;
    pub(crate) const END_ELEMENT: u8 = 0x04;
    pub(crate) const VALUE_TEXT: u8 = 0x05;
    pub(crate) const ATTRIBUTE: u8 = 0x06;
    pub(crate) const CDATA_SECTION: u8 = 0x07;
    pub(crate) const CHAR_REF: u8 = 0x08;
    pub(crate) const ENTITY_REF: u8 = 0x09;
    pub(crate) const PI_TARGET: u8 = 0x0a;
    pub(crate) const PI_DATA: u8 = 0x0b;
    pub(crate) const TEMPLATE_INSTANCE: u8 = 0x0c;
    pub(crate) const NORMAL_SUBSTITUTION: u8 = 0x0d;
    pub(crate) const OPTIONAL_SUBSTITUTION: u8 = 0x0e;
    pub(crate) const FRAGMENT_HEADER: u8 = 0x0f;
    /// More of the same kind follows; for an element, attributes do.
    pub(crate) const MORE: u8 = 0x40;
}

/// The type of literal text.
pub(crate) const STRING_TYPE: u8 = 0x01;

/// Bytes, a position in them, and where reading has to stop.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    pub(crate) end: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize, end: usize) -> Self {
        Cursor { bytes, at, end: end.min(bytes.len()) }
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.end);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => Err(Fault::Truncated.at(self.at)),
        }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.take(N)?.first_chunk() {
            Some(array) => Ok(*array),
            None => Err(Fault::Truncated.at(self.at)),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// What is left, up to the end.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        if self.at < self.end { self.bytes.get(self.at).copied() } else { None }
    }

    /// The UTF-16 of a name whose count comes next, and after which a NUL stands; the hash
    /// before it is not needed.
    fn name_characters(&mut self) -> Result<&'a [u8]> {
        self.u16()?;
        let units = self.u16()?;
        let characters = self.take(2 * usize::from(units))?;
        self.u16()?;
        Ok(characters)
    }

    /// A name at its place of use.
    pub(crate) fn name(&mut self, dialect: Dialect) -> Result<Name<'a>> {
        let at = self.at;
        if dialect == Dialect::Wire {
            return Ok(Name { at, offset: None, characters: self.name_characters()? });
        }
        let offset = self.u32()? as usize;
        if offset == self.at {
            // The name's first use in the chunk: it stands right here, after the offset of the
            // next name with the same hash.
            self.u32()?;
            return Ok(Name { at, offset: None, characters: self.name_characters()? });
        }
        let characters = chunk_name(self.bytes, offset)?;
        Ok(Name { at, offset: Some(offset), characters })
    }
}

/// The UTF-16 of the name at an offset in a chunk.
pub(crate) fn chunk_name(chunk: &[u8], offset: usize) -> Result<&[u8]> {
    let mut elsewhere = Cursor::new(chunk, offset, chunk.len());
    elsewhere.u32()?;
    elsewhere.name_characters()
}

/// Whether the name at an offset in a chunk has these characters, in UTF-16: what [`chunk_name`] would give.
#[inline]
pub(crate) fn is_chunk_name(chunk: &[u8], offset: usize, characters: &[u8]) -> bool {
    let Some(name) = chunk.get(offset..) else { return false };
    // The offset of the next name, a hash, and how many characters there are.
    let Some((&[_, _, _, _, _, _, a, b], rest)) = name.split_first_chunk() else { return false };
    2 * usize::from(u16::from_le_bytes([a, b])) == characters.len()
        && rest.len() >= characters.len() + 2
        && rest.starts_with(characters)
}

/// A name where it is used.
pub(crate) struct Name<'a> {
    /// Where the use stands.
    pub(crate) at: usize,
    /// Where the name stands, if not here.
    pub(crate) offset: Option<usize>,
    /// The UTF-16LE.
    pub(crate) characters: &'a [u8],
}
