//! Request, response and fault (C706 12.6.4).

use uuid::Uuid;

use super::{CALL_HEADER_LEN, HEADER_LEN, Header, PFC_OBJECT_UUID, PduReader, PduType, PduWriter};
use crate::error::ProtocolError;
use crate::fault::FaultStatus;

/// The fixed part of a request, after the common header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How much stub is to come, in bytes; a hint only.
    pub alloc_hint: u32,
    /// The presentation context.
    pub context_id: u16,
    /// The operation.
    pub opnum: u16,
    /// The object, when the client names one.
    pub object: Option<Uuid>,
}

impl Request {
    /// Offset of the stub in the PDU, in bytes.
    pub fn stub_offset(header: &Header) -> usize {
        if header.flags & PFC_OBJECT_UUID != 0 { CALL_HEADER_LEN + 16 } else { CALL_HEADER_LEN }
    }

    /// Encodes what follows the common header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = PduWriter::default();
        w.u32(self.alloc_hint);
        w.u16(self.context_id);
        w.u16(self.opnum);
        if let Some(object) = self.object {
            w.bytes(&object.to_bytes_le());
        }
        w.body
    }

    /// Decodes the fixed part of a request PDU.
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`].
    pub fn decode(header: &Header, pdu: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = PduReader::new(PduType::Request, &pdu[HEADER_LEN..header.body_end()]);
        let alloc_hint = r.u32("alloc_hint")?;
        let context_id = r.u16("p_cont_id")?;
        let opnum = r.u16("opnum")?;
        let object = if header.flags & PFC_OBJECT_UUID != 0 {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(r.take(16, "object")?);
            Some(Uuid::from_bytes_le(bytes))
        } else {
            None
        };
        Ok(Self { alloc_hint, context_id, opnum, object })
    }
}

/// The fixed part of a response, after the common header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// How much stub is to come, in bytes; a hint only.
    pub alloc_hint: u32,
    /// The presentation context.
    pub context_id: u16,
}

impl Response {
    pub(crate) fn encode(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.alloc_hint.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.context_id.to_le_bytes());
        bytes
    }

    /// Decodes the fixed part of a response PDU.
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`].
    pub fn decode(header: &Header, pdu: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = PduReader::new(PduType::Response, &pdu[HEADER_LEN..header.body_end()]);
        let alloc_hint = r.u32("alloc_hint")?;
        let context_id = r.u16("p_cont_id")?;
        r.take(2, "cancel_count")?;
        Ok(Self { alloc_hint, context_id })
    }
}

/// A fault. Extended error information after the status is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The presentation context.
    pub context_id: u16,
    /// What failed.
    pub status: FaultStatus,
}

impl Fault {
    /// Encodes what follows the common header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = PduWriter::default();
        // Windows and Samba write the length of the rest of the fault here.
        w.u32(32);
        w.u16(self.context_id);
        w.u16(0);
        w.u32(self.status.0);
        w.u32(0);
        w.body
    }

    /// Decodes a fault PDU.
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`].
    pub fn decode(header: &Header, pdu: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = PduReader::new(PduType::Fault, &pdu[HEADER_LEN..header.body_end()]);
        r.u32("alloc_hint")?;
        let context_id = r.u16("p_cont_id")?;
        r.take(2, "cancel_count")?;
        Ok(Self { context_id, status: FaultStatus(r.u32("status")?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(pdu_type: PduType, flags: u8, body: usize) -> Header {
        let frag_len = (HEADER_LEN + body) as u16;
        Header { pdu_type, flags, frag_len, auth_len: 0, call_id: 7 }
    }

    fn whole(header: Header, body: &[u8]) -> Vec<u8> {
        [&header.encode()[..], body].concat()
    }

    proptest! {
        #[test]
        fn requests_survive_a_round_trip(alloc_hint: u32, context_id: u16, opnum: u16, object: Option<u128>) {
            let object = object.map(Uuid::from_u128);
            let request = Request { alloc_hint, context_id, opnum, object };
            let body = request.encode();
            let flags = if object.is_some() { PFC_OBJECT_UUID } else { 0 };
            let header = header(PduType::Request, flags, body.len());
            prop_assert_eq!(Request::stub_offset(&header), HEADER_LEN + body.len());
            prop_assert_eq!(Request::decode(&header, &whole(header, &body)), Ok(request));
        }

        #[test]
        fn faults_and_responses_survive_a_round_trip(alloc_hint: u32, context_id: u16, status: u32) {
            let fault = Fault { context_id, status: FaultStatus(status) };
            let h = header(PduType::Fault, 0, fault.encode().len());
            prop_assert_eq!(Fault::decode(&h, &whole(h, &fault.encode())), Ok(fault));
            let response = Response { alloc_hint, context_id };
            let h = header(PduType::Response, 0, 8);
            prop_assert_eq!(Response::decode(&h, &whole(h, &response.encode())), Ok(response));
        }
    }

    #[test]
    fn a_truncated_fault_names_the_field() {
        let body = [0; 9];
        let h = header(PduType::Fault, 0, body.len());
        let error = Fault::decode(&h, &whole(h, &body)).unwrap_err();
        assert_eq!(error, ProtocolError::Truncated { pdu: PduType::Fault, field: "status" });
    }
}
