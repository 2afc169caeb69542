//! GUIDs (MS-DTYP 2.3.4).

use crate::hex::LOWER as HEX_LOWER;

/// Where each byte's digits stand in the text with braces.
const PLACES: [usize; 16] = [7, 5, 3, 1, 12, 10, 17, 15, 20, 22, 25, 27, 29, 31, 33, 35];

/// A GUID, in the bytes it has in a record: the first three fields are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid([u8; 16]);

impl Guid {
    /// A GUID from its sixteen bytes in a record.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Guid(bytes)
    }

    /// The sixteen bytes as they stand in a record.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Whether all bytes are zero.
    pub fn is_nil(&self) -> bool {
        self.0 == [0; 16]
    }

    /// The canonical text: lowercase, in braces.
    pub fn to_text(self) -> [u8; 38] {
        let mut text = *b"{00000000-0000-0000-0000-000000000000}";
        for (byte, at) in self.0.into_iter().zip(PLACES) {
            [text[at], text[at + 1]] = HEX_LOWER[usize::from(byte)];
        }
        text
    }

    /// Reads `{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}`, with braces or without, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}')?,
            None => text,
        };
        let inner: &[u8; 36] = inner.as_bytes().try_into().ok()?;
        if [8, 13, 18, 23].iter().any(|&at| inner[at] != b'-') {
            return None;
        }
        let digit = |at: usize| char::from(inner[at]).to_digit(16);
        let mut bytes = [0; 16];
        for (byte, at) in bytes.iter_mut().zip(PLACES) {
            *byte = (digit(at - 1)? << 4 | digit(at)?) as u8;
        }
        Some(Guid(bytes))
    }
}

impl std::fmt::Display for Guid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_text().iter().try_for_each(|&b| std::fmt::Write::write_char(f, char::from(b)))
    }
}

impl std::fmt::Debug for Guid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_first_fields_swapped() {
        // MS-EVEN6 4.8: the template id of <event>.
        let bytes = [
            0x4a, 0x46, 0x4c, 0xcc, 0x16, 0xdc, 0x46, 0x8e, 0x80, 0xa2, 0xdc, 0x45, 0xea, 0x94,
            0x9c, 0xbd,
        ];
        let guid = Guid::from_bytes(bytes);
        assert_eq!(guid.to_string(), "{cc4c464a-dc16-8e46-80a2-dc45ea949cbd}");
        assert_eq!(Guid::parse("CC4C464A-DC16-8E46-80A2-DC45EA949CBD"), Some(guid));
        assert_eq!(Guid::parse(&guid.to_string()), Some(guid));
        assert_eq!(Guid::parse("{cc4c464a}"), None);
        assert_eq!(Guid::parse("{cc4c464a-dc16-8e46-80a2-dc45ea949cbd"), None);
    }
}
