//! Values as Windows writes them in messages, which is not always how its XML does.

use std::net::{Ipv4Addr, Ipv6Addr};

use quarry_event::text::Plain;
use quarry_event::{EventTime, Value};

use crate::kinds::{InType, OutType};

/// What a manifest says of a field, as far as it decides how a value is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FieldKind {
    /// How the value is stored.
    pub in_type: InType,
    /// How the value is shown.
    pub out_type: OutType,
    /// The place of the map of its values among the provider's maps.
    pub map: Option<u32>,
}

/// Who knows texts for numbers. Where there is none, nothing is written, and the answer is false.
pub(crate) trait Words {
    /// Writes the text that a map has for a value.
    fn mapped(&self, map: u32, value: u64, out: &mut Vec<u8>) -> bool;
    /// Writes the text of a status code.
    fn status(&self, kind: OutType, code: u32, out: &mut Vec<u8>) -> bool;
}

/// Writes a value as it stands in a message. Parameters in it are not replaced yet.
pub(crate) fn push_value(
    value: &Value<'_>,
    kind: FieldKind,
    words: &impl Words,
    out: &mut Vec<u8>,
) {
    if let (Some(map), Some(number)) = (kind.map, value.as_u64())
        && words.mapped(map, number, out)
    {
        return;
    }
    match kind.out_type {
        // Of a pointer it is the usual way, and yet in lower case.
        OutType::HEX_INT8 | OutType::HEX_INT16 | OutType::HEX_INT32 | OutType::HEX_INT64
            if kind.in_type != InType::POINTER =>
        {
            match value.as_u64() {
                Some(number) => return push_hex_upper(number, out),
                None => return value.push::<Plain>(out),
            }
        }
        OutType::WIN32_ERROR | OutType::NTSTATUS | OutType::HRESULT | OutType::ERROR_CODE => {
            // A signed value is the same 32 bits.
            let code = match value {
                Value::Int(number) => Some(*number as u32),
                value => value.as_u64().and_then(|number| u32::try_from(number).ok()),
            };
            if code.is_some_and(|code| words.status(kind.out_type, code, out)) {
                return;
            }
        }
        OutType::IPV4 => {
            // The four bytes lie in the order of the network.
            if let Some(address) = value.as_u64().and_then(|number| u32::try_from(number).ok()) {
                let text = Ipv4Addr::from(address.to_le_bytes()).to_string();
                return out.extend_from_slice(text.as_bytes());
            }
        }
        OutType::IPV6 => {
            let address = with_bytes(value, |bytes| {
                Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string())
            });
            if let Some(text) = address {
                return out.extend_from_slice(text.as_bytes());
            }
        }
        OutType::SOCKET_ADDRESS => {
            if let Some(text) = with_bytes(value, socket_address) {
                return out.extend_from_slice(text.as_bytes());
            }
        }
        _ => {}
    }
    match kind.in_type {
        InType::FILETIME | InType::SYSTEMTIME => {
            if let Some(time) = value.as_time() {
                return push_time(time, kind.out_type, out);
            }
        }
        InType::HEX_INT32 | InType::HEX_INT64 => {
            if let Some(number) = value.as_u64() {
                return push_hex_upper(number, out);
            }
        }
        _ => {}
    }
    match (value, kind.in_type) {
        // Values of events without a manifest.
        (Value::Hex(number), InType::NULL) => push_hex_upper(*number, out),
        (Value::Time(time), _) => push_time(*time, kind.out_type, out),
        (value, _) => value.push::<Plain>(out),
    }
}

/// `0x` and the digits in upper case.
pub(crate) fn push_hex_upper(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b"0123456789ABCDEF"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(b"0x");
    out.extend_from_slice(&digits[at..]);
}

/// A time with nine digits, and with a left-to-right mark around each part of its date: it comes
/// from a pattern for dates that is meant for scripts of both directions.
fn push_time(time: EventTime, out_type: OutType, out: &mut Vec<u8>) {
    const MARK: &[u8] = "\u{200e}".as_bytes();
    let text = time.to_text();
    let text = text.as_bytes();
    let Some(day) = text.iter().position(|&byte| byte == b'T') else { return };
    let (date, clock) = text.split_at(day);
    if out_type == OutType::DATE_TIME_CULTURE_INSENSITIVE {
        out.extend_from_slice(date);
    } else {
        for (i, part) in date.split(|&byte| byte == b'-').enumerate() {
            if i > 0 {
                out.extend_from_slice(MARK);
                out.push(b'-');
            }
            out.extend_from_slice(MARK);
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(&clock[..clock.len() - 1]);
    out.extend_from_slice(b"00Z");
}

/// The address in a `sockaddr`: with its port, unless that is 0.
fn socket_address(bytes: &[u8]) -> Option<String> {
    const IPV4: [u8; 2] = [2, 0];
    const IPV6: [u8; 2] = [23, 0];
    let family: [u8; 2] = bytes.get(..2)?.try_into().ok()?;
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    match (family, port) {
        (IPV4, 0) => Some(ipv4(bytes)?.to_string()),
        (IPV4, port) => Some(format!("{}:{port}", ipv4(bytes)?)),
        (IPV6, 0) => Some(ipv6(bytes)?.to_string()),
        (IPV6, port) => Some(format!("[{}]:{port}", ipv6(bytes)?)),
        _ => None,
    }
}

fn ipv4(sockaddr: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(sockaddr.get(4..8)?).ok()?))
}

