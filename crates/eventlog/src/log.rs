//! The trait that every source of events implements, and the stream that a query gives.

use std::pin::Pin;

use quarry_event::EventTime;
use quarry_event::filter::Strength;

use crate::batch::Batch;
use crate::publisher::Publisher;
use crate::types::{Bookmark, Damage, LogError, LogName, Query, Subscription};

/// A future that an object-safe method gives.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An event log, or a source of several.
pub trait EventLog: Send + Sync {
    /// The source's name, as an event's identity has it: a path, or a server's address.
    fn source(&self) -> &str;

    /// How many calls can be under way at once; more may wait for each other.
    fn calls_at_once(&self) -> usize {
        1
    }

    /// The logs that the source has.
    ///
    /// # Errors
    /// [`LogError`]: the source didn't answer, or refused.
    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>>;

    /// The version of the source's system, where it says it: `10.0.20348`. It can say anything.
    fn build(&self) -> Option<String> {
        None
    }

    /// Whether the source can be asked for message text.
    fn has_messages(&self) -> bool {
        false
    }

    /// The names of the publishers that the source knows.
    ///
    /// # Errors
    /// [`LogError::NoMessages`] where it can't be asked, or that the source didn't answer.
    fn publishers(&self) -> BoxFuture<'_, Result<Vec<String>, LogError>> {
        Box::pin(std::future::ready(Err(LogError::NoMessages)))
    }

    /// Opens what the source knows of a publisher, with texts in a language (LCID), or in the
    /// source's own where it lacks that one. `None` where it doesn't know the publisher.
    ///
    /// # Errors
    /// As [`publishers`](Self::publishers).
    fn publisher<'a>(
        &'a self,
        name: &'a str,
        locale: u32,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Publisher>>, LogError>> {
        let _ = (name, locale);
        Box::pin(std::future::ready(Err(LogError::NoMessages)))
    }

    /// How many records a log has and from when to when, and the details of it that are asked for.
    ///
    /// # Errors
    /// [`LogError::NoSuchLog`], [`LogError::AccessDenied`], or that the source didn't answer.
    fn info<'a>(
        &'a self,
        log: &'a LogName,
        detail: Detail,
    ) -> BoxFuture<'a, Result<LogInfo, LogError>>;

    /// The records of some logs, as a stream of batches.
    ///
    /// # Errors
    /// [`LogError::HowManyLogs`], [`LogError::NoSuchLog`], [`LogError::AccessDenied`],
    /// [`LogError::DirectLog`] of a log that can't be read in this direction,
    /// [`LogError::QueryRefused`] if not even a query without a filter is taken, or that the source
    /// didn't answer.
    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>>;

    /// New records as they come: batches that don't end, and are empty when nothing came for some
    /// time. Where records are gone that were still to come, the stream fails with
    /// [`LogError::Overwritten`].
    ///
    /// # Errors
    /// As [`query`](Self::query), and [`LogError::Overwritten`] or [`LogError::Recreated`] at
    /// [`Start::After`](crate::Start::After).
    fn subscribe<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>>;
}

/// A stream of batches.
pub trait Batches: Send {
    /// The next batch; nothing at the end. A batch may be empty: the source lives, and searches
    /// on. After an error there is no more.
    ///
    /// # Errors
    /// [`LogError`], as the item of a stream that it ends: [`LogError::NoProgress`],
    /// [`LogError::Overwritten`], what makes no sense, or a connection that is lost.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>>;

    /// How many bytes the next batch will probably hold, for those who have to keep to a budget.
    fn expected_bytes(&self) -> usize {
        0
    }

    /// Whether more records may be there already, as far as the last batch tells: it had as many as were
    /// asked for.
    fn may_have_more(&self) -> bool {
        true
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

    /// How much of the filter the source takes. It is less than [`Strength::Filter`] where the
    /// source refused the query, and was asked for more than the filter passes.
    fn strength(&self) -> Strength {
        Strength::Filter
    }

    /// Tells the source that no more is wanted, where it would otherwise keep something.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// How much is asked of a log as a whole. What is more costs a server more calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[non_exhaustive]
pub enum Detail {
    /// How many records there are, and from when to when.
    #[default]
    Records,
    /// The size of its file too, and whether it is enabled.
    Properties,
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
    /// The size of its file in bytes, where it is asked for and the source tells it.
    pub size: Option<u64>,
    /// Whether events are written to it, where it is asked for and the source tells it.
    pub enabled: Option<bool>,
    /// What of the log can't be read.
    pub damage: Vec<Damage>,
}
