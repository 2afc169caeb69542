//! The little DER that SPNEGO needs: tags of one byte, definite lengths.

use crate::error::SecurityError;

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
/// `[APPLICATION 0]`, the GSS-API framing (RFC 2743 3.1).
pub(super) const APPLICATION_0: u8 = 0x60;

/// The context-specific, constructed tag `[n]`.
pub(super) const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// Appends one element.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let len = content.len();
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let skip = bytes.iter().take_while(|byte| **byte == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    out.extend_from_slice(content);
}

/// One element by itself.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    put(&mut out, tag, content);
    out
}

/// Reads elements one after the other.
pub(super) struct Der<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(super) fn malformed(&self) -> SecurityError {
        SecurityError::Malformed { what: self.what }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element whatever its tag.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), SecurityError> {
        let (&tag, rest) = self.rest.split_first().ok_or_else(|| self.malformed())?;
        let (&first, mut rest) = rest.split_first().ok_or_else(|| self.malformed())?;
        let len = match first {
            0..=0x7f => usize::from(first),
            // Four bytes of length are more than any token may have.
            0x81..=0x84 => {
                let (len, after) = rest
                    .split_at_checked(usize::from(first & 0x7f))
                    .ok_or_else(|| self.malformed())?;
                rest = after;
                len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))
            }
            _ => return Err(self.malformed()),
        };
        let (content, rest) = rest.split_at_checked(len).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok((tag, content))
    }

    /// The next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], SecurityError> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(self.malformed()),
        }
    }

    /// One element that is all there is.
    pub(super) fn only(
        bytes: &'a [u8],
        tag: u8,
        what: &'static str,
    ) -> Result<&'a [u8], SecurityError> {
        let mut der = Der::new(bytes, what);
        let content = der.expect(tag)?;
        if der.is_empty() { Ok(content) } else { Err(der.malformed()) }
    }
}
