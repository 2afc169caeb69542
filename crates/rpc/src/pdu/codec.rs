//! Reading and writing the little-endian fields of a PDU body. Alignment in a
//! body counts from the start of the PDU; the header's 16 bytes don't change it.

use uuid::Uuid;

use super::PduType;
use crate::error::ProtocolError;
use crate::syntax::SyntaxId;

/// A bounded reader over one PDU body.
pub(crate) struct PduReader<'a> {
    pdu: PduType,
    body: &'a [u8],
    at: usize,
}

impl<'a> PduReader<'a> {
    pub(crate) fn new(pdu: PduType, body: &'a [u8]) -> Self {
        Self { pdu, body, at: 0 }
    }

    pub(crate) fn take(
        &mut self,
        len: usize,
        field: &'static str,
    ) -> Result<&'a [u8], ProtocolError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.body.len());
        let end = end.ok_or(ProtocolError::Truncated { pdu: self.pdu, field })?;
        let taken = &self.body[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ProtocolError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N, field)?);
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, ProtocolError> {
        Ok(self.array::<1>(field)?[0])
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, ProtocolError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, ProtocolError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn syntax(&mut self, field: &'static str) -> Result<SyntaxId, ProtocolError> {
        let uuid = Uuid::from_bytes_le(self.array(field)?);
        // The version is one 32-bit value with the major version in its low half.
        let major = self.u16(field)?;
        let minor = self.u16(field)?;
        Ok(SyntaxId { uuid, major, minor })
    }

    /// Skips to a multiple of four bytes; nothing is checked of the padding.
    pub(crate) fn align4(&mut self) {
        self.at = self.at.next_multiple_of(4).min(self.body.len());
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.body.len()
    }

    pub(crate) fn bad(&self, field: &'static str, value: u64) -> ProtocolError {
        ProtocolError::BadField { pdu: self.pdu, field, value }
    }

    pub(crate) fn limit(
        &self,
        what: &'static str,
        value: usize,
        limit: usize,
    ) -> Result<(), ProtocolError> {
        if value > limit {
            let (value, limit) = (value as u64, limit as u64);
            return Err(ProtocolError::LimitExceeded { what, value, limit });
        }
        Ok(())
    }
}

/// A writer for one PDU body.
#[derive(Default)]
pub(crate) struct PduWriter {
    pub(crate) body: Vec<u8>,
}

impl PduWriter {
    pub(crate) fn u8(&mut self, value: u8) {
        self.body.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.body.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.body.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    pub(crate) fn syntax(&mut self, syntax: &SyntaxId) {
        self.body.extend_from_slice(&syntax.uuid.to_bytes_le());
        self.u16(syntax.major);
        self.u16(syntax.minor);
    }

    pub(crate) fn align4(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }
}
