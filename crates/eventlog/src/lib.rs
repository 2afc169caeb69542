#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

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
pub use even::EvenLog;
pub use even6::Even6Log;
pub use file::FileLog;
pub use log::{Batches, BoxFuture, Detail, EventLog, LogInfo};
pub use publisher::{EventMetadata, Publisher, Rendering};
pub use quarry_even::wire::EventDescriptor;
pub use quarry_event::filter::Strength;
pub use quarry_logfile::OpenError;
pub use types::{
    Bookmark, BookmarkEntry, Cursor, Damage, Direction, FileDamage, Hole, LogError, LogName,
    MAX_LOGS, Query, ReadOptions, RecordId, Start, Subscription,
};
#[cfg(windows)]
pub use winevt::LocalLog;
