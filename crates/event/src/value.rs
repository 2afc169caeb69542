//! One value of an event, typed, borrowed from the bytes it came in.

use crate::text::{Ansi, Escape, Plain, Utf16};
use crate::{EventTime, Guid, Sid, hex};

/// A value as a record holds it (MS-EVEN6 2.2.12, 3.1.4.7.3). Its text is what Windows' XML shows
/// in our one canonical form: GUIDs lowercase in braces, times with seven digits.
#[derive(Clone, Copy, Debug, Default)]
pub enum Value<'a> {
    /// No value: absent, or NULL in the record.
    #[default]
    Null,
    /// UTF-16 text.
    Utf16(Utf16<'a>),
    /// Text that is UTF-8 already.
    Str(&'a str),
    /// Text in a code page.
    Ansi(Ansi<'a>),
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    UInt(u64),
    /// An unsigned integer shown in hexadecimal.
    Hex(u64),
    /// A number of single precision.
    Float32(f32),
    /// A number of double precision.
    Float64(f64),
    /// True or false.
    Bool(bool),
    /// Bytes.
    Binary(&'a [u8]),
    /// A GUID.
    Guid(Guid),
    /// A point in time.
    Time(EventTime),
    /// A security identifier.
    Sid(Sid<'a>),
}

impl<'a> Value<'a> {
    /// Whether there is no value. Empty text is a value.
    #[inline]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether the value has no text.
    #[inline]
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Utf16(text) => text.is_empty(),
            Value::Str(text) => text.is_empty(),
            Value::Ansi(text) => text.is_empty(),
            Value::Binary(bytes) => bytes.is_empty(),
            _ => false,
        }
    }

    /// Writes the value's text for a place with the rules of `E`.
    #[inline]
    pub fn push<E: Escape>(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Utf16(text) => text.push::<E>(out),
            Value::Str(text) => E::push_str(text, out),
            Value::Ansi(text) => E::push_str(&text.decode(), out),
            Value::Int(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            Value::UInt(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            Value::Hex(number) => push_hex(*number, out),
            Value::Float32(number) => push_float(format_args!("{number:?}"), out),
            Value::Float64(number) => push_float(format_args!("{number:?}"), out),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Binary(bytes) => push_binary(bytes, out),
            Value::Guid(guid) => out.extend_from_slice(&guid.to_text()),
            Value::Time(time) => out.extend_from_slice(time.to_text().as_bytes()),
            Value::Sid(sid) => sid.push(out),
        }
    }

    /// Writes what tells the value from others, which takes less than its text: values that write the same
    /// have the same text, and none of them writes what begins as another.
    #[inline]
    pub fn push_exact(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, tag: u8, number: u64| {
            let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
            out.extend_from_slice(&[tag, a, b, c, d, e, f, g, h]);
        };
        let text = |out: &mut Vec<u8>, tag: u8, text: &[u8]| {
            number(out, tag, text.len() as u64);
            out.extend_from_slice(text);
        };
        match self {
            Value::Null => out.push(0),
            Value::UInt(value) => number(out, 1, *value),
            Value::Hex(value) => number(out, 2, *value),
            Value::Time(time) => number(out, 3, time.as_filetime()),
            Value::Utf16(value) => text(out, 4, value.bytes()),
            Value::Str(value) => text(out, 5, value.as_bytes()),
            other => other.with_text(|value| text(out, 5, value.as_bytes())),
        }
    }

    /// Calls `f` with the value's text, which is made only where it isn't there already.
    pub fn with_text<R>(&self, f: impl FnOnce(&str) -> R) -> R {
        if let Value::Str(text) = self {
            return f(text);
        }
        let mut text = Vec::new();
        self.push::<Plain>(&mut text);
        f(&String::from_utf8_lossy(&text))
    }

    /// Whether the value's text is the given one. Nothing equals NULL.
    #[inline]
    pub fn is_text(&self, other: &str) -> bool {
        match self {
            Value::Null => false,
            Value::Utf16(text) => *text == *other,
            Value::Str(text) => *text == other,
            _ => self.with_text(|text| text == other),
        }
    }

    /// The value as a whole number: an integer, or text that is one in decimal or `0x…`.
    #[inline]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::UInt(number) | Value::Hex(number) => Some(*number),
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::Str(text) => parse_u64(text),
            Value::Utf16(_) | Value::Ansi(_) => self.with_text(parse_u64),
            // Bytes whose text is digits: a decoded event has no more than that text.
            Value::Binary(_) => self.with_text(parse_u64),
            _ => None,
        }
    }

    /// The value as a point in time: one, or the text of one.
    #[inline]
    pub fn as_time(&self) -> Option<EventTime> {
        match self {
            Value::Time(time) => Some(*time),
            Value::Str(text) => EventTime::parse(text),
            Value::Utf16(_) | Value::Ansi(_) => self.with_text(EventTime::parse),
            _ => None,
        }
    }

    /// The value as a GUID: one, or the text of one.
    #[inline]
    pub fn as_guid(&self) -> Option<Guid> {
        match self {
            Value::Guid(guid) => Some(*guid),
            Value::Str(text) => Guid::parse(text),
            Value::Utf16(_) | Value::Ansi(_) => self.with_text(Guid::parse),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

fn parse_u64(text: &str) -> Option<u64> {
    let digits = |text: &str| !text.is_empty() && !text.starts_with('+');
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => digits(hex).then(|| u64::from_str_radix(hex, 16).ok())?,
        None => digits(text).then(|| text.parse().ok())?,
    }
}

/// Writes `0x` and the number in lowercase hexadecimal, without leading zeros.
pub(crate) fn push_hex(number: u64, out: &mut Vec<u8>) {
    const END: usize = 18;
    let mut text = [b'0'; END];
    // Most are small: so many digits, two at a time from the end.
    let digits = (67 - (number | 1).leading_zeros() as usize) / 4;
    let (mut left, mut at) = (number, END);
    while left != 0 {
        at -= 2;
        [text[at], text[at + 1]] = hex::LOWER[(left & 0xff) as usize];
        left >>= 8;
    }
    let start = END - digits - 2;
    text[start] = b'0';
    text[start + 1] = b'x';
    out.extend_from_slice(&text[start..]);
}

fn push_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 * bytes.len());
    for &byte in bytes {
        out.extend_from_slice(&hex::UPPER[usize::from(byte)]);
    }
}

/// Floats are written as XML Schema's `xs:double` is: the shortest text that reads back as the
/// same number, `INF`, `-INF`, `NaN`.
fn push_float(text: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    use std::io::Write;
    let start = out.len();
    // Writing to a vector can't fail.
    let _ = out.write_fmt(text);
    match &out[start..] {
        b"inf" => out.splice(start.., *b"INF").for_each(drop),
        b"-inf" => out.splice(start.., *b"-INF").for_each(drop),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_text_that_windows_shows() {
        let cases = [
            (Value::Int(-5), "-5"),
            (Value::UInt(u64::MAX), "18446744073709551615"),
            (Value::Hex(0), "0x0"),
            (Value::Hex(0x8020_0000_0000_0000), "0x8020000000000000"),
            (Value::Hex(0x1f), "0x1f"),
            (Value::Hex(0xf), "0xf"),
            (Value::Hex(0x100), "0x100"),
            (Value::Hex(u64::MAX), "0xffffffffffffffff"),
            (Value::Bool(true), "true"),
            (Value::Binary(&[0, 0xab]), "00AB"),
            (Value::Float64(0.5), "0.5"),
            (Value::Float64(f64::NEG_INFINITY), "-INF"),
            (Value::Float32(f32::NAN), "NaN"),
            (Value::Float32(f32::INFINITY), "INF"),
            (Value::Null, ""),
        ];
        for (value, text) in cases {
            assert_eq!(value.to_string(), text);
        }
    }

    #[test]
    fn what_tells_a_value_is_that_of_no_value_with_another_text() {
        let utf16 = [b'a', 0, b'b', 0];
        let values = [
            Value::Null,
            Value::Str(""),
            Value::Str("1"),
            Value::UInt(1),
            Value::Hex(1),
            Value::Time(EventTime::from_filetime(1)),
            Value::Utf16(Utf16::new(&utf16)),
            Value::Str("ab"),
            Value::Str("true"),
            Value::Bool(true),
            Value::Int(-1),
        ];
        let exact = |value: &Value<'_>| {
            let mut out = Vec::new();
            value.push_exact(&mut out);
            out
        };
        for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (a, b))) {
            let is_same = a.is_null() == b.is_null() && a.to_string() == b.to_string();
            assert!(is_same || !exact(a).starts_with(&exact(b)), "{a:?} {b:?}");
        }
    }

    #[test]
    fn numbers_are_read_from_text() {
        assert_eq!(Value::Str("4624").as_u64(), Some(4624));
        assert_eq!(Value::Str("0xFF").as_u64(), Some(255));
        assert_eq!(Value::Str("+1").as_u64(), None);
        assert_eq!(Value::Str("0x").as_u64(), None);
        assert_eq!(Value::Str("").as_u64(), None);
        assert_eq!(Value::Int(-1).as_u64(), None);
        assert_eq!(Value::Binary(&[0x12, 0x34]).as_u64(), Some(1234));
        assert_eq!(Value::Binary(&[0x12, 0x3a]).as_u64(), None);
        assert_eq!(Value::Binary(&[0; 40]).as_u64(), Some(0));
    }
}
