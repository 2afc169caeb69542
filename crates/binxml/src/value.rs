//! Substitution values (MS-EVEN6 2.2.12, ValueType and Value; 3.1.4.7.3, 3.1.4.7.5).

use encoding_rs::Encoding;
use quarry_event::{Ansi, EventTime, Guid, Sid, Utf16, Value};

pub(crate) const NULL: u8 = 0x00;
pub(crate) const BIN_XML: u8 = 0x21;
/// Set in the type of an array.
pub(crate) const ARRAY: u8 = 0x80;

pub(crate) const SIZE_T: u8 = 0x10;
pub(crate) const HEX_INT32: u8 = 0x14;
pub(crate) const HEX_INT64: u8 = 0x15;

const STRING: u8 = 0x01;
pub(crate) const ANSI_STRING: u8 = 0x02;
const EVT_XML: u8 = 0x23;

/// The value that bytes of a type hold. The type says how to read them, but their length is what
/// counts: an integer of any width is read, a Boolean has one byte on the wire and four in a
/// file. Bytes that don't make a value of their type are shown as bytes.
// A value that a call returns goes through memory, where it is written in pieces and read at once,
// which waits for the writes to end: a tenth of a dump's time.
#[inline(always)]
pub(crate) fn decode<'a>(kind: u8, bytes: &'a [u8], ansi: &'static Encoding) -> Value<'a> {
    decode_to(kind, bytes, ansi, |value| value)
}

/// The same, for who has a place for the value: each kind's is written there at once.
#[inline(always)]
pub(crate) fn decode_to<'a, R>(
    kind: u8,
    bytes: &'a [u8],
    ansi: &'static Encoding,
    take: impl FnOnce(Value<'a>) -> R,
) -> R {
    match kind {
        NULL => take(Value::Null),
        // BinXML has elements and no text. It is there, though, where NULL isn't.
        BIN_XML => take(Value::Str("")),
        STRING | EVT_XML => take(Value::Utf16(Utf16::new(bytes))),
        ANSI_STRING => take(Value::Ansi(Ansi::new(bytes, ansi))),
        0x03 | 0x05 | 0x07 | 0x09 => take(signed(bytes)),
        0x04 | 0x06 | 0x08 | 0x0a => match unsigned(bytes) {
            Some(number) => take(Value::UInt(number)),
            None => take(Value::Binary(bytes)),
        },
        0x0b => take(fixed(bytes, |bytes| Value::Float32(f32::from_le_bytes(bytes)))),
        0x0c => take(fixed(bytes, |bytes| Value::Float64(f64::from_le_bytes(bytes)))),
        0x0d => take(boolean(bytes)),
        0x0f => take(fixed(bytes, |bytes| Value::Guid(Guid::from_bytes(bytes)))),
        // EvtHandle (0x20) has no text of its own; its bits are shown.
        SIZE_T | HEX_INT32 | HEX_INT64 | 0x20 => match unsigned(bytes) {
            Some(number) => take(Value::Hex(number)),
            None => take(Value::Binary(bytes)),
        },
        0x11 => take(fixed(bytes, |bytes| {
            Value::Time(EventTime::from_filetime(u64::from_le_bytes(bytes)))
        })),
        0x12 => take(
            bytes
                .first_chunk()
                .filter(|_| bytes.len() == 16)
                .and_then(EventTime::from_systemtime)
                .map_or(Value::Binary(bytes), Value::Time),
        ),
        0x13 => take(Sid::split(bytes).map_or(Value::Binary(bytes), |(sid, _)| Value::Sid(sid))),
        _ => take(Value::Binary(bytes)),
    }
}

/// Whether what [`decode`] gives has no text.
#[inline]
pub(crate) fn is_empty(kind: u8, bytes: &[u8]) -> bool {
    match kind {
        NULL | BIN_XML => true,
        STRING | EVT_XML => Utf16::new(bytes).is_empty(),
        ANSI_STRING => matches!(bytes, [] | [0, ..]),
        // A value, or its bytes.
        _ => bytes.is_empty(),
    }
}

#[inline]
fn unsigned(bytes: &[u8]) -> Option<u64> {
    Some(match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => return None,
    })
}

/// A Boolean has to be 0 or 1; another number is shown, rather than lost in a `true`.
fn boolean(bytes: &[u8]) -> Value<'_> {
    match unsigned(bytes) {
        Some(0) => Value::Bool(false),
        Some(1) => Value::Bool(true),
        Some(_) => signed(bytes),
        None => Value::Binary(bytes),
    }
}

fn signed(bytes: &[u8]) -> Value<'_> {
    Value::Int(match *bytes {
        [a] => (a as i8).into(),
        [a, b] => i16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => return Value::Binary(bytes),
    })
}

#[inline]
fn fixed<'a, const N: usize>(
    bytes: &'a [u8],
    value: impl FnOnce([u8; N]) -> Value<'a>,
) -> Value<'a> {
    match <[u8; N]>::try_from(bytes) {
        Ok(array) => value(array),
        Err(_) => Value::Binary(bytes),
    }
}

