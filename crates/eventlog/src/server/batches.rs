//! A query's records as batches (3.1.4.12 to 3.1.4.14).

use std::sync::Arc;

use quarry_even::wire::{EventBatch, LogQueryHandle, OperationControlHandle};
use quarry_even::{
    Bookmark, EventClient, Next, QueryFlags, RegisteredQuery, SeekFlags, Win32Error,
};
use tokio::time::Instant;

use super::position::Position;
use super::recovery::{MAX_EMPTY, PAUSE, Recovery, Sought};
use super::size::BatchSize;
use super::{QueryText, ReadOptions, direction_flag, result_logs};
use crate::batch::Batch;
use crate::error::{LogError, is_nowhere};
use crate::log::{Batches, BoxFuture, LogName, Query};

/// The records of a query on a server.
pub(super) struct QueryBatches {
    client: EventClient,
    options: ReadOptions,
    query: Query,
    text: QueryText,
    opened: Opened,
    logs: Arc<[LogName]>,
    position: Position,
    size: BatchSize,
    /// Records that are wanted still.
    wanted: Option<u64>,
    recovery: Recovery,
    ended: bool,
}

/// The server's handles for a query.
#[derive(Clone, Copy, Debug)]
struct Opened {
    handle: LogQueryHandle,
    control: OperationControlHandle,
}

impl QueryBatches {
    pub(super) async fn open(
        client: EventClient,
        options: ReadOptions,
        query: Query,
    ) -> Result<Self, LogError> {
        let mut text = QueryText::new(&query.logs, &query.filter);
        let registered = match register(&client, &text, &query).await {
            // Better to read too much than nothing: what comes is tested.
            Err(error) if error.is_query_refused() && text.filters => {
                text = QueryText::everything(&query.logs);
                register(&client, &text, &query).await?
            }
            registered => registered?,
        };
        let opened = Opened { handle: registered.handle, control: registered.control };
        let logs = result_logs(&registered.channels, &query.logs);
        let position = Position::new(logs.clone(), query.direction, query.after.as_ref());
        let mut batches = QueryBatches {
            client,
            options,
            wanted: query.limit.filter(|_| text.exact),
            size: BatchSize::new(options.batch_bytes),
            text,
            opened,
            logs: logs.into(),
            position,
            recovery: Recovery::default(),
            ended: false,
            query,
        };
        if let Some(after) = batches.query.after.clone() {
            batches.seek_bookmark(&after).await?;
        }
        Ok(batches)
    }

