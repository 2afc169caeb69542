//! What a place that text is written to can't hold as it is, and what stands there for it.

use super::is_active;
use super::word::{HIGHS, LANES, controls, equal, word};

/// The rules of a place that text is written to. See [`Plain`], [`Json`], [`XmlText`] and
/// [`XmlAttribute`].
pub trait Escape {
    /// Which of eight ASCII characters, the first in the lowest byte, can't be written as they are:
    /// the high bit of each of their bytes. NUL always is one.
    fn specials(ascii: u64) -> u64;

    /// Whether a UTF-16 unit is a character of ASCII that is written as it is. Some that are may be left
    /// out; those that [`specials`](Self::specials) tells have to be.
    fn is_plain(unit: u16) -> bool;

    /// Writes one character.
    fn push_char(c: char, out: &mut Vec<u8>);

    /// Writes a character that [`specials`](Self::specials) told.
    #[inline]
    fn push_special(c: u8, out: &mut Vec<u8>) {
        Self::push_char(char::from(c), out);
    }

    /// Writes text that is UTF-8 already.
    fn push_str(text: &str, out: &mut Vec<u8>) {
        text.chars().for_each(|c| Self::push_char(c, out));
    }
}

/// UTF-8 and nothing more.
pub struct Plain;

impl Escape for Plain {
    #[inline(always)]
    fn specials(ascii: u64) -> u64 {
        equal(ascii, 0)
    }

    #[inline(always)]
    fn is_plain(unit: u16) -> bool {
        (1..0x80).contains(&unit)
    }

    #[inline]
    fn push_char(c: char, out: &mut Vec<u8>) {
        push_utf8(c, out);
    }

    fn push_str(text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(text.as_bytes());
    }
}

/// The inside of a JSON string (RFC 8259, section 7). What [`is_active`] is escaped.
pub struct Json;

impl Escape for Json {
    #[inline(always)]
    fn specials(ascii: u64) -> u64 {
        controls(ascii) | equal(ascii, b'"') | equal(ascii, b'\\')
    }

    #[inline(always)]
    fn is_plain(unit: u16) -> bool {
        is_graphic(unit) & !is(unit, b'"') & !is(unit, b'\\')
    }

    #[inline]
    fn push_special(c: u8, out: &mut Vec<u8>) {
        let letter = match c {
            b'"' | b'\\' => c,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            c => return Self::push_char(char::from(c), out),
        };
        out.extend_from_slice(&[b'\\', letter]);
    }

    fn push_char(c: char, out: &mut Vec<u8>) {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if is_active(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let [high, low] =
                        unit.to_be_bytes().map(|byte| crate::hex::LOWER[byte as usize]);
                    out.extend_from_slice(&[b'\\', b'u', high[0], high[1], low[0], low[1]]);
                }
            }
            _ => push_utf8(c, out),
        }
    }

    fn push_str(text: &str, out: &mut Vec<u8>) {
        let bytes = text.as_bytes();
        let (mut start, mut at) = (0, 0);
        while at < bytes.len() {
            let word = word(bytes, at);
            let foreign = word & HIGHS;
            let special = foreign | Self::specials(word & !HIGHS);
            if special == 0 {
                at += LANES;
                continue;
            }
            at += special.trailing_zeros() as usize / 8;
            out.extend_from_slice(&bytes[start..at]);
            match bytes[at] {
                c if c.is_ascii() => {
                    Self::push_special(c, out);
                    at += 1;
                }
                _ => {
                    // What stands before is whole, so a character begins here.
                    let Some(c) = text[at..].chars().next() else { return };
                    Self::push_char(c, out);
                    at += c.len_utf8();
                }
            }
            start = at;
        }
        out.extend_from_slice(&bytes[start..]);
    }
}

/// The content of an XML element. A control character that XML 1.0 can't hold becomes U+FFFD; what
/// else [`is_active`] is a character reference, but for tabs and line feeds. A carriage return has
/// to be one, because a parser would make a line feed of it.
pub struct XmlText;

impl Escape for XmlText {
    #[inline(always)]
    fn specials(ascii: u64) -> u64 {
        let is_plain = equal(ascii, b'\t') | equal(ascii, b'\n');
        (controls(ascii) & !is_plain) | equal(ascii, b'&') | equal(ascii, b'<') | equal(ascii, b'>')
    }

    #[inline(always)]
    fn is_plain(unit: u16) -> bool {
        is_graphic(unit) & !is(unit, b'&') & !is(unit, b'<') & !is(unit, b'>')
    }

    fn push_char(c: char, out: &mut Vec<u8>) {
        match c {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '\t' | '\n' => out.push(c as u8),
            '\r' => push_reference(c, out),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => push_utf8(char::REPLACEMENT_CHARACTER, out),
            c if is_active(c) => push_reference(c, out),
            _ => push_utf8(c, out),
        }
    }
}

/// The value of an XML attribute between double quotes. White space other than blanks is written
/// as character references, because a parser would make blanks of it.
pub struct XmlAttribute;

impl Escape for XmlAttribute {
    #[inline(always)]
    fn specials(ascii: u64) -> u64 {
        controls(ascii)
            | equal(ascii, b'"')
            | equal(ascii, b'&')
            | equal(ascii, b'<')
            | equal(ascii, b'>')
    }

    #[inline(always)]
    fn is_plain(unit: u16) -> bool {
        XmlText::is_plain(unit) & !is(unit, b'"')
    }

    fn push_char(c: char, out: &mut Vec<u8>) {
        match c {
            '"' => out.extend_from_slice(b"&quot;"),
            '\t' | '\n' => push_reference(c, out),
            _ => XmlText::push_char(c, out),
        }
    }
}

/// A character reference in decimal (XML 1.0, section 4.1).
fn push_reference(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(b"&#");
    out.extend_from_slice(itoa::Buffer::new().format(u32::from(c)).as_bytes());
    out.push(b';');
}

#[inline]
fn push_utf8(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Whether a unit is a character of ASCII that isn't a control.
#[inline(always)]
const fn is_graphic(unit: u16) -> bool {
    unit.wrapping_sub(0x20) < 0x5f
}

#[inline(always)]
const fn is(unit: u16, c: u8) -> bool {
    unit == c as u16
}
