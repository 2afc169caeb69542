//! What proves to Kerberos who one is, as data: reading files and caches is the
//! part of whoever uses it.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{Account, Credential};

/// Largest keytab, in bytes.
pub const MAX_KEYTAB_BYTES: usize = 1 << 20;
/// Most keys in a keytab.
pub const MAX_KEYTAB_KEYS: usize = 4096;
/// Most parts of a principal's name.
pub const MAX_COMPONENTS: usize = 16;

/// What proves to Kerberos who one is.
#[derive(Clone, Debug)]
pub enum KerberosCredential {
    /// A password, of which the first ticket's key is made.
    Password(Credential),
    /// A keytab, which has such keys.
    Keytab {
        /// Whose key to take; otherwise that of the account it seems to be made for.
        account: Option<Account>,
        /// The keys.
        keytab: Arc<Keytab>,
    },
    /// The tickets that a user has got already.
    Cache {
        /// Whose they have to be, if it matters.
        account: Option<Account>,
        /// The cache's name, such as `FILE:/tmp/krb5cc_1000`; otherwise the one
        /// that the configuration says.
        name: Option<String>,
    },
}

impl KerberosCredential {
    /// Who signs in, as far as that was told.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Password(credential) => Some(credential.account()),
            Self::Keytab { account, .. } | Self::Cache { account, .. } => account.as_ref(),
        }
    }
}

/// The keys of a keytab (MIT's format, version 2). They are wiped when dropped here; whoever gets
/// tickets with one may make copies that are not.
pub struct Keytab {
    keys: Vec<KeytabKey>,
}

/// A key of a keytab.
pub struct KeytabKey {
    /// The parts of the principal's name.
    pub components: Vec<String>,
    /// The principal's realm.
    pub realm: String,
    /// The key's version.
    pub version: u32,
    /// The key's type (RFC 3961 8).
    pub key_type: u16,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

/// Why bytes are no keytab. The message never holds any of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeytabError {
    /// Over [`MAX_KEYTAB_BYTES`], [`MAX_KEYTAB_KEYS`] or [`MAX_COMPONENTS`].
    #[error("it is larger than a keytab may be")]
    TooLarge,
    /// Not the two bytes that every keytab begins with.
    #[error("it doesn't begin as a keytab does")]
    Version,
    /// An entry that ends within a field.
    #[error("it ends within a key")]
    Truncated,
    /// A name that isn't text in UTF-8.
    #[error("a principal's name in it is not text")]
    NotText,
    /// There is nothing in it.
    #[error("there is no key in it")]
    Empty,
}

impl Keytab {
    /// Reads what a keytab's file held. The bytes are wiped whatever comes of it.
    ///
    /// # Errors
    /// Any [`KeytabError`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, KeytabError> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > MAX_KEYTAB_BYTES {
            return Err(KeytabError::TooLarge);
        }
        let mut rest = Reader(bytes.strip_prefix(&[5, 2]).ok_or(KeytabError::Version)?);
        let mut keys = Vec::new();
        while !rest.0.is_empty() {
            // What is too short for a length is the end, as MIT's library has it.
            let Ok(len) = rest.array().map(i32::from_be_bytes) else { break };
            let entry = rest.take(len.unsigned_abs() as usize)?;
            // A length below zero is that of a hole, where a key was; one of zero is the end,
            // whatever follows it.
            if len == 0 {
                break;
            }
            if len < 0 {
                continue;
            }
            if keys.len() == MAX_KEYTAB_KEYS {
                return Err(KeytabError::TooLarge);
            }
            keys.push(KeytabKey::read(&mut Reader(entry))?);
        }
        if keys.is_empty() {
            return Err(KeytabError::Empty);
        }
        Ok(Self { keys })
    }

    /// Its keys, in the order of the file. There is at least one.
    pub fn keys(&self) -> &[KeytabKey] {
        &self.keys
    }
}

