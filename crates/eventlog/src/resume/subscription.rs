//! A subscription that goes on after a batch that is too large.

use quarry_event::filter::Strength;
use tokio::time::Instant;

use super::cursor::{Answer, Rest, SubscriptionCursor};
use super::ladder::QueryText;
use super::position::Position;
use super::recovery::{MAX_EMPTY, MAX_SKIPPED, Missing};
use super::size::BatchSize;
use crate::batch::Batch;
use crate::log::{Batches, BoxFuture};
use crate::types::{Bookmark, Direction, LogError, LogName, ReadOptions, Start};

/// The batches of a subscription. They don't end; one is empty when nothing came for
/// [`ReadOptions::idle_heartbeat`].
pub(crate) struct ResumingSubscription<C> {
    cursor: C,
    text: QueryText,
    /// Whether it ends where records were overwritten before they came.
    is_strict: bool,
    position: Position,
    size: BatchSize,
    /// Whether the last answer had as many records as were asked for.
    is_full: bool,
    resumed: bool,
    missing: Missing,
    /// Records that were too large, since the last that came.
    skipped: u32,
    /// What comes after the hole that was just reported, and the bookmark before it.
    ready: Option<(Batch, Option<Bookmark>)>,
    /// That it failed, and why if that is still to be reported.
    failed: Option<Option<LogError>>,
}

impl<C: SubscriptionCursor> ResumingSubscription<C> {
    /// For a subscription that begins at `start`, or, from now on, after `last`: the last records
    /// that there were before it was made.
    pub(crate) fn new(
        cursor: C,
        text: QueryText,
        logs: Vec<LogName>,
        start: &Start,
        last: Option<&Bookmark>,
        options: ReadOptions,
    ) -> Self {
        let (after, resumed) = match start {
            Start::After(bookmark) | Start::AfterOrLater(bookmark) => (Some(bookmark), true),
            Start::Now => (last, false),
            Start::Oldest => (None, false),
        };
        ResumingSubscription {
            cursor,
            text,
            is_strict: !matches!(start, Start::AfterOrLater(_)),
            position: Position::new(logs, Direction::Forward, after),
            size: BatchSize::new(options.batch_bytes),
            is_full: true,
            resumed,
            missing: Missing::default(),
            skipped: 0,
            ready: None,
            failed: None,
        }
    }

    /// Waits for records, for at most a heartbeat.
    async fn next_batch(&mut self) -> Result<Batch, LogError> {
        if let Some((batch, _)) = self.ready.take() {
            return Ok(batch);
        }
        let begun = Instant::now();
        let mut repeated = 0;
        loop {
            let count = self.size.count();
            match self.cursor.next(count).await? {
                Answer::Records(fetched) if !fetched.places.is_empty() => {
                    let (records, bytes) = (fetched.places.len(), fetched.batch.bytes());
                    self.is_full = records >= count as usize;
                    let before = self.position.clone();
                    let resumed = std::mem::take(&mut self.resumed);
                    let advanced = self.position.advance(fetched, resumed);
                    match advanced.map_err(|what| self.cursor.nonsense(what))? {
                        Some((batch, first)) => {
                            self.size.succeeded(records, bytes);
                            self.skipped = 0;
                            let holes = self.missing.take(&before, Some(first));
                            return Ok(match holes {
                                Some(holes) => {
                                    self.ready = Some((batch, before.bookmark().cloned()));
                                    holes
                                }
                                None => batch,
                            });
                        }
                        None if repeated < MAX_EMPTY => repeated += 1,
                        None => return Err(self.cursor.nonsense("records that came already")),
                    }
                }
                Answer::Records(_) | Answer::Searching | Answer::End => {
                    self.size.waited();
                    // Whoever follows the log learns now what is missing.
                    if let Some(holes) = self.missing.take(&self.position, None) {
                        return Ok(holes);
                    }
                    if self.cursor.rest(begun).await == Rest::Heartbeat {
                        return Ok(Batch::empty());
                    }
                }
                Answer::TooLarge(error) => self.ask_for_less(error, count).await?,
                Answer::Stale(error) => return Err(error),
            }
        }
    }

    /// The position has moved past records that never came: these are asked for again, fewer at
    /// once. A single one that is too large is missing, and reading goes on after it.
    async fn ask_for_less(&mut self, error: LogError, asked: u32) -> Result<(), LogError> {
        if self.size.halve(asked) {
            self.resumed = true;
            return self.cursor.reopen(self.position.bookmark(), self.is_strict).await;
        }
        self.skipped += 1;
        if self.skipped > MAX_SKIPPED {
            return Err(error);
        }
        self.missing.too_large += 1;
        Ok(())
    }
}

impl<C: SubscriptionCursor + 'static> Batches for ResumingSubscription<C> {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(async {
            let next = match self.failed.take() {
                Some(None) => {
                    self.failed = Some(None);
                    return None;
                }
                Some(Some(error)) => Err(error),
                None => self.next_batch().await,
            };
            let Err(error) = next else { return Some(next) };
            // What is missing comes before the error.
            let holes = self.missing.take(&self.position, None);
            Some(match holes {
                Some(holes) => {
                    self.failed = Some(Some(error));
                    Ok(holes)
                }
                None => {
                    self.failed = Some(None);
                    Err(error)
                }
            })
        })
    }

    fn expected_bytes(&self) -> usize {
        self.size.expected_bytes()
    }

    fn may_have_more(&self) -> bool {
        self.ready.is_some() || self.is_full
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        match &self.ready {
            Some((_, before)) => before.as_ref(),
            None => self.position.bookmark(),
        }
    }

    fn is_filtered(&self) -> bool {
        self.text.filters
    }

    fn strength(&self) -> Strength {
        self.text.strength
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.cursor.close())
    }
}
