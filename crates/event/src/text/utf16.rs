//! UTF-16 text as it lies in a record.

use super::transcode::transcode;
use super::{Escape, fold};

/// UTF-16LE text borrowed from a record; it ends at the first NUL, or with its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Utf16<'a> {
    bytes: &'a [u8],
}

impl<'a> Utf16<'a> {
    /// Text in the given bytes. A last byte that is half a unit is left out.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Utf16 { bytes: &bytes[..bytes.len() & !1] }
    }

    /// Whether there is no text before the first NUL.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !matches!(self.bytes, [a, b, ..] if (*a | *b) != 0)
    }

    /// The bytes that the text lies in, after a NUL too.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that the text lies in.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the units before the first NUL.
    pub fn text_bytes(&self) -> &'a [u8] {
        // In blocks, each of which is looked at at once.
        let (blocks, _) = self.bytes.as_chunks::<32>();
        let has_nul = |block: &&[u8; 32]| {
            let (units, _) = block.as_chunks::<2>();
            units.iter().fold(false, |found, unit| found | (u16::from_le_bytes(*unit) == 0))
        };
        let start = 32 * blocks.iter().take_while(|block| !has_nul(block)).count();
        let end = self.bytes[start..].chunks_exact(2).position(|unit| unit == [0, 0]);
        &self.bytes[..end.map_or(self.bytes.len(), |units| start + 2 * units)]
    }

    /// The UTF-16 units before the first NUL.
    pub fn units(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.bytes
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .take_while(|&unit| unit != 0)
    }

    /// The characters, lone surrogates as U+FFFD.
    pub fn chars(&self) -> impl Iterator<Item = char> + use<'a> {
        char::decode_utf16(self.units()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Whether this is a text but for case; see [`eq_ignore_case`](super::eq_ignore_case).
    #[inline]
    pub fn eq_ignore_case(&self, other: &str) -> bool {
        if !other.is_ascii() {
            return self.chars().map(fold).eq(other.chars().map(fold));
        }
        // Each character that is ASCII but for case is one unit.
        let Some((text, rest)) = self.bytes.split_at_checked(other.len() * 2) else { return false };
        // Names and paths often begin alike, and are rarely of one length.
        if !Utf16::new(rest).is_empty() {
            return false;
        }
        let same = |(unit, byte): (&[u8], &u8)| {
            let unit = u16::from_le_bytes([unit[0], unit[1]]);
            let wanted = byte.to_ascii_lowercase();
            match u8::try_from(unit) {
                Ok(unit) => unit.to_ascii_lowercase() == wanted && unit != 0,
                Err(_) => matches!((unit, wanted), (0x17f, b's') | (0x212a, b'k')),
            }
        };
        text.chunks_exact(2).zip(other.as_bytes()).all(same)
    }

    /// Writes the text for a place with the rules of `E`.
    #[inline]
    pub fn push<E: Escape>(&self, out: &mut Vec<u8>) {
        transcode::<E>(self.bytes, out);
    }
}

impl PartialEq<str> for Utf16<'_> {
    fn eq(&self, other: &str) -> bool {
        if other.is_ascii() {
            let (text, rest) = match self.bytes.split_at_checked(other.len() * 2) {
                Some(parts) => parts,
                None => return false,
            };
            let same = text
                .chunks_exact(2)
                .zip(other.as_bytes())
                .fold(true, |same, (unit, byte)| same & (unit[0] == *byte) & (unit[1] == 0));
            return same && Utf16::new(rest).is_empty() && !other.as_bytes().contains(&0);
        }
        self.chars().eq(other.chars())
    }
}

impl std::fmt::Display for Utf16<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.chars().try_for_each(|c| std::fmt::Write::write_char(f, c))
    }
}

impl std::fmt::Debug for Utf16<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}
