//! What a source of result sets has to do: one call of its protocol a method.

use std::future::Future;

use quarry_event::EventTime;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::types::{Bookmark, LogError, LogName, RecordId};

/// A query's result set on a server or this machine.
pub(crate) trait ResultCursor: Send {
    /// Asks for at most `count` records.
    ///
    /// # Errors
    /// What [`Answer`] has no word for.
    fn next(&mut self, count: u32) -> impl Future<Output = Result<Answer, LogError>> + Send;

    /// Goes to a place.
    ///
    /// # Errors
    /// Any [`LogError`], but not that there is no such place.
    fn seek(&mut self, to: SeekTo<'_>) -> impl Future<Output = Result<Sought, LogError>> + Send;

    /// Opens the query again, at its beginning.
    ///
    /// # Errors
    /// Any [`LogError`].
    fn reopen(&mut self) -> impl Future<Output = Result<(), LogError>> + Send;

    /// The number of a log's oldest record, where the source knows it.
    ///
    /// # Errors
    /// Any [`LogError`].
    fn oldest(
        &mut self,
        log: &LogName,
    ) -> impl Future<Output = Result<Option<RecordId>, LogError>> + Send;

    /// Gives back what the source keeps for the query.
    fn close(self) -> impl Future<Output = ()> + Send;

    /// The error of a source that answers what can't be.
    fn nonsense(&self, what: &'static str) -> LogError {
        LogError::Nonsense(what)
    }

    /// The error of a source that answers with neither records nor an end, without searching.
    fn no_answer(&self) -> LogError {
        LogError::NotAnswered
    }
}

/// A subscription on a server or this machine.
pub(crate) trait SubscriptionCursor: Send {
    /// Asks for at most `count` records.
    ///
    /// # Errors
    /// What [`Answer`] has no word for.
    fn next(&mut self, count: u32) -> impl Future<Output = Result<Answer, LogError>> + Send;

    /// Waits after an answer without records; `begun` is when the batch was asked for.
    fn rest(&mut self, begun: Instant) -> impl Future<Output = Rest> + Send;

    /// Subscribes again, after a bookmark or else at the oldest record. Where the bookmark's record
    /// is gone, a strict one fails, and one that isn't begins with what is left.
    ///
    /// # Errors
    /// Any [`LogError`].
    fn reopen(
        &mut self,
        after: Option<&Bookmark>,
        is_strict: bool,
    ) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Gives back what the source keeps for the subscription.
    fn close(self) -> impl Future<Output = ()> + Send;

    /// The error of a source that answers what can't be.
    fn nonsense(&self, what: &'static str) -> LogError {
        LogError::Nonsense(what)
    }
}

/// What came of asking for more records.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Some records.
    Records(Fetched),
    /// None so far: the source searches on.
    Searching,
    /// There are no more; of a subscription, none yet.
    End,
    /// So many can't be sent at once, and the position has moved past them.
    TooLarge(LogError),
    /// The log was cleared or has wrapped past the position.
    Stale(LogError),
}

/// Records that came.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) batch: Batch,
    /// Where each record is from, in the batch's order.
    pub(crate) places: Vec<Place>,
    /// The times of the first and the last, where they have one.
    pub(crate) times: [Option<EventTime>; 2],
}

/// Where a record is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The log, by its place among those of the result set.
    pub(crate) log: usize,
    pub(crate) record: RecordId,
}

/// Where in a result set to go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SeekTo<'b> {
    /// So many records after the first, where there have to be so many; 0 is where an empty result
    /// set begins, too.
    First(u32),
    /// So many records after the bookmark's, which have to be there.
    Exactly(&'b Bookmark, u32),
    /// The bookmark's record, or what is left after it.
    Near(&'b Bookmark),
}

/// What became of a seek.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sought {
    Found,
    /// There is no such place.
    Nowhere,
}

/// Why a subscription's rest ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// There may be records now.
    #[cfg_attr(not(windows), allow(dead_code, reason = "servers wait for records themselves"))]
    AskAgain,
    /// It is time to show that the source is alive.
    Heartbeat,
}
