//! Text as it lies in a record, written as UTF-8 for a place that has its own rules of escaping.
//!
//! Event strings are UTF-16LE (or, rarely, bytes of an ANSI code page) and may hold lone
//! surrogates, control characters and NULs. A NUL ends a string, as it does for Windows. What a
//! place can't hold becomes U+FFFD: a lone surrogate everywhere, a control character in XML.
//!
//! JSON and XML are written so that what [`is_active`] is an escape or a character reference in
//! them: they read back as the same text, and are only text on a terminal.

mod active;
mod ansi;
mod escape;
mod fold;
#[cfg(test)]
mod tests;
mod transcode;
mod utf16;
mod word;

use std::borrow::Cow;

pub use active::{harmless, is_active};
pub use ansi::Ansi;
pub use escape::{Escape, Json, Plain, XmlAttribute, XmlText};
pub use fold::{eq_ignore_case, fold};
pub use utf16::Utf16;
pub(crate) use word::any_below_or_equal;

/// What is UTF-8 but for faults, as nearly all that is written here is. The standard library's function
/// of this kind looks at each character before it knows whether there is a fault at all.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}
