//! A pull subscription: records that are there, and new ones as they come.

use std::sync::Arc;
use std::time::Duration;

use quarry_even::Win32Error;
use quarry_winevt::{Next, ResultSet, SeekFrom, Signal, Start as From, Subscription as Handle};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::queries::is_batch_too_large;
use super::records::Records;
use super::{OnThreads, blocking, native, nonsense};
use crate::resume::{Answer, Ladder, QueryText, Rest, ResumingSubscription, SubscriptionCursor};
use crate::types::{
    Bookmark, BookmarkEntry, Cursor, Direction, LogError, LogName, ReadOptions, Start,
    Subscription, is_nowhere,
};

/// How long to wait at least before Windows is asked again that searches.
const PAUSE: Duration = Duration::from_millis(100);

/// Begins a subscription, with as much of its filter as Windows takes.
pub(super) async fn open(
    subscription: &Subscription,
    options: ReadOptions,
) -> Result<ResumingSubscription<PullCursor>, LogError> {
    let Subscription { logs, filter, start } = subscription.clone();
    let signal = Arc::new(Notify::new());
    let mut ladder = Ladder::new(&logs, &filter);
    let (told, begin, asked) = (Arc::clone(&signal), start.clone(), logs.clone());
    let (open, text, last) = blocking(move || {
        // Before it begins, so that nothing is lost between.
        let last = match begin {
            Start::Now => last_records(&asked)?,
            _ => None,
        };
        let handle = loop {
            match register(ladder.text(), &asked, &begin, &told) {
                Ok(handle) => break handle,
                Err(error) => ladder.step_down(error)?,
            }
        };
        let mut records = Records::new(handle.channels(), &asked)?;
        // Only now: a log that is recreated from here on ends the subscription.
        if let Start::After(bookmark) = &begin {
            for entry in &bookmark.entries {
                if is_another(entry, &mut records, options.heartbeat)? {
                    return Err(LogError::Recreated);
                }
            }
        }
        Ok((Open { handle, records, is_searching: false }, ladder.into_text(), last))
    })
    .await?;
    let names = open.records.logs().to_vec();
    let cursor = PullCursor {
        open: OnThreads::new(open),
        signal,
        text: text.clone(),
        asked: logs,
        wait: options.heartbeat,
        heartbeat: options.idle_heartbeat,
        asked_at: Instant::now(),
    };
    Ok(ResumingSubscription::new(cursor, text, names, &start, last.as_ref(), options))
}

/// A subscription that Windows has open.
pub(super) struct PullCursor {
    open: OnThreads<Open>,
    /// Notified when there is something to fetch.
    signal: Arc<Notify>,
    text: QueryText,
    asked: Vec<LogName>,
    /// How long a call may search.
    wait: Duration,
    heartbeat: Duration,
    /// When Windows was last asked.
    asked_at: Instant,
}

struct Open {
    handle: Handle,
    records: Records,
    /// Windows searches on: there may be records, and no signal any more.
    is_searching: bool,
}

impl SubscriptionCursor for PullCursor {
    async fn next(&mut self, count: u32) -> Result<Answer, LogError> {
        self.asked_at = Instant::now();
        let (wait, log) = (self.wait, self.asked[0].clone());
        self.open
            .call(move |open| {
                open.is_searching = false;
                match open.handle.next(count, wait) {
                    Ok(Next::Events(events)) => open.records.answer(events),
                    Ok(Next::End) => Ok(Answer::End),
                    Ok(Next::TimedOut) => {
                        open.is_searching = true;
                        Ok(Answer::Searching)
                    }
                    Err(error) if is_batch_too_large(&error) => {
                        Ok(Answer::TooLarge(LogError::of_local(error, &log)))
                    }
                    Err(error) => Err(LogError::of_local(error, &log)),
                }
            })
            .await
    }

    async fn rest(&mut self, begun: Instant) -> Rest {
        if self.open.get().is_some_and(|open| open.is_searching) {
            tokio::time::sleep_until(self.asked_at + PAUSE).await;
            return Rest::Heartbeat;
        }
        // A signal from before is kept, so that none is missed between.
        match tokio::time::timeout_at(begun + self.heartbeat, self.signal.notified()).await {
            Ok(()) => Rest::AskAgain,
            Err(_) => Rest::Heartbeat,
        }
    }

