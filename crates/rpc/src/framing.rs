//! Cuts a stream of bytes into PDUs.

use crate::pdu::HEADER_LEN;

/// Collects what comes from a stream and hands it out PDU by PDU.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    taken: usize,
}

/// Room that is made for reading, in bytes: several fragments a system call.
const READ_ROOM: usize = 32 * 1024;

impl FrameBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to append what was read; there is room for a good read.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.reserve(READ_ROOM);
        &mut self.bytes
    }

    /// Gives back the memory of a buffer in which nothing is left: a connection on which nothing comes
    /// for long needs none.
    pub fn rest(&mut self) {
        if !self.is_within_pdu() {
            *self = Self::default();
        }
    }

    /// The next whole PDU. When a header is such that no length can be taken
    /// from it, just the header: whoever decodes it finds the same.
    pub fn next_pdu(&mut self) -> Option<&mut [u8]> {
        let rest = &self.bytes[self.taken..];
        let header = rest.first_chunk::<HEADER_LEN>()?;
        let little_endian = header[4] & 0xf0 == 0x10;
        let len = usize::from(u16::from_le_bytes([header[8], header[9]]));
        let len = if little_endian { len.max(HEADER_LEN) } else { HEADER_LEN };
        if rest.len() < len {
            return None;
        }
        let start = self.taken;
        self.taken += len;
        Some(&mut self.bytes[start..start + len])
    }

    /// Whether the stream ends within a PDU.
    pub fn is_within_pdu(&self) -> bool {
        self.taken < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn however_the_bytes_arrive_the_pdus_are_the_same(
            lens in prop::collection::vec(16usize..200, 1..20), cut in 1usize..50,
        ) {
            let mut stream = Vec::new();
            for (n, len) in lens.iter().enumerate() {
                let mut pdu = vec![n as u8; *len];
                pdu[4] = 0x10;
                pdu[8..10].copy_from_slice(&(*len as u16).to_le_bytes());
                stream.extend(pdu);
            }
            let mut frames = FrameBuffer::new();
            let mut found = Vec::new();
            for part in stream.chunks(cut) {
                frames.space().extend_from_slice(part);
                while let Some(pdu) = frames.next_pdu() {
                    found.push(pdu.len());
                }
            }
            prop_assert_eq!(found, lens);
            prop_assert!(!frames.is_within_pdu());
        }
    }
}
