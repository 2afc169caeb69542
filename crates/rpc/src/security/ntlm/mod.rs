//! NTLM version 2 (MS-NLMP): what both sides share, and the acceptor. Version 1,
//! sessions without extended session security, key exchange or 128 bits are
//! refused on both sides.

mod acceptor;
mod crypto;
mod messages;
mod seal;
mod unseal;

pub use acceptor::{Accounts, NtlmAcceptor, NtlmTarget};
pub use crypto::NtHash;

pub(super) use acceptor::Leg;
pub(super) use messages::{MessageType, challenge_version, message_flags, missing_protection};
pub(super) use seal::{NtlmKeys, Side};
