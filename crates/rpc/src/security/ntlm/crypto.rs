//! NTLM's one-way functions (MS-NLMP 3.3.2, 3.4.5).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md4::Md4;
use md5::{Digest, Md5};
use zeroize::{Zeroize, Zeroizing};

pub(super) type HmacMd5 = Hmac<Md5>;

/// A keyed HMAC-MD5. HMAC takes keys of any length.
pub(super) fn hmac(key: &[u8]) -> HmacMd5 {
    HmacMd5::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// HMAC-MD5 over parts.
pub(super) fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = hmac(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// MD5 over parts.
pub(super) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// The NT hash of a password: as good as the password, and treated like it.
#[derive(Clone, PartialEq, Eq)]
pub struct NtHash([u8; 16]);

impl NtHash {
    /// Hashes a password (MS-NLMP 3.3.1, `NTOWFv1`).
    pub fn of_password(password: &str) -> Self {
        let mut units = Zeroizing::new(Vec::with_capacity(password.len() * 2));
        password.encode_utf16().for_each(|unit| units.extend_from_slice(&unit.to_le_bytes()));
        Self(Md4::digest(&units).into())
    }

    /// Takes a hash as it is.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The hash itself, as good as the password: for the code that presents it.
    pub(in crate::security) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// `NTOWFv2` (MS-NLMP 3.3.2). `user` and `domain` are UTF-16 bytes as the
    /// client sent them.
    pub(super) fn v2(&self, user: &[u16], domain: &[u16]) -> Zeroizing<[u8; 16]> {
        let mut name = Vec::with_capacity((user.len() + domain.len()) * 2);
        user.iter().copied().map(uppercase).chain(domain.iter().copied()).for_each(|unit: u16| {
            name.extend_from_slice(&unit.to_le_bytes());
        });
        Zeroizing::new(hmac_md5(&self.0, &[&name]))
    }
}

impl Drop for NtHash {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NtHash(hidden)")
    }
}

/// Windows maps unit by unit, one to one: "ß" stays.
fn uppercase(unit: u16) -> u16 {
    let Some(c) = char::from_u32(unit.into()) else { return unit };
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => u16::try_from(u32::from(upper)).unwrap_or(unit),
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of MS-NLMP 4.2.1 and 4.2.4.1.1.
    #[test]
    fn the_specifications_example_comes_out() {
        let hash = NtHash::of_password("Password");
        assert_eq!(
            hash.0,
            [
                0xa4, 0xf4, 0x9c, 0x40, 0x65, 0x10, 0xbd, 0xca, 0xb6, 0x82, 0x4e, 0xe7, 0xc3, 0x0f,
                0xd8, 0x52
            ]
        );
        let utf16 = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        assert_eq!(
            *hash.v2(&utf16("User"), &utf16("Domain")),
            [
                0x0c, 0x86, 0x8a, 0x40, 0x3b, 0xfd, 0x7a, 0x93, 0xa3, 0x00, 0x1e, 0xf2, 0x2e, 0xf0,
                0x2e, 0x3f
            ]
        );
    }

    #[test]
    fn names_are_uppercased_unit_by_unit() {
        let upper = |text: &str| {
            String::from_utf16(&text.encode_utf16().map(uppercase).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(upper("jürgen.straße"), "JÜRGEN.STRAßE");
    }

    #[test]
    fn hashes_are_not_shown() {
        let shown = format!("{:?}", NtHash::of_password("Password"));
        assert_eq!(shown, "NtHash(hidden)");
    }
}