/// Splits the first item off an array of a type, or gives nothing at its end. What is left over
/// after the last whole item is an item of its own, so that nothing is lost.
pub(crate) fn split_item(array_kind: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let len = match array_kind & !ARRAY {
        STRING => {
            let nul = bytes.chunks_exact(2).position(|unit| unit == [0, 0]);
            return Some(match nul {
                Some(nul) => (&bytes[..2 * nul], &bytes[2 * nul + 2..]),
                None => (bytes, &[]),
            });
        }
        ANSI_STRING => {
            let nul = bytes.iter().position(|&byte| byte == 0);
            return Some(match nul {
                Some(nul) => (&bytes[..nul], &bytes[nul + 1..]),
                None => (bytes, &[]),
            });
        }
        0x03 | 0x04 => 1,
        0x05 | 0x06 => 2,
        0x07 | 0x08 | 0x0b | 0x0d | 0x14 => 4,
        0x09 | 0x0a | 0x0c | 0x10 | 0x11 | 0x15 => 8,
        0x0f | 0x12 => 16,
        0x13 => match Sid::split(bytes) {
            Some((sid, _)) => sid.as_bytes().len(),
            None => bytes.len(),
        },
        _ => bytes.len(),
    };
    Some(bytes.split_at(len.min(bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: u8, bytes: &[u8]) -> String {
        decode(kind, bytes, encoding_rs::WINDOWS_1252).to_string()
    }

    fn items(kind: u8, mut bytes: &[u8]) -> Vec<String> {
        let mut items = Vec::new();
        while let Some((item, rest)) = split_item(kind, bytes) {
            items.push(text(kind & !ARRAY, item));
            bytes = rest;
        }
        items
    }

    #[test]
    fn every_type_has_the_text_of_the_specification() {
        // MS-EVEN6 2.2.12.3 and the canonical forms of 3.1.4.7.3.
        assert_eq!(text(0x00, &[]), "");
        assert_eq!(text(0x01, b"a\0b\0"), "ab");
        assert_eq!(text(0x02, b"caf\xe9"), "café");
        assert_eq!(text(0x03, &[0xff]), "-1");
        assert_eq!(text(0x04, &[0xff]), "255");
        assert_eq!(text(0x05, &[0xff, 0xff]), "-1");
        assert_eq!(text(0x06, &[0xff, 0xff]), "65535");
        assert_eq!(text(0x07, &[0xfe, 0xff, 0xff, 0xff]), "-2");
        assert_eq!(text(0x08, &[0xfe, 0xff, 0xff, 0xff]), "4294967294");
        assert_eq!(text(0x09, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "-2");
        assert_eq!(text(0x0a, &[1, 0, 0, 0, 1, 0, 0, 0]), "4294967297");
        assert_eq!(text(0x0b, &1.5f32.to_le_bytes()), "1.5");
        assert_eq!(text(0x0c, &(-0.25f64).to_le_bytes()), "-0.25");
        assert_eq!(text(0x0d, &[1]), "true");
        assert_eq!(text(0x0d, &[0, 0, 0, 0]), "false");
        assert_eq!(text(0x0d, &[16, 0, 0, 0]), "16");
        assert_eq!(text(0x0e, &[0x0a, 0xf0]), "0AF0");
        assert_eq!(
            text(
                0x0f,
                &[
                    0xd2, 0x81, 0x4d, 0x2d, 0xbd, 0x94, 0x67, 0x46, 0xa2, 0xaf, 0x23, 0x43, 0xf9,
                    0xd8, 0x34, 0x62
                ]
            ),
            "{2d4d81d2-94bd-4667-a2af-2343f9d83462}"
        );
        assert_eq!(text(0x10, &[18, 0, 0, 0]), "0x12");
        assert_eq!(
            text(0x11, &0x01c6_8ffb_36d6_f49c_u64.to_le_bytes()),
            "2006-06-14T21:40:54.6258076Z"
        );
        assert_eq!(
            text(0x12, &[0xd6, 7, 10, 0, 5, 0, 20, 0, 3, 0, 23, 0, 54, 0, 248, 0]),
            "2006-10-20T03:23:54.2480000Z"
        );
        assert_eq!(text(0x13, &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]), "S-1-5-18");
        assert_eq!(text(0x14, &[18, 0, 0, 0]), "0x12");
        assert_eq!(text(0x15, &[18, 0, 0, 0, 0, 0, 0, 0x80]), "0x8000000000000012");
    }

    #[test]
    fn what_has_no_text_is_known_without_decoding_it() {
        let texts: [&[u8]; 8] =
            [&[], &[0], &[65], &[0, 0], &[65, 0], &[0, 65], &[0; 8], &[1, 0, 0, 0, 0, 0, 0, 5]];
        for kind in 0..=0x7f {
            for bytes in texts {
                let decoded = decode(kind, bytes, encoding_rs::WINDOWS_1252);
                assert_eq!(is_empty(kind, bytes), decoded.is_empty(), "{kind:#x} {bytes:?}");
                assert_eq!(decoded.is_empty(), decoded.to_string().is_empty(), "{kind} {bytes:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_value_of_their_type_are_shown_as_bytes() {
        assert_eq!(text(0x08, &[1, 2, 3]), "010203");
        assert_eq!(text(0x0f, &[1]), "01");
        assert_eq!(text(0x13, &[1, 9]), "0109");
        assert_eq!(text(0x7f, &[0xab]), "AB");
    }

    #[test]
    fn arrays_are_split_into_their_items() {
        assert_eq!(items(0x81, b"a\0b\0\0\0\0\0c\0\0\0"), ["ab", "", "c"]);
        assert_eq!(items(0x81, b"a\0\0\0b\0"), ["a", "b"]);
        assert_eq!(items(0x82, b"ab\0c\0"), ["ab", "c"]);
        assert_eq!(items(0x84, &[0x61, 0x63]), ["97", "99"]);
        assert_eq!(items(0x88, &[1, 0, 0, 0, 2, 0, 0, 0, 3]), ["1", "2", "3"]);
        assert_eq!(
            items(
                0x93,
                &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 5, 19, 0, 0, 0]
            ),
            ["S-1-5-18", "S-1-5-19"]
        );
        assert_eq!(items(0x81, b""), [""; 0]);
    }
}
