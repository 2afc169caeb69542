//! A query that goes on after a batch that is too large, a gap, and a lost position.

use std::time::Duration;

use quarry_event::filter::Strength;
use tokio::time::Instant;

use super::cursor::{Answer, Fetched, ResultCursor, SeekTo, Sought};
use super::ladder::QueryText;
use super::position::Position;
use super::recovery::{MAX_EMPTY, PAUSE, Recovery};
use super::size::BatchSize;
use crate::batch::Batch;
use crate::log::{Batches, BoxFuture};
use crate::types::{Bookmark, LogError, LogName, Query, ReadOptions};

/// The records of a query.
pub(crate) struct ResumingQuery<C> {
    cursor: C,
    strength: Strength,
    position: Position,
    size: BatchSize,
    /// Records that are still wanted.
    wanted: Option<u64>,
    recovery: Recovery,
    /// What comes after the holes that were just reported, and the bookmark before it.
    ready: Option<(Batch, Option<Bookmark>)>,
    /// When there was progress, not counting the time in which nobody asked.
    progressed: Instant,
    /// When somebody asked last.
    asked: Instant,
    /// How long there may be no progress.
    patience: Duration,
    end: Option<End>,
}

/// How reading ended, which is reported after what is missing.
enum End {
    Reached,
    Failed(LogError),
}

impl<C: ResultCursor> ResumingQuery<C> {
    /// For a query that was opened with `text`, whose result set has the logs `logs`.
    ///
    /// # Errors
    /// [`LogError`]: the source couldn't go to the query's bookmark.
    pub(crate) async fn begin(
        cursor: C,
        query: &Query,
        text: &QueryText,
        logs: Vec<LogName>,
        options: ReadOptions,
    ) -> Result<Self, LogError> {
        let mut batches = ResumingQuery {
            cursor,
            strength: text.strength,
            position: Position::new(logs, query.direction, query.after.as_ref()),
            size: BatchSize::new(options.batch_bytes),
            wanted: query.limit.filter(|_| text.is_exact),
            recovery: Recovery::default(),
            ready: None,
            progressed: Instant::now(),
            asked: Instant::now(),
            patience: options.progress,
            end: None,
        };
        if let Some(after) = &query.after {
            batches.seek_bookmark(after).await?;
        }
        Ok(batches)
    }

    async fn next_batch(&mut self) -> Option<Result<Batch, LogError>> {
        if let Some((batch, _)) = self.ready.take() {
            return Some(Ok(batch));
        }
        if self.end.is_none() {
            self.progressed += self.asked.elapsed();
            let fetched = self.fetch().await;
            self.asked = Instant::now();
            match fetched {
                Ok(Some(batch)) => return Some(Ok(batch)),
                Ok(None) => self.end = Some(End::Reached),
                Err(error) => self.end = Some(End::Failed(error)),
            }
        }
        if let Some(holes) = self.recovery.missing.take(&self.position, None) {
            return Some(Ok(holes));
        }
        match self.end.replace(End::Reached) {
            Some(End::Failed(error)) => Some(Err(error)),
            _ => None,
        }
    }

