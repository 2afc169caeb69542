//! A named pipe of another machine over SMB 2.0.2 to 3.1.1 (MS-SMB2), and over
//! it DCE/RPC PDUs (`ncacn_np`). Nothing else of SMB: one session, the tree
//! `IPC$`, one pipe. Section numbers in this module are MS-SMB2's.
//!
//! [`PipeHalf`] is sans-I/O: whole messages go in, bytes to send come out.
//! `PipeStream` drives it over TCP and is a stream of bytes for
//! [`tcp::Client::bind`](crate::tcp::Client::bind).
//!
//! What is never accepted, whatever the server offers: a session as guest or
//! anonymous, a message that is not signed, and from 3.0 on, where both sides can
//! encrypt, one that is not encrypted. That the dialect was not talked down is
//! proven by the hash of the handshake (3.1.1), or asked for again under
//! signature (3.2.5.5).

mod crypto;
mod dialect;
mod error;
mod half;
mod header;
mod messages;
#[cfg(feature = "tcp")]
mod stream;
#[cfg(test)]
mod tests;

pub use dialect::{Cipher, Dialect, SigningAlgorithm};
pub use error::{NtStatus, SmbError};
pub use half::{PipeConfig, PipeHalf, SessionFacts};
pub use header::Command;
pub use messages::decode_any_response;
#[cfg(feature = "tcp")]
pub use stream::{PipeStream, SmbFrames};

/// The port of SMB over TCP.
pub const SMB_PORT: u16 = 445;

/// Limits of this module. A server that breaks one gets a typed error.
pub mod limits {
    /// Largest message accepted, in bytes, with all of its headers. What is asked
    /// for is at most [`MAX_PAYLOAD`].
    pub const MAX_MESSAGE: usize = 72 * 1024;

    /// Most bytes asked for, and written, at once: what one credit pays for.
    pub const MAX_PAYLOAD: u32 = 64 * 1024;

    /// Most negotiate contexts looked at in one answer.
    pub const MAX_NEGOTIATE_CONTEXTS: u16 = 32;

    /// Most credits taken from a server; it may grant more.
    pub const MAX_CREDITS: u32 = 128;

    /// Most bytes of PDUs that wait for the server's credit to be written.
    pub const MAX_UNSENT: usize = 256 * 1024;

    /// Most interim answers (STATUS_PENDING) to one request. Servers send one
    /// (3.3.4.2); each gives the server no more time than it has.
    pub const MAX_INTERIMS: u32 = 4;

    /// Most legs of the session set-up.
    pub const MAX_SETUP_LEGS: u32 = 8;
}
