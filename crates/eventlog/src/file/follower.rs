//! A file that grows: its new records as they are written.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quarry_logfile::classic::ClassicRecord;
use quarry_logfile::{DamageKind, EvtItem, EvtLog, EvtxLog, Item};
use tokio::time::Instant;

use super::{Again, LogFile};
use crate::batch::Batch;
use crate::log::{Batches, BoxFuture};
use crate::types::{Bookmark, Cursor, LogError, LogName, RecordId, Start};

/// How often it is looked whether the file has changed.
const GLANCE: Duration = Duration::from_millis(100);

/// How long a file that looks as it did, but may have changed all the same, is left alone.
const LEFT_ALONE: Duration = Duration::from_millis(500);

/// Of how much time one part at most goes into reading a file again.
const SHARE: u32 = 4;

/// Glances after which an empty batch shows that the file is still looked at.
const GLANCES: u32 = 50;

/// When a file that hasn't changed for so long is as its writer wanted it. File systems keep the
/// time of a change in steps of up to two seconds, in which more changes go unseen.
const SETTLES: Duration = Duration::from_millis(2100);

/// How long a file that lost its records is given to get them back, if it doesn't settle before:
/// it may be in the middle of being copied.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows a file, by opening it again whenever it has changed.
pub(super) struct Follower {
    again: Again,
    name: Arc<LogName>,
    /// The last record that came, and when it was written.
    last: Cursor,
    /// Fails when records are gone.
    is_strict: bool,
    bookmark: Option<Bookmark>,
    /// What the file looked like when it was read, if it had settled.
    seen: Option<Looks>,
    /// What it looked like at the last look, when that was, and how long it took.
    looked: Option<(Looks, Instant, Duration)>,
    /// Since when the last record that came is not there.
    missing: Option<Instant>,
    ready: VecDeque<Batch>,
}

/// The size of a file and when it was changed.
type Looks = (u64, Option<SystemTime>);

/// What was found in a file.
enum Found {
    /// Nothing new.
    Nothing,
    /// The last record that came is not there any more, nor a later one.
    Less,
    /// Another record has the number of the last that came: the file was replaced, or the log
    /// recreated.
    Another,
    /// Records between the last that came and the first that is there are gone.
    Gap,
    /// New records up to this one, in these parts, the last first.
    More(Cursor, Vec<u64>),
}

/// The records of a part with the smallest and the largest number, and the one that was looked for.
struct Ends {
    first: u64,
    last: Cursor,
    sought: Option<Cursor>,
}

impl Ends {
    /// Of records in any order.
    fn of(records: impl Iterator<Item = Cursor>, sought: RecordId) -> Option<Self> {
        records.fold(None, |ends, record| {
            let is_sought = record.record == sought;
            Some(match ends {
                None => Ends {
                    first: record.record.0,
                    last: record,
                    sought: is_sought.then_some(record),
                },
                Some(ends) => Ends {
                    first: ends.first.min(record.record.0),
                    last: if record.record >= ends.last.record { record } else { ends.last },
                    sought: if is_sought { Some(record) } else { ends.sought },
                },
            })
        })
    }
}

impl Follower {
    /// Follows a file that is open as `log`.
    ///
    /// # Errors
    /// [`LogError::Recreated`]: another record has a bookmark's number.
    pub(super) fn new(
        again: Again,
        name: &Arc<LogName>,
        log: &LogFile,
        start: &Start,
    ) -> Result<Self, LogError> {
        let of_log =
            |bookmark: &Bookmark| bookmark.of(name).map_or(Cursor::default(), |entry| entry.cursor);
        let (last, is_strict) = match start {
            Start::Now => {
                let ends = (0..log.parts()).rev().filter_map(|n| ends(log, n, RecordId(0), true));
                let newest = ends.map(|ends| ends.last).max_by_key(|last| last.record);
                (newest.unwrap_or_default(), true)
            }
            Start::Oldest => (Cursor::default(), true),
            Start::After(bookmark) => (of_log(bookmark), true),
            Start::AfterOrLater(bookmark) => (of_log(bookmark), false),
        };
        let mut follower = Follower {
            again,
            name: Arc::clone(name),
            last,
            is_strict,
            bookmark: None,
            seen: None,
            looked: None,
            missing: None,
            ready: VecDeque::new(),
        };
        follower.identify(log)?;
        Ok(follower)
    }

