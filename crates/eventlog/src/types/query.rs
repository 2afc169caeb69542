//! What is asked of a log, and how.

use std::time::Duration;

use quarry_event::filter::Filter;

use super::{Bookmark, LogError};

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

impl From<String> for LogName {
    fn from(name: String) -> Self {
        LogName(name)
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
    /// The record after which to begin: what [`Batches::bookmark`](crate::Batches::bookmark) gave
    /// for the same query.
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
#[non_exhaustive]
pub enum Start {
    /// With the records to come.
    #[default]
    Now,
    /// With the oldest.
    Oldest,
    /// After a bookmark. Fails with [`LogError::Overwritten`] if the record there is gone, and
    /// with [`LogError::Recreated`] if another record has its number.
    After(Bookmark),
    /// After a bookmark, or with what is left there.
    AfterOrLater(Bookmark),
}

/// How a live source is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The time-out that calls carry. A server that has found nothing by then says so, which
    /// shows that it lives; so it has to be well below the silence that ends a connection.
    pub heartbeat: Duration,
    /// The same of subscriptions, which mostly have nothing to say: the longer, the less an idle
    /// log costs, and the later it shows that a server is gone.
    pub idle_heartbeat: Duration,
    /// How many bytes a batch should have. Larger ones cost fewer round trips, smaller ones less
    /// memory.
    pub batch_bytes: usize,
    /// How long a query may go without a record, however often the server answers that it searches
    /// on. Subscriptions may be idle for ever.
    pub progress: Duration,
}

impl Default for ReadOptions {
    /// 5 s, 20 s for subscriptions, 512 KiB, and 15 minutes without progress.
    fn default() -> Self {
        ReadOptions {
            heartbeat: Duration::from_secs(5),
            idle_heartbeat: Duration::from_secs(20),
            batch_bytes: 512 << 10,
            progress: Duration::from_secs(15 * 60),
        }
    }
}

impl ReadOptions {
    /// Sets [`ReadOptions::heartbeat`].
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// Sets [`ReadOptions::idle_heartbeat`].
    #[must_use]
    pub fn idle_heartbeat(mut self, heartbeat: Duration) -> Self {
        self.idle_heartbeat = heartbeat;
        self
    }

    /// Sets [`ReadOptions::batch_bytes`].
    #[must_use]
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// Sets [`ReadOptions::progress`].
    #[must_use]
    pub fn progress(mut self, progress: Duration) -> Self {
        self.progress = progress;
        self
    }
}

pub(crate) fn check_logs(logs: &[LogName]) -> Result<(), LogError> {
    match logs.len() {
        1..=MAX_LOGS => Ok(()),
        many => Err(LogError::HowManyLogs(many)),
    }
}