    /// The next batch; an empty one as a sign of life, and none at the end.
    async fn fetch(&mut self) -> Result<Option<Batch>, LogError> {
        let mut empty = 0;
        loop {
            if self.wanted == Some(0) {
                return Ok(None);
            }
            let wanted = u32::try_from(self.wanted.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
            let count = wanted.min(self.size.count());
            let asked = Instant::now();
            match self.cursor.next(count).await? {
                Answer::End => return Ok(None),
                Answer::Records(fetched) => {
                    if fetched.places.is_empty() {
                        pause(asked).await;
                    } else if let Some(batch) = self.take(fetched).await? {
                        self.progressed = Instant::now();
                        return Ok(Some(batch));
                    }
                    empty += 1;
                    if empty > MAX_EMPTY {
                        return Err(self.cursor.no_answer());
                    }
                }
                Answer::Searching => {
                    self.size.waited();
                    pause(asked).await;
                    if self.progressed.elapsed() >= self.patience {
                        return Err(LogError::NoProgress(self.patience));
                    }
                    return Ok(Some(Batch::empty()));
                }
                // The position has moved past records that never came.
                Answer::TooLarge(error) => {
                    if self.size.halve(count) {
                        self.reopen(error).await?;
                        if let Some(bookmark) = self.position.bookmark().cloned() {
                            self.seek_bookmark(&bookmark).await?;
                        }
                    } else if !self.skip_one(error).await? {
                        return Ok(None);
                    }
                }
                // What is left of the log is read, and the gap reported.
                Answer::Stale(error) => {
                    self.reopen(error).await?;
                    self.recovery.missing.is_overwritten = true;
                    if let Some(bookmark) = self.position.bookmark().cloned() {
                        self.seek_near(&bookmark).await?;
                    }
                }
            }
        }
    }

    async fn take(&mut self, fetched: Fetched) -> Result<Option<Batch>, LogError> {
        let resumed = std::mem::take(&mut self.recovery.resumed);
        if resumed && self.position.is_another(&fetched) {
            return self.begin_anew().await;
        }
        let (records, bytes) = (fetched.places.len(), fetched.batch.bytes());
        let before = self.position.clone();
        let advanced = self.position.advance(fetched, resumed);
        let advanced = advanced.map_err(|what| self.cursor.nonsense(what))?;
        let Some((batch, first)) = advanced else { return Ok(None) };
        self.size.succeeded(records, bytes);
        self.recovery.came();
        if let Some(wanted) = &mut self.wanted {
            *wanted = wanted.saturating_sub(batch.records());
        }
        match self.recovery.missing.take(&before, Some(first)) {
            Some(holes) => {
                self.ready = Some((batch, before.bookmark().cloned()));
                Ok(Some(holes))
            }
            None => Ok(Some(batch)),
        }
    }

    /// Goes to the beginning of a log whose numbers began again: what was read of it was another
    /// log's.
    async fn begin_anew(&mut self) -> Result<Option<Batch>, LogError> {
        if !self.recovery.may_begin_anew() {
            return Err(LogError::Recreated);
        }
        let holes = {
            self.recovery.missing.is_overwritten = true;
            self.recovery.missing.take(&self.position, None)
        };
        if self.position.only_log_forwards().is_some() {
            self.position.forget();
            self.cursor.seek(SeekTo::First(0)).await?;
        } else {
            self.recovery.resumed = true;
            if let Some(bookmark) = self.position.bookmark().cloned() {
                self.position.trust();
                self.cursor.seek(SeekTo::Near(&bookmark)).await?;
            }
        }
        Ok(holes)
    }

    /// Opens the query again, at its beginning.
    async fn reopen(&mut self, error: LogError) -> Result<(), LogError> {
        match self.recovery.may_reopen() {
            true => self.cursor.reopen().await,
            false => Err(error),
        }
    }

    /// Goes to the record of the bookmark, which then comes again: past the last record there
    /// is no place to go to strictly.
    async fn seek_bookmark(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.resumed = true;
        match self.cursor.seek(SeekTo::Exactly(bookmark, 0)).await? {
            Sought::Found => Ok(()),
            Sought::Nowhere => self.pass_gap(bookmark).await,
        }
    }

    /// Reads what is left of a log that the bookmark's record is gone from.
    async fn pass_gap(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.missing.is_overwritten = true;
        self.seek_near(bookmark).await
    }

    /// Goes to the bookmark's record, or to what is left after it.
    async fn seek_near(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.resumed = true;
        self.recovery.counts_from_first = self.is_before_first(bookmark).await?;
        // What "near" means outside of the log's bounds, sources need not agree upon.
        if self.recovery.counts_from_first
            || self.cursor.seek(SeekTo::Near(bookmark)).await? == Sought::Nowhere
        {
            self.cursor.seek(SeekTo::First(0)).await?;
        }
        Ok(())
    }

    /// Whether all that is left of the log is after the bookmark.
    async fn is_before_first(&mut self, bookmark: &Bookmark) -> Result<bool, LogError> {
        let Some(log) = self.position.only_log_forwards() else { return Ok(false) };
        let [entry] = &*bookmark.entries else { return Ok(false) };
        let oldest = self.cursor.oldest(log).await?;
        Ok(oldest.is_some_and(|oldest| oldest > entry.cursor.record))
    }

    /// Goes past the record that can't be sent, and those before it that couldn't. False if there
    /// is none after it.
    async fn skip_one(&mut self, error: LogError) -> Result<bool, LogError> {
        if !self.recovery.may_skip() {
            return Err(error);
        }
        self.reopen(error.clone()).await?;
        let bookmark = self.recovery.counted_from(&self.position);
        if let Some(bookmark) = &bookmark
            && self.cursor.seek(SeekTo::Exactly(bookmark, 0)).await? == Sought::Nowhere
        {
            // It is gone meanwhile, and with it the place that is counted from.
            if !self.recovery.count_anew() {
                return Err(error);
            }
            self.pass_gap(bookmark).await?;
            return Ok(true);
        }
        let place = self.recovery.skip(bookmark.as_ref());
        self.progressed = Instant::now();
        let to = match &bookmark {
            Some(bookmark) => SeekTo::Exactly(bookmark, place),
            None => SeekTo::First(place),
        };
        Ok(self.cursor.seek(to).await? == Sought::Found)
    }
}

impl<C: ResultCursor + 'static> Batches for ResumingQuery<C> {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(self.next_batch())
    }

    fn expected_bytes(&self) -> usize {
        self.size.expected_bytes()
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        match &self.ready {
            Some((_, before)) => before.as_ref(),
            None => self.position.bookmark(),
        }
    }

    fn strength(&self) -> Strength {
        self.strength
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.cursor.close())
    }
}

/// Waits a little when a source had nothing and didn't take its time to say so.
pub(super) async fn pause(asked: Instant) {
    if asked.elapsed() < PAUSE {
        tokio::time::sleep_until(asked + PAUSE).await;
    }
}
