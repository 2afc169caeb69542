//! An event log you can open, wherever it is.
//!
//! [`EventLog`] is the one trait behind which sources look the same. A query gives [`Batches`]: a
//! stream of [`Batch`]es, which hold events as they came, undecoded. A [`BatchReader`] decodes
//! one, and hands each event to a [`Visitor`] as a [`FieldSource`](quarry_event::FieldSource), so
//! that what doesn't match is never rendered.
//!
//! Fetching batches and decoding them are apart because they want different things: fetching
//! waits for a disk or a server, decoding wants cores. [`pool::in_order`] is the second half: it
//! decodes on all cores, and gives the results in the order of the batches.
#![forbid(unsafe_code)]

mod batch;
mod damage;
mod error;
mod file;
mod follower;
mod legacy;
#[cfg(windows)]
mod local;
mod log;
pub mod pool;
mod recovery;
mod server;

pub use batch::{Batch, BatchReader, ReadEvent, Visitor};
pub use damage::{Damage, FileDamage};
pub use error::LogError;
pub use file::FileLog;
pub use legacy::LegacyServerLog;
#[cfg(windows)]
pub use local::LocalLog;
pub use log::{
    Batches, Bookmark, BookmarkEntry, BoxFuture, Direction, EventLog, LogInfo, LogName, MAX_LOGS,
    Query, Start, Subscription,
};
pub use server::{ReadOptions, ServerLog};
