//! What unsealing costs: RC4 and HMAC-MD5 over what was received, in step (MS-NLMP 3.4.4.2, 3.4.5).
//!
//! Each of the two mostly waits for its own last step: RC4 for its table, MD5 for its sums. So the next 64
//! bytes are deciphered between the steps of the hash over the last 64. That takes half the time of one after
//! the other, and most of what reading sealed events costs is this. What is sent goes through the crates
//! `rc4` and `hmac`, which what is here is tested with.

use std::ops::Range;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A block of MD5, in bytes.
const BLOCK: usize = 64;

/// RC4 with one key, and HMAC-MD5 with another (RFC 2104, 2).
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Unseal {
    cipher: Cipher,
    /// The hash after the key, inside and outside.
    inner: State,
    outer: State,
}

impl Unseal {
    pub(super) fn new(signing: &[u8; 16], sealing: &[u8; 16]) -> Self {
        let keyed = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(signing).for_each(|(byte, key)| *byte ^= key);
            let mut state = State::default();
            state.compress(&block, |_| {});
            block.zeroize();
            state
        };
        Unseal { cipher: Cipher::new(sealing), inner: keyed(0x36), outer: keyed(0x5c) }
    }

    /// Deciphers a part of a PDU in place. Gives the code of a message's number and the whole PDU.
    pub(super) fn message(&mut self, number: u32, pdu: &mut [u8], body: Range<usize>) -> [u8; 16] {
        let Unseal { cipher, inner, outer } = self;
        let number = number.to_le_bytes();
        let mut state = inner.clone();
        // The beginning of what is to be deciphered yet, and of what is to be hashed.
        let (mut sealed, mut hashed) = (body.start, 0);
        for end in (BLOCK - number.len()..=pdu.len()).step_by(BLOCK) {
            let needed = end.min(body.end);
            if sealed < needed {
                cipher.apply(&mut pdu[sealed..needed]);
                sealed = needed;
            }
            let mut block = [0; BLOCK];
            let before = BLOCK - (end - hashed);
            block[..before].copy_from_slice(&number[..before]);
            block[before..].copy_from_slice(&pdu[hashed..end]);
            hashed = end;
            match pdu[sealed..body.end].first_chunk_mut::<BLOCK>() {
                Some(next) => {
                    state.compress(&block, |n| next[n] ^= cipher.next());
                    sealed += BLOCK;
                }
                None => state.compress(&block, |_| {}),
            }
        }
        cipher.apply(&mut pdu[sealed..body.end]);
        let before = if hashed == 0 { &number[..] } else { &[] };
        let length = BLOCK + number.len() + pdu.len();
        let inside = state.finish([before, &pdu[hashed..]], length);
        outer.clone().finish([&inside, &[]], BLOCK + inside.len())
    }

    /// Deciphers what follows a message's body.
    pub(super) fn decipher(&mut self, bytes: &mut [u8]) {
        self.cipher.apply(bytes);
    }
}

/// RC4: a permutation, and two places in it.
#[derive(Zeroize)]
struct Cipher {
    table: [u8; 256],
    i: u8,
    j: u8,
}

impl Cipher {
    fn new(key: &[u8; 16]) -> Self {
        let mut table = std::array::from_fn(|n| n as u8);
        let mut j = 0_u8;
        for i in 0..table.len() {
            j = j.wrapping_add(table[i]).wrapping_add(key[i % key.len()]);
            table.swap(i, usize::from(j));
        }
        Cipher { table, i: 0, j: 0 }
    }

    /// The next byte of the key stream.
    #[inline(always)]
    fn next(&mut self) -> u8 {
        self.i = self.i.wrapping_add(1);
        let one = self.table[usize::from(self.i)];
        self.j = self.j.wrapping_add(one);
        let other = self.table[usize::from(self.j)];
        self.table[usize::from(self.i)] = other;
        self.table[usize::from(self.j)] = one;
        self.table[usize::from(one.wrapping_add(other))]
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte ^= self.next());
    }
}

/// The state of MD5 (RFC 1321, 3.3).
#[derive(Clone, Zeroize)]
struct State([u32; 4]);

impl Default for State {
    fn default() -> Self {
        State([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476])
    }
}

/// How far a step of each round turns, of four in turn.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// What each step adds: 2^32 times the sine of its number from 1, without its sign.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a,
    0xa830_4613, 0xfd46_9501, 0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be,
    0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821, 0xf61e_2562, 0xc040_b340,
    0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8,
    0x676f_02d9, 0x8d2a_4c8a, 0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c,
    0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70, 0x289b_7ec6, 0xeaa1_27fa,
    0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92,
    0xffef_f47d, 0x8584_5dd1, 0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1,
    0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// A step of MD5 (RFC 1321, 3.4), with something else before it. `$mix` is the round's function, and the word
