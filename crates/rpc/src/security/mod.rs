//! Security contexts: a handshake that makes a session, and the session that
//! seals and unseals PDUs. Packet privacy only.
//!
//! The traits are this crate's own, so that the client and server halves know
//! nothing of where a mechanism comes from. [`NtlmInitiator`] and
//! [`NegotiateInitiator`] leave the handshake to the crate `sspi`; sealing is
//! done here, in place, with the session's key. [`kerberos`] and the acceptors
//! are ours.

mod der;
mod initiator;
pub mod kerberos;
mod ntlm;
mod spnego;

#[cfg(test)]
mod tests;

pub use initiator::{NegotiateInitiator, NtlmInitiator};
pub use ntlm::{Accounts, NtHash, NtlmAcceptor, NtlmTarget};
pub use spnego::{NegState, NegTokenInit, NegTokenResp, NegotiateAcceptor};

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

use crate::error::Error;
use crate::pdu::AuthType;

/// The client's side of a handshake.
pub trait Initiator: Send {
    /// What goes into the security trailers.
    fn auth_type(&self) -> AuthType;

    /// The next leg. `token` is the server's answer, `None` the first time.
    ///
    /// # Errors
    /// [`Error::Security`] and [`Error::LogonRefused`].
    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error>;

    /// Whether the last leg presents a proof of the password, which a server can
    /// count as an attempt. A ticket of Kerberos is none.
    fn presents_credential(&self) -> bool {
        false
    }

    /// Whether RPC has to sign headers (MS-RPCE 2.2.2.3) for the session to cover
    /// them. With NTLM's extended session security they are covered anyway.
    fn needs_header_signing(&self) -> bool {
        false
    }

    /// The version of the server's system, where the handshake says it. The server can say
    /// anything there.
    fn server_version(&self) -> Option<SystemVersion> {
        None
    }

    /// The session's key, once the handshake is over for this side: what SMB
    /// makes its keys of. `None` before that, and for a mechanism that keeps it.
    fn session_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        None
    }
}

/// The version of a Windows system, as NTLM's VERSION has it (MS-NLMP 2.2.2.10): 10.0.20348.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SystemVersion {
    /// 10 since 2015.
    pub major: u8,
    /// 0 since 2015.
    pub minor: u8,
    /// The build.
    pub build: u16,
}

impl fmt::Display for SystemVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

/// What a leg of the client's handshake came to.
pub enum Step {
    /// Send this; an answer is due.
    Continue(Vec<u8>),
    /// The handshake is over for this side.
    Done {
        /// What is still to be sent, and has no answer.
        token: Option<Vec<u8>>,
        /// The session.
        session: Box<dyn Sealer>,
        /// Whether the server has shown that it knows the session's key, and so
        /// has accepted the credential.
        proven: bool,
    },
}

/// The server's side of a handshake.
pub trait Acceptor: Send {
    /// The next leg.
    ///
    /// # Errors
    /// [`AcceptError`]; the handshake is then over.
    fn step(&mut self, token: &[u8]) -> Result<AcceptStep, AcceptError>;
}

/// What a leg of the server's handshake came to.
pub enum AcceptStep {
    /// Send this; the client is to answer.
    Continue(Vec<u8>),
    /// The handshake is over.
    Done {
        /// What is to be sent with the answer, if that can carry it.
        token: Option<Vec<u8>>,
        /// The session.
        session: Box<dyn Sealer>,
        /// Who signed in.
        identity: Identity,
    },
}

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user, as the client wrote it.
    pub user: String,
    /// The domain, as the client wrote it; may be empty.
    pub domain: String,
}

/// Why the server's half refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// No such account, or a wrong password.
    #[error("the credential is wrong")]
    Denied,
    /// The client broke the mechanism's rules, or asks for too little protection.
    #[error(transparent)]
    Security(#[from] crate::error::SecurityError),
    /// This machine failed.
    #[error(transparent)]
    Usage(#[from] crate::error::UsageError),
}

/// A session: seals what is sent and unseals what comes, in order.
pub trait Sealer: Send {
    /// Length of a signature, in bytes.
    fn signature_len(&self) -> usize;

    /// Whether the other side's signature may be so long.
    fn takes_signature_of(&self, len: usize) -> bool {
        len == self.signature_len()
    }

    /// Signs `pdu` (a whole PDU up to and with its security trailer) and
    /// encrypts its `body` in place. `signature` takes the signature.
    fn seal(&mut self, pdu: &mut [u8], body: Range<usize>, signature: &mut [u8]);

    /// Decrypts the `body` of `pdu` in place and verifies the signature.
    ///
    /// # Errors
    /// [`BadSignature`]: what `pdu` then holds is not to be looked at.
    fn unseal(
        &mut self,
        pdu: &mut [u8],
        body: Range<usize>,
        signature: &[u8],
    ) -> Result<(), BadSignature>;
}

/// A signature that does not belong to its PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is wrong")]
pub struct BadSignature;

impl fmt::Debug for dyn Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}
