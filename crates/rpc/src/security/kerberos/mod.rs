//! Kerberos (RFC 4120, MS-KILE) as GSS-API has it (RFC 4121): the handshake with
//! a ticket that one has, and sealing. Getting the ticket is I/O, and the part of
//! [`tickets`](crate::tickets).

#[cfg(feature = "tcp")]
pub(crate) mod clock;
mod context;
mod crypto;
mod error;
mod initiator;
mod messages;
mod seal;

#[cfg(test)]
mod tests;

use std::fmt;

use zeroize::Zeroizing;

pub use error::{KerberosError, error_name};
pub use initiator::{KerberosInitiator, NegotiateKerberosInitiator};
pub use messages::Principal;

/// A ticket for one service, and the key that goes with it.
#[derive(Clone)]
pub struct ServiceTicket {
    /// Who it was issued to.
    pub client: Principal,
    /// The ticket as it came: a DER `Ticket` (RFC 4120 5.3).
    pub ticket: Vec<u8>,
    /// The type of the session key (RFC 3961 8).
    pub key_type: i32,
    /// The key that the client shares with the service.
    pub session_key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ServiceTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTicket").field("client", &self.client).finish_non_exhaustive()
    }
}
