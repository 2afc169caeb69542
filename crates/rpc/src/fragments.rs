//! What both halves do with stubs: cut into fragments, seal; unseal, put
//! together.

use std::ops::Range;

use crate::error::{ProtocolError, UsageError};
use crate::limits::MAX_FRAGMENTS_PER_CALL;
use crate::pdu::{
    CALL_HEADER_LEN, Header, PFC_FIRST_FRAG, PFC_LAST_FRAG, PduType, Request, Response,
    SEC_TRAILER_LEN, SecTrailer,
};
use crate::security::Sealer;

/// The body of a sealed fragment is padded to a multiple of this.
const SEALED_ALIGNMENT: usize = 16;
/// The body of an unsealed fragment but the last is a multiple of this.
const ALIGNMENT: usize = 8;

/// A finished security context on one connection.
pub(crate) struct Protection {
    /// As it stands in every PDU, its `pad_len` aside.
    pub(crate) trailer: SecTrailer,
    pub(crate) session: Box<dyn Sealer>,
}

impl Protection {
    /// Verifies and decrypts a PDU in place. The range is that of its stub,
    /// which begins at `body_start`, without padding.
    pub(crate) fn open(
        &mut self,
        header: &Header,
        pdu: &mut [u8],
        body_start: usize,
    ) -> Result<Range<usize>, ProtocolError> {
        let kind = header.pdu_type;
        if header.auth_len == 0 {
            return Err(ProtocolError::NotSealed(kind));
        }
        let body_end = header.body_end();
        if body_end < body_start {
            return Err(ProtocolError::Truncated { pdu: kind, field: "header" });
        }
        let signature_start = body_end + SEC_TRAILER_LEN;
        let trailer = SecTrailer::decode(kind, &pdu[body_end..signature_start])?;
        if (SecTrailer { pad_len: 0, ..trailer }) != self.trailer {
            return Err(ProtocolError::WrongSecurityTrailer(kind));
        }
        if !self.session.takes_signature_of(header.auth_len.into()) {
            return Err(ProtocolError::BadSignature(kind));
        }
        let (signed, signature) = pdu.split_at_mut(signature_start);
        self.session
            .unseal(signed, body_start..body_end, signature)
            .map_err(|_| ProtocolError::BadSignature(kind))?;
        let stub_end =
            body_end.checked_sub(trailer.pad_len.into()).filter(|end| *end >= body_start);
        stub_end.map(|end| body_start..end).ok_or(ProtocolError::BadField {
            pdu: kind,
            field: "auth_pad_length",
            value: trailer.pad_len.into(),
        })
    }
}

/// What a stub is sent as.
#[derive(Clone, Copy)]
pub(crate) enum Carrier {
    Request { context_id: u16, opnum: u16 },
    Response { context_id: u16 },
}

/// Appends a stub as one or more PDUs of at most `max_fragment` bytes.
pub(crate) fn write_stub(
    out: &mut Vec<u8>,
    carrier: Carrier,
    call_id: u32,
    stub: &[u8],
    max_fragment: u16,
    mut protection: Option<&mut Protection>,
) -> Result<(), UsageError> {
    let overhead = protection
        .as_ref()
        .map_or(0, |protection| SEC_TRAILER_LEN + protection.session.signature_len());
    let alignment = if protection.is_some() { SEALED_ALIGNMENT } else { ALIGNMENT };
    let room = (usize::from(max_fragment) - CALL_HEADER_LEN - overhead) / alignment * alignment;
    let fragments = stub.len().div_ceil(room).max(1);
    if fragments as u64 > MAX_FRAGMENTS_PER_CALL.into() {
        let (value, max) = (stub.len() as u64, room as u64 * u64::from(MAX_FRAGMENTS_PER_CALL));
        return Err(UsageError::Range { what: "bytes in a stub", value, min: 0, max });
    }
    out.reserve(stub.len() + fragments * (CALL_HEADER_LEN + overhead + SEALED_ALIGNMENT));
    for n in 0..fragments {
        let rest = &stub[n * room..];
        let part = &rest[..rest.len().min(room)];
        let pad = match protection {
            Some(_) => part.len().next_multiple_of(SEALED_ALIGNMENT) - part.len(),
            None => 0,
        };
        let start = out.len();
        let signature_len = overhead.saturating_sub(SEC_TRAILER_LEN);
        let header = Header {
            pdu_type: match carrier {
                Carrier::Request { .. } => PduType::Request,
                Carrier::Response { .. } => PduType::Response,
            },
            flags: if n == 0 { PFC_FIRST_FRAG } else { 0 }
                | if n + 1 == fragments { PFC_LAST_FRAG } else { 0 },
            frag_len: (CALL_HEADER_LEN + part.len() + pad + overhead) as u16,
            auth_len: signature_len as u16,
            call_id,
        };
        out.extend_from_slice(&header.encode());
        let alloc_hint = rest.len() as u32;
        match carrier {
            Carrier::Request { context_id, opnum } => {
                let request = Request { alloc_hint, context_id, opnum, object: None };
                out.extend_from_slice(&request.encode());
            }
            Carrier::Response { context_id } => {
                out.extend_from_slice(&Response { alloc_hint, context_id }.encode());
            }
        }
        out.extend_from_slice(part);
        if let Some(protection) = protection.as_deref_mut() {
            out.resize(out.len() + pad, 0);
            let body = CALL_HEADER_LEN..out.len() - start;
            let trailer = SecTrailer { pad_len: pad as u8, ..protection.trailer };
            out.extend_from_slice(&trailer.encode());
            let signature_start = out.len();
            out.resize(signature_start + signature_len, 0);
            let (pdu, signature) = out[start..].split_at_mut(signature_start - start);
            protection.session.seal(pdu, body, signature);
        }
    }
    Ok(())
}

/// A stub that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    stub: Vec<u8>,
    fragments: u32,
}

impl Assembly {
    /// Adds a fragment. True: it was the last one.
    pub(crate) fn push(
        &mut self,
        header: &Header,
        alloc_hint: u32,
        part: &[u8],
        max_stub: usize,
    ) -> Result<bool, ProtocolError> {
        if header.is_first() != (self.fragments == 0) {
            return Err(ProtocolError::FragmentOrder(header.pdu_type));
        }
        let len = self.stub.len() + part.len();
        if len > max_stub {
            let (value, limit) = (len as u64, max_stub as u64);
            return Err(ProtocolError::LimitExceeded { what: "bytes in a stub", value, limit });
        }
        self.fragments += 1;
        if self.fragments > MAX_FRAGMENTS_PER_CALL {
            let (value, limit) = (self.fragments.into(), MAX_FRAGMENTS_PER_CALL.into());
            return Err(ProtocolError::LimitExceeded { what: "fragments in a call", value, limit });
        }
        if self.fragments == 1 && !header.is_last() {
            // The hint is the peer's word, so it is believed for a little only.
            let hint = (alloc_hint as usize).min(max_stub).min(256 * 1024);
            self.stub.reserve(hint);
        }
        self.stub.extend_from_slice(part);
        Ok(header.is_last())
    }

    pub(crate) fn into_stub(self) -> Vec<u8> {
        self.stub
    }
}
