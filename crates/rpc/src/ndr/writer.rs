//! Writing stubs. What the definition would not allow is an error of the
//! caller's and is found here, not by the peer.

use std::ops::RangeInclusive;

use uuid::Uuid;

use super::{ContextHandle, WideString};
use crate::error::UsageError;

/// The first referent id, as Microsoft's runtime gives them out.
const FIRST_REFERENT: u32 = 0x0002_0000;

/// Writes one stub. Padding is zero.
#[derive(Clone, Debug, Default)]
pub struct NdrWriter {
    stub: Vec<u8>,
    referents: u32,
}

impl NdrWriter {
    /// An empty stub.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty stub with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { stub: Vec::with_capacity(capacity), referents: 0 }
    }

    /// The finished stub.
    pub fn into_stub(self) -> Vec<u8> {
        self.stub
    }

    /// Bytes written so far.
    pub fn offset(&self) -> usize {
        self.stub.len()
    }

    /// Pads to a multiple of `alignment`.
    pub fn align(&mut self, alignment: usize) {
        self.stub.resize(self.stub.len().next_multiple_of(alignment), 0);
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.stub.extend_from_slice(bytes);
    }

    /// An octet.
    pub fn u8(&mut self, value: u8) {
        self.stub.push(value);
    }

    /// A short, aligned.
    pub fn u16(&mut self, value: u16) {
        self.align(2);
        self.bytes(&value.to_le_bytes());
    }

    /// A long, aligned.
    pub fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes(&value.to_le_bytes());
    }

    /// A hyper, aligned.
    pub fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes(&value.to_le_bytes());
    }

    /// A signed hyper, aligned.
    pub fn i64(&mut self, value: i64) {
        self.align(8);
        self.bytes(&value.to_le_bytes());
    }

    /// A UUID, aligned to four.
    pub fn uuid(&mut self, uuid: &Uuid) {
        self.align(4);
        self.bytes(&uuid.to_bytes_le());
    }

    /// A context handle.
    pub fn context_handle(&mut self, handle: &ContextHandle) {
        self.u32(handle.attributes);
        self.uuid(&handle.uuid);
    }

    /// A pointer: a fresh referent id, or null.
    pub fn pointer(&mut self, set: bool) {
        if set {
            let id = FIRST_REFERENT + 4 * self.referents;
            self.referents += 1;
            self.u32(id);
        } else {
            self.u32(0);
        }
    }

    /// A count within the definition's range.
    ///
    /// # Errors
    /// [`UsageError::Range`].
    pub fn count(
        &mut self,
        what: &'static str,
        count: usize,
        range: RangeInclusive<u32>,
    ) -> Result<(), UsageError> {
        self.u32(checked(what, count, &range)?);
        Ok(())
    }

    /// A terminated wide string: conformant and varying. `range` counts UTF-16
    /// units with the terminator.
    ///
    /// # Errors
    /// [`UsageError::Range`], [`UsageError::NulInString`].
    pub fn wide_string(
        &mut self,
        what: &'static str,
        string: &WideString,
        range: RangeInclusive<u32>,
    ) -> Result<(), UsageError> {
        if string.units().contains(&0) {
            return Err(UsageError::NulInString(what));
        }
        let count = checked(what, string.units().len() + 1, &range)?;
        self.u32(count);
        self.u32(0);
        self.u32(count);
        self.stub.reserve(count as usize * 2);
        string.units().iter().for_each(|unit| self.stub.extend_from_slice(&unit.to_le_bytes()));
        self.stub.extend_from_slice(&[0, 0]);
        Ok(())
    }

    /// A unique pointer to a terminated wide string, the string following at once.
    ///
    /// # Errors
    /// As [`wide_string`](Self::wide_string).
    pub fn unique_wide_string(
        &mut self,
        what: &'static str,
        string: Option<&WideString>,
        range: RangeInclusive<u32>,
    ) -> Result<(), UsageError> {
        self.pointer(string.is_some());
        string.map_or(Ok(()), |string| self.wide_string(what, string, range))
    }

    /// The longs of an array, after its count.
    pub fn u32_array(&mut self, values: &[u32]) {
        self.align(4);
        self.stub.reserve(values.len() * 4);
        values.iter().for_each(|value| self.stub.extend_from_slice(&value.to_le_bytes()));
    }
}

fn checked(
    what: &'static str,
    count: usize,
    range: &RangeInclusive<u32>,
) -> Result<u32, UsageError> {
    match u32::try_from(count) {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => Err(UsageError::Range {
            what,
            value: count as u64,
            min: (*range.start()).into(),
            max: (*range.end()).into(),
        }),
    }
}
