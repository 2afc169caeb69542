//! The EventLog Remoting Protocol (MS-EVEN), which Windows had before MS-EVEN6:
//! what `OpenEventLog` of another machine speaks, over the named pipe `eventlog`.
//! Section numbers in this module are that document's.
//!
//! Here are the operations that read a log, keep it and clear it. Those that
//! write events (opnums 11, 18, 24 to 26) and the forms in a code page (12 to 18)
//! are named in [`Opnum`] and no more: nothing here writes events, and every
//! server has the forms in Unicode.
//!
//! Events travel as `EVENTLOGRECORD`s, whose reading is the crate
//! `quarry-logfile`'s business.

mod client;
mod messages;
mod opnum;

pub use client::{ConnectPipeOptions, EvenClient, Information, Read};
pub use messages::*;
pub use opnum::Opnum;

use quarry_rpc::SyntaxId;

/// The interface (1.9).
pub const INTERFACE: SyntaxId =
    SyntaxId::new(uuid::uuid!("82273fdc-e32a-18c3-3f78-827929dc23ea"), 0, 0);

/// The pipe (2.1), without `\PIPE\`.
pub const PIPE: &str = "eventlog";

/// The limits that the interface sets (2.2.1, 3.1.4).
pub mod limits {
    /// Bytes asked for in one read: `MAX_BATCH_BUFF`.
    pub const MAX_BATCH_BUFFER: u32 = 0x0007_ffff;
    /// Bytes of log information asked for.
    pub const MAX_INFORMATION: u32 = 1024;
    /// Strings of an event: `MAX_STRINGS`.
    pub const MAX_STRINGS: u32 = 0x100;
    /// A single event, in bytes: `MAX_SINGLE_EVENT`.
    pub const MAX_SINGLE_EVENT: u32 = 0x0003_ffff;
}
