//! Text as it lies in a record, written as UTF-8 for a place that has its own rules of escaping.
//!
//! Event strings are UTF-16LE (or, rarely, bytes of an ANSI code page) and may hold lone
//! surrogates, control characters and NULs. A NUL ends a string, as it does for Windows. What a
//! place can't hold becomes U+FFFD: a lone surrogate everywhere, a control character in XML.
//!
//! JSON and XML are written so that what [`is_active`] is an escape or a character reference in
//! them: they read back as the same text, and are only text on a terminal.

use std::borrow::Cow;

/// A character for comparing without regard to case: characters that differ in case only have the
/// same. This is Unicode's simple case folding, by which regular expressions ignore case too, up to
/// the choice of the character that stands for all.
#[inline]
pub fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    fold_other(c)
}

#[cold]
fn fold_other(c: char) -> char {
    let single = |chars: &mut dyn Iterator<Item = char>| match (chars.next(), chars.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    };
    match c {
        // Only Turkish and Azeri pair these with I and i.
        'ı' | 'İ' => c,
        // Two of a kind that have no other case.
        '\u{1fd3}' => '\u{390}',
        '\u{1fe3}' => '\u{3b0}',
        '\u{fb05}' => '\u{fb06}',
        _ => {
            let upper = single(&mut c.to_uppercase()).unwrap_or(c);
            single(&mut upper.to_lowercase()).unwrap_or(upper)
        }
    }
}

/// Whether two texts are the same but for case.
#[inline]
pub fn eq_ignore_case(one: &str, other: &str) -> bool {
    // As they mostly are, or of another length: case takes longer.
    if one == other {
        return true;
    }
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().map(fold).eq(other.chars().map(fold))
}

/// UTF-16LE text borrowed from a record; it ends at the first NUL, or with its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Utf16<'a> {
    bytes: &'a [u8],
}

impl<'a> Utf16<'a> {
    /// Text in the given bytes. A last byte that is half a unit is left out.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Utf16 { bytes: &bytes[..bytes.len() & !1] }
    }

    /// Whether there is no text before the first NUL.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !matches!(self.bytes, [a, b, ..] if (*a | *b) != 0)
    }

    /// The bytes that the text lies in, after a NUL too.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that the text lies in.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the units before the first NUL.
    pub fn text_bytes(&self) -> &'a [u8] {
        // In blocks, each of which is looked at at once.
        let (blocks, _) = self.bytes.as_chunks::<32>();
        let has_nul = |block: &&[u8; 32]| {
            let (units, _) = block.as_chunks::<2>();
            units.iter().fold(false, |found, unit| found | (u16::from_le_bytes(*unit) == 0))
        };
        let start = 32 * blocks.iter().take_while(|block| !has_nul(block)).count();
        let end = self.bytes[start..].chunks_exact(2).position(|unit| unit == [0, 0]);
        &self.bytes[..end.map_or(self.bytes.len(), |units| start + 2 * units)]
    }

    /// The UTF-16 units before the first NUL.
    pub fn units(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.bytes
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .take_while(|&unit| unit != 0)
    }

    /// The characters, lone surrogates as U+FFFD.
    pub fn chars(&self) -> impl Iterator<Item = char> + use<'a> {
        char::decode_utf16(self.units()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Whether this is a text but for case; see [`eq_ignore_case`].
    #[inline]
    pub fn eq_ignore_case(&self, other: &str) -> bool {
        if !other.is_ascii() {
            return self.chars().map(fold).eq(other.chars().map(fold));
        }
        // Each character that is ASCII but for case is one unit.
        let Some((text, rest)) = self.bytes.split_at_checked(other.len() * 2) else { return false };
        // Names and paths often begin alike, and are rarely of one length.
        if !Utf16::new(rest).is_empty() {
            return false;
        }
        let same = |(unit, byte): (&[u8], &u8)| {
            let unit = u16::from_le_bytes([unit[0], unit[1]]);
            let wanted = byte.to_ascii_lowercase();
            match u8::try_from(unit) {
                Ok(unit) => unit.to_ascii_lowercase() == wanted && unit != 0,
                Err(_) => matches!((unit, wanted), (0x17f, b's') | (0x212a, b'k')),
            }
        };
        text.chunks_exact(2).zip(other.as_bytes()).all(same)
    }

    /// Writes the text for a place with the rules of `E`.
    #[inline]
    pub fn push<E: Escape>(&self, out: &mut Vec<u8>) {
        transcode::<E>(self.bytes, out);
    }
}

