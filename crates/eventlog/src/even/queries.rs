//! A query's records as batches (MS-EVEN 3.1.4.7).
//!
//! The first read seeks, because a fresh handle stands at the oldest record whatever the
//! direction is; those after it go on from where the last one ended. Every answer has to begin
//! after the last record and in the order asked for, or else the next read seeks again. So no
//! answer makes this read for ever, and none makes it lose a record unnoticed.

use std::sync::Arc;

use quarry_even::even::limits::MAX_BATCH_BUFFER;
use quarry_even::even::{EvenClient, Read, ReadFlags};
use quarry_logfile::classic::{ClassicRecord, MIN_RECORD_LEN};
use quarry_rpc::smb::NtStatus;

use super::{Opened, direction_flag, nonsense, of_log};
use crate::batch::Batch;
use crate::log::{Batches, BoxFuture};
use crate::types::{
    Bookmark, Cursor, Damage, Direction, Hole, LogError, LogName, Query, ReadOptions, RecordId,
};

/// What a record is taken to need, in bytes, before any has come.
const USUAL_RECORD: u64 = 400;

/// The least that is asked for, in bytes. An answer has as many bytes as were asked for, whatever
/// is in it.
const MIN_BUFFER: u32 = 4096;

/// Answers in a row without a new record that are put up with: one of a buffer that is too small,
/// one of a position that was lost.
const MAX_FRUITLESS: u32 = 4;

/// Records in a row that may be too large to be sent. Real ones have 256 KiB at most.
const MAX_TOO_LARGE: u32 = 16;

/// The records of a log.
pub(super) struct EvenBatches {
    client: EvenClient,
    opened: Opened,
    log: Arc<LogName>,
    direction: Direction,
    /// The most bytes of one batch.
    most: u32,
    /// The record that is next, unless it was overwritten.
    next: u32,
    /// Records from there to the end that the log had when it was opened.
    left: u32,
    /// Whether the server's position is at `next`.
    in_place: bool,
    /// Whether the server keeps its position from read to read.
    keeps_place: bool,
    /// At least as much for the next read.
    needed: u32,
    /// Records and bytes so far.
    came: (u64, u64),
    bookmark: Option<Bookmark>,
    damage: Vec<Damage>,
    /// What comes after the damage, and the bookmark before it.
    ready: Option<(Batch, Option<Bookmark>)>,
    /// The error that comes after the damage.
    failed: Option<LogError>,
    fruitless: u32,
    /// Records in a row that were too large.
    too_large: u32,
    ended: bool,
}

impl EvenBatches {
    pub(super) fn new(
        client: EvenClient,
        options: ReadOptions,
        query: &Query,
        opened: Opened,
    ) -> Self {
        let log = query.logs[0].clone();
        let after = query
            .after
            .as_ref()
            .and_then(|bookmark| u32::try_from(bookmark.of(&log)?.cursor.record.0).ok());
        let mut batches = EvenBatches {
            client,
            direction: query.direction,
            most: u32::try_from(options.batch_bytes).unwrap_or(u32::MAX).min(MAX_BATCH_BUFFER),
            next: match query.direction {
                Direction::Forward => opened.oldest,
                Direction::Backward => opened.newest().unwrap_or(opened.oldest),
            },
            left: opened.records,
            in_place: false,
            keeps_place: true,
            needed: MIN_BUFFER,
            came: (0, 0),
            bookmark: query.after.clone(),
            damage: Vec::new(),
            ready: None,
            failed: None,
            fruitless: 0,
            too_large: 0,
            ended: false,
            opened,
            log: Arc::new(log),
        };
        if let Some(after) = after {
            batches.go_behind(after);
        }
        // Where all records pass, no more are read than are wanted.
        if let (Some(limit), true) = (query.limit, query.filter.is_empty()) {
            batches.left = batches.left.min(u32::try_from(limit).unwrap_or(u32::MAX));
        }
        batches
    }

    /// Begins after a record.
    fn go_behind(&mut self, after: u32) {
        // How far the record is from where one would begin, and so what to leave out.
        let ahead = match self.direction {
            Direction::Forward => after.wrapping_sub(self.next),
            Direction::Backward => self.next.wrapping_sub(after),
        };
        if ahead < self.left {
            self.skip(ahead + 1);
        } else if self.direction == Direction::Forward && after.wrapping_add(1) != self.next {
            // It is not in the log any more: overwritten, or the log was cleared.
            self.tell_overwritten(Some(after), Some(self.next));
        } else if self.direction == Direction::Backward {
            self.left = 0;
        }
    }

