//! Kerberos' encryption types aes128- and aes256-cts-hmac-sha1-96 (RFC 3961,
//! RFC 3962): derived keys, ciphertext stealing, encryption of messages.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, consts::U16};
use aes::{Aes128, Aes256};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::error::KerberosError;
use crate::error::UsageError;
use crate::security::BadSignature;

/// Length of AES' blocks, and of the random block before every message.
pub(super) const BLOCK: usize = 16;
/// Length of a checksum: SHA-1's, cut off.
pub(super) const CHECKSUM: usize = 12;
/// How many blocks are decrypted at once.
const AT_ONCE: usize = 16;

type Block = Array<u8, U16>;
type HmacSha1 = Hmac<Sha1>;

/// A key of one of the two types.
#[derive(Clone)]
pub(super) struct Key {
    kind: i32,
    bytes: Zeroizing<Vec<u8>>,
}

/// What a key is derived for (RFC 3961 5.3).
#[derive(Clone, Copy)]
enum Purpose {
    Checksum = 0x99,
    Encryption = 0xaa,
    Integrity = 0x55,
}

impl Key {
    /// aes128-cts-hmac-sha1-96.
    pub(super) const AES128: i32 = 17;
    /// aes256-cts-hmac-sha1-96.
    pub(super) const AES256: i32 = 18;

    /// A key of a type, by its number.
    pub(super) fn new(kind: i32, bytes: &[u8]) -> Result<Self, KerberosError> {
        if key_len(kind)? != bytes.len() {
            return Err(KerberosError::Malformed("key"));
        }
        Ok(Self { kind, bytes: Zeroizing::new(bytes.to_vec()) })
    }

    /// A random key of a type.
    pub(super) fn random(kind: i32) -> Result<Self, crate::Error> {
        let mut bytes = Zeroizing::new(vec![0; key_len(kind)?]);
        getrandom::fill(&mut bytes).map_err(|_| UsageError::NoRandomness)?;
        Ok(Self { kind, bytes })
    }

