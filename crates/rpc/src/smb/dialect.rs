//! What the two sides agree on: dialect, cipher, signing algorithm.

use std::fmt;

/// A dialect of SMB 2 or 3 (2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
#[non_exhaustive]
pub enum Dialect {
    /// SMB 2.0.2: Windows Vista, Server 2008.
    Smb202 = 0x0202,
    /// SMB 2.1: Windows 7, Server 2008 R2.
    Smb210 = 0x0210,
    /// SMB 3.0: Windows 8, Server 2012.
    Smb300 = 0x0300,
    /// SMB 3.0.2: Windows 8.1, Server 2012 R2.
    Smb302 = 0x0302,
    /// SMB 3.1.1: Windows 10, Server 2016 and later.
    Smb311 = 0x0311,
}

impl Dialect {
    /// All of them, the oldest first, as they are offered.
    pub const ALL: [Self; 5] =
        [Self::Smb202, Self::Smb210, Self::Smb300, Self::Smb302, Self::Smb311];

    /// The dialect of a revision number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| *dialect as u16 == number)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smb202 => "SMB 2.0.2",
            Self::Smb210 => "SMB 2.1",
            Self::Smb300 => "SMB 3.0",
            Self::Smb302 => "SMB 3.0.2",
            Self::Smb311 => "SMB 3.1.1",
        })
    }
}

/// What messages are encrypted with (2.2.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Cipher {
    /// AES-128-CCM, the only one before 3.1.1.
    Aes128Ccm = 1,
    /// AES-128-GCM.
    Aes128Gcm = 2,
    /// AES-256-CCM.
    Aes256Ccm = 3,
    /// AES-256-GCM.
    Aes256Gcm = 4,
}

impl Cipher {
    /// All of them, the preferred one first. 128 bits are all that NTLM's key
    /// has, and GCM is the fastest.
    pub const ALL: [Self; 4] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::Aes128Ccm, Self::Aes256Ccm];

    /// The cipher of a number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| *cipher as u16 == number)
    }

    /// Length of its key, in bytes.
    pub(super) fn key_len(self) -> usize {
        match self {
            Self::Aes128Ccm | Self::Aes128Gcm => 16,
            Self::Aes256Ccm | Self::Aes256Gcm => 32,
        }
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Ccm => "AES-128-CCM",
            Self::Aes128Gcm => "AES-128-GCM",
            Self::Aes256Ccm => "AES-256-CCM",
            Self::Aes256Gcm => "AES-256-GCM",
        })
    }
}

/// What messages are signed with (2.2.3.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// HMAC-SHA256, the one of SMB 2.
    HmacSha256 = 0,
    /// AES-128-CMAC, the one of 3.0 on.
    AesCmac = 1,
    /// AES-128-GMAC, from 3.1.1 on where both sides have it.
    AesGmac = 2,
}

impl SigningAlgorithm {
    /// All of them, the preferred one first.
    pub const ALL: [Self; 3] = [Self::AesGmac, Self::AesCmac, Self::HmacSha256];

    /// The algorithm of a number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| *algorithm as u16 == number)
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256 => "HMAC-SHA256",
            Self::AesCmac => "AES-128-CMAC",
            Self::AesGmac => "AES-128-GMAC",
        })
    }
}
