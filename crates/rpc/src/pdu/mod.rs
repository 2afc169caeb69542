//! Connection-oriented PDUs (C706 12.6, MS-RPCE 2.2.2): the common header here,
//! each body in its own module, all encoded and decoded.
//!
//! Decoding takes one whole PDU. Of a sealed PDU only [`Header`] and
//! [`SecTrailer`] may be read before its signature is verified.

mod bind;
mod call;
mod codec;
mod trailer;

pub use bind::{
    AlterContext, Bind, BindAck, BindNak, ContextElement, ContextReason, ContextResult, NakReason,
};
pub use call::{Fault, Request, Response};
pub use trailer::{AuthLevel, AuthType, SEC_TRAILER_LEN, SecTrailer};

pub(crate) use codec::{PduReader, PduWriter};

use std::fmt;

use crate::error::ProtocolError;

/// Length of the common header, in bytes.
pub const HEADER_LEN: usize = 16;
/// Length of a request's or response's header without an object UUID.
pub const CALL_HEADER_LEN: usize = 24;

/// Flag: first fragment.
pub const PFC_FIRST_FRAG: u8 = 0x01;
/// Flag: last fragment.
pub const PFC_LAST_FRAG: u8 = 0x02;
/// Flag on bind, alter_context and their answers: header signing is supported
/// (MS-RPCE 2.2.2.3). On the others it says that a cancel is pending.
pub const PFC_SUPPORT_HEADER_SIGN: u8 = 0x04;
/// Flag: several calls may be open at once.
pub const PFC_CONC_MPX: u8 = 0x10;
/// Flag on a fault: the call was not executed.
pub const PFC_DID_NOT_EXECUTE: u8 = 0x20;
/// Flag on a request: an object UUID follows the header.
pub const PFC_OBJECT_UUID: u8 = 0x80;

/// Little-endian integers, ASCII, IEEE floating point.
const DREP: [u8; 4] = [0x10, 0, 0, 0];

/// The type of a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PduType {
    /// A call, or a fragment of one.
    Request = 0,
    /// Its answer, or a fragment of it.
    Response = 2,
    /// A call that failed at the server.
    Fault = 3,
    /// The first PDU of a connection.
    Bind = 11,
    /// The answer to it.
    BindAck = 12,
    /// The refusal of it.
    BindNak = 13,
    /// A further presentation context or leg of the handshake.
    AlterContext = 14,
    /// The answer to it.
    AlterContextResp = 15,
    /// The handshake's last leg where that has no answer.
    Auth3 = 16,
    /// The server asks the client to hang up.
    Shutdown = 17,
    /// The client asks the server to stop a call.
    Cancel = 18,
    /// The client has no interest in a call's answer any more.
    Orphaned = 19,
}

impl PduType {
    /// The type for a number, if it is one of the connection-oriented protocol.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Request,
            2 => Self::Response,
            3 => Self::Fault,
            11 => Self::Bind,
            12 => Self::BindAck,
            13 => Self::BindNak,
            14 => Self::AlterContext,
            15 => Self::AlterContextResp,
            16 => Self::Auth3,
            17 => Self::Shutdown,
            18 => Self::Cancel,
            19 => Self::Orphaned,
            _ => return None,
        })
    }
}

impl fmt::Display for PduType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Fault => "fault",
            Self::Bind => "bind",
            Self::BindAck => "bind_ack",
            Self::BindNak => "bind_nak",
            Self::AlterContext => "alter_context",
            Self::AlterContextResp => "alter_context_resp",
            Self::Auth3 => "auth3",
            Self::Shutdown => "shutdown",
            Self::Cancel => "co_cancel",
            Self::Orphaned => "orphaned",
        })
    }
}

/// The header that every PDU begins with (C706 12.6.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type.
    pub pdu_type: PduType,
    /// `PFC_` flags.
    pub flags: u8,
    /// Length of the whole PDU in bytes.
    pub frag_len: u16,
    /// Length of the security token or signature at its end, in bytes; the
    /// [`SecTrailer`] before it is there when this is not 0.
    pub auth_len: u16,
    /// The call to which the PDU belongs.
    pub call_id: u32,
}

