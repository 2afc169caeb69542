//! A file that grows: its new records as they are written.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quarry_logfile::{DamageKind, EvtItem, EvtLog, EvtxLog, Item};
use tokio::time::Instant;

use crate::batch::Batch;
use crate::error::LogError;
use crate::file::LogFile;
use crate::log::{Batches, Bookmark, BoxFuture, LogName, Start};

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
pub(crate) struct Follower {
    path: PathBuf,
    name: Arc<LogName>,
    /// The last record that came.
    last: u64,
    /// Fails when records are gone.
    is_strict: bool,
    bookmark: Option<Bookmark>,
    /// What the file looked like when it was read, if it had settled.
    seen: Option<Looks>,
    /// What it looked like at the last look, when that was, and how long it took.
    looked: Option<(Looks, Instant, Duration)>,
    /// Since when the last record that came is not there.
    shrunk: Option<Instant>,
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
    /// Records between the last that came and the first that is there are gone.
    Gap,
    /// New records up to a number, in these parts, the last first.
    More(u64, Vec<u64>),
}

impl Follower {
    pub(crate) fn new(path: PathBuf, name: &Arc<LogName>, log: &LogFile, start: &Start) -> Self {
        let of_log = |bookmark: &Bookmark| {
            let entries = &bookmark.entries;
            let entry = entries.iter().find(|entry| entry.channel.eq_ignore_ascii_case(&name.0));
            entry.map_or(0, |entry| entry.record_id)
        };
        let parts = (0..log.parts()).rev();
        let newest = || parts.filter_map(|n| numbers(log, n, true)).map(|(_, last)| last).max();
        let (last, is_strict) = match start {
            Start::Now => (newest().unwrap_or(0), true),
            Start::Oldest => (0, true),
            Start::After(bookmark) => (of_log(bookmark), true),
            Start::AfterOrLater(bookmark) => (of_log(bookmark), false),
        };
        Follower {
            path,
            name: Arc::clone(name),
            last,
            is_strict,
            bookmark: None,
            seen: None,
            looked: None,
            shrunk: None,
            ready: VecDeque::new(),
        }
    }

    /// Finds the parts with new records, if the file has changed.
    fn look(&mut self) -> Result<(), LogError> {
        let open = |e: std::io::Error| LogError::from(quarry_logfile::OpenError::from(e));
        let file = File::open(&self.path).map_err(open)?;
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
        match found {
            Found::Nothing => self.shrunk = None,
            Found::Less => {
                let since = *self.shrunk.get_or_insert_with(Instant::now);
                if !is_settled && since.elapsed() < PATIENCE {
                    return Ok(());
                }
                return Err(LogError::Overwritten);
            }
            Found::Gap if self.is_strict => return Err(LogError::Overwritten),
            Found::Gap => {
                self.last = 0;
                return Ok(());
            }
            Found::More(newest, parts) => {
                self.shrunk = None;
                for n in parts.into_iter().rev() {
                    let name = Arc::clone(&self.name);
                    let only = self.last + 1..=newest;
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
                self.bookmark = Some(Bookmark::single(self.name.0.clone(), newest));
            }
        }
        self.seen = is_settled.then_some(looks);
        Ok(())
    }

    fn search(&self, log: &LogFile, is_settled: bool) -> Found {
        let (mut newest, mut oldest, mut parts) = (0, u64::MAX, Vec::new());
        for n in (0..log.parts()).rev() {
            // What is being written to is the newest chunk.
            let Some((first, last)) = numbers(log, n, is_settled || newest > 0) else { continue };
            (newest, oldest) = (newest.max(last), oldest.min(first));
            if last > self.last {
                parts.push(n);
            }
            // What is before it has come already.
            if first <= self.last {
                break;
            }
        }
        match newest {
            newest if newest < self.last => Found::Less,
            newest if newest == self.last => Found::Nothing,
            _ if self.last > 0 && oldest > self.last + 1 => Found::Gap,
            newest => Found::More(newest, parts),
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

/// The numbers of a part's first and last record. While it may be in the middle of being written,
/// a record that isn't whole ends it.
fn numbers(log: &LogFile, n: u64, is_written: bool) -> Option<(u64, u64)> {
    match log {
        LogFile::Evtx(log) => chunk_numbers(log, n, is_written),
        LogFile::Evt(log, _) => log.numbers(n).map(|(first, last)| (first.into(), last.into())),
        LogFile::Other(_) => None,
    }
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

fn chunk_numbers(log: &EvtxLog, n: u64, is_written: bool) -> Option<(u64, u64)> {
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    log.chunk(n, &mut buffer).ok()?.items(&mut items);
    let is_torn = |item: &Item| match item {
        Item::Damage(damage) => {
            matches!(damage.kind, DamageKind::RecordSize | DamageKind::NoRecord { .. })
        }
        Item::Record(_) => false,
    };
    let whole = items.iter().take_while(|item| is_written || !is_torn(item));
    let numbers = whole.filter_map(|item| match item {
        Item::Record(record) => Some(record.number),
        Item::Damage(_) => None,
    });
    numbers.fold(None, |ends, number| match ends {
        None => Some((number, number)),
        Some((first, last)) => Some((number.min(first), number.max(last))),
    })
}
