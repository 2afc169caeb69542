//! Windows event log files.
//!
//! An [`EvtxLog`] is a file's chunks in the order of their records; a [`Chunk`] is one of them,
//! read whole, and its records. A file of any size needs the memory of one chunk. Chunks can be
//! read by many threads at once.
//!
//! An [`EvtxWriter`] writes such a file.
//!
//! [`classic`] reads the records of the time before: those of `ReadEventLog`. An [`EvtLog`] is a
//! file of them.
//!
//! A [`Survey`] goes over a file of any kind before records are recovered from it: those that stand
//! outside of chunks are its [`Run`]s.
//!
//! What can be read of a damaged file is read; what can't is a [`Damage`] that says where it is.
#![forbid(unsafe_code)]

mod chunk;
pub mod classic;
mod damage;
mod evt;
mod header;
mod log;
mod read_at;
mod recover;
mod writer;

pub use chunk::{CHUNK_SIZE, Chunk, Item, RecordHeader};
pub use damage::{Damage, DamageKind};
pub use evt::{EvtItem, EvtLog, MAX_EVT_RECORD};
pub use log::{EvtxLog, OpenError};
pub use quarry_binxml::Definitions;
pub use read_at::ReadAt;
pub use recover::{Run, RunRecords, Survey};
pub use writer::{EvtxWriteError, EvtxWriter};
