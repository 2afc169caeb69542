//! The trait, and what its methods take and give.

use std::pin::Pin;

use quarry_event::EventTime;
use quarry_event::filter::Filter;

pub use quarry_even::{Bookmark, BookmarkEntry};

use crate::batch::Batch;
use crate::damage::Damage;
use crate::error::LogError;

/// A future that an object-safe method gives.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The name of a log or channel.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LogName(pub String);

impl LogName {
    /// The name of the log that a file was saved from: Windows writes `/` as `%4` in a file's name.
    pub fn of_file(path: &std::path::Path) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        LogName(stem.replace("%4", "/"))
    }
}

impl std::fmt::Display for LogName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for LogName {
    fn from(name: &str) -> Self {
        LogName(name.to_owned())
    }
}

/// An event log, or a source of several.
pub trait EventLog: Send + Sync {
    /// The source's name, as an event's identity has it: a path, or a server's address.
    fn source(&self) -> &str;

    /// How many calls can be under way at once; more may wait for each other.
    fn calls_at_once(&self) -> usize {
        1
    }

    /// The logs that the source has.
    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>>;

    /// How many records a log has, and from when to when.
    fn info<'a>(&'a self, log: &'a LogName) -> BoxFuture<'a, Result<LogInfo, LogError>>;

    /// The records of some logs, as a stream of batches.
    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>>;

    /// New records as they come: batches that don't end, and are empty when nothing came for some
    /// time. Where records are gone that were still to come, it fails with
    /// [`LogError::Overwritten`].
    fn subscribe<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>>;
}

/// What to subscribe to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Subscription {
    /// The logs, at least one and at most [`MAX_LOGS`].
    pub logs: Vec<LogName>,
    /// What is wanted, as in [`Query::filter`].
    pub filter: Filter,
    /// Where to begin.
    pub start: Start,
}

/// Where a subscription begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// With the records to come.
    #[default]
    Now,
    /// With the oldest.
    Oldest,
    /// Behind a bookmark. Fails with [`LogError::Overwritten`] if the record there is gone.
    After(Bookmark),
    /// Behind a bookmark, or with what is left there.
    AfterOrLater(Bookmark),
}

/// A stream of batches.
pub trait Batches: Send {
    /// The next batch; nothing at the end. A batch may be empty: the source lives, and searches
    /// on. After an error there is no more.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>>;

    /// How many bytes the next batch will probably hold, for those who have to keep to a budget.
    fn expected_bytes(&self) -> usize {
        0
    }

    /// Where the last batch ended; [`Query::after`] goes on there. Nothing before the first
    /// record, or where a source has no bookmarks.
    fn bookmark(&self) -> Option<&Bookmark> {
        None
    }

    /// Whether the source leaves out records that don't match, so that the bookmark stays behind
    /// however many of those there are.
    fn is_filtered(&self) -> bool {
        false
    }

    /// Tells the source that no more is wanted, where it would otherwise keep something.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What to read, and which way.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    /// The logs, at least one and at most [`MAX_LOGS`]. Several are read as one, in the source's
    /// order; if one of them can't be read, none is.
    pub logs: Vec<LogName>,
    /// The order.
    pub direction: Direction,
    /// What is wanted. A source may use it to send less, and never leaves out what passes; what
    /// comes has to be tested all the same.
    pub filter: Filter,
    /// How many of the records that pass are wanted, where there is a limit. More may come.
    pub limit: Option<u64>,
    /// The record behind which to begin: what [`Batches::bookmark`] gave for the same query.
    pub after: Option<Bookmark>,
}

/// The most logs of one query: MS-EVEN6 has room for 512 selects, and a filter becomes up to 8.
pub const MAX_LOGS: usize = 64;

impl Query {
    /// All records of a log.
    pub fn new(log: LogName, direction: Direction) -> Self {
        Query { logs: vec![log], direction, ..Query::default() }
    }
}

/// The order of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// The oldest first.
    #[default]
    Forward,
    /// The newest first.
    Backward,
}

/// What is known of a log as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogInfo {
    /// How many records there are.
    pub records: u64,
    /// The time of the oldest event: for a file the earliest, for a server that of its first
    /// record.
    pub oldest: Option<EventTime>,
    /// The time of the newest event, likewise.
    pub newest: Option<EventTime>,
    /// What of the log can't be read.
    pub damage: Vec<Damage>,
}