impl Header {
    /// Decodes the first 16 bytes of a PDU. `max_fragment` is the largest PDU
    /// that this side has offered to receive.
    ///
    /// # Errors
    /// [`ProtocolError`] for another version or data representation, an unknown
    /// type, and lengths that cannot be.
    pub fn decode(bytes: &[u8; HEADER_LEN], max_fragment: u16) -> Result<Self, ProtocolError> {
        // A bind_nak for an unsupported version carries the peer's own version.
        if bytes[0] != 5 || bytes[1] > 1 {
            return Err(ProtocolError::Version { major: bytes[0], minor: bytes[1] });
        }
        let pdu_type =
            PduType::from_number(bytes[2]).ok_or(ProtocolError::UnknownPduType(bytes[2]))?;
        let drep = [bytes[4], bytes[5], bytes[6], bytes[7]];
        // The two last bytes are reserved.
        if drep[..2] != DREP[..2] {
            return Err(ProtocolError::DataRepresentation(drep));
        }
        let frag_len = u16::from_le_bytes([bytes[8], bytes[9]]);
        let auth_len = u16::from_le_bytes([bytes[10], bytes[11]]);
        if usize::from(frag_len) < HEADER_LEN {
            return Err(ProtocolError::BadField {
                pdu: pdu_type,
                field: "frag_length",
                value: frag_len.into(),
            });
        }
        if frag_len > max_fragment {
            return Err(ProtocolError::LimitExceeded {
                what: "bytes in a fragment",
                value: frag_len.into(),
                limit: max_fragment.into(),
            });
        }
        let room = usize::from(frag_len) - HEADER_LEN;
        if auth_len != 0 && usize::from(auth_len) + SEC_TRAILER_LEN > room {
            return Err(ProtocolError::BadField {
                pdu: pdu_type,
                field: "auth_length",
                value: auth_len.into(),
            });
        }
        let call_id = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        Ok(Self { pdu_type, flags: bytes[3], frag_len, auth_len, call_id })
    }

    /// Encodes the header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = 5;
        bytes[2] = self.pdu_type as u8;
        bytes[3] = self.flags;
        bytes[4..8].copy_from_slice(&DREP);
        bytes[8..10].copy_from_slice(&self.frag_len.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.auth_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.call_id.to_le_bytes());
        bytes
    }

    /// Whether this is the first fragment.
    pub fn is_first(&self) -> bool {
        self.flags & PFC_FIRST_FRAG != 0
    }

    /// Whether this is the last fragment.
    pub fn is_last(&self) -> bool {
        self.flags & PFC_LAST_FRAG != 0
    }

    /// Where the body ends: at the security trailer, or at the PDU's end.
    pub(crate) fn body_end(&self) -> usize {
        let end = usize::from(self.frag_len);
        if self.auth_len == 0 { end } else { end - usize::from(self.auth_len) - SEC_TRAILER_LEN }
    }
}

/// A PDU with no body of its own (shutdown, co_cancel, orphaned).
pub(crate) fn encode_bare(out: &mut Vec<u8>, pdu_type: PduType, call_id: u32) {
    let header = Header {
        pdu_type,
        flags: PFC_FIRST_FRAG | PFC_LAST_FRAG,
        frag_len: HEADER_LEN as u16,
        auth_len: 0,
        call_id,
    };
    out.extend_from_slice(&header.encode());
}

