//! Values that NDR moves around.

use std::fmt;

use uuid::Uuid;

/// A UTF-16 string as it travels, without its terminator. Unpaired surrogates
/// are kept: strings of real events have them.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WideString(Vec<u16>);

impl WideString {
    /// From UTF-16 units, without a terminator.
    pub fn from_units(units: Vec<u16>) -> Self {
        Self(units)
    }

    /// The UTF-16 units, without a terminator.
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// The text; unpaired surrogates become U+FFFD.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf16_lossy(&self.0)
    }
}

impl From<&str> for WideString {
    fn from(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }
}

impl From<String> for WideString {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl PartialEq<str> for WideString {
    fn eq(&self, other: &str) -> bool {
        self.0.iter().copied().eq(other.encode_utf16())
    }
}

impl PartialEq<&str> for WideString {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Display for WideString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        char::decode_utf16(self.0.iter().copied())
            .try_for_each(|c| f.write_char(c.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

impl fmt::Debug for WideString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string_lossy(), f)
    }
}

/// A context handle (C706 12.6.3.1, `ndr_context_handle`): what the server
/// keeps for a client between calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ContextHandle {
    /// Attributes, always 0.
    pub attributes: u32,
    /// The server's name for it; nil for none.
    pub uuid: Uuid,
}

impl ContextHandle {
    /// The handle that stands for none.
    pub const NULL: Self = Self { attributes: 0, uuid: Uuid::nil() };

    /// Whether this stands for none.
    pub fn is_null(&self) -> bool {
        self.attributes == 0 && self.uuid.is_nil()
    }
}

impl fmt::Debug for ContextHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextHandle({}, {})", self.attributes, self.uuid)
    }
}
