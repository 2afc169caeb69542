//! What is to be done: sources, and what is wanted of each.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use quarry_event::MessageSource;
use quarry_event::filter::{Filter, Glob, Matcher};
use quarry_eventlog::{Batch, BoxFuture, Cursor, Direction, EventLog, LogName};

use crate::source::Source;

/// A source's place, from 0, in the list that a scan, a question or a follower was begun with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub usize);

impl SourceId {
    /// The place, from 0.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A source, and what is wanted of it: a [`Request`] for a [`Scan`](crate::Scan), a
/// [`FollowRequest`] for a [`Follow`](crate::Follow). Sources of which the same is wanted share
/// one request.
pub struct Job<R = Request> {
    /// What is read.
    pub source: Arc<dyn Source>,
    /// What is wanted of it.
    pub request: Arc<R>,
    /// What its batches go through before they are reported.
    pub prepare: Option<Arc<dyn Prepare>>,
    /// What knows message text for its events: the last events that pass a search are chosen by
    /// it too.
    pub texts: Option<Arc<dyn MessageSource>>,
}

/// What the batches of a source go through before they are reported, such as a look at what has to
/// be fetched before they can be printed.
///
/// The source's next batch waits for it, and other sources don't. Whoever implements it bounds the
/// time that it takes.
pub trait Prepare: Send + Sync {
    /// Sees a batch of a source, which is open as `log`.
    fn prepare<'a>(&'a self, log: &'a dyn EventLog, batch: &'a Batch) -> BoxFuture<'a, ()>;
}

impl<R> Job<R> {
    /// A source, and what is wanted of it.
    pub fn new(source: Arc<dyn Source>, request: impl Into<Arc<R>>) -> Self {
        Job { source, request: request.into(), prepare: None, texts: None }
    }

    /// The same, and its batches go through something before they are reported.
    #[must_use]
    pub fn prepared(self, prepare: Option<Arc<dyn Prepare>>) -> Self {
        Job { prepare, ..self }
    }

    /// The same, with what knows message text for its events, if anything does.
    #[must_use]
    pub fn with_texts(self, texts: Option<Arc<dyn MessageSource>>) -> Self {
        Job { texts, ..self }
    }

    /// The same of each of some sources.
    pub fn each(
        sources: impl IntoIterator<Item = Arc<dyn Source>>,
        request: impl Into<Arc<R>>,
    ) -> Vec<Self> {
        let request = request.into();
        sources.into_iter().map(|source| Job::new(source, Arc::clone(&request))).collect()
    }
}

impl<R> Clone for Job<R> {
    fn clone(&self) -> Self {
        Job {
            source: Arc::clone(&self.source),
            request: Arc::clone(&self.request),
            prepare: self.prepare.clone(),
            texts: self.texts.clone(),
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, request) = (self.source.name(), &self.request);
        f.debug_struct("Job").field("source", &name).field("request", request).finish()
    }
}

/// What to read of a source, once.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Request {
    /// The logs, by name or glob; none for those that the source has by default. One that is
    /// named and can't be read is a failure of its source; one that a glob found and can't be read
    /// is left out and reported.
    pub logs: Vec<Glob>,
    /// The order of the records.
    pub direction: Direction,
    /// What is wanted. The source may send more: test what comes.
    pub filter: Filter,
    /// How many records are wanted, where there is a limit. More may come;
    /// [`Control::skip`](crate::Control::skip) ends a source.
    pub limit: Option<u64>,
}

impl Request {
    /// All records of the logs that the source has by default, the oldest first.
    pub fn new() -> Self {
        Request::default()
    }

    /// Sets the logs, by name or glob.
    pub fn logs(mut self, logs: impl Into<Vec<Glob>>) -> Self {
        self.logs = logs.into();
        self
    }

    /// Sets the order of the records.
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Sets which records are wanted.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets how many records are wanted; `None` for all.
    pub fn limit(mut self, limit: Option<u64>) -> Self {
        self.limit = limit;
        self
    }
}

/// Where the reading of each log goes on: the last record that is not wanted any more, by the
/// source's address and the log.
pub type Cursors = HashMap<(String, LogName), Cursor>;

/// What to follow of a source: its last records, and then the new ones. It has no direction and no
/// limit, which a [`Request`] has: records come in their order, and do not end.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct FollowRequest {
    /// The logs, as in [`Request`]; a glob is looked up when the source is opened.
    pub logs: Vec<Glob>,
    /// What is wanted. The source may send more: test what comes.
    pub filter: Filter,
    /// What tests it, to count the last records; nothing where all pass.
    pub matcher: Option<Matcher>,
    /// How many of the last records that pass come first, of a log without a cursor. At most
    /// [`MAX_LAST`](crate::MAX_LAST), or [`EVERY_RECORD`](crate::EVERY_RECORD) for all, those too
    /// that don't pass.
    pub last: u64,
    /// Where to go on. Those of other sources do no harm.
    pub cursors: Arc<Cursors>,
}

impl FollowRequest {
    /// All records that come from now on, of the logs that the source has by default.
    pub fn new() -> Self {
        FollowRequest::default()
    }

    /// Sets the logs, by name or glob.
    pub fn logs(mut self, logs: impl Into<Vec<Glob>>) -> Self {
        self.logs = logs.into();
        self
    }

    /// Sets which records are wanted, and what tests that here; `None` where all pass.
    pub fn filter(mut self, filter: Filter, matcher: Option<Matcher>) -> Self {
        (self.filter, self.matcher) = (filter, matcher);
        self
    }

    /// Sets how many of the last records come first.
    pub fn last(mut self, last: u64) -> Self {
        self.last = last;
        self
    }

    /// Sets where to go on.
    pub fn cursors(mut self, cursors: impl Into<Arc<Cursors>>) -> Self {
        self.cursors = cursors.into();
        self
    }
}

impl fmt::Debug for FollowRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FollowRequest { logs, filter, last, cursors, .. } = self;
        f.debug_struct("FollowRequest")
            .field("logs", logs)
            .field("filter", filter)
            .field("last", last)
            .field("cursors", &cursors.len())
            .finish_non_exhaustive()
    }
}