impl KeytabKey {
    fn read(entry: &mut Reader<'_>) -> Result<Self, KeytabError> {
        let count = entry.u16()?.into();
        if count > MAX_COMPONENTS {
            return Err(KeytabError::TooLarge);
        }
        let realm = entry.text()?;
        let components = (0..count).map(|_| entry.text()).collect::<Result<_, _>>()?;
        // The name's type, and the time at which the key was written.
        entry.take(8)?;
        let [short] = entry.array()?;
        let key_type = entry.u16()?;
        let len = entry.u16()?.into();
        let key = Zeroizing::new(entry.take(len)?.to_vec());
        // Versions over 255 stand after the key.
        let version = match entry.array().map(u32::from_be_bytes) {
            Ok(version) if version != 0 => version,
            _ => short.into(),
        };
        Ok(Self { components, realm, version, key_type, key })
    }
}

/// Fields, one after the other, in the network's order.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], KeytabError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(KeytabError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], KeytabError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(KeytabError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, KeytabError> {
        self.array().map(u16::from_be_bytes)
    }

    fn text(&mut self) -> Result<String, KeytabError> {
        let len = self.u16()?.into();
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| KeytabError::NotText)?;
        Ok(text.to_owned())
    }
}

impl fmt::Debug for Keytab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

impl fmt::Debug for KeytabKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}, version {}", self.components.join("/"), self.realm, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By hand from the description of the format in MIT's documentation.
    fn entry(version: u8, wide: Option<u32>) -> Vec<u8> {
        let mut entry = vec![0, 2, 0, 4];
        entry.extend_from_slice(b"CORP\0\x04host\0\x02dc");
        entry.extend_from_slice(&[0, 0, 0, 1, 0x5f, 0, 0, 0, version, 0, 18, 0, 3, 7, 8, 9]);
        entry.extend(wide.into_iter().flat_map(u32::to_be_bytes));
        entry
    }

    fn keytab(entries: &[(i32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![5, 2];
        for (len, entry) in entries {
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        bytes
    }

    fn whole(entry: Vec<u8>) -> (i32, Vec<u8>) {
        (entry.len() as i32, entry)
    }

    #[test]
    fn keys_are_read_with_their_versions_and_holes_are_passed_over() {
        let hole = (-5, vec![1; 5]);
        let bytes = keytab(&[whole(entry(3, None)), hole, whole(entry(44, Some(300)))]);
        let keytab = Keytab::from_bytes(bytes).unwrap();
        let [first, second] = keytab.keys() else { panic!("two keys") };
        assert_eq!(first.components, ["host", "dc"]);
        assert_eq!((&*first.realm, first.version, first.key_type), ("CORP", 3, 18));
        assert_eq!(**first.key, [7, 8, 9]);
        assert_eq!(second.version, 300);
        let shown = format!("{keytab:?}");
        assert_eq!(shown, "[host/dc@CORP, version 3, host/dc@CORP, version 300]");
    }

    #[test]
    fn what_is_no_keytab_is_refused() {
        let error = |bytes: Vec<u8>| Keytab::from_bytes(bytes).err();
        assert_eq!(error(vec![]), Some(KeytabError::Version));
        assert_eq!(error(vec![5, 1, 0, 0]), Some(KeytabError::Version));
        assert_eq!(error(vec![5, 2]), Some(KeytabError::Empty));
        assert_eq!(error(keytab(&[(i32::MIN, vec![])])), Some(KeytabError::Truncated));
        assert_eq!(error(keytab(&[(4, vec![0, 99, 0, 0])])), Some(KeytabError::TooLarge));
        let padded = [keytab(&[whole(entry(3, None))]), vec![0; 3]].concat();
        assert_eq!(error(padded), None, "too short for a length");
        let mut short = keytab(&[whole(entry(3, None))]);
        short.pop();
        assert_eq!(error(short), Some(KeytabError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_keytab_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Keytab::from_bytes([&[5, 2][..], &bytes].concat());
        }
    }
}
