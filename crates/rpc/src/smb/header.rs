//! The header of every message (2.2.1), and the one around an encrypted message
//! (2.2.41).

use std::fmt;

use super::error::{NtStatus, SmbError};

pub(super) const HEADER_LEN: usize = 64;
pub(super) const TRANSFORM_LEN: usize = 52;
pub(super) const SIGNATURE_AT: std::ops::Range<usize> = 48..64;

const PROTOCOL_ID: [u8; 4] = [0xfe, b'S', b'M', b'B'];
const TRANSFORM_ID: [u8; 4] = [0xfd, b'S', b'M', b'B'];
const SMB1_ID: [u8; 4] = [0xff, b'S', b'M', b'B'];

/// A response, not a request.
pub(super) const FLAG_RESPONSE: u32 = 1;
/// The answer to a request that was put off; there is an AsyncId.
pub(super) const FLAG_ASYNC: u32 = 2;
/// Signed.
pub(super) const FLAG_SIGNED: u32 = 8;

/// What a message is about (2.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Command {
    /// NEGOTIATE.
    Negotiate = 0,
    /// SESSION_SETUP.
    SessionSetup = 1,
    /// TREE_CONNECT.
    TreeConnect = 3,
    /// CREATE.
    Create = 5,
    /// READ.
    Read = 8,
    /// WRITE.
    Write = 9,
    /// IOCTL.
    Ioctl = 11,
    /// ECHO.
    Echo = 13,
    /// Any other, never asked for here.
    Other = 0xffff,
}

impl Command {
    fn from_number(number: u16) -> Self {
        [
            Self::Negotiate,
            Self::SessionSetup,
            Self::TreeConnect,
            Self::Create,
            Self::Read,
            Self::Write,
            Self::Ioctl,
            Self::Echo,
        ]
        .into_iter()
        .find(|command| *command as u16 == number)
        .unwrap_or(Self::Other)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Negotiate => "negotiate",
            Self::SessionSetup => "session set-up",
            Self::TreeConnect => "tree connect",
            Self::Create => "pipe open",
            Self::Read => "pipe read",
            Self::Write => "pipe write",
            Self::Ioctl => "control",
            Self::Echo => "echo",
            Self::Other => "unknown",
        })
    }
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) credit_charge: u16,
    pub(super) status: NtStatus,
    pub(super) command: Command,
    /// Asked for in a request, granted in a response.
    pub(super) credits: u16,
    pub(super) flags: u32,
    pub(super) message_id: u64,
    pub(super) tree_id: u32,
    pub(super) session_id: u64,
}

impl Header {
    pub(super) fn decode(message: &[u8]) -> Result<Self, SmbError> {
        if message.starts_with(&SMB1_ID) {
            return Err(SmbError::OldProtocol { proven: true });
        }
        let Some(bytes) = message.first_chunk::<HEADER_LEN>() else {
            return Err(SmbError::NotSmb("shorter than its header"));
        };
        if bytes[..4] != PROTOCOL_ID || short(bytes, 4) != HEADER_LEN as u16 {
            return Err(SmbError::NotSmb("another protocol id"));
        }
        if long(bytes, 20) != 0 {
            // Only compounded requests have compounded answers (3.3.4.1.3).
            return Err(SmbError::NotSmb("a chain of messages"));
        }
        let flags = long(bytes, 16);
        Ok(Self {
            credit_charge: short(bytes, 6),
            status: NtStatus(long(bytes, 8)),
            command: Command::from_number(short(bytes, 12)),
            credits: short(bytes, 14),
            flags,
            message_id: hyper(bytes, 24),
            tree_id: if flags & FLAG_ASYNC == 0 { long(bytes, 36) } else { 0 },
            session_id: hyper(bytes, 40),
        })
    }

    /// The header, its signature zero.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&PROTOCOL_ID);
        out.extend_from_slice(&(HEADER_LEN as u16).to_le_bytes());
        out.extend_from_slice(&self.credit_charge.to_le_bytes());
        out.extend_from_slice(&self.status.0.to_le_bytes());
        out.extend_from_slice(&(self.command as u16).to_le_bytes());
        out.extend_from_slice(&self.credits.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.message_id.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.tree_id.to_le_bytes());
        out.extend_from_slice(&self.session_id.to_le_bytes());
        out.extend_from_slice(&[0; 16]);
    }
}

/// The header around an encrypted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransformHeader {
    pub(super) signature: [u8; 16],
    pub(super) nonce: [u8; 16],
    pub(super) message_len: u32,
    pub(super) session_id: u64,
}

/// The part that is authenticated: all after the signature.
pub(super) const TRANSFORM_AAD: std::ops::Range<usize> = 20..TRANSFORM_LEN;

impl TransformHeader {
    /// Whether a message is an encrypted one.
    pub(super) fn is_at(message: &[u8]) -> bool {
        message.starts_with(&TRANSFORM_ID)
    }

    pub(super) fn decode(message: &[u8]) -> Result<Self, SmbError> {
        let Some(bytes) = message.first_chunk::<TRANSFORM_LEN>() else {
            return Err(SmbError::NotSmb("shorter than its header"));
        };
        // 3.1.1 has the flag "encrypted" there, 3.0 and 3.0.2 the number of their only algorithm.
        if short(bytes, 42) != 1 {
            return Err(SmbError::NotSmb("a transformation that is no encryption"));
        }
        let mut header = Self {
            signature: [0; 16],
            nonce: [0; 16],
            message_len: long(bytes, 36),
            session_id: hyper(bytes, 44),
        };
        header.signature.copy_from_slice(&bytes[4..20]);
        header.nonce.copy_from_slice(&bytes[20..36]);
        Ok(header)
    }

    pub(super) fn encode(&self) -> [u8; TRANSFORM_LEN] {
        let mut bytes = [0; TRANSFORM_LEN];
        bytes[..4].copy_from_slice(&TRANSFORM_ID);
        bytes[4..20].copy_from_slice(&self.signature);
        bytes[20..36].copy_from_slice(&self.nonce);
        bytes[36..40].copy_from_slice(&self.message_len.to_le_bytes());
        bytes[42] = 1;
        bytes[44..].copy_from_slice(&self.session_id.to_le_bytes());
        bytes
    }
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}

fn hyper(bytes: &[u8], at: usize) -> u64 {
    u64::from(long(bytes, at)) | u64::from(long(bytes, at + 4)) << 32
}
