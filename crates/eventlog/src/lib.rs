//! An event log you can open, wherever it is.
//!
//! [`EventLog`] is the one trait behind which sources look the same. A query gives [`Batches`]: a
//! stream of [`Batch`]es, which hold events as they came, undecoded. A [`BatchReader`] decodes
//! one, and hands each event to a [`Visitor`] as a [`FieldSource`](quarry_event::FieldSource), so
//! that what doesn't match is never rendered.
//!
//! Fetching batches and decoding them are apart because they want different things: fetching
//! waits for a disk or a server, decoding wants cores.
#![forbid(unsafe_code)]

mod batch;
mod even;
mod even6;
mod file;
mod log;
mod resume;
mod types;
#[cfg(windows)]
mod winevt;

pub use batch::{Batch, BatchReader, ReadEvent, Visitor};
pub use even::LegacyServerLog;
pub use even6::ServerLog;
pub use file::FileLog;
pub use log::{Batches, BoxFuture, EventLog, LogInfo};
pub use quarry_event::filter::Selection;
pub use types::{
    Bookmark, BookmarkEntry, Cursor, Damage, Direction, FileDamage, Hole, LogError, LogName,
    MAX_LOGS, Query, ReadOptions, RecordId, Start, Subscription,
};
#[cfg(windows)]
pub use winevt::LocalLog;