    /// Learns when the last record that came was written, where that is not known.
    fn identify(&mut self, log: &LogFile) -> Result<(), LogError> {
        let last = self.last.record;
        let parts = (0..log.parts()).rev().filter_map(|n| ends(log, n, last, true));
        // What is before the one that it would be in has older records.
        let mut parts = parts.skip_while(|ends| ends.first > last.0);
        if let Some(found) = parts.next().and_then(|ends| ends.sought) {
            if self.is_strict && self.last.is_another(found.time) {
                return Err(LogError::Recreated);
            }
            self.last = found;
            self.bookmark = Some(Bookmark::single(LogName::clone(&self.name), found));
        }
        Ok(())
    }

    /// Finds the parts with new records, if the file has changed.
    fn look(&mut self) -> Result<(), LogError> {
        let open = |e: std::io::Error| LogError::from(quarry_logfile::OpenError::from(e));
        let file = self.again.open().map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        let looks = (metadata.len(), metadata.modified().ok());
        if self.seen == Some(looks) {
            return Ok(());
        }
        // An `.evt` file is read whole to find its end.
        if let Some((then, at, took)) = self.looked {
            let pause = if then == looks { LEFT_ALONE } else { Duration::ZERO };
            if at.elapsed() < pause.max(took * SHARE) {
                return Ok(());
            }
        }
        let begun = Instant::now();
        let is_settled = looks.1.is_none_or(|modified| match modified.elapsed() {
            Ok(since) => since > SETTLES,
            Err(e) => e.duration() > SETTLES,
        });
        let log = LogFile::open(file, &self.name)?;
        let found = self.search(&log, is_settled);
        let now = Instant::now();
        self.looked = Some((looks, now, now - begun));
        let found = match found {
            Found::Less | Found::Another if !self.is_certain(is_settled) => return Ok(()),
            found => found,
        };
        self.missing = None;
        match found {
            Found::Nothing => {}
            Found::Another => return Err(LogError::Recreated),
            Found::Less => return Err(LogError::Overwritten),
            Found::Gap if self.is_strict => return Err(LogError::Overwritten),
            Found::Gap => {
                self.last = Cursor::default();
                return Ok(());
            }
            Found::More(newest, parts) => {
                for n in parts.into_iter().rev() {
                    let name = Arc::clone(&self.name);
                    let only = self.last.record.0 + 1..=newest.record.0;
                    self.ready.push_back(match &log {
                        LogFile::Evtx(log) => Batch::chunk_records(name, Arc::clone(log), n, only),
                        // Read now, before a log that has wrapped writes over it.
                        LogFile::Evt(log, channel) => {
                            let (bytes, sizes) = records(log, n, &only);
                            Batch::classic_of(name, Arc::clone(channel), bytes, sizes)
                        }
                        LogFile::Other(_) => continue,
                    });
                }
                self.last = newest;
                self.is_strict = true;
                self.bookmark = Some(Bookmark::single(LogName::clone(&self.name), newest));
            }
        }
        self.seen = is_settled.then_some(looks);
        Ok(())
    }

    /// Whether a file that lacks the last record that came has lost it for good.
    fn is_certain(&mut self, is_settled: bool) -> bool {
        let since = *self.missing.get_or_insert_with(Instant::now);
        is_settled || since.elapsed() >= PATIENCE
    }

