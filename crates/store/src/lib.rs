#![doc = include_str!("../README.md")]
//!
//! # How
//!
//! A [`Rows`] turns events into rows, an `Appender` puts rows into the table, and anybody asks the
//! table in SQL: through this crate, where rows are seen once they are synced, or through any engine that
//! reads Delta Lake, where they are seen once they are committed.
//!
//! * **Exactly once.** A commit holds data files and, for each log of a source, how far it has been
//!   read: a Delta `txn` action. A commit goes through only if each of these is still what its
//!   writer believes ("the fence", `commit`). So two who follow one log never store a record twice.
//! * **Durable.** Rows are in a synced write-ahead log before they are acknowledged, and a commit's
//!   data files are synced before it (`wal`, `disk`).
//! * **Open.** The columns are in [`schema`]; the statistics in the log are those that queries of
//!   events need.
//!
//! No type of `deltalake` or DataFusion stands in a signature here; of Arrow only batches of rows.
#![forbid(unsafe_code)]

mod answer;
mod appender;
mod ask;
mod bookmarks;
mod bounded;
mod check;
mod checkpoint;
mod commit;
mod computed;
mod counts;
mod disk;
mod error;
mod event;
mod export;
mod facts;
mod files;
mod grams;
mod maintain;
mod members;
mod memory;
mod options;
mod order;
mod predicate;
mod probe;
mod rows;
pub mod schema;
mod session;
mod shape;
mod sql;
mod storage;
mod table;
mod tail;
mod tally;
mod through;
mod view;
mod wal;

pub use answer::{Answer, Format, WriteError};
pub use appender::{Appender, Flushed, Waiting};
pub use ask::{Ask, Page, Place};
pub use bookmarks::{Bookmark, Move};
pub use check::Damage;
pub use deltalake::arrow::record_batch::RecordBatch;
pub use error::{Cause, StoreError};
pub use event::StoredEvent;
pub use export::Export;
pub use maintain::Leftover;
pub use members::{DEAD, Member, Membership, RENEW, owner};
#[doc(hidden)]
pub use options::WrapStorage;
pub use options::{Options, Policy, Report, Writers};
pub use predicate::{Access, Whence};
pub use rows::{EventMeta, Notice, NoticeKind, Rows};
pub use session::Limits;
pub use storage::check_address;
pub use table::Store;
pub use tally::{By, Histogram, Top};
