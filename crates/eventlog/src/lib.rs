#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

mod batch;
mod even;
mod even6;
mod file;
mod log;
mod publisher;
mod resume;
mod types;
#[cfg(windows)]
mod winevt;

pub use batch::{Batch, BatchReader, ReadEvent, Visitor};
pub use even::LegacyServerLog;
pub use even6::ServerLog;
pub use file::FileLog;
pub use log::{Batches, BoxFuture, Detail, EventLog, LogInfo};
pub use publisher::{EventMetadata, Publisher, Rendering};
pub use quarry_even::wire::EventDescriptor;
pub use quarry_event::filter::Strength;
pub use types::{
    Bookmark, BookmarkEntry, Cursor, Damage, Direction, FileDamage, Hole, LogError, LogName,
    MAX_LOGS, Query, ReadOptions, RecordId, Start, Subscription,
};
#[cfg(windows)]
pub use winevt::LocalLog;
