//! A query's records as batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quarry_even::Win32Error;
use quarry_winevt::{Error, Next, ResultSet, SeekFrom};

use super::batch::{LocalBatch, expected_bytes};
use super::{Places, blocking, drop_elsewhere, native, nonsense};
use crate::batch::Batch;
use crate::error::{LogError, is_nowhere};
use crate::log::{Batches, Bookmark, BoxFuture, Direction, Query};
use crate::server::position::Position;
use crate::server::recovery::{MAX_EMPTY, PAUSE, Recovery, Sought};
use crate::server::size::BatchSize;
use crate::server::{QueryText, ReadOptions};

/// The records of a query.
pub(super) struct LocalQuery {
    /// On its way while a batch is fetched; gone after an error.
    reading: Option<Box<Reading>>,
    bookmark: Option<Bookmark>,
    expected_bytes: usize,
}

impl LocalQuery {
    pub(super) async fn open(query: Query, options: ReadOptions) -> Result<Self, LogError> {
        let reading = blocking(move || Reading::open(query, options)).await?;
        let bookmark = reading.position.bookmark().cloned();
        let expected_bytes = reading.size.expected_bytes();
        Ok(LocalQuery { reading: Some(Box::new(reading)), bookmark, expected_bytes })
    }
}

impl Batches for LocalQuery {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(async {
            let mut reading = self.reading.take()?;
            let (reading, next) = blocking(move || {
                let next = reading.next_batch();
                (reading, next)
            })
            .await;
            self.bookmark = reading.position.bookmark().cloned();
            self.expected_bytes = reading.size.expected_bytes();
            if next.is_ok() {
                self.reading = Some(reading);
            }
            next.transpose()
        })
    }

    fn expected_bytes(&self) -> usize {
        self.expected_bytes
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        self.bookmark.as_ref()
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let reading = self.reading.take();
        Box::pin(blocking(move || drop(reading)))
    }
}

impl Drop for LocalQuery {
    fn drop(&mut self) {
        drop_elsewhere(self.reading.take());
    }
}

/// A query that is open.
struct Reading {
    query: Query,
    text: QueryText,
    wait: Duration,
    results: ResultSet,
    places: Places,
    position: Position,
    size: BatchSize,
    /// Records that are wanted still.
    wanted: Option<u64>,
    recovery: Recovery,
    ended: bool,
}

impl Reading {
    fn open(query: Query, options: ReadOptions) -> Result<Self, LogError> {
        let mut text = QueryText::new(&query.logs, &query.filter);
        let results = match register(&text, &query) {
            // Better to read too much than nothing: what comes is tested.
            Err(error) if error.is_query_refused() && text.filters => {
                text = QueryText::everything(&query.logs);
                register(&text, &query)?
            }
            registered => registered?,
        };
        let places = Places::new(results.channels(), &query.logs)?;
        let position = Position::new(places.logs.clone(), query.direction, query.after.as_ref());
        let mut reading = Reading {
            wanted: query.limit.filter(|_| text.exact),
            wait: options.heartbeat,
            text,
            results,
            places,
            position,
            size: BatchSize::new(options.batch_bytes),
            recovery: Recovery::default(),
            ended: false,
            query,
        };
        if let Some(after) = reading.query.after.clone() {
            reading.seek_bookmark(&after)?;
        }
        Ok(reading)
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, LogError> {
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
            match self.results.next(count, self.wait) {
                Ok(Next::End) => self.ended = true,
                Ok(Next::Events(events)) => {
                    if let Some(batch) = self.take(events)? {
                        return Ok(Some(batch));
                    }
                    empty += 1;
                    if empty > MAX_EMPTY {
                        return Err(nonsense("answers without records or an end"));
                    }
                }
                // A heartbeat: nothing found yet.
                Ok(Next::TimedOut) => {
                    self.size.waited();
                    std::thread::sleep(PAUSE.saturating_sub(asked.elapsed()));
                    return Ok(Some(Batch::empty()));
                }
                // The position has moved past records that never came.
                Err(error) if is_batch_too_large(&error) => self.ask_for_less(error, count)?,
                Err(error) => match LogError::of_local(error.clone(), &self.query.logs[0]) {
                    LogError::Overwritten => self.go_on_behind_gap(error)?,
                    failed => return Err(failed),
                },
            }
        }
    }

    fn take(&mut self, events: Vec<quarry_winevt::Event>) -> Result<Option<Batch>, LogError> {
        let records = events.len();
        let batch = take(&mut self.places, &mut self.position, events, self.recovery.resumed)?;
        self.recovery.resumed = false;
        self.size.succeeded(records, expected_bytes(records));
        let Some(batch) = batch else { return Ok(None) };
        self.recovery.came();
        if let Some(wanted) = &mut self.wanted {
            *wanted = wanted.saturating_sub(batch.records());
            self.ended = *wanted == 0;
        }
        Ok(Some(batch))
    }

    /// Opens the query again behind the last record that came, to ask for fewer; a record that
    /// is too large by itself is skipped and told of.
    fn ask_for_less(&mut self, error: Error, asked: u32) -> Result<(), LogError> {
        if !self.size.halve(asked) {
            return self.skip_one(error);
        }
        self.open_again(error)?;
        match self.position.bookmark().cloned() {
            Some(bookmark) => self.seek_bookmark(&bookmark),
            None => Ok(()),
        }
    }