impl PartialEq<str> for Utf16<'_> {
    fn eq(&self, other: &str) -> bool {
        if other.is_ascii() {
            let (text, rest) = match self.bytes.split_at_checked(other.len() * 2) {
                Some(parts) => parts,
                None => return false,
            };
            let same = text
                .chunks_exact(2)
                .zip(other.as_bytes())
                .fold(true, |same, (unit, byte)| same & (unit[0] == *byte) & (unit[1] == 0));
            return same && Utf16::new(rest).is_empty() && !other.as_bytes().contains(&0);
        }
        self.chars().eq(other.chars())
    }
}

impl std::fmt::Display for Utf16<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.chars().try_for_each(|c| std::fmt::Write::write_char(f, c))
    }
}

impl std::fmt::Debug for Utf16<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

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

/// Whether a character acts on what shows it instead of being shown: the controls (C0, DEL, C1),
/// line and paragraph separators, what turns the direction of text (UAX #9), and what is invisible
/// but for its effect (U+00AD, U+200B, U+2060 to U+206F, U+FEFF, U+FFF9 to U+FFFB, tags).
pub fn is_active(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The character to show in place of another on a terminal: a blank for what ends a line and for a
/// tab, the picture of another C0 control or DEL, U+FFFD for what else [`is_active`].
pub fn harmless(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        c if is_active(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

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

/// The units that are looked at together: as bytes they are one word.
const LANES: usize = 8;

/// As many as long runs of plain text are looked at in. Compilers make vectors of them.
const BLOCK: usize = 2 * LANES;

/// The bytes of UTF-16 that such a run is looked for in.
const LONG: usize = 2 * 64;

/// The next eight bytes in a word, blanks where there are fewer.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    const BLANKS: u64 = b' ' as u64 * ONES;
    let rest = &bytes[at..];
    if let Some(word) = rest.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    let bits = 8 * rest.len();
    match bytes.last_chunk() {
        // Those before are in it too.
        Some(last) => u64::from_le_bytes(*last) >> (64 - bits) | BLANKS << bits,
        None => rest.iter().rev().fold(BLANKS, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// Whether any of some bytes is below a character of ASCII, or one of those given.
#[inline]
pub(crate) fn any_below_or_equal<const N: usize>(bytes: &[u8], below: u8, others: [u8; N]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let is_one = |byte: u8| others.iter().fold(byte < below, |found, &c| found | (byte == c));
    let in_block = |block: &[u8; 16]| block.iter().fold(false, |found, &byte| found | is_one(byte));
    blocks.iter().any(in_block)
        || (0..rest.len()).step_by(LANES).any(|at| {
            let word = word(rest, at);
            let ascii = word & !HIGHS;
            let low = !(ascii + u64::from(0x80 - below) * ONES);
            let found = others.iter().fold(low, |found, &c| found | equal(ascii, c));
            found & !word & HIGHS != 0
        })
}

/// What is UTF-8 but for faults, as nearly all that is written here is. The standard library's function
/// of this kind looks at each character before it knows whether there is a fault at all.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// A byte of 1, and one with the high bit, in each place of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x80 * ONES;

/// The bytes of a word of ASCII that are a character. No byte can carry into the next here, as
/// none has its high bit: so it is right for each, and not for the lowest only.
#[inline(always)]
const fn equal(ascii: u64, c: u8) -> u64 {
    !((ascii ^ (c as u64 * ONES)) + 0x7f * ONES) & HIGHS
}

/// The bytes of a word of ASCII that are below 0x20, or DEL.
#[inline(always)]
const fn controls(ascii: u64) -> u64 {
    (!(ascii + 0x60 * ONES) | (ascii + ONES)) & HIGHS
}

/// Writes UTF-16LE up to the first NUL. Characters of ASCII are narrowed eight at a time into a word,
/// which tells which of them are special, and what stands before each of these is written at once.
fn transcode<E: Escape>(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    // Where the next block is looked at: after one that isn't plain. Short texts are mostly names and
    // paths, in which few are.
    let mut next = if rest.len() >= LONG { rest.len() } else { 0 };
    while !rest.is_empty() {
        if rest.len() <= next {
            while let Some((block, behind)) = rest.split_first_chunk()
                && let Some(text) = plain::<E>(block)
            {
                out.extend_from_slice(&text);
                rest = behind;
            }
            next = rest.len().saturating_sub(2 * BLOCK);
            continue;
        }
        let (low, high) = units(rest);
        if (low | high) & 0xff80_ff80_ff80_ff80 != 0 {
            match one_by_one::<E>(rest, LANES, out) {
                Some(behind) => rest = behind,
                None => return,
            }
            continue;
        }
        let mut text = narrow(low) | narrow(high) << 32;
        let mut special = E::specials(text);
        if special == 0 {
            // Units beyond the end would be NUL, so these are eight.
            out.extend_from_slice(&text.to_le_bytes());
            rest = &rest[2 * LANES..];
            continue;
        }
        let count = LANES.min(rest.len() / 2);
        let mut left = count;
        loop {
            let plain = special.trailing_zeros() as usize / 8;
            // A whole word is cheaper than a part of one.
            let end = out.len() + plain.min(left);
            out.extend_from_slice(&text.to_le_bytes());
            out.truncate(end);
            if plain >= left {
                break;
            }
            let c = (text >> (8 * plain)) as u8;
            if c == 0 {
                return;
            }
            E::push_special(c, out);
            left -= plain + 1;
            text = text >> (8 * plain) >> 8;
            special = special >> (8 * plain) >> 8;
        }
        rest = &rest[2 * count..];
    }
}

/// A block of characters that are all written as they are.
#[inline(always)]
fn plain<E: Escape>(block: &[u8; 2 * BLOCK]) -> Option<[u8; BLOCK]> {
    let mut text = [0; BLOCK];
    let mut is_plain = true;
    let (units, _) = block.as_chunks::<2>();
    for (to, unit) in text.iter_mut().zip(units) {
        let unit = u16::from_le_bytes(*unit);
        *to = unit as u8;
        is_plain &= E::is_plain(unit);
    }
    is_plain.then_some(text)
}

/// The next eight units in two words, NUL where there are fewer.
#[inline(always)]
fn units(bytes: &[u8]) -> (u64, u64) {
    if let Some(block) = bytes.first_chunk() {
        let block = u128::from_le_bytes(*block);
        return (block as u64, (block >> 64) as u64);
    }
    // The first and the last of them overlap.
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let last = u128::from(u64::from_le_bytes(*last)) << (8 * (len - 8));
        return (u64::from_le_bytes(*first), (last >> 64) as u64);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4));
        return (u64::from(u32::from_le_bytes(*first)) | last, 0);
    }
    (split_unit(bytes).map_or(0, |(unit, _)| unit.into()), 0)
}

/// Four units of ASCII as bytes, side by side.
#[inline(always)]
const fn narrow(units: u64) -> u64 {
    let pairs = (units | units >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) & 0xffff_ffff
}

/// Writes the next units one after the other, a surrogate pair whole, and gives what is after
/// them; nothing when a NUL has ended the text.
fn one_by_one<'a, E: Escape>(bytes: &'a [u8], count: usize, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = bytes;
    for _ in 0..count {
        let Some((unit, behind)) = split_unit(rest) else { break };
        rest = behind;
        if unit < 0x80 && E::specials(unit.into()) & 0x80 == 0 {
            out.push(unit as u8);
        } else if unit == 0 {
            return None;
        } else {
            rest = special_character::<E>(unit, rest, out);
        }
    }
    Some(rest)
}

/// Writes a character that begins with the given unit, and gives what is after it.
fn special_character<'a, E: Escape>(unit: u16, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    if let 0xd800..=0xdbff = unit
        && let Some((low @ 0xdc00..=0xdfff, behind)) = split_unit(rest)
    {
        let code = 0x10000 + ((u32::from(unit) - 0xd800) << 10) + u32::from(low) - 0xdc00;
        E::push_char(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), out);
        return behind;
    }
    // What is half of a pair is no character.
    E::push_char(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER), out);
    rest
}

