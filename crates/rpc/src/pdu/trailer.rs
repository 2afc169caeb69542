//! The security trailer (MS-RPCE 2.2.2.11).

use super::{PduReader, PduType};
use crate::error::ProtocolError;

/// Length of an encoded [`SecTrailer`], in bytes.
pub const SEC_TRAILER_LEN: usize = 8;

/// Which security provider made a token (MS-RPCE 2.2.1.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuthType(pub u8);

impl AuthType {
    /// SPNEGO, which Windows calls Negotiate.
    pub const NEGOTIATE: Self = Self(9);
    /// NTLM by itself.
    pub const NTLM: Self = Self(10);
    /// Kerberos by itself.
    pub const KERBEROS: Self = Self(16);
}

/// How much of a connection is protected (MS-RPCE 2.2.1.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuthLevel(pub u8);

impl AuthLevel {
    /// Every PDU signed and its stub encrypted: the only level used here.
    pub const PACKET_PRIVACY: Self = Self(6);
}

/// What stands between a PDU's body and its token or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecTrailer {
    /// The security provider.
    pub auth_type: AuthType,
    /// The protection level.
    pub auth_level: AuthLevel,
    /// Bytes of padding between body and trailer.
    pub pad_len: u8,
    /// The security context on this connection.
    pub context_id: u32,
}

impl SecTrailer {
    /// Encodes the trailer.
    pub fn encode(&self) -> [u8; SEC_TRAILER_LEN] {
        let id = self.context_id.to_le_bytes();
        [self.auth_type.0, self.auth_level.0, self.pad_len, 0, id[0], id[1], id[2], id[3]]
    }

    /// Decodes a trailer from its eight bytes; the reserved one is ignored.
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`] when there are fewer.
    pub fn decode(pdu: PduType, bytes: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = PduReader::new(pdu, bytes);
        let auth_type = AuthType(reader.u8("sec_trailer")?);
        let auth_level = AuthLevel(reader.u8("sec_trailer")?);
        let pad_len = reader.u8("sec_trailer")?;
        reader.u8("sec_trailer")?;
        Ok(Self { auth_type, auth_level, pad_len, context_id: reader.u32("sec_trailer")? })
    }
}
