//! Interface and transfer syntax identifiers (C706 12.6.3.1).

use std::fmt;

use uuid::{Uuid, uuid};

/// An interface or transfer syntax with its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SyntaxId {
    /// The UUID.
    pub uuid: Uuid,
    /// The major version: must be equal.
    pub major: u16,
    /// The minor version: the server's must not be less.
    pub minor: u16,
}

impl SyntaxId {
    /// Puts an identifier together.
    pub const fn new(uuid: Uuid, major: u16, minor: u16) -> Self {
        Self { uuid, major, minor }
    }

    /// Whether a server that offers `self` serves a client that asks for `wanted`.
    pub fn serves(&self, wanted: &SyntaxId) -> bool {
        self.uuid == wanted.uuid && self.major == wanted.major && self.minor >= wanted.minor
    }
}

impl fmt::Display for SyntaxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.uuid, self.major, self.minor)
    }
}

/// NDR, 32 bits: the one transfer syntax that is spoken here (C706 14).
pub const NDR: SyntaxId = SyntaxId::new(uuid!("8a885d04-1ceb-11c9-9fe8-08002b104860"), 2, 0);

/// The endpoint mapper's interface (C706 O).
pub const ENDPOINT_MAPPER: SyntaxId =
    SyntaxId::new(uuid!("e1af8308-5d1f-11c9-91a4-08002b14a0fa"), 3, 0);

/// The first eight bytes, as on the wire, of the transfer syntax that stands
/// for bind time feature negotiation (MS-RPCE 3.3.1.5.3); the eight after them
/// are the feature bits.
const FEATURE_PREFIX: [u8; 8] = [0x2c, 0x1c, 0xb7, 0x6c, 0x12, 0x98, 0x40, 0x45];

/// Bind time feature: several security contexts on one connection.
pub const FEATURE_SECURITY_CONTEXT_MULTIPLEXING: u16 = 0x0001;
/// Bind time feature: the connection stays when a call is orphaned.
pub const FEATURE_KEEP_CONNECTION_ON_ORPHAN: u16 = 0x0002;

/// The transfer syntax that offers feature bits.
pub fn feature_syntax(bits: u16) -> SyntaxId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&FEATURE_PREFIX);
    bytes[8..10].copy_from_slice(&bits.to_le_bytes());
    SyntaxId::new(Uuid::from_bytes_le(bytes), 1, 0)
}

/// The feature bits that a transfer syntax offers, if it is such a one.
pub fn offered_features(syntax: &SyntaxId) -> Option<u16> {
    let bytes = syntax.uuid.to_bytes_le();
    (bytes[..8] == FEATURE_PREFIX).then(|| u16::from_le_bytes([bytes[8], bytes[9]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_bits_travel_in_a_transfer_syntax() {
        // MS-RPCE 3.3.1.5.3 writes the prefix as 6CB71C2C-9812-4540.
        let syntax = feature_syntax(FEATURE_KEEP_CONNECTION_ON_ORPHAN);
        assert_eq!(syntax.uuid.to_string(), "6cb71c2c-9812-4540-0200-000000000000");
        assert_eq!(offered_features(&syntax), Some(2));
        assert_eq!(offered_features(&NDR), None);
    }

    #[test]
    fn a_newer_minor_version_serves_an_older_client_and_not_the_reverse() {
        let newer = SyntaxId { minor: 1, ..NDR };
        assert!(newer.serves(&NDR));
        assert!(!NDR.serves(&newer));
        assert!(!SyntaxId { major: 3, ..NDR }.serves(&NDR));
    }
}
