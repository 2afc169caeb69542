//! The interface's data types (2.2).

use quarry_rpc::ndr::{ContextHandle, WideString};

use crate::Win32Error;

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub ContextHandle);

        impl From<ContextHandle> for $name {
            fn from(handle: ContextHandle) -> Self {
                Self(handle)
            }
        }

        impl From<$name> for ContextHandle {
            fn from(handle: $name) -> Self {
                handle.0
            }
        }
    )*};
}

handles! {
    /// `PCONTEXT_HANDLE_REMOTE_SUBSCRIPTION`.
    SubscriptionHandle;
    /// `PCONTEXT_HANDLE_LOG_QUERY`.
    LogQueryHandle;
    /// `PCONTEXT_HANDLE_LOG_HANDLE`.
    LogHandle;
    /// `PCONTEXT_HANDLE_OPERATION_CONTROL`.
    OperationControlHandle;
    /// `PCONTEXT_HANDLE_PUBLISHER_METADATA`.
    PublisherMetadataHandle;
    /// `PCONTEXT_HANDLE_EVENT_METADATA_ENUM`.
    EventMetadataEnumHandle;
}

/// `RpcInfo` (2.2.1): more on an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RpcInfo {
    /// The error.
    pub error: Win32Error,
    /// More of it, of no defined meaning.
    pub sub_error: u32,
    /// More of that.
    pub sub_error_parameter: u32,
}

/// `EvtRpcQueryChannelInfo` (2.2.11): how a query stands with one channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelInfo {
    /// The channel.
    pub name: Option<WideString>,
    /// Whether it takes part in the query, or why not.
    pub status: Win32Error,
}

/// The records of one answer, still encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    offsets: Vec<u32>,
    sizes: Vec<u32>,
    buffer: Vec<u8>,
}

impl EventBatch {
    /// Puts a batch together from a server's answer.
    ///
    /// # Errors
    /// The offset of a record that does not lie within the buffer, or of one
    /// with which the records are larger than it: they overlap, so that there
    /// would be more to read than was sent. 0 when there are not as many sizes
    /// as offsets.
    pub fn new(offsets: Vec<u32>, sizes: Vec<u32>, buffer: Vec<u8>) -> Result<Self, u32> {
        if offsets.len() != sizes.len() {
            return Err(0);
        }
        let (len, mut sum) = (buffer.len() as u64, 0);
        for (offset, size) in offsets.iter().zip(&sizes) {
            sum += u64::from(*size);
            if u64::from(*offset) + u64::from(*size) > len || sum > len {
                return Err(*offset);
            }
        }
        Ok(Self { offsets, sizes, buffer })
    }

    /// A batch of records that lie one after the other; `sizes` in bytes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn contiguous(sizes: Vec<u32>, buffer: Vec<u8>) -> Result<Self, u32> {
        let offsets = sizes
            .iter()
            .scan(0u32, |at, size| {
                let offset = *at;
                *at = at.saturating_add(*size);
                Some(offset)
            })
            .collect();
        Self::new(offsets, sizes, buffer)
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The records, each for [`ResultSetRecord::parse`](crate::ResultSetRecord::parse).
    pub fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        // Checked when the batch was put together.
        self.offsets
            .iter()
            .zip(&self.sizes)
            .map(|(offset, size)| &self.buffer[*offset as usize..][..*size as usize])
    }

    /// Offsets of the records in the buffer, in bytes.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Sizes of the records, in bytes.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// All bytes that came.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the batch apart: offsets, sizes, buffer.
    pub fn into_parts(self) -> (Vec<u32>, Vec<u32>, Vec<u8>) {
        (self.offsets, self.sizes, self.buffer)
    }
}

/// A message as the server rendered it (3.1.4.31).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderedMessage {
    /// How many bytes it needs, when it did not fit.
    pub needed_size: u32,
    /// The message in UTF-16 with its terminator; of keywords several, each
    /// terminated, and one more terminator at the end.
    pub bytes: Vec<u8>,
}

impl RenderedMessage {
    /// From a text.
    pub fn from_text(text: &str) -> Self {
        let bytes: Vec<u8> = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        Self { needed_size: bytes.len() as u32, bytes }
    }

    /// The texts: one, or those of several keywords. Unpaired surrogates become
    /// U+FFFD.
    pub fn texts(&self) -> Vec<String> {
        let units: Vec<u16> =
            self.bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        let mut parts: Vec<String> =
            units.split(|unit| *unit == 0).map(String::from_utf16_lossy).collect();
        // What follows the last terminators is empty.
        while parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
        parts
    }
}

/// `EVENT_DESCRIPTOR` (MS-DTYP 2.3.1), 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventDescriptor {
    /// The event's id.
    pub id: u16,
    /// Its version.
    pub version: u8,
    /// The channel it is declared for.
    pub channel: u8,
    /// Its level.
    pub level: u8,
    /// Its opcode.
    pub opcode: u8,
    /// Its task.
    pub task: u16,
    /// Its keywords.
    pub keywords: u64,
}

impl EventDescriptor {
    /// The descriptor as it travels.
    pub fn to_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&self.id.to_le_bytes());
        bytes[2..6].copy_from_slice(&[self.version, self.channel, self.level, self.opcode]);
        bytes[6..8].copy_from_slice(&self.task.to_le_bytes());
        bytes[8..].copy_from_slice(&self.keywords.to_le_bytes());
        bytes
    }

    /// Reads a descriptor.
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let mut keywords = [0; 8];
        keywords.copy_from_slice(&bytes[8..]);
        Self {
            id: u16::from_le_bytes([bytes[0], bytes[1]]),
            version: bytes[2],
            channel: bytes[3],
            level: bytes[4],
            opcode: bytes[5],
            task: u16::from_le_bytes([bytes[6], bytes[7]]),
            keywords: u64::from_le_bytes(keywords),
        }
    }
}