#[inline]
fn split_unit(bytes: &[u8]) -> Option<(u16, &[u8])> {
    bytes.split_first_chunk().map(|(unit, rest)| (u16::from_le_bytes(*unit), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(units: &[u16]) -> Vec<u8> {
        units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
    }

    fn pushed<E: Escape>(units: &[u16]) -> String {
        let mut out = Vec::new();
        Utf16::new(&encode(units)).push::<E>(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn case_is_ignored_as_regular_expressions_ignore_it() {
        use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
        // The standard library may know letters of a later version of Unicode.
        let unassigned = regex::Regex::new(r"^\p{Cn}$").unwrap();
        let known = ('\0'..=char::MAX).filter(|c| !unassigned.is_match(c.encode_utf8(&mut [0; 4])));
        for c in known {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
            class.case_fold_simple();
            let alike: Vec<char> =
                class.iter().flat_map(|range| range.start()..=range.end()).collect();
            assert!(alike.contains(&fold(c)), "{c:?} {:?}", fold(c));
            assert!(alike.iter().all(|&other| fold(other) == fold(c)), "{c:?}: {alike:?}");
        }
    }

    #[test]
    fn utf16_is_compared_without_regard_to_case_as_utf8_is() {
        let texts = [
            "",
            "k",
            "K",
            "\u{212a}",
            "s",
            "\u{17f}",
            "Stra\u{df}e",
            "STRASSE",
            "stra\u{1e9e}E",
            "\u{130}",
            "i",
            "\u{131}",
            "I",
            "abc",
            "ABC",
            "abcd",
            "\u{e9}",
            "\u{c9}",
            "\u{10400}",
            "\u{10428}",
        ];
        for one in texts {
            for other in texts {
                let folded = |text: &str| text.chars().map(fold).collect::<String>();
                let expected = folded(one) == folded(other);
                assert_eq!(eq_ignore_case(one, other), expected, "{one} {other}");
                for ending in [&[][..], &[0], &[0, 0x41]] {
                    let mut units: Vec<u16> = one.encode_utf16().collect();
                    units.extend(ending);
                    let same = Utf16::new(&encode(&units)).eq_ignore_case(other);
                    assert_eq!(same, expected, "{one} {other} {ending:?}");
                }
            }
        }
    }

    /// The same by the standard library, a character at a time.
    fn expected<E: Escape>(units: &[u16]) -> String {
        let mut out = Vec::new();
        char::decode_utf16(units.iter().copied().take_while(|&unit| unit != 0))
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .for_each(|c| E::push_char(c, &mut out));
        String::from_utf8(out).unwrap()
    }

    fn units() -> impl Strategy<Value = Vec<u16>> {
        let unit = prop_oneof![
            8 => 0x20u16..0x7f,
            1 => 0u16..0x20,
            1 => 0xd800u16..0xe000,
            1 => any::<u16>(),
        ];
        prop::collection::vec(unit, 0..60)
    }

    proptest! {
        #[test]
        fn every_place_gets_what_the_standard_library_decodes(units in units()) {
            prop_assert_eq!(pushed::<Plain>(&units), expected::<Plain>(&units));
            prop_assert_eq!(pushed::<Json>(&units), expected::<Json>(&units));
            prop_assert_eq!(pushed::<XmlText>(&units), expected::<XmlText>(&units));
            prop_assert_eq!(pushed::<XmlAttribute>(&units), expected::<XmlAttribute>(&units));
        }

        #[test]
        fn utf8_and_utf16_are_escaped_alike(text in "[ -~\\x00-\\x1f\u{fffe}\u{e9}]{0,30}") {
            prop_assume!(!text.contains('\0'));
            let units: Vec<u16> = text.encode_utf16().collect();
            let mut out = Vec::new();
            Json::push_str(&text, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), pushed::<Json>(&units));
            let mut out = Vec::new();
            XmlAttribute::push_str(&text, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), pushed::<XmlAttribute>(&units));
        }

        #[test]
        fn text_equals_what_it_decodes_to(units in units(), other in "[ -~\u{e9}]{0,12}") {
            let bytes = encode(&units);
            let text = Utf16::new(&bytes);
            prop_assert!(text == *text.to_string());
            prop_assert_eq!(text == *other, text.to_string() == other);
        }
    }

    #[test]
    fn any_unit_amid_long_plain_text_is_what_the_standard_library_decodes() {
        for unit in (0..0x180).chain([0x2028, 0x225b, 0x5c00, 0xd83d, 0xde00, 0xffff]) {
            for at in [0, 7, 8, 15, 16, 31, 40, 63, 79] {
                let mut units = vec![u16::from(b'x'); 80];
                units[at] = unit;
                assert_eq!(pushed::<Plain>(&units), expected::<Plain>(&units));
                assert_eq!(pushed::<Json>(&units), expected::<Json>(&units));
                assert_eq!(pushed::<XmlText>(&units), expected::<XmlText>(&units));
                assert_eq!(pushed::<XmlAttribute>(&units), expected::<XmlAttribute>(&units));
            }
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_escaped_in_json_and_xml() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{2066}\u{feff}\u{e0041}é";
        let units: Vec<u16> = text.encode_utf16().collect();
        let json = r"a\u001b\u007f\u009b\u202e\u2066\ufeff\udb40\udc41é";
        assert_eq!(pushed::<Json>(&units), json);
        let xml = "a\u{fffd}&#127;&#155;&#8238;&#8294;&#65279;&#917569;é";
        assert_eq!(pushed::<XmlText>(&units), xml);
        assert_eq!(pushed::<XmlAttribute>(&units), xml);
        let shown: String = text.chars().map(harmless).collect();
        assert_eq!(shown, "a␛␡\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}é");
    }

    #[test]
    fn every_control_and_format_character_of_unicode_is_active_but_those_that_shape_letters() {
        // The categories Cc and Cf, by the crate `regex`.
        let known = regex::Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]").unwrap();
        // Joiners of letters; marks around the numbers and verses of Arabic, Syriac, Kaithi,
        // Egyptian; shorthand and musical notation.
        let shapes = regex::Regex::new(
            r"[\u{200c}\u{200d}\u{600}-\u{605}\u{6dd}\u{70f}\u{890}\u{891}\u{8e2}\u{110bd}\u{110cd}\u{13430}-\u{1345f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}]",
        )
        .unwrap();
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let is = |set: &regex::Regex| set.is_match(c.encode_utf8(&mut [0; 4]));
            let unassigned = matches!(c, '\u{2065}' | '\u{e0000}'..='\u{e001f}');
            if !unassigned {
                assert_eq!(is_active(c), is(&known) && !is(&shapes), "{c:?}");
            }
        }
    }

    #[test]
    fn a_nul_ends_text() {
        let units: Vec<u16> = "eight units\0more".encode_utf16().collect();
        assert_eq!(pushed::<Plain>(&units), "eight units");
        assert!(Utf16::new(&encode(&[0, 65])).is_empty());
        assert_eq!(Ansi::new(b"caf\xe9\0x", encoding_rs::WINDOWS_1252).decode(), "café");
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(pushed::<XmlText>(&[0x1, 0xd800, 0x41, 0xfffe]), "\u{fffd}\u{fffd}A\u{fffd}");
        assert_eq!(pushed::<XmlText>(&[13, 10]), "&#13;\n");
        assert_eq!(pushed::<XmlAttribute>(&[34, 10]), "&quot;&#10;");
    }
}