/// of the block is the one of a number times `$times` and `$plus` more.
macro_rules! step {
    ($round:literal, $step:expr, $mix:ident, $times:literal, $plus:literal, $between:ident, $words:ident,
     $a:ident $b:ident $c:ident $d:ident) => {
        $between($round * 16 + $step);
        let sum = $a
            .wrapping_add($mix($b, $c, $d))
            .wrapping_add($words[($times * $step + $plus) % 16])
            .wrapping_add(SINES[$round * 16 + $step]);
        $a = $b.wrapping_add(sum.rotate_left(TURNS[$round][$step % 4]));
    };
}

/// The sixteen steps of a round, written out: a processor does two things at once that lie close together.
macro_rules! round {
    ($round:literal, $mix:ident, $times:literal, $plus:literal, $between:ident, $words:ident,
     $a:ident $b:ident $c:ident $d:ident) => {
        round!(@ 0, $round, $mix, $times, $plus, $between, $words, $a $b $c $d);
        round!(@ 4, $round, $mix, $times, $plus, $between, $words, $a $b $c $d);
        round!(@ 8, $round, $mix, $times, $plus, $between, $words, $a $b $c $d);
        round!(@ 12, $round, $mix, $times, $plus, $between, $words, $a $b $c $d);
    };
    (@ $from:literal, $round:literal, $mix:ident, $times:literal, $plus:literal, $between:ident, $words:ident,
     $a:ident $b:ident $c:ident $d:ident) => {
        step!($round, $from, $mix, $times, $plus, $between, $words, $a $b $c $d);
        step!($round, $from + 1, $mix, $times, $plus, $between, $words, $d $a $b $c);
        step!($round, $from + 2, $mix, $times, $plus, $between, $words, $c $d $a $b);
        step!($round, $from + 3, $mix, $times, $plus, $between, $words, $b $c $d $a);
    };
}

/// The functions of the four rounds (RFC 1321, 3.4).
const fn f(x: u32, y: u32, z: u32) -> u32 {
    z ^ x & (y ^ z)
}

/// The two parts have no bit in common, so they may be added: a sum waits for less.
const fn g(x: u32, y: u32, z: u32) -> u32 {
    (x & z).wrapping_add(y & !z)
}

const fn h(x: u32, y: u32, z: u32) -> u32 {
    x ^ y ^ z
}

const fn i(x: u32, y: u32, z: u32) -> u32 {
    y ^ (x | !z)
}

impl State {
    /// Takes a block. Before each of the 64 steps something else is done, which is given the step's number.
    #[inline(always)]
    fn compress(&mut self, block: &[u8; BLOCK], mut between: impl FnMut(usize)) {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let [mut a, mut b, mut c, mut d] = self.0;
        round!(0, f, 1, 0, between, words, a b c d);
        round!(1, g, 5, 1, between, words, a b c d);
        round!(2, h, 3, 5, between, words, a b c d);
        round!(3, i, 7, 0, between, words, a b c d);
        let sums = self.0.iter_mut().zip([a, b, c, d]);
        sums.for_each(|(sum, new)| *sum = sum.wrapping_add(new));
    }

    /// Takes the last bytes, of fewer than a block, and pads them (RFC 1321, 3.1 and 3.2): `length` is that of
    /// all bytes.
    fn finish(mut self, parts: [&[u8]; 2], length: usize) -> [u8; 16] {
        let mut last = [0; 2 * BLOCK];
        let mut at = 0;
        for part in parts {
            last[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        last[at] = 0x80;
        let end = if at < BLOCK - 8 { BLOCK } else { 2 * BLOCK };
        last[end - 8..end].copy_from_slice(&(8 * length as u64).to_le_bytes());
        for block in last[..end].as_chunks().0 {
            self.compress(block, |_| {});
        }
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.0) {
            *bytes = word.to_le_bytes();
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use hmac::Mac as _;
    use proptest::prelude::*;
    use rc4::{KeyInit as _, Rc4, StreamCipher as _};

    use super::super::crypto::hmac;
    use super::*;

    proptest! {
        /// The other side is that of the crates.
        #[test]
        fn each_message_comes_out_as_of_cipher_and_hash_one_after_the_other(
            messages in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..400), any::<(prop::sample::Index, prop::sample::Index)>()),
                1..8,
            ),
            signing: [u8; 16],
            sealing: [u8; 16],
        ) {
            let mut cipher = Rc4::new_from_slice(&sealing).unwrap();
            let mut unseal = Unseal::new(&signing, &sealing);
            for (number, (mut pdu, (one, other))) in (0_u32..).zip(messages) {
                let (one, other) = (one.index(pdu.len() + 1), other.index(pdu.len() + 1));
                let body = one.min(other)..one.max(other);
                let mut expected = pdu.clone();
                cipher.apply_keystream(&mut expected[body.clone()]);
                let mut mac = hmac(&signing);
                mac.update(&number.to_le_bytes());
                mac.update(&expected);
                let code: [u8; 16] = mac.finalize().into_bytes().into();
                prop_assert_eq!(unseal.message(number, &mut pdu, body), code);
                prop_assert_eq!(pdu, expected);
                let (mut after, mut same) = ([number as u8; 8], [number as u8; 8]);
                unseal.decipher(&mut after);
                cipher.apply_keystream(&mut same);
                prop_assert_eq!(after, same);
            }
        }
    }
}
