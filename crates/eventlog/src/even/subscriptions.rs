//! New records of a log as they come. The protocol can tell a program on the server's own machine
//! only, so the log is asked for its ends again and again.

use std::time::Duration;

use super::{EvenLog, Opened, record};
use crate::batch::Batch;
use crate::log::{Batches, BoxFuture, EventLog as _};
use crate::types::{Bookmark, Direction, LogError, LogName, Query, Start, Subscription};

/// How often a log is asked.
const PAUSE: Duration = Duration::from_millis(500);

/// The records of a log after a bookmark, and those to come.
pub(super) struct PollingBatches {
    server: EvenLog,
    log: LogName,
    filter: quarry_event::filter::Filter,
    bookmark: Option<Bookmark>,
    /// Whether it ends where records after the bookmark are gone.
    is_strict: bool,
    /// What there was when the log was asked last.
    reading: Option<Box<dyn Batches>>,
}

impl PollingBatches {
    pub(super) async fn open(
        server: EvenLog,
        subscription: &Subscription,
    ) -> Result<Self, LogError> {
        let [log] = &*subscription.logs else {
            return Err(LogError::HowManyLogs(subscription.logs.len()));
        };
        let opened = server.open(log).await?;
        let is_another = match &subscription.start {
            Start::After(bookmark) if !is_gone(bookmark, &opened) => {
                is_another(&server, log, &opened, bookmark).await
            }
            _ => Ok(false),
        };
        opened.close(&server.client).await;
        if is_another? {
            return Err(LogError::Recreated);
        }
        let at = |number: u32| Bookmark::single(log.clone(), u64::from(number));
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
            let is_new = match (opened.newest(), self.last()) {
                (None, _) => false,
                (Some(newest), last) => last != Some(newest),
            };
            let is_gone = self.bookmark.as_ref().is_some_and(|last| is_gone(last, &opened));
            let is_another = match self.bookmark.as_ref().filter(|_| is_new && !is_gone) {
                Some(last) => is_another(&self.server, &self.log, &opened, last).await,
                None => Ok(false),
            };
            opened.close(&self.server.client).await;
            match (is_another?, is_gone) {
                (true, _) => return Err(LogError::Recreated),
                (false, true) if self.is_strict => return Err(LogError::Overwritten),
                _ => {}
            }
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
    Some(bookmark.current()?.cursor.record.0 as u32)
}

/// Whether the log has another record under a bookmark's number.
async fn is_another(
    server: &EvenLog,
    log: &LogName,
    opened: &Opened,
    bookmark: &Bookmark,
) -> Result<bool, LogError> {
    let (Some(entry), Some(number)) = (bookmark.current(), number(bookmark)) else {
        return Ok(false);
    };
    if entry.cursor.time.is_none() {
        return Ok(false);
    }
    let time = |record: quarry_logfile::classic::ClassicRecord<'_>| record.time_generated();
    let time = record(&server.client, log, opened.handle, number, time).await?;
    Ok(entry.cursor.is_another(time))
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
