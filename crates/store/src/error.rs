//! What can go wrong, and whose fault it is.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// An error of a library or of the storage behind it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store can't do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The address is none that a table can be at.
    #[error("`{url}` is no address of a table: {why}")]
    Address {
        /// The address as it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// An option for the storage isn't known or has no value that can be used.
    #[error("the storage option `{name}` can't be used: {why}")]
    StorageOption {
        /// The option.
        name: String,
        /// What is wrong with it. Never has the value, which may be a secret.
        why: String,
    },
    /// A name of a value of the data can't be a column.
    #[error("`{name}` can't be a column: {why}")]
    ColumnName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The storage failed: the network, the service, the credentials.
    #[error("cannot {doing} {path}: {cause}")]
    Storage {
        /// What was being done, as in "read".
        doing: &'static str,
        /// The file, from the table's folder on, or the table.
        path: String,
        /// What the storage said.
        cause: Cause,
    },
    /// The local disk failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Disk {
        /// What was being done, as in "write".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no table, and none may be made.
    #[error("there is no table at {url}")]
    NoTable {
        /// The address.
        url: String,
    },
    /// There is a table, but this crate didn't make it.
    #[error("the table at {url} is not one of events: {why}")]
    NotOurs {
        /// The address.
        url: String,
        /// What it lacks.
        why: String,
    },
    /// The table's layout is another version's.
    #[error("the table at {url} has layout {found}, and this program knows layout {known}")]
    Layout {
        /// The address.
        url: String,
        /// The table's.
        found: String,
        /// Ours.
        known: u32,
    },
    /// A file is not what it was written as: empty, cut, or changed.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file, from the table's folder on.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody else changed the table so that it has to be opened anew.
    #[error("the table was changed by somebody else: {why}; open it again")]
    Changed {
        /// What was changed.
        why: String,
    },
    /// Another process holds what only one may have.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The file can't be locked.
    #[error(transparent)]
    Lock(#[from] quarry_lock::Error),
    /// The storage doesn't keep one of several writers from writing over another's file.
    #[error(
        "the storage at {url} lets {winners} of {tried} create the same file, so a table there \
         can have one writer only"
    )]
    NoConditionalPut {
        /// The address.
        url: String,
        /// How many were told that they had created it.
        winners: usize,
        /// How many tried.
        tried: usize,
    },
    /// There is no write-ahead log that could be synced, since no folder was given for it: flush.
    #[error("there is no write-ahead log: no folder was given for it")]
    NoLog,
    /// The store was opened for reading.
    #[error("the table was opened for reading only")]
    ReadOnly,
    /// There is an appender already.
    #[error("this store has an appender already")]
    AppenderTaken,
    /// Rows were pushed for a log that the appender doesn't hold: it never took its source, gave it
    /// up, or lost it to another holder.
    #[error("the log {log} of {source_name} is not held by this appender; take its source first")]
    NotTaken {
        /// The source.
        source_name: String,
        /// The log.
        log: String,
    },
    /// A bookmark would go backwards: rows would be stored twice.
    #[error("the bookmark of the log {log} of {source_name} is at {at} and can't go back to {to}")]
    Backwards {
        /// The source.
        source_name: String,
        /// The log.
        log: String,
        /// Where it is.
        at: u64,
        /// Where it was to go.
        to: u64,
    },
    /// A record's number, or how often a log was created anew, is larger than a bookmark can hold.
    #[error("the bookmark of the log {log} of {source_name} can't hold {what}")]
    TooLarge {
        /// The source.
        source_name: String,
        /// The log.
        log: String,
        /// What is too large.
        what: String,
    },
    /// As many rows wait for their commit as may. Nothing of what was pushed was taken: flush, then
    /// push it again.
    #[error("{waiting} bytes wait to be committed; {most} may")]
    Full {
        /// Bytes that wait.
        waiting: usize,
        /// Bytes that may.
        most: usize,
    },
    /// Rows don't have the table's columns.
    #[error("these rows are not of this table: {why}")]
    Rows {
        /// What they lack.
        why: String,
    },
    /// Other writers were always faster, or the storage never answered.
    #[error("the commit didn't get through in {} seconds: {why}", after.as_secs())]
    Contended {
        /// How long it was tried.
        after: Duration,
        /// What kept it.
        why: String,
    },
    /// A statement can't be answered: it is wrong, or asks for what isn't allowed.
    #[error("{problem}")]
    Sql {
        /// What is wrong with it.
        problem: String,
    },
    /// A question takes more than it may.
    #[error("{what} {most}; ask for less, or allow more")]
    Limit {
        /// What is more than it may be.
        what: &'static str,
        /// What it may be.
        most: String,
    },
    /// The table's library failed.
    #[error("cannot {doing}: {cause}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        cause: Cause,
    },
}

impl StoreError {
    pub(crate) fn engine(doing: &'static str, cause: impl Into<Cause>) -> Self {
        StoreError::Engine { doing, cause: cause.into() }
    }

    pub(crate) fn storage(
        doing: &'static str,
        path: impl ToString,
        cause: impl Into<Cause>,
    ) -> Self {
        StoreError::Storage { doing, path: path.to_string(), cause: cause.into() }
    }

    pub(crate) fn disk(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        StoreError::Disk { doing, path: path.into(), source }
    }
}