    pub(super) fn kind(&self) -> i32 {
        self.kind
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Encrypts a message for a usage.
    pub(super) fn encrypt(&self, usage: u32, message: &[u8]) -> Result<Vec<u8>, crate::Error> {
        let mut out = vec![0; BLOCK];
        getrandom::fill(&mut out).map_err(|_| UsageError::NoRandomness)?;
        Ok(self.encrypt_behind(usage, out, message))
    }

    /// The same after a given random block.
    fn encrypt_behind(&self, usage: u32, mut out: Vec<u8>, message: &[u8]) -> Vec<u8> {
        out.extend_from_slice(message);
        let (cipher, mac) = self.sealing(usage);
        let checksum = mac.of(&[&out]);
        cipher.encrypt(&mut out);
        out.extend_from_slice(&checksum);
        out
    }

    /// Decrypts a message and checks that it is whole.
    pub(super) fn decrypt(
        &self,
        usage: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, BadSignature> {
        let len = sealed.len().checked_sub(CHECKSUM).filter(|len| *len >= BLOCK);
        let (body, checksum) = sealed.split_at(len.ok_or(BadSignature)?);
        let (cipher, mac) = self.sealing(usage);
        let mut plain = Zeroizing::new(body.to_vec());
        cipher.decrypt(&mut plain);
        mac.verify(&[&plain], checksum)?;
        plain.drain(..BLOCK);
        Ok(plain)
    }

    /// What encrypts for a usage, and what makes the checksum that goes with it.
    pub(super) fn sealing(&self, usage: u32) -> (Cipher, Checksum) {
        let key = self.derive(usage, Purpose::Integrity);
        (Cipher::new(&self.derive(usage, Purpose::Encryption)), Checksum::new(&key))
    }

    /// What makes checksums of what is not encrypted.
    pub(super) fn signing(&self, usage: u32) -> Checksum {
        Checksum::new(&self.derive(usage, Purpose::Checksum))
    }

    /// `DK` of RFC 3961 5.1; with AES, random bits are a key as they are.
    fn derive(&self, usage: u32, purpose: Purpose) -> Zeroizing<Vec<u8>> {
        let [a, b, c, d] = usage.to_be_bytes();
        let mut block = n_fold(&[a, b, c, d, purpose as u8]);
        let cipher = Cipher::new(&self.bytes);
        let mut derived = Zeroizing::new(Vec::with_capacity(self.bytes.len()));
        while derived.len() < self.bytes.len() {
            cipher.encrypt(&mut block);
            derived.extend_from_slice(&block);
        }
        derived
    }
}

fn key_len(kind: i32) -> Result<usize, KerberosError> {
    match kind {
        Key::AES128 => Ok(16),
        Key::AES256 => Ok(32),
        other => Err(KerberosError::EncryptionType(other)),
    }
}

/// AES with ciphertext stealing, and zeros before the first block (RFC 3962 5).
pub(super) enum Cipher {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
}

impl Cipher {
    /// `key` has 16 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        const LENGTH: &str = "a key of 16 or 32 bytes";
        match key.len() {
            16 => Self::Aes128(Box::new(KeyInit::new_from_slice(key).expect(LENGTH))),
            _ => Self::Aes256(Box::new(KeyInit::new_from_slice(key).expect(LENGTH))),
        }
    }

    /// Encrypts at least one block's length in place. The last two blocks change
    /// places, and the one that is then last is cut off where the message ends.
    pub(super) fn encrypt(&self, message: &mut [u8]) {
        let mut last = Block::default();
        let mut before_last = Block::default();
        for part in message.chunks_mut(BLOCK) {
            before_last = last;
            for (byte, plain) in last.iter_mut().zip(&*part) {
                *byte ^= plain;
            }
            self.encrypt_block(&mut last);
            part.copy_from_slice(&last[..part.len()]);
        }
        if let Some(at) = last_two(message) {
            message[at..at + BLOCK].copy_from_slice(&last);
            let tail = &mut message[at + BLOCK..];
            tail.copy_from_slice(&before_last[..tail.len()]);
        }
    }

    /// Decrypts at least one block's length in place.
    pub(super) fn decrypt(&self, message: &mut [u8]) {
        let mut tail = None;
        let mut whole = message.len();
        if let Some(at) = last_two(message) {
            let (last, cut) = message[at..].split_at_mut(BLOCK);
            let mut block = Block::default();
            block.copy_from_slice(last);
            self.decrypt_blocks(std::slice::from_mut(&mut block));
            // What was cut off of the block before the last is in the last.
            let before_last = {
                let mut bytes = block;
                bytes[..cut.len()].copy_from_slice(cut);
                bytes
            };
            for (byte, cut) in cut.iter_mut().zip(&block) {
                *byte ^= cut;
            }
            last.copy_from_slice(&before_last);
            tail = Some(at + BLOCK);
            whole = at + BLOCK;
        }
        debug_assert!(tail.is_none_or(|at| at < message.len()));
        let mut before = Block::default();
        let mut blocks = [Block::default(); AT_ONCE];
        for part in message[..whole].chunks_mut(AT_ONCE * BLOCK) {
            let count = part.len() / BLOCK;
            for (block, bytes) in blocks.iter_mut().zip(part.chunks_exact(BLOCK)) {
                block.copy_from_slice(bytes);
            }
            self.decrypt_blocks(&mut blocks[..count]);
            for (block, bytes) in blocks.iter().zip(part.chunks_exact_mut(BLOCK)) {
                let mut sealed = Block::default();
                sealed.copy_from_slice(bytes);
                for ((byte, plain), before) in bytes.iter_mut().zip(block).zip(&before) {
                    *byte = plain ^ before;
                }
                before = sealed;
            }
        }
    }

    pub(super) fn encrypt_block(&self, block: &mut Block) {
        match self {
            Self::Aes128(aes) => aes.encrypt_block(block),
            Self::Aes256(aes) => aes.encrypt_block(block),
        }
    }

    fn decrypt_blocks(&self, blocks: &mut [Block]) {
        match self {
            Self::Aes128(aes) => aes.decrypt_blocks(blocks),
            Self::Aes256(aes) => aes.decrypt_blocks(blocks),
        }
    }
}

/// Where the last two blocks of a message begin, of which the last may be short.
fn last_two(message: &[u8]) -> Option<usize> {
    message.len().div_ceil(BLOCK).checked_sub(2).map(|blocks| blocks * BLOCK)
}

/// HMAC-SHA1-96.
pub(super) struct Checksum(HmacSha1);

impl Checksum {
    fn new(key: &[u8]) -> Self {
        Self(HmacSha1::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// The checksum of parts, one after the other.
    pub(super) fn of(&self, parts: &[&[u8]]) -> [u8; CHECKSUM] {
        let mut checksum = [0; CHECKSUM];
        checksum.copy_from_slice(&self.over(parts).finalize().into_bytes()[..CHECKSUM]);
        checksum
    }

    /// Compares in a time that does not depend on the content.
    pub(super) fn verify(&self, parts: &[&[u8]], checksum: &[u8]) -> Result<(), BadSignature> {
        if checksum.len() != CHECKSUM {
            return Err(BadSignature);
        }
        self.over(parts).verify_truncated_left(checksum).map_err(|_| BadSignature)
    }

    fn over(&self, parts: &[&[u8]]) -> HmacSha1 {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

/// `n-fold` of RFC 3961 5.1, to the length of a block: copies of the input, each
/// rotated by 13 bits more than the one before it, are laid out one after the
/// other, and the pieces of a block's length added with the carry coming round.
fn n_fold(input: &[u8]) -> [u8; BLOCK] {
    let bits = input.len() * 8;
    let bit = |at: usize| input[at / 8] >> (7 - at % 8) & 1;
    let mut sum = [0u32; BLOCK];
    for at in 0..lcm(input.len(), BLOCK) {
        let turn = at / input.len() * 13;
        let first = at % input.len() * 8;
        let byte = (0..8)
            .fold(0, |byte, n| byte << 1 | u32::from(bit((first + n + bits - turn % bits) % bits)));
        sum[at % BLOCK] += byte;
    }
    while sum.iter().any(|digit| *digit > 0xff) {
        for at in (0..BLOCK).rev() {
            let carry = sum[at] >> 8;
            sum[at] &= 0xff;
            sum[(at + BLOCK - 1) % BLOCK] += carry;
        }
    }
    sum.map(|digit| digit as u8)
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// RFC 3961 A.1, those of 128 bits and of a length that is folded here.
    #[test]
    fn folding_is_that_of_the_rfc() {
        assert_eq!(n_fold(b"kerberos")[..], hex("6b657262 65726f73 7b9b5b2b 93132b93"));
    }

    /// RFC 3962 appendix B.
    #[test]
    fn stolen_ciphertext_is_that_of_the_rfc() {
        let key = hex("636869636b656e207465726979616b69");
        let plain = b"I would like the General Gau's Chicken, please, and wonton soup.";
        for (len, sealed) in [
            (17, "c6353568f2bf8cb4d8a580362da7ff7f 97"),
            (31, "fc00783e0efdb2c1d445d4c8eff7ed22 97687268d6ecccc0c07b25e25ecfe5"),
            (32, "39312523a78662d5be7fcbcc98ebf5a8 97687268d6ecccc0c07b25e25ecfe584"),
            (
                47,
                "97687268d6ecccc0c07b25e25ecfe584 b3fffd940c16a18c1b5549d2f838029e
                 39312523a78662d5be7fcbcc98ebf5",
            ),
            (
                48,
                "97687268d6ecccc0c07b25e25ecfe584 9dad8bbb96c4cdc03bc103e1a194bbd8
                 39312523a78662d5be7fcbcc98ebf5a8",
            ),
            (
                64,
                "97687268d6ecccc0c07b25e25ecfe584 39312523a78662d5be7fcbcc98ebf5a8
                 4807efe836ee89a526730dbc2f7bc840 9dad8bbb96c4cdc03bc103e1a194bbd8",
            ),
        ] {
            let cipher = Cipher::new(&key);
            let mut message = plain[..len].to_vec();
            cipher.encrypt(&mut message);
            assert_eq!(message, hex(sealed), "{len}");
            cipher.decrypt(&mut message);
            assert_eq!(message, plain[..len], "{len}");
        }
    }

    /// RFC 3961 5.3 over RFC 3962, against another implementation, both ways.
    #[test]
    fn another_implementation_opens_what_is_encrypted_here_and_the_other_way() {
        for (kind, len) in [(Key::AES128, 16), (Key::AES256, 32)] {
            let bytes: Vec<u8> = (0..len).collect();
            let ours = Key::new(kind, &bytes).unwrap();
            let theirs = krb5::Key::new(kind, bytes).unwrap();
            for len in [0, 1, 15, 16, 17, 100, 5000] {
                let message: Vec<u8> = (0..len).map(|n| n as u8).collect();
                for usage in [3, 11, 12, 22, 24] {
                    let sealed = ours.encrypt(usage, &message).unwrap();
                    assert_eq!(theirs.decrypt(usage, &sealed).unwrap(), message);
                    let sealed = theirs.encrypt(usage, &message).unwrap();
                    assert_eq!(*ours.decrypt(usage, &sealed).unwrap(), message);
                    assert!(ours.decrypt(usage + 1, &sealed).is_err());
                    let checksum = theirs.checksum(usage, &message).unwrap();
                    assert_eq!(ours.signing(usage).of(&[&message])[..], checksum);
                }
            }
        }
    }

    #[test]
    fn keys_of_other_types_and_lengths_are_refused() {
        assert_eq!(Key::new(23, &[0; 16]).err(), Some(KerberosError::EncryptionType(23)));
        assert_eq!(Key::new(18, &[0; 16]).err(), Some(KerberosError::Malformed("key")));
        assert!(Key::new(17, &[0; 16]).unwrap().decrypt(1, &[0; 27]).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_message_does_not_decrypt(len in 0usize..200, at: prop::sample::Index) {
            let key = Key::new(Key::AES256, &[5; 32]).unwrap();
            let mut sealed = key.encrypt(22, &vec![1; len]).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 0x40;
            prop_assert!(key.decrypt(22, &sealed).is_err());
        }
    }
}