    async fn next_batch(&mut self) -> Result<Option<Batch>, LogError> {
        let mut empty = 0;
        loop {
            if let Some(damage) = self.recovery.take_damage() {
                return Ok(Some(damage));
            }
            if self.ended {
                return Ok(None);
            }
            let wanted = self.wanted.unwrap_or(u64::MAX).max(1);
            let count = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.size.count());
            let asked = Instant::now();
            let next = self.client.query_next(self.opened.handle, count, self.options.heartbeat);
            match next.await {
                Ok(Next::End) => self.ended = true,
                Ok(Next::Events(batch) | Next::TimedOut(batch)) if !batch.is_empty() => {
                    if let Some(batch) = self.take(batch)? {
                        return Ok(Some(batch));
                    }
                }
                // A heartbeat: nothing found yet.
                Ok(Next::TimedOut(_)) => {
                    self.size.waited();
                    pause(asked).await;
                    return Ok(Some(Batch::empty()));
                }
                Ok(Next::Events(_)) => {
                    empty += 1;
                    if empty > MAX_EMPTY {
                        return Err(LogError::NotAnswered);
                    }
                    pause(asked).await;
                }
                // The position has moved past records that never came.
                Err(error) if error.is_batch_too_large() => self.ask_for_less(error, count).await?,
                Err(error) if is_stale(&error) => self.go_on_behind_gap(error).await?,
                Err(error) => return Err(LogError::of_log(error, &self.query.logs[0])),
            }
        }
    }

    fn take(&mut self, batch: EventBatch) -> Result<Option<Batch>, LogError> {
        let (records, bytes) = (batch.len(), batch.buffer().len());
        let batch = self.position.advance(batch, std::mem::take(&mut self.recovery.resumed))?;
        self.size.succeeded(records, bytes);
        if batch.is_empty() {
            return Ok(None);
        }
        self.recovery.came();
        if let Some(wanted) = &mut self.wanted {
            *wanted = wanted.saturating_sub(batch.len() as u64);
            self.ended = *wanted == 0;
        }
        Ok(Some(Batch::wire(batch, Arc::clone(&self.logs))))
    }

    /// Opens the query again behind the last record that came, to ask for fewer; a record that
    /// is too large by itself is skipped and told of.
    async fn ask_for_less(
        &mut self,
        error: quarry_even::Error,
        asked: u32,
    ) -> Result<(), LogError> {
        if !self.size.halve(asked) {
            return self.skip_one(error).await;
        }
        self.open_again(error).await?;
        match self.position.bookmark().cloned() {
            Some(bookmark) => self.seek_bookmark(&bookmark).await,
            None => Ok(()),
        }
    }

    /// Opens the query again when the log was cleared, or has wrapped past the position. What is
    /// left of it is read, and the gap told.
    async fn go_on_behind_gap(&mut self, error: quarry_even::Error) -> Result<(), LogError> {
        self.open_again(error).await?;
        self.recovery.tell_gap(&self.position);
        match self.position.bookmark().cloned() {
            Some(bookmark) => self.seek_near(&bookmark).await,
            None => Ok(()),
        }
    }

    /// Opens the query again, at its beginning.
    async fn open_again(&mut self, error: quarry_even::Error) -> Result<(), LogError> {
        if !self.recovery.may_reopen() {
            return Err(LogError::of_log(error, &self.query.logs[0]));
        }
        self.release().await;
        let registered = register(&self.client, &self.text, &self.query).await?;
        self.opened = Opened { handle: registered.handle, control: registered.control };
        Ok(())
    }

    /// Goes to the record of the bookmark, which then comes again: behind the last record there
    /// is no place to go to strictly.
    async fn seek_bookmark(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.resumed = true;
        match self.seek_strictly(0, Some(bookmark)).await? {
            Sought::Found => Ok(()),
            Sought::Nowhere => self.pass_gap(bookmark).await,
        }
    }

    /// Tells that the record of the bookmark is gone, and reads what is left of the log.
    async fn pass_gap(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.tell_gap(&self.position);
        self.seek_near(bookmark).await
    }

    /// Goes to the bookmark's record, or to what is left behind it.
    async fn seek_near(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.resumed = true;
        let first = SeekFlags::RELATIVE_TO_FIRST;
        self.recovery.counts_from_first = self.is_before_first(bookmark).await?;
        let sought = match self.recovery.counts_from_first {
            // What "near" means outside of the log's bounds, servers need not agree upon.
            true => self.seek(0, None, first).await,
            false => match self.seek(0, Some(bookmark), SeekFlags::RELATIVE_TO_BOOKMARK).await {
                Err(error) if is_nowhere(error.status()) => self.seek(0, None, first).await,
                sought => sought,
            },
        };
        sought.map_err(|error| LogError::of_log(error, &self.query.logs[0]))
    }

    /// Whether all that is left of the log is behind the bookmark.
    async fn is_before_first(&self, bookmark: &Bookmark) -> Result<bool, LogError> {
        let Some(log) = self.position.only_log_forwards() else { return Ok(false) };
        let [entry] = &*bookmark.entries else { return Ok(false) };
        let oldest = super::info::oldest(&self.client, log).await?;
        Ok(oldest.is_some_and(|oldest| oldest > entry.record_id))
    }

    /// Goes past the record that can't be sent, and those before it that couldn't, if there is
    /// another behind it.
    async fn skip_one(&mut self, error: quarry_even::Error) -> Result<(), LogError> {
        if !self.recovery.may_skip() {
            return Err(error.into());
        }
        self.open_again(error.clone()).await?;
        let bookmark = self.recovery.counted_from(&self.position);
        if let Some(bookmark) = &bookmark
            && self.seek_strictly(0, Some(bookmark)).await? == Sought::Nowhere
        {
            // It is gone meanwhile, and with it the place that is counted from.
            if !self.recovery.count_anew() {
                return Err(LogError::of_log(error, &self.query.logs[0]));
            }
            return self.pass_gap(bookmark).await;
        }
        let place = self.recovery.skip(&self.position, bookmark.as_ref());
        let sought = self.seek_strictly(place, bookmark.as_ref()).await?;
        self.ended = sought == Sought::Nowhere;
        Ok(())
    }

    /// Goes to a place that has to be there: so many records behind a bookmark's, or behind the
    /// first.
    async fn seek_strictly(
        &self,
        position: i64,
        bookmark: Option<&Bookmark>,
    ) -> Result<Sought, LogError> {
        let from = match bookmark {
            Some(_) => SeekFlags::RELATIVE_TO_BOOKMARK,
            None => SeekFlags::RELATIVE_TO_FIRST,
        };
        match self.seek(position, bookmark, from | SeekFlags::STRICT).await {
            Ok(()) => Ok(Sought::Found),
            Err(error) if is_nowhere(error.status()) => Ok(Sought::Nowhere),
            Err(error) => Err(LogError::of_log(error, &self.query.logs[0])),
        }
    }

    async fn seek(
        &self,
        position: i64,
        bookmark: Option<&Bookmark>,
        flags: SeekFlags,
    ) -> quarry_even::Result<()> {
        let bookmark = bookmark.map(Bookmark::to_xml);
        self.client.query_seek(self.opened.handle, position, bookmark.as_deref(), flags).await
    }

    /// Gives the handles back. That this fails is of no consequence: they go with the connection.
    async fn release(&self) {
        let Opened { handle, control } = self.opened;
        let _ = tokio::join!(self.client.close(handle.into()), self.client.close(control.into()));
    }
}