    fn skip(&mut self, records: u32) {
        self.left = self.left.saturating_sub(records);
        self.next = match self.direction {
            Direction::Forward => self.next.wrapping_add(records),
            Direction::Backward => self.next.wrapping_sub(records),
        };
    }

    /// Reports that records are gone between two that aren't, as far as these are known.
    fn tell_overwritten(&mut self, after: Option<u32>, before: Option<u32>) {
        self.damage.push(Damage::Overwritten(self.hole(after, before, None)));
    }

    fn hole(&self, after: Option<u32>, before: Option<u32>, records: Option<u64>) -> Hole {
        let id = |number: u32| RecordId(number.into());
        let log = Some(LogName::clone(&self.log));
        Hole { log, after: after.map(id), before: before.map(id), records }
    }

    async fn next_batch(&mut self) -> Result<Option<Batch>, LogError> {
        loop {
            // More of them may follow.
            let is_open = matches!(self.damage.last(), Some(Damage::TooLarge(_)));
            let is_over = self.ended || self.left == 0 || self.ready.is_some();
            if !self.damage.is_empty() && (!is_open || is_over) {
                return Ok(Some(Batch::damage(std::mem::take(&mut self.damage))));
            }
            if let Some((batch, _)) = self.ready.take() {
                return Ok(Some(batch));
            }
            if self.ended || self.left == 0 {
                return Ok(None);
            }
            if self.fruitless > MAX_FRUITLESS {
                return Err(LogError::Nonsense("answers without records or an end"));
            }
            let place = if self.in_place { ReadFlags::SEQUENTIAL } else { ReadFlags::SEEK };
            let flags = place | direction_flag(self.direction);
            let sought = !self.in_place;
            let size = self.buffer_size();
            self.fruitless += 1;
            let read = self.client.read(self.opened.handle, flags, self.next, size).await;
            match read {
                Ok(Read::Records(records)) if !records.is_empty() => {
                    self.in_place = self.keeps_place;
                    self.take(records, sought)?;
                }
                // The position has moved past the records, or is wherever: it is sought again.
                Ok(Read::TooSmall { records, needed }) => {
                    self.in_place = false;
                    if records.is_empty() {
                        self.ask_for_more(size, needed);
                        continue;
                    }
                    self.take(records, sought)?;
                    self.needed = needed.clamp(MIN_BUFFER, MAX_BATCH_BUFFER);
                    self.in_place = false;
                }
                // The end, which servers have two ways to say; or a record that is gone.
                Ok(Read::Records(_) | Read::End) => self.nothing_here(sought).await?,
                Err(error) if error.nt_status() == Some(NtStatus::INVALID_PARAMETER) && sought => {
                    self.nothing_here(sought).await?;
                }
                Err(error) => return Err(of_log(error, &self.log)),
            }
        }
    }

    /// A larger buffer for the next record; one that needs more than there can be is left out.
    fn ask_for_more(&mut self, size: u32, needed: u32) {
        if needed > MAX_BATCH_BUFFER || size >= MAX_BATCH_BUFFER {
            let hole = match self.damage.pop() {
                // Nothing has come since the last that was too large.
                Some(Damage::TooLarge(hole)) => {
                    Hole { records: hole.records.map(|n| n + 1), ..hole }
                }
                other => {
                    self.damage.extend(other);
                    self.hole(self.last(), None, Some(1))
                }
            };
            self.skip(1);
            let before = (self.left > 0).then(|| RecordId(self.next.into()));
            self.damage.push(Damage::TooLarge(Hole { before, ..hole }));
            self.too_large += 1;
            if self.too_large <= MAX_TOO_LARGE {
                self.fruitless = 0;
            }
            return;
        }
        // Grows each time, whatever the server says.
        self.needed = needed.max(size.saturating_mul(2)).min(MAX_BATCH_BUFFER);
        self.fruitless = self.fruitless.saturating_sub(u32::from(self.needed > size));
    }

    /// There was no record where one was due. The log may have been overwritten so far, or cleared;
    /// then what it has now is read on.
    async fn nothing_here(&mut self, sought: bool) -> Result<(), LogError> {
        self.in_place = false;
        if !sought {
            self.lost_position();
            return Ok(());
        }
        let fail = |error| of_log(error, &self.log);
        let handle = self.opened.handle;
        let records = self.client.records(handle).await.map_err(fail)?;
        let oldest = match records {
            0 => self.next,
            _ => self.client.oldest(handle).await.map_err(fail)?,
        };
        let gone = oldest.wrapping_sub(self.next);
        match self.direction {
            Direction::Forward if records > 0 && gone != 0 && gone < self.left => {
                self.tell_overwritten(self.last(), Some(oldest));
                self.skip(gone);
            }
            // Older ones go first: for a reader that goes backwards that is the end.
            Direction::Backward if records > 0 && gone != 0 && gone <= u32::MAX / 2 => {
                self.ended = true;
            }
            _ => {
                self.tell_overwritten(self.last(), None);
                self.ended = true;
            }
        }
        Ok(())
    }

