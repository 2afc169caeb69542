//! A ticket-granting ticket by itself: one process gets it with a password, and another, which never
//! has the password, gets services' tickets with it until it expires.

use std::fmt;

use krb5::Credentials;
use krb5::ccache::CCache;
use zeroize::Zeroizing;

use super::SESSION_TYPES;
use crate::security::kerberos::KerberosError;

/// Longest ticket-granting ticket that is handed on, in bytes: Active Directory's are at most 48,000
/// (`MaxTokenSize`).
pub const MAX_TICKET_BYTES: usize = 60_000;

/// A ticket-granting ticket with its session key. The bytes are wiped when dropped; what the crate
/// `krb5` makes of them is not.
pub struct GrantingTicket {
    /// A cache in MIT's format, version 4, with this one ticket.
    cache: Zeroizing<Vec<u8>>,
    principal: String,
}

impl GrantingTicket {
    pub(super) fn of(ticket: &Credentials) -> Result<Self, KerberosError> {
        let cache = Zeroizing::new(CCache::with_credentials(ticket).encode());
        match cache.len() {
            length if length > MAX_TICKET_BYTES => Err(too_large(length)),
            _ => Ok(Self { principal: ticket.client.to_string(), cache }),
        }
    }

    /// The bytes, for the process that is to use it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.cache
    }

    /// Reads the bytes of one.
    ///
    /// # Errors
    /// [`KerberosError::Nonsense`]: they are no ticket-granting ticket that can be used, or more
    /// than [`MAX_TICKET_BYTES`].
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KerberosError> {
        if bytes.len() > MAX_TICKET_BYTES {
            return Err(too_large(bytes.len()));
        }
        let ticket = read(&bytes).ok_or_else(|| {
            KerberosError::Nonsense("these bytes are no ticket for more tickets".to_owned())
        })?;
        Ok(Self { principal: ticket.client.to_string(), cache: bytes })
    }

    /// Whose it is, as it is shown: `ann@CORP.EXAMPLE`.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// In the crate's form.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        read(&self.cache)
    }
}

fn too_large(length: usize) -> KerberosError {
    KerberosError::Nonsense(format!("a ticket of {length} bytes, where {MAX_TICKET_BYTES} fit"))
}

fn read(bytes: &[u8]) -> Option<Credentials> {
    let cache = CCache::decode(bytes).ok()?;
    let [entry] = &cache.entries[..] else { return None };
    let ticket = entry.credentials()?;
    let realm = &ticket.client.realm;
    let is_granting = ticket.server.components == ["krbtgt", realm]
        && ticket.server.realm == *realm
        && !entry.is_skey
        && SESSION_TYPES.contains(&ticket.session_key.enctype());
    is_granting.then_some(ticket)
}

impl fmt::Debug for GrantingTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantingTicket({})", self.principal)
    }
}
