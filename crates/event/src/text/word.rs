//! Eight bytes looked at together, as a word.

/// The units that are looked at together: as bytes they are one word.
pub(super) const LANES: usize = 8;

/// The next eight bytes in a word, blanks where there are fewer.
#[inline(always)]
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
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

/// A byte of 1, and one with the high bit, in each place of a word.
pub(super) const ONES: u64 = 0x0101_0101_0101_0101;
pub(super) const HIGHS: u64 = 0x80 * ONES;

/// The bytes of a word of ASCII that are a character. No byte can carry into the next here, as
/// none has its high bit: so it is right for each, and not for the lowest only.
#[inline(always)]
pub(super) const fn equal(ascii: u64, c: u8) -> u64 {
    !((ascii ^ (c as u64 * ONES)) + 0x7f * ONES) & HIGHS
}

/// The bytes of a word of ASCII that are below 0x20, or DEL.
#[inline(always)]
pub(super) const fn controls(ascii: u64) -> u64 {
    (!(ascii + 0x60 * ONES) | (ascii + ONES)) & HIGHS
}