    /// Opens the query again when the log was cleared, or has wrapped past the position. What is
    /// left of it is read, and the gap told.
    fn go_on_behind_gap(&mut self, error: Error) -> Result<(), LogError> {
        self.open_again(error)?;
        self.recovery.tell_gap(&self.position);
        match self.position.bookmark().cloned() {
            Some(bookmark) => self.seek_near(&bookmark),
            None => Ok(()),
        }
    }

    /// Opens the query again, at its beginning.
    fn open_again(&mut self, error: Error) -> Result<(), LogError> {
        if !self.recovery.may_reopen() {
            return Err(LogError::of_local(error, &self.query.logs[0]));
        }
        self.results = register(&self.text, &self.query)?;
        Ok(())
    }

    /// Goes to the record of the bookmark, which then comes again: behind the last record there
    /// is no place to go to strictly.
    fn seek_bookmark(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.resumed = true;
        match self.seek_strictly(0, Some(bookmark))? {
            Sought::Found => Ok(()),
            Sought::Nowhere => self.pass_gap(bookmark),
        }
    }

    /// Tells that the record of the bookmark is gone, and reads what is left of the log.
    fn pass_gap(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.tell_gap(&self.position);
        self.seek_near(bookmark)
    }

    /// Goes to the bookmark's record, or to what is left behind it.
    fn seek_near(&mut self, bookmark: &Bookmark) -> Result<(), LogError> {
        self.recovery.resumed = true;
        let near = native(bookmark, self.query.direction)?;
        self.recovery.counts_from_first = self.is_before_first(bookmark)?;
        let sought = match self.recovery.counts_from_first {
            // Whoever goes outside of the log's bounds may come to its other end.
            true => self.results.seek(SeekFrom::First(0)),
            false => match self.results.seek(SeekFrom::Bookmark(&near, 0, false)) {
                Err(error) if is_nowhere(error.status().map(Win32Error)) => {
                    self.results.seek(SeekFrom::First(0))
                }
                sought => sought,
            },
        };
        sought.map_err(|error| LogError::of_local(error, &self.query.logs[0]))
    }

    /// Whether all that is left of the log is behind the bookmark.
    fn is_before_first(&self, bookmark: &Bookmark) -> Result<bool, LogError> {
        let Some(log) = self.position.only_log_forwards() else { return Ok(false) };
        let [entry] = &*bookmark.entries else { return Ok(false) };
        let known = quarry_winevt::LogInfo::of_channel(&log.0)
            .map_err(|error| LogError::of_local(error, log))?;
        Ok(known.oldest.is_some_and(|oldest| oldest > entry.record_id))
    }

    /// Goes past the record that can't be given, and those before it that couldn't, if there is
    /// another behind it.
    fn skip_one(&mut self, error: Error) -> Result<(), LogError> {
        if !self.recovery.may_skip() {
            return Err(error.into());
        }
        self.open_again(error.clone())?;
        let bookmark = self.recovery.counted_from(&self.position);
        if let Some(bookmark) = &bookmark
            && self.seek_strictly(0, Some(bookmark))? == Sought::Nowhere
        {
            // It is gone meanwhile, and with it the place that is counted from.
            if !self.recovery.count_anew() {
                return Err(LogError::of_local(error, &self.query.logs[0]));
            }
            return self.pass_gap(bookmark);
        }
        let place = self.recovery.skip(&self.position, bookmark.as_ref());
        let sought = self.seek_strictly(place, bookmark.as_ref())?;
        self.ended = sought == Sought::Nowhere;
        Ok(())
    }

    /// Goes to a place that has to be there: so many records behind a bookmark's, or behind the
    /// first.
    fn seek_strictly(
        &mut self,
        position: i64,
        bookmark: Option<&Bookmark>,
    ) -> Result<Sought, LogError> {
        let sought = match bookmark {
            Some(bookmark) => {
                let bookmark = native(bookmark, self.query.direction)?;
                self.results.seek(SeekFrom::Bookmark(&bookmark, position, true))
            }
            None => self.results.seek(SeekFrom::First(position)),
        };
        match sought {
            Ok(()) => Ok(Sought::Found),
            Err(error) if is_nowhere(error.status().map(Win32Error)) => Ok(Sought::Nowhere),
            Err(error) => Err(LogError::of_local(error, &self.query.logs[0])),
        }
    }
}

/// Makes a batch of events, without those that had come before already; nothing if all had.
pub(super) fn take(
    places: &mut Places,
    position: &mut Position,
    events: Vec<quarry_winevt::Event>,
    resumed: bool,
) -> Result<Option<Batch>, LogError> {
    let mut taken = Vec::with_capacity(events.len());
    for event in events {
        let (log, number) = places.of(&event)?;
        let is_new = position.take(log, number, resumed).map_err(|error| match error {
            LogError::Nonsense(what) => nonsense(what),
            error => error,
        })?;
        if is_new {
            taken.push((event, log, number));
        }
    }
    if taken.is_empty() {
        return Ok(None);
    }
    position.settle();
    let logs: Arc<[_]> = places.logs.as_slice().into();
    Ok(Some(Batch::local(LocalBatch::new(taken, logs))))
}

/// A call can't give as many bytes as the records have that were asked for, and has gone past
/// them all the same.
pub(super) fn is_batch_too_large(error: &Error) -> bool {
    error.status().map(Win32Error) == Some(Win32Error::RPC_INVALID_BOUND)
}

fn register(text: &QueryText, query: &Query) -> Result<ResultSet, LogError> {
    let is_backward = query.direction == Direction::Backward;
    ResultSet::query(text.path.as_deref(), &text.query, is_backward)
        .map_err(|error| LogError::of_local(error, &query.logs[0]))
}