    async fn reopen(&mut self, after: Option<&Bookmark>, is_strict: bool) -> Result<(), LogError> {
        let start = match (after.cloned(), is_strict) {
            (Some(bookmark), true) => Start::After(bookmark),
            (Some(bookmark), false) => Start::AfterOrLater(bookmark),
            (None, _) => Start::Oldest,
        };
        let (text, asked, told) = (self.text.clone(), self.asked.clone(), self.signal.clone());
        self.open
            .call(move |open| {
                open.handle = register(&text, &asked, &start, &told)?;
                Ok(())
            })
            .await
    }

    async fn close(self) {
        self.open.close().await;
    }

    fn nonsense(&self, what: &'static str) -> LogError {
        nonsense(what)
    }
}

/// Whether a log has another record than a bookmark's under its number.
fn is_another(
    entry: &BookmarkEntry,
    records: &mut Records,
    wait: Duration,
) -> Result<bool, LogError> {
    if entry.cursor.time.is_none() {
        return Ok(false);
    }
    let fail = |error| LogError::of_local(error, &entry.log);
    let mut results = ResultSet::query(Some(&entry.log.0), "*", false).map_err(fail)?;
    let bookmark = Bookmark::single(entry.log.clone(), entry.cursor);
    let bookmark = native(&bookmark, Direction::Forward)?;
    match results.seek(SeekFrom::Bookmark(&bookmark, 0, true)) {
        Ok(()) => {}
        Err(error) if is_nowhere(error.status().map(Win32Error)) => return Ok(false),
        Err(error) => return Err(fail(error)),
    }
    match results.next(1, wait) {
        Ok(Next::Events(events)) => match &*events {
            [event, ..] if records.place(event)?.record == entry.cursor.record => {
                Ok(entry.cursor.is_another(records.time(event)))
            }
            _ => Ok(false),
        },
        Ok(Next::End | Next::TimedOut) => Ok(false),
        Err(error) if is_batch_too_large(&error) => Ok(false),
        Err(error) => Err(fail(error)),
    }
}

/// A bookmark on the last record of each log, where there is one.
fn last_records(logs: &[LogName]) -> Result<Option<Bookmark>, LogError> {
    let mut entries = Vec::new();
    for log in logs {
        let info = quarry_winevt::LogInfo::of_channel(&log.0)
            .map_err(|error| LogError::of_local(error, log))?;
        if info.records != Some(0) && info.newest().is_none() {
            return Err(LogError::DirectLog(log.clone()));
        }
        entries.extend(info.newest().map(|newest| BookmarkEntry {
            log: log.clone(),
            cursor: Cursor::at(newest),
            is_current: false,
        }));
    }
    let Some(first) = entries.first_mut() else { return Ok(None) };
    first.is_current = true;
    Ok(Some(Bookmark { entries }))
}

fn register(
    text: &QueryText,
    logs: &[LogName],
    start: &Start,
    told: &Arc<Notify>,
) -> Result<Handle, LogError> {
    let bookmark = match start {
        Start::After(bookmark) | Start::AfterOrLater(bookmark) => {
            Some(native(bookmark, Direction::Forward)?)
        }
        Start::Now | Start::Oldest => None,
    };
    let from = match (start, &bookmark) {
        (Start::After(_), Some(bookmark)) => From::After(bookmark, true),
        (Start::AfterOrLater(_), Some(bookmark)) => From::After(bookmark, false),
        (Start::Oldest, _) => From::Oldest,
        _ => From::Now,
    };
    let told = Arc::clone(told);
    let signal = Signal::new(move || told.notify_one())?;
    Handle::begin(text.path.as_deref(), &text.query, from, signal).map_err(|error| {
        match error.status().map(Win32Error) {
            Some(Win32Error::NOT_FOUND) => LogError::Overwritten,
            _ => LogError::of_local(error, &logs[0]),
        }
    })
}
