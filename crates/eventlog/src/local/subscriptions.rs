//! A pull subscription: records that are there, and new ones as they come.

use std::sync::Arc;
use std::time::Duration;

use quarry_even::{BookmarkEntry, Win32Error};
use quarry_winevt::{Error, Next, Signal, Start as From, Subscription as Handle};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::batch::expected_bytes;
use super::queries::{is_batch_too_large, take};
use super::{Places, blocking, drop_elsewhere, native};
use crate::batch::Batch;
use crate::damage::Damage;
use crate::error::LogError;
use crate::log::{Batches, Bookmark, BoxFuture, Direction, LogName, Start, Subscription};
use crate::server::position::Position;
use crate::server::recovery::{MAX_SKIPPED, PAUSE};
use crate::server::size::BatchSize;
use crate::server::{QueryText, ReadOptions};

/// The batches of a subscription. They don't end; one is empty when nothing came for
/// [`ReadOptions::idle_heartbeat`].
pub(super) struct LocalSubscription {
    /// On its way while records are fetched; gone after an error.
    following: Option<Box<Following>>,
    /// Told when there is something to fetch.
    signal: Arc<Notify>,
    heartbeat: Duration,
    bookmark: Option<Bookmark>,
    is_filtered: bool,
    expected_bytes: usize,
}

impl LocalSubscription {
    pub(super) async fn open(
        subscription: Subscription,
        options: ReadOptions,
    ) -> Result<Self, LogError> {
        let signal = Arc::new(Notify::new());
        let told = Arc::clone(&signal);
        let following = blocking(move || Following::open(subscription, options, told)).await?;
        Ok(LocalSubscription {
            signal,
            heartbeat: options.idle_heartbeat,
            bookmark: following.position.bookmark().cloned(),
            is_filtered: following.text.filters,
            expected_bytes: following.size.expected_bytes(),
            following: Some(Box::new(following)),
        })
    }

    async fn next_batch(&mut self) -> Option<Result<Batch, LogError>> {
        let due = Instant::now() + self.heartbeat;
        loop {
            let mut following = self.following.take()?;
            let (following, next) = blocking(move || {
                let next = following.next_batch();
                (following, next)
            })
            .await;
            self.bookmark = following.position.bookmark().cloned();
            self.expected_bytes = following.size.expected_bytes();
            if next.is_ok() {
                self.following = Some(following);
            }
            if let Some(next) = next.transpose() {
                return Some(next);
            }
            // A signal from before is kept, so that none is missed between.
            if tokio::time::timeout_at(due, self.signal.notified()).await.is_err() {
                return Some(Ok(Batch::empty()));
            }
        }
    }
}

impl Batches for LocalSubscription {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(self.next_batch())
    }

    fn expected_bytes(&self) -> usize {
        self.expected_bytes
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        self.bookmark.as_ref()
    }

    fn is_filtered(&self) -> bool {
        self.is_filtered
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let following = self.following.take();
        Box::pin(blocking(move || drop(following)))
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        drop_elsewhere(self.following.take());
    }
}

/// A subscription that is open.
struct Following {
    text: QueryText,
    start: Start,
    asked: Vec<LogName>,
    signal: Arc<Notify>,
    handle: Handle,
    places: Places,
    position: Position,
    /// How long a call may search.
    wait: Duration,
    size: BatchSize,
    resumed: bool,
    /// What is to be told before the next records.
    damage: Vec<Damage>,
    /// Records that were too large, since the last that came.
    skipped: u32,
}

impl Following {
    fn open(
        subscription: Subscription,
        options: ReadOptions,
        signal: Arc<Notify>,
    ) -> Result<Self, LogError> {
        let Subscription { logs, filter, start } = subscription;
        // Before it begins, so that nothing is lost between.
        let now = match start {
            Start::Now => last_records(&logs)?,
            _ => None,
        };
        let mut text = QueryText::new(&logs, &filter);
        let handle = match register(&text, &logs, &start, &signal) {
            Err(error) if error.is_query_refused() && text.filters => {
                text = QueryText::everything(&logs);
                register(&text, &logs, &start, &signal)?
            }
            registered => registered?,
        };
        let places = Places::new(handle.channels(), &logs)?;
        let after = match &start {
            Start::After(bookmark) | Start::AfterOrLater(bookmark) => Some(bookmark),
            Start::Now => now.as_ref(),
            Start::Oldest => None,
        };
        Ok(Following {
            position: Position::new(places.logs.clone(), Direction::Forward, after),
            resumed: after.is_some() && now.is_none(),
            text,
            start,
            asked: logs,
            signal,
            handle,
            places,
            wait: options.heartbeat,
            size: BatchSize::new(options.batch_bytes),
            damage: Vec::new(),
            skipped: 0,
        })
    }

    /// The records that are there; nothing if there are none yet.
    fn next_batch(&mut self) -> Result<Option<Batch>, LogError> {
        loop {
            if !self.damage.is_empty() {
                return Ok(Some(Batch::damage(std::mem::take(&mut self.damage))));
            }
            let (asked, count) = (std::time::Instant::now(), self.size.count());
            match self.handle.next(count, self.wait) {
                Ok(Next::Events(events)) => {
                    self.size.succeeded(events.len(), expected_bytes(events.len()));
                    let resumed = std::mem::take(&mut self.resumed);
                    let batch = take(&mut self.places, &mut self.position, events, resumed)?;
                    if let Some(batch) = batch {
                        self.skipped = 0;
                        return Ok(Some(batch));
                    }
                }
                Ok(Next::End) => return Ok(None),
                // It searches on. There may be records, and no signal any more that tells.
                Ok(Next::TimedOut) => {
                    self.size.waited();
                    std::thread::sleep(PAUSE.saturating_sub(asked.elapsed()));
                    return Ok(Some(Batch::empty()));
                }
                Err(error) if is_batch_too_large(&error) => self.ask_for_less(error, count)?,
                Err(error) => return Err(LogError::of_local(error, &self.asked[0])),
            }
        }
    }

    /// The position has moved past records that never came: these are asked for again, fewer at
    /// once. A single one that is too large is told of, and behind it goes on.
    fn ask_for_less(&mut self, error: Error, asked: u32) -> Result<(), LogError> {
        if self.size.halve(asked) {
            return self.subscribe_again();
        }
        self.skipped += 1;
        if self.skipped > MAX_SKIPPED {
            return Err(error.into());
        }
        let (log, after) = self.position.last();
        self.damage.push(Damage::TooLarge { log, after });
        Ok(())
    }

    /// Behind the last record that came.
    fn subscribe_again(&mut self) -> Result<(), LogError> {
        let start = match (self.position.bookmark(), &self.start) {
            (Some(bookmark), Start::AfterOrLater(_)) => Start::AfterOrLater(bookmark.clone()),
            (Some(bookmark), _) => Start::After(bookmark.clone()),
            // There was nothing at all: what is the oldest now, came since.
            (None, Start::Now) => Start::Oldest,
            (None, start) => start.clone(),
        };
        self.handle = register(&self.text, &self.asked, &start, &self.signal)?;
        self.resumed = true;
        Ok(())
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
        entries.extend(info.newest().map(|record_id| BookmarkEntry {
            channel: log.0.clone(),
            record_id,
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