fn ipv6(sockaddr: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(sockaddr.get(8..24)?).ok()?))
}

/// The bytes of a value, which a decoded event has as hexadecimal text.
fn with_bytes<R>(value: &Value<'_>, f: impl FnOnce(&[u8]) -> Option<R>) -> Option<R> {
    /// More than any address.
    const LONGEST: usize = 128;
    if let Value::Binary(bytes) = value {
        return f(bytes);
    }
    value.with_text(|text| {
        let digits = text.as_bytes();
        if digits.len() > 2 * LONGEST || !digits.len().is_multiple_of(2) {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let pair = |two: &[u8]| Some((digit(two[0])? << 4 | digit(two[1])?) as u8);
        let bytes: Option<Vec<u8>> = digits.chunks_exact(2).map(pair).collect();
        f(&bytes?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Texts;

    impl Words for Texts {
        fn mapped(&self, map: u32, value: u64, out: &mut Vec<u8>) -> bool {
            out.extend_from_slice(if value == 1 { b"one" } else { b"" });
            (map, value) == (0, 1)
        }

        fn status(&self, kind: OutType, code: u32, out: &mut Vec<u8>) -> bool {
            let known = kind == OutType::NTSTATUS && code == 0xc000_006d;
            out.extend_from_slice(if known { b"bad" } else { b"" });
            known
        }
    }

    fn shown(value: Value<'_>, in_type: InType, out_type: OutType, map: Option<u32>) -> String {
        let mut out = Vec::new();
        push_value(&value, FieldKind { in_type, out_type, map }, &Texts, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// The values and texts are from `pairs.jsonl`, which has what Windows made of them.
    #[test]
    fn values_are_written_as_windows_does_in_messages() {
        let time = EventTime::parse("2022-08-03T18:35:11.6433608Z").unwrap();
        let cases = [
            (Value::Hex(0x3e7), InType::HEX_INT64, OutType::HEX_INT64, "0x3E7"),
            (Value::Str("0x2b7e3c0"), InType::HEX_INT64, OutType::HEX_INT64, "0x2B7E3C0"),
            (Value::Hex(0xb48), InType::POINTER, OutType::HEX_INT64, "0xb48"),
            (Value::Hex(0xb48), InType::POINTER, OutType::NULL, "0xb48"),
            (Value::UInt(1), InType::UINT32, OutType::HEX_INT32, "0x1"),
            (Value::UInt(0), InType::UINT32, OutType::HEX_INT32, "0x0"),
            (
                Value::Time(time),
                InType::FILETIME,
                OutType::DATE_TIME,
                "\u{200e}2022\u{200e}-\u{200e}08\u{200e}-\u{200e}03T18:35:11.643360800Z",
            ),
            (
                Value::Str("02000035AC1227050000000000000000"),
                InType::BINARY,
                OutType::SOCKET_ADDRESS,
                "172.18.39.5:53",
            ),
            (
                Value::Binary(b"\x02\0\0\0\xac\x12\x27\x05\0\0\0\0\0\0\0\0"),
                InType::BINARY,
                OutType::SOCKET_ADDRESS,
                "172.18.39.5",
            ),
            (Value::Bool(true), InType::BOOLEAN, OutType::BOOLEAN, "true"),
        ];
        for (value, in_type, out_type, text) in cases {
            assert_eq!(shown(value, in_type, out_type, None), text, "{value:?}");
        }
    }

    #[test]
    fn a_status_and_a_mapped_value_are_their_text_or_a_number() {
        let status = |code| shown(code, InType::HEX_INT32, OutType::NTSTATUS, None);
        assert_eq!(status(Value::Hex(0xc000_006d)), "bad");
        assert_eq!(status(Value::Int(-0x3fff_ff93)), "bad");
        assert_eq!(status(Value::Hex(0xc000_1234)), "0xC0001234");
        let mapped = |number| shown(Value::UInt(number), InType::UINT32, OutType::NULL, Some(0));
        assert_eq!(mapped(1), "one");
        assert_eq!(mapped(2), "2");
    }

    #[test]
    fn bytes_that_are_no_address_stay_bytes() {
        let socket = |value| shown(value, InType::BINARY, OutType::SOCKET_ADDRESS, None);
        assert_eq!(socket(Value::Binary(&[2, 0, 0])), "020000");
        assert_eq!(socket(Value::Binary(&[9; 30])), "09".repeat(30));
        assert_eq!(socket(Value::Str("")), "");
    }

    #[test]
    fn addresses_of_version_six_are_short_and_in_brackets_before_a_port() {
        let mut bytes = [0; 28];
        bytes[0] = 23;
        bytes[23] = 1;
        let socket = |bytes: &[u8]| {
            shown(Value::Binary(bytes), InType::BINARY, OutType::SOCKET_ADDRESS, None)
        };
        assert_eq!(socket(&bytes), "::1");
        bytes[3] = 80;
        assert_eq!(socket(&bytes), "[::1]:80");
        assert_eq!(
            shown(Value::UInt(0x0500_000a), InType::UINT32, OutType::IPV4, None),
            "10.0.0.5"
        );
    }
}