impl Batches for QueryBatches {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(async {
            let next = self.next_batch().await;
            if next.is_err() {
                self.ended = true;
                self.recovery.take_damage();
            }
            next.transpose()
        })
    }

    fn expected_bytes(&self) -> usize {
        self.size.expected_bytes()
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        self.position.bookmark()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.release().await })
    }
}

async fn register(
    client: &EventClient,
    text: &QueryText,
    query: &Query,
) -> Result<RegisteredQuery, LogError> {
    let flags = QueryFlags::CHANNEL_PATH | direction_flag(query.direction);
    let registered = client.register_log_query(text.path.as_deref(), &text.query, flags).await;
    let registered = registered.map_err(|error| LogError::of_log(error, &query.logs[0]))?;
    check_channels(&registered.channels, &query.logs)?;
    Ok(registered)
}

/// The log was cleared or has wrapped, and the query's position is gone with it (3.1.4.13).
fn is_stale(error: &quarry_even::Error) -> bool {
    matches!(
        error.status(),
        Some(Win32Error::EVT_QUERY_RESULT_STALE | Win32Error::EVT_QUERY_RESULT_INVALID_POSITION)
    )
}

/// Fails when a channel takes no part: its events would be missing unnoticed.
pub(super) fn check_channels(
    channels: &[quarry_even::wire::ChannelInfo],
    logs: &[LogName],
) -> Result<(), LogError> {
    let Some(channel) = channels.iter().find(|channel| !channel.status.is_success()) else {
        return Ok(());
    };
    let log = channel.name.as_ref().map_or(logs[0].clone(), |name| LogName(name.to_string()));
    let (operation, info) = (quarry_even::Opnum::RegisterLogQuery, Default::default());
    let status: Win32Error = channel.status;
    Err(LogError::of_log(quarry_even::Error::Status { operation, status, info }, &log))
}

/// Waits a little when a server had nothing and didn't take its time to say so.
async fn pause(asked: Instant) {
    if asked.elapsed() < PAUSE {
        tokio::time::sleep_until(asked + PAUSE).await;
    }
}
