//! Where the reading of each log goes on.
//!
//! A source's *bookmark* is what it gives to go on within a run. A *cursor* is what is kept from
//! run to run: up to which record a log was read, and that handed on. It moves when a sink has
//! acknowledged what it stands for, never before.

mod file;

use std::path::PathBuf;
use std::sync::Arc;

use quarry_eventlog::{Cursor, LogName};

pub use file::FileCursors;

/// A cursor, and the log that it is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogCursor {
    /// The source's address, which numbers are only good for: a server has others by each protocol.
    pub source: String,
    /// The log.
    pub log: LogName,
    /// The last record that isn't wanted again.
    pub cursor: Cursor,
}

/// Keeps cursors from run to run.
pub trait CursorStore {
    /// Where each log goes on.
    fn cursors(&self) -> Arc<quarry_fleet::Cursors>;

    /// Moves a cursor: a sink has taken everything up to it. Nothing is saved yet.
    fn acknowledge(&mut self, cursor: LogCursor);

    /// Saves the cursors. When this is called, the sink has made durable what they stand for.
    ///
    /// # Errors
    /// [`CursorError`] if they can't be saved; what was saved before is still there.
    fn save(&mut self) -> Result<(), CursorError>;
}

/// Why cursors can't be read or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// Another process uses the file.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The cursor file, as it was named.
        path: PathBuf,
        /// The lock file, which says who has it.
        lock: PathBuf,
    },
    /// The lock can't be had.
    #[error("{}: {error}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        error: quarry_lock::Error,
    },
    /// The file is a folder, a pipe or a device.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file has other names, which saving would not replace.
    #[error("{} has more names than one (hard links)", .0.display())]
    Linked(PathBuf),
    /// The file is larger than a cursor file can be.
    #[error("{} is too large for a cursor file", .0.display())]
    TooLarge(PathBuf),
    /// The file holds something else.
    #[error("{} is not a cursor file", .0.display())]
    NotCursors(PathBuf),
    /// The file can't be opened, read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The cursor file, as it was named.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A store of another kind has failed.
    #[error(transparent)]
    Store(Box<dyn std::error::Error + Send + Sync>),
}