    fn search(&self, log: &LogFile, is_settled: bool) -> Found {
        let (mut newest, mut oldest) = (Cursor::default(), u64::MAX);
        let (mut parts, mut sought) = (Vec::new(), None);
        let last = self.last.record;
        for n in (0..log.parts()).rev() {
            // What is being written to is the newest chunk.
            let is_written = is_settled || newest.record.0 > 0;
            let Some(ends) = ends(log, n, last, is_written) else { continue };
            if ends.last.record >= newest.record {
                newest = ends.last;
            }
            oldest = oldest.min(ends.first);
            sought = sought.or(ends.sought);
            if ends.last.record > last {
                parts.push(n);
            }
            // What is before it has come already.
            if ends.first <= last.0 {
                break;
            }
        }
        match newest.record {
            _ if sought.is_some_and(|found| self.last.is_another(found.time)) => Found::Another,
            newest if newest < last => Found::Less,
            newest if newest == last => Found::Nothing,
            _ if last.0 > 0 && oldest > last.0 + 1 => Found::Gap,
            _ => Found::More(newest, parts),
        }
    }
}

impl Batches for Follower {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(async {
            for _ in 0..GLANCES {
                if let Some(batch) = self.ready.pop_front() {
                    return Some(Ok(batch));
                }
                if let Err(error) = self.look() {
                    return Some(Err(error));
                }
                if self.ready.is_empty() {
                    tokio::time::sleep(GLANCE).await;
                }
            }
            Some(Ok(Batch::empty()))
        })
    }

    /// Behind all that is ready; nothing while there is more to give.
    fn bookmark(&self) -> Option<&Bookmark> {
        self.bookmark.as_ref().filter(|_| self.ready.is_empty())
    }
}

/// A part's records at its ends, and the one with a number. While it may be in the middle of being
/// written, a record that isn't whole ends it.
fn ends(log: &LogFile, n: u64, sought: RecordId, is_written: bool) -> Option<Ends> {
    match log {
        LogFile::Evtx(log) => chunk_ends(log, n, sought, is_written),
        LogFile::Evt(log, _) => block_ends(log, n, sought),
        LogFile::Other(_) => None,
    }
}

fn block_ends(log: &EvtLog, n: u64, sought: RecordId) -> Option<Ends> {
    let (first, last) = log.numbers(n)?;
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    log.block(n, &mut buffer, &mut items);
    let find = |wanted: RecordId| {
        items.iter().find_map(|item| match item {
            EvtItem::Record { number, bytes, is_whole: true, .. }
                if u64::from(*number) == wanted.0 =>
            {
                let (record, _) = ClassicRecord::salvage(&buffer[bytes.clone()])?;
                Some(Cursor { record: wanted, time: Some(record.time_generated()) })
            }
            _ => None,
        })
    };
    let last = RecordId(last.into());
    let end = find(last).unwrap_or(Cursor::from(last));
    Some(Ends { first: first.into(), last: end, sought: find(sought) })
}

/// The whole records of a block that have these numbers, and the size of each.
fn records(log: &EvtLog, n: u64, only: &RangeInclusive<u64>) -> (Vec<u8>, Vec<usize>) {
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    log.block(n, &mut buffer, &mut items);
    let (mut bytes, mut sizes) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            EvtItem::Record { number, bytes: range, is_whole: true, .. }
                if only.contains(&number.into()) =>
            {
                sizes.push(range.len());
                bytes.extend_from_slice(&buffer[range]);
            }
            _ => {}
        }
    }
    (bytes, sizes)
}

fn chunk_ends(log: &EvtxLog, n: u64, sought: RecordId, is_written: bool) -> Option<Ends> {
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    log.chunk(n, &mut buffer).ok()?.items(&mut items);
    let is_torn = |item: &Item| match item {
        Item::Damage(damage) => {
            matches!(damage.kind, DamageKind::RecordSize | DamageKind::NoRecord { .. })
        }
        Item::Record(_) => false,
    };
    let whole = items.iter().take_while(|item| is_written || !is_torn(item));
    let records = whole.filter_map(|item| match item {
        Item::Record(record) => {
            // Whoever writes no time there says nothing of when it was.
            let time = Some(record.written).filter(|time| time.as_filetime() > 0);
            Some(Cursor { record: RecordId(record.number), time })
        }
        Item::Damage(_) => None,
    });
    Ends::of(records, sought)
}
