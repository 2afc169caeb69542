#![doc = include_str!("../README.md")]
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
