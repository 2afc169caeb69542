//! The interface on the wire: its types, and each operation's request and
//! response, encoded and decoded by the one definition.

mod codec;
mod messages;
mod reencode;
mod types;
mod variant;

pub use messages::*;
pub use reencode::{Direction, reencode};
pub use types::{
    ChannelInfo, EventBatch, EventDescriptor, EventMetadataEnumHandle, LogHandle, LogQueryHandle,
    OperationControlHandle, PublisherMetadataHandle, RenderedMessage, RpcInfo, SubscriptionHandle,
};
pub use variant::{Variant, VariantList, VariantType, VariantValue};

use quarry_rpc::ndr::{NdrReader, NdrWriter};
use quarry_rpc::{NdrError, UsageError};

/// The parameters of a request or a response.
pub trait Message: Sized {
    /// Writes the parameters in the definition's order.
    ///
    /// # Errors
    /// [`UsageError`] for what the definition does not allow.
    fn write(&self, w: &mut NdrWriter) -> Result<(), UsageError>;

    /// Reads the parameters in the definition's order.
    ///
    /// # Errors
    /// [`NdrError`].
    fn read(r: &mut NdrReader<'_>) -> Result<Self, NdrError>;

    /// The stub.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn encode(&self) -> Result<Vec<u8>, UsageError> {
        let mut w = NdrWriter::new();
        self.write(&mut w)?;
        Ok(w.into_stub())
    }

    /// Decodes a stub. Bytes after the parameters are padding and ignored.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn decode(stub: &[u8]) -> Result<Self, NdrError> {
        Self::read(&mut NdrReader::new(stub))
    }
}

/// An operation of the interface.
pub trait Operation {
    /// Which.
    const OPNUM: crate::Opnum;
    /// What goes in.
    type Request: Message + Send;
    /// What comes out.
    type Response: Message + Send + Answer;
}

/// What every response has.
pub trait Answer {
    /// The operation's return value.
    fn status(&self) -> crate::Win32Error;

    /// Further information on an error; zeros where the operation has none.
    fn info(&self) -> RpcInfo {
        RpcInfo::default()
    }
}
