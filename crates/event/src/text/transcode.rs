//! UTF-16 to UTF-8, by the rules of the place that it is written to.

use super::Escape;
use super::word::LANES;

/// As many as long runs of plain text are looked at in. Compilers make vectors of them.
const BLOCK: usize = 2 * LANES;

/// The bytes of UTF-16 that such a run is looked for in.
const LONG: usize = 2 * 64;

/// Writes UTF-16LE up to the first NUL. Characters of ASCII are narrowed eight at a time into a word,
/// which tells which of them are special, and what stands before each of these is written at once.
pub(super) fn transcode<E: Escape>(bytes: &[u8], out: &mut Vec<u8>) {
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