/// Puts header, body, and a token with its trailer together. Not for sealed PDUs.
pub(crate) fn encode_with_token(
    out: &mut Vec<u8>,
    pdu_type: PduType,
    flags: u8,
    call_id: u32,
    body: &[u8],
    token: Option<(SecTrailer, &[u8])>,
) -> Result<(), crate::error::UsageError> {
    let pad = if token.is_some() { body.len().wrapping_neg() % 4 } else { 0 };
    let auth = token.map_or(0, |(_, token)| SEC_TRAILER_LEN + token.len());
    let total = HEADER_LEN + body.len() + pad + auth;
    let too_long = |_| crate::error::UsageError::Range {
        what: "bytes in a PDU",
        value: total as u64,
        min: HEADER_LEN as u64,
        max: u16::MAX.into(),
    };
    let header = Header {
        pdu_type,
        flags,
        frag_len: u16::try_from(total).map_err(too_long)?,
        auth_len: u16::try_from(token.map_or(0, |(_, token)| token.len())).map_err(too_long)?,
        call_id,
    };
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(body);
    if let Some((trailer, token)) = token {
        out.resize(out.len() + pad, 0);
        out.extend_from_slice(&SecTrailer { pad_len: pad as u8, ..trailer }.encode());
        out.extend_from_slice(token);
    }
    Ok(())
}

/// A security token with its trailer.
pub(crate) type Token<'a> = (SecTrailer, &'a [u8]);

/// The trailer and the token of a PDU that is not sealed, if it has them. What
/// stands before them is the body, padding included.
pub(crate) fn split_token<'a>(
    header: &Header,
    pdu: &'a [u8],
) -> Result<(&'a [u8], Option<Token<'a>>), ProtocolError> {
    let end = header.body_end();
    if header.auth_len == 0 {
        return Ok((&pdu[HEADER_LEN..end], None));
    }
    let trailer = SecTrailer::decode(header.pdu_type, &pdu[end..end + SEC_TRAILER_LEN])?;
    let token = &pdu[end + SEC_TRAILER_LEN..];
    let body = &pdu[HEADER_LEN..end];
    let body_len = body.len().checked_sub(trailer.pad_len.into()).ok_or({
        ProtocolError::BadField {
            pdu: header.pdu_type,
            field: "auth_pad_length",
            value: trailer.pad_len.into(),
        }
    })?;
    Ok((&body[..body_len], Some((trailer, token))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BIND: [u8; 16] = [5, 0, 11, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0];

    #[test]
    fn a_header_is_read_field_by_field() {
        let header = Header::decode(&BIND, 5840).unwrap();
        assert_eq!(header.pdu_type, PduType::Bind);
        assert!(header.is_first() && header.is_last());
        assert_eq!((header.frag_len, header.auth_len, header.call_id), (72, 0, 1));
        assert_eq!(header.encode(), BIND);
    }

    #[test]
    fn headers_that_cannot_be_are_refused_and_the_peer_is_named() {
        let with = |at: usize, value: u8| {
            let mut bytes = BIND;
            bytes[at] = value;
            Header::decode(&bytes, 5840).unwrap_err()
        };
        assert_eq!(with(0, 4), ProtocolError::Version { major: 4, minor: 0 });
        assert_eq!(with(1, 2), ProtocolError::Version { major: 5, minor: 2 });
        assert_eq!(with(2, 1), ProtocolError::UnknownPduType(1));
        assert_eq!(with(2, 20), ProtocolError::UnknownPduType(20));
        assert!(matches!(with(4, 0), ProtocolError::DataRepresentation(_)));
        assert!(matches!(with(8, 15), ProtocolError::BadField { field: "frag_length", .. }));
        assert!(matches!(with(9, 0xff), ProtocolError::LimitExceeded { .. }));
        assert!(matches!(with(10, 60), ProtocolError::BadField { field: "auth_length", .. }));
    }

    proptest! {
        #[test]
        fn any_sixteen_bytes_are_a_header_or_an_error(bytes: [u8; 16], max in 16u16..) {
            if let Ok(header) = Header::decode(&bytes, max) {
                prop_assert!(header.body_end() >= HEADER_LEN);
                prop_assert!(header.frag_len <= max);
                let again = header.encode();
                prop_assert_eq!(&again[2..4], &bytes[2..4]);
                prop_assert_eq!(&again[8..], &bytes[8..]);
            }
        }
    }
}