    /// Takes the records of an answer, those from `next` on: they are then ready.
    fn take(&mut self, records: Vec<u8>, sought: bool) -> Result<(), LogError> {
        let mut rest = &records[..];
        let (mut sizes, mut skipped_bytes, mut time) = (Vec::new(), 0, None);
        while !rest.is_empty() && self.left > 0 {
            let (record, behind) = ClassicRecord::split(rest).map_err(nonsense)?;
            // How far it is ahead of the one that is due; the farthest are those after it.
            let ahead = match self.direction {
                Direction::Forward => record.number().wrapping_sub(self.next),
                Direction::Backward => self.next.wrapping_sub(record.number()),
            };
            if ahead > 0 && !sizes.is_empty() {
                // Sought at its end, it shows whether what is in between is missing.
                self.in_place = false;
                break;
            }
            if ahead > 0 && !sought {
                // The server's position is not where the last read ended.
                self.lost_position();
                return Ok(());
            }
            if ahead > u32::MAX / 2 {
                // From before the one that was sought.
                skipped_bytes += record.as_bytes().len();
                rest = behind;
                self.in_place = false;
                continue;
            }
            if ahead > 0 {
                // The server has gone past what was sought: it isn't there any more.
                self.tell_overwritten(self.last(), Some(record.number()));
                self.skip(ahead);
                if self.left == 0 {
                    break;
                }
            }
            sizes.push(record.as_bytes().len());
            time = Some(record.time_generated());
            self.skip(1);
            rest = behind;
        }
        if sizes.is_empty() {
            return Ok(());
        }
        self.fruitless = 0;
        self.too_large = 0;
        self.needed = MIN_BUFFER;
        let bytes: usize = sizes.iter().sum();
        self.came = (self.came.0 + sizes.len() as u64, self.came.1 + bytes as u64);
        let before = self.bookmark.clone();
        if let Some(last) = self.last() {
            let cursor = Cursor { record: RecordId(last.into()), time };
            self.bookmark = Some(Bookmark::single(LogName::clone(&self.log), cursor));
        }
        let mut kept = records;
        kept.truncate(skipped_bytes + bytes);
        kept.drain(..skipped_bytes);
        self.ready = Some((Batch::classic(Arc::clone(&self.log), kept, sizes), before));
        Ok(())
    }

    /// From now on each read seeks.
    fn lost_position(&mut self) {
        self.in_place = false;
        self.keeps_place = false;
    }

    /// The record before `next`, if any came or is behind.
    fn last(&self) -> Option<u32> {
        let began = self.came.0 > 0 || self.bookmark.is_some();
        began.then(|| match self.direction {
            Direction::Forward => self.next.wrapping_sub(1),
            Direction::Backward => self.next.wrapping_add(1),
        })
    }

    /// What to ask for: what is left by the size of the records so far, with something to spare.
    fn buffer_size(&self) -> u32 {
        let (records, bytes) = self.came;
        let each = bytes.checked_div(records).unwrap_or(USUAL_RECORD).max(MIN_RECORD_LEN as u64);
        let all = u64::from(self.left).saturating_mul(each + each / 4) + u64::from(MIN_BUFFER);
        let wanted = u32::try_from(all).unwrap_or(u32::MAX).min(self.most);
        wanted.max(self.needed).clamp(MIN_BUFFER, MAX_BATCH_BUFFER)
    }
}

impl Batches for EvenBatches {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(async {
            let next = match self.failed.take() {
                Some(error) => Err(error),
                None => self.next_batch().await,
            };
            let Err(error) = next else { return next.transpose() };
            self.ended = true;
            match self.damage.is_empty() {
                true => Some(Err(error)),
                false => {
                    self.failed = Some(error);
                    Some(Ok(Batch::damage(std::mem::take(&mut self.damage))))
                }
            }
        })
    }

    fn expected_bytes(&self) -> usize {
        self.buffer_size() as usize
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        match &self.ready {
            Some((_, before)) => before.as_ref(),
            None => self.bookmark.as_ref(),
        }
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.opened.close(&self.client).await })
    }
}
