//! This machine's logs as an [`EventLog`], through the Windows Event Log API.
//!
//! The API is called, and queries and subscriptions are closed, on threads that may wait: the calls
//! for more for a bounded time, the others for as long as Windows takes. A batch holds the
//! events as Windows gives them, and they are rendered where batches are decoded. An event's log
//! and its number there are what the API's bookmark says of it: the event itself says where it was
//! written first, which differs where it was forwarded.

mod blocking;
mod queries;
mod records;
mod subscriptions;

use std::time::Duration;

use quarry_event::{EventTime, Field, FieldSource, RecordId};
use quarry_winevt::{Channels, Error, Next, RenderedEvent, Renderer, ResultSet};

use crate::batch::{BatchReader, Visitor};
use crate::log::{Batches, BoxFuture, Detail, EventLog, LogInfo};
use crate::types::{
    Bookmark, Damage, Direction, LogError, LogName, Query, ReadOptions, Subscription, check_logs,
};
use blocking::{OnThreads, blocking};

/// The most channels that are listed; Windows has somewhat over 1,000.
const MAX_CHANNELS: usize = 100_000;

/// How often a log is asked for one of its ends.
const MAX_TRIES: u32 = 3;

/// Subscriptions and queries at once. There is no connection that they would share.
const CALLS_AT_ONCE: usize = 4096;

/// This machine's logs.
#[derive(Clone, Debug)]
pub struct LocalLog {
    source: String,
    host: String,
    options: ReadOptions,
}

impl LocalLog {
    /// The logs of this machine. Its name in an event's identity is `winevt://` and what the
    /// machine is called: `.` would be every machine's.
    pub fn new(options: ReadOptions) -> Self {
        let host = quarry_winevt::computer_name().unwrap_or_default();
        let host = if host.is_empty() { "localhost".to_owned() } else { host };
        LocalLog { source: format!("winevt://{host}"), host, options }
    }

    /// What the machine is called: its full DNS name, as it stands in its events.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl EventLog for LocalLog {
    fn source(&self) -> &str {
        &self.source
    }

    fn calls_at_once(&self) -> usize {
        CALLS_AT_ONCE
    }

    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>> {
        Box::pin(blocking(|| {
            let names = Channels::open()?.take(MAX_CHANNELS).collect::<Result<Vec<_>, _>>()?;
            Ok(names.into_iter().map(LogName).collect())
        }))
    }

    fn info<'a>(&'a self, log: &'a LogName, _: Detail) -> BoxFuture<'a, Result<LogInfo, LogError>> {
        Box::pin(async move {
            let (asked, wait) = (log.clone(), self.options.heartbeat);
            match blocking(move || info(&asked, wait)).await? {
                Some(info) => Ok(info),
                None => count(log, self.options).await,
            }
        })
    }

    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            check_logs(&query.logs)?;
            let batches = queries::open(query, self.options).await?;
            Ok(Box::new(batches) as Box<dyn Batches>)
        })
    }

    fn subscribe<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            check_logs(&subscription.logs)?;
            let batches = subscriptions::open(subscription, self.options).await?;
            Ok(Box::new(batches) as Box<dyn Batches>)
        })
    }
}

/// What the API gave and can't be. The others of this machine's logs can be read all the same.
fn nonsense(what: &'static str) -> LogError {
    LogError::Local(Error::Nonsense { call: "EvtNext", what })
}

/// What Windows knows about a log; nothing of an analytic or debug log.
fn info(log: &LogName, wait: Duration) -> Result<Option<LogInfo>, LogError> {
    let fail = |error| LogError::of_local(error, log);
    let known = quarry_winevt::LogInfo::of_channel(&log.0).map_err(fail)?;
    let Some(records) = known.records else { return Ok(None) };
    if records == 0 {
        return Ok(Some(LogInfo::default()));
    }
    let oldest = end(log, false, wait)?;
    let newest = match end(log, true, wait) {
        // Analytic and debug logs have no backward.
        Err(LogError::DirectLog(_) | LogError::QueryRefused { .. }) => None,
        newest => newest?,
    };
    Ok(Some(LogInfo { records, oldest, newest, ..LogInfo::default() }))
}

/// Reads a log through, as far as it takes to know what there is.
async fn count(log: &LogName, options: ReadOptions) -> Result<LogInfo, LogError> {
    let query = Query::new(log.clone(), Direction::Forward);
    let mut batches = queries::open(&query, options).await?;
    let (mut reader, mut counted) = (BatchReader::default(), Counted::default());
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        (reader, counted) = blocking(move || {
            reader.read(&batch, &mut counted);
            (reader, counted)
        })
        .await;
    }
    Box::new(batches).close().await;
    Ok(counted.0)
}

#[derive(Default)]
struct Counted(LogInfo);

impl Visitor for Counted {
    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, _log_record: Option<RecordId>) {
        let time = event.field(Field::TimeCreated).as_time();
        self.0.records += 1;
        self.0.oldest = self.0.oldest.or(time);
        self.0.newest = time.or(self.0.newest);
    }

    fn damage(&mut self, damage: &Damage) {
        self.0.damage.push(damage.clone());
    }
}

/// The time of the first event in a direction.
fn end(log: &LogName, is_backward: bool, wait: Duration) -> Result<Option<EventTime>, LogError> {
    let fail = |error| LogError::of_local(error, log);
    let mut tries = 0;
    loop {
        tries += 1;
        let mut results = ResultSet::query(Some(&log.0), "*", is_backward).map_err(fail)?;
        match results.next(1, wait).map_err(fail) {
            // It is slow, or was cleared or has wrapped in between.
            Ok(Next::TimedOut) | Err(LogError::Overwritten) if tries < MAX_TRIES => {}
            Ok(Next::TimedOut | Next::End) => return Ok(None),
            Ok(Next::Events(events)) => {
                let Some(event) = events.first() else { return Ok(None) };
                let time = |event: &RenderedEvent<'_>| event.field(Field::TimeCreated).as_time();
                return Renderer::new()?.read(event, time).map_err(fail);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The API's bookmark for one of ours, as the API would have made it in a query of the direction.
fn native(bookmark: &Bookmark, direction: Direction) -> Result<quarry_winevt::Bookmark, LogError> {
    let xml = bookmark.to_xml();
    let xml = match direction {
        Direction::Forward => xml,
        Direction::Backward => {
            xml.replacen("<BookmarkList>", "<BookmarkList Direction='backward'>", 1)
        }
    };
    Ok(quarry_winevt::Bookmark::from_xml(&xml)?)
}
