//! Security identifiers (MS-DTYP 2.4.2).

/// A security identifier, borrowed from a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid<'a>(&'a [u8]);

impl<'a> Sid<'a> {
    /// The most sub-authorities a SID can have (MS-DTYP 2.4.2.2).
    pub const MAX_SUB_AUTHORITIES: u8 = 15;

    /// The SID that the bytes begin with, and the bytes after it. Nothing where they don't hold
    /// one.
    pub fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let count = *bytes.get(1)?;
        if bytes[0] != 1 || count > Self::MAX_SUB_AUTHORITIES {
            return None;
        }
        let (sid, rest) = bytes.split_at_checked(8 + 4 * usize::from(count))?;
        Some((Sid(sid), rest))
    }

    /// The bytes as they stand in a record.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Writes `S-1-…` (MS-DTYP 2.4.2.1): an authority of 2³² or more is in hexadecimal.
    pub fn push(&self, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        out.extend_from_slice(b"S-1-");
        let authority = self.0[2..8].iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
        if authority >> 32 == 0 {
            out.extend_from_slice(number.format(authority).as_bytes());
        } else {
            crate::value::push_hex(authority, out);
        }
        for sub in self.0[8..].chunks_exact(4) {
            out.push(b'-');
            let sub = u32::from_le_bytes([sub[0], sub[1], sub[2], sub[3]]);
            out.extend_from_slice(number.format(sub).as_bytes());
        }
    }
}

impl std::fmt::Display for Sid<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::new();
        self.push(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl std::fmt::Debug for Sid<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_the_specification_shows() {
        // MS-EVEN6 4.8, value 12 of <event>.
        let bytes = [
            1, 5, 0, 0, 0, 0, 0, 5, 0x15, 0, 0, 0, 0x59, 0x51, 0xb8, 0x17, 0x66, 0x72, 0x5d, 0x25,
            0x64, 0x63, 0x3b, 0x0b, 0x1e, 0x49, 0x2d, 0, 99,
        ];
        let (sid, rest) = Sid::split(&bytes).unwrap();
        assert_eq!(sid.to_string(), "S-1-5-21-397955417-626881126-188441444-2967838");
        assert_eq!(rest, [99]);
        assert_eq!(Sid::split(&bytes[..27]), None);
        assert_eq!(Sid::split(&[]), None);
    }

    #[test]
    fn a_large_authority_is_hexadecimal() {
        let (sid, _) = Sid::split(&[1, 0, 1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(sid.to_string(), "S-1-0x10203040506");
    }
}
