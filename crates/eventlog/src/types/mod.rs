//! The terms that the other layers share: names of logs, places in them, what is asked for, and
//! what went wrong. Nothing here reads a log.

mod bookmark;
mod damage;
mod error;
mod query;

pub use bookmark::{Bookmark, BookmarkEntry, Cursor};
pub use damage::{Damage, FileDamage, Hole};
pub use error::LogError;
pub(crate) use error::is_nowhere;
pub use quarry_event::RecordId;
pub(crate) use query::check_logs;
pub use query::{Direction, LogName, MAX_LOGS, Query, ReadOptions, Start, Subscription};
