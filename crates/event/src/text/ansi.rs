//! Text in a code page, as it lies in a record.

use std::borrow::Cow;

/// Text in an ANSI code page, borrowed from a record; it ends at the first NUL, or with its bytes.
#[derive(Clone, Copy)]
pub struct Ansi<'a> {
    bytes: &'a [u8],
    encoding: &'static encoding_rs::Encoding,
}

impl<'a> Ansi<'a> {
    /// Text in the given bytes and code page.
    pub fn new(bytes: &'a [u8], encoding: &'static encoding_rs::Encoding) -> Self {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        Ansi { bytes: &bytes[..end], encoding }
    }

    /// Whether there is no text before the first NUL.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes that the text lies in.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The text; bytes that the code page doesn't have become U+FFFD.
    pub fn decode(&self) -> Cow<'a, str> {
        self.encoding.decode_without_bom_handling(self.bytes).0
    }
}

impl std::fmt::Debug for Ansi<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.decode())
    }
}
