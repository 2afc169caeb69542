//! Random values that prove who asks, and the hashes that they are kept as.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of a session's cookie, a token, and a nonce: 256 bits.
const BYTES: usize = 32;

/// The SHA-256 of a secret value. What is compared and kept is this, so the time of a look-up tells
/// nothing about the value, and who reads the table can't use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Hash(pub(super) [u8; BYTES]);

impl Hash {
    /// The hash of a value as it was presented.
    pub fn of(value: &str) -> Self {
        Self(Sha256::digest(value.as_bytes()).into())
    }

    /// In lowercase hexadecimal.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; BYTES];
        if text.len() != 2 * BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

/// Bytes in lowercase hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 256 random bits in hexadecimal, 64 digits.
///
/// # Errors
/// When the system has no randomness to give.
pub(super) fn random() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    getrandom::fill(&mut *bytes)?;
    Ok(Zeroizing::new(hex(&*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_sha_256_and_reads_back() {
        // FIPS 180-2, appendix B.1.
        let hash = Hash::of("abc");
        assert_eq!(
            hash.to_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(Hash::from_hex(&hash.to_hex()), Some(hash));
        assert_eq!(Hash::from_hex("ba78"), None);
        assert_eq!(Hash::from_hex(&"+1".repeat(32)), None);
    }

    #[test]
    fn a_random_value_has_256_bits_and_is_never_the_same() {
        let values: std::collections::HashSet<String> =
            (0..100).map(|_| random().expect("randomness").to_string()).collect();
        assert_eq!(values.len(), 100);
        assert!(values.iter().all(|value| value.len() == 64));
    }
}
