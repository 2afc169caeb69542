//! The trait, and what its methods take and give.

use std::pin::Pin;

use quarry_event::EventTime;
use quarry_logfile::Damage;

use crate::batch::Batch;

/// A future that an object-safe method gives.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The name of a log or channel.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LogName(pub String);

impl std::fmt::Display for LogName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event log, or a source of several.
pub trait EventLog: Send + Sync {
    /// The source's name, as an event's identity has it: a path, or a server's address.
    fn source(&self) -> &str;

    /// The logs that the source has.
    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>>;

    /// How many records a log has, and from when to when.
    fn info<'a>(&'a self, log: &'a LogName) -> BoxFuture<'a, Result<LogInfo, LogError>>;

    /// The records of a log, as a stream of batches.
    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>>;
}

/// A stream of batches.
pub trait Batches: Send {
    /// The next batch; nothing at the end.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>>;
}

/// What to read, and which way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// The log.
    pub log: LogName,
    /// The order.
    pub direction: Direction,
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
    /// The earliest time of an event.
    pub oldest: Option<EventTime>,
    /// The latest time of an event.
    pub newest: Option<EventTime>,
    /// What of the log can't be read.
    pub damage: Vec<Damage>,
}

/// Why a log can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A file that can't be opened as a log.
    #[error(transparent)]
    Open(#[from] quarry_logfile::OpenError),
    /// There is no such log at the source.
    #[error("there is no log {0} here")]
    NoSuchLog(LogName),
}
