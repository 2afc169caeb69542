//! New records of a log as they come. The protocol can tell a program on the server's own machine
//! only, so the log is asked for its ends again and again.

use std::time::Duration;

use super::{LegacyServerLog, Opened};
use crate::batch::Batch;
use crate::error::LogError;
use crate::log::{
    Batches, Bookmark, BoxFuture, Direction, EventLog as _, LogName, Query, Start, Subscription,
};

/// How often a log is asked.
const PAUSE: Duration = Duration::from_millis(500);

/// The records of a log behind a bookmark, and those to come.
pub(super) struct PollingBatches {
    server: LegacyServerLog,
    log: LogName,
    filter: quarry_event::filter::Filter,
    bookmark: Option<Bookmark>,
    /// Whether it ends where records behind the bookmark are gone.
    is_strict: bool,
    /// What there was when the log was asked last.
    reading: Option<Box<dyn Batches>>,
}

impl PollingBatches {
    pub(super) async fn open(
        server: LegacyServerLog,
        subscription: &Subscription,
    ) -> Result<Self, LogError> {
        let [log] = &*subscription.logs else {
            return Err(LogError::HowManyLogs(subscription.logs.len()));
        };
        let opened = server.open(log).await?;
        opened.close(&server.client).await;
        let at = |number: u32| Bookmark::single(log.0.clone(), number.into());
        let bookmark = match &subscription.start {
            // The record before the first, where there is none yet.
            Start::Now => Some(at(opened.newest().unwrap_or(0))),
            Start::Oldest => None,
            Start::After(bookmark) if is_gone(bookmark, &opened) => {
                return Err(LogError::Overwritten);
            }
            Start::After(bookmark) | Start::AfterOrLater(bookmark) => Some(bookmark.clone()),
        };
        let (log, filter) = (log.clone(), subscription.filter.clone());
        let is_strict = !matches!(subscription.start, Start::AfterOrLater(_));
        Ok(PollingBatches { server, log, filter, bookmark, is_strict, reading: None })
    }

    async fn next_batch(&mut self) -> Result<Batch, LogError> {
        if self.reading.is_none() {
            let opened = Opened::new(&self.server.client, &self.log).await?;
            opened.close(&self.server.client).await;
            if self.is_strict && self.bookmark.as_ref().is_some_and(|last| is_gone(last, &opened)) {
                return Err(LogError::Overwritten);
            }
            let is_new = match (opened.newest(), self.last()) {
                (None, _) => false,
                (Some(newest), last) => last != Some(newest),
            };
            if !is_new {
                tokio::time::sleep(PAUSE).await;
                return Ok(Batch::empty());
            }
            let query = Query {
                logs: vec![self.log.clone()],
                direction: Direction::Forward,
                filter: self.filter.clone(),
                limit: None,
                after: self.bookmark.clone(),
            };
            self.reading = Some(self.server.query(&query).await?);
        }
        let Some(reading) = &mut self.reading else { return Ok(Batch::empty()) };
        match reading.next().await.transpose()? {
            // The log was overtaken while it was read.
            Some(batch) if self.is_strict && batch.tells_overwritten() => {
                Err(LogError::Overwritten)
            }
            Some(batch) => {
                self.bookmark = reading.bookmark().cloned().or(self.bookmark.take());
                self.is_strict |= batch.records() > 0;
                Ok(batch)
            }
            None => {
                if let Some(reading) = self.reading.take() {
                    reading.close().await;
                }
                tokio::time::sleep(PAUSE).await;
                Ok(Batch::empty())
            }
        }
    }

    /// The number of the last record that came. It has 32 bits, and wraps.
    fn last(&self) -> Option<u32> {
        number(self.bookmark.as_ref()?)
    }
}

impl Batches for PollingBatches {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(async { Some(self.next_batch().await) })
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        self.bookmark.as_ref()
    }
}

fn number(bookmark: &Bookmark) -> Option<u32> {
    let entry = bookmark.entries.iter().find(|entry| entry.is_current)?;
    Some(entry.record_id as u32)
}

/// Whether a bookmark's record is neither in a log nor just before it.
fn is_gone(bookmark: &Bookmark, opened: &Opened) -> bool {
    match (number(bookmark), opened.newest()) {
        // How far it is from the place before the oldest record.
        (Some(number), Some(_)) => {
            let before = opened.oldest.wrapping_sub(1);
            number.wrapping_sub(before) > opened.records
        }
        _ => false,
    }
}
