//! A file that grows: its new records as they are written.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quarry_logfile::{EvtxLog, Item};

use crate::batch::Batch;
use crate::error::LogError;
use crate::log::{Batches, Bookmark, BoxFuture, LogName, Start};

/// How often it is looked whether the file has changed.
const GLANCE: Duration = Duration::from_millis(100);

/// Glances after which an empty batch shows that the file is still looked at.
const GLANCES: u32 = 50;

/// Follows a file, by opening it again whenever it has changed.
pub(crate) struct Follower {
    path: PathBuf,
    name: Arc<LogName>,
    /// The last record that came.
    last: u64,
    bookmark: Option<Bookmark>,
    /// What the file looked like when it was read.
    seen: Option<(u64, Option<SystemTime>)>,
    ready: VecDeque<Batch>,
}

impl Follower {
    pub(crate) fn new(
        path: PathBuf,
        name: &Arc<LogName>,
        log: &Arc<EvtxLog>,
        start: &Start,
    ) -> Result<Self, LogError> {
        let of_log = |bookmark: &Bookmark| {
            let entries = &bookmark.entries;
            let entry = entries.iter().find(|entry| entry.channel.eq_ignore_ascii_case(&name.0));
            entry.map_or(0, |entry| entry.record_id)
        };
        let ends = || ends(log);
        let last = match start {
            Start::Now => ends().map_or(0, |(_, last)| last),
            Start::Oldest => 0,
            Start::After(bookmark) => {
                let after = of_log(bookmark);
                // Gone, or of another file: what comes next doesn't follow it.
                if ends().is_some_and(|(first, last)| first > after || last < after) {
                    return Err(LogError::Overwritten);
                }
                after
            }
            Start::AfterOrLater(bookmark) => of_log(bookmark),
        };
        let (name, ready) = (Arc::clone(name), VecDeque::new());
        Ok(Follower { path, name, last, bookmark: None, seen: None, ready })
    }

    /// Finds the chunks with new records, if the file has changed.
    fn look(&mut self) -> Result<(), LogError> {
        let open = |e: std::io::Error| LogError::from(quarry_logfile::OpenError::from(e));
        let file = File::open(&self.path).map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        let looks = (metadata.len(), metadata.modified().ok());
        if self.seen == Some(looks) {
            return Ok(());
        }
        let log = Arc::new(EvtxLog::open(file)?);
        let (mut newest, mut chunks) = (self.last, Vec::new());
        for n in (0..log.chunks()).rev() {
            let Some((first, last)) = numbers(&log, n) else { continue };
            if last > self.last {
                newest = newest.max(last);
                chunks.push(n);
            }
            // What is before it has come already.
            if first <= self.last {
                break;
            }
        }
        for n in chunks.into_iter().rev() {
            let (name, log) = (Arc::clone(&self.name), Arc::clone(&log));
            self.ready.push_back(Batch::chunk_after(name, log, n, self.last));
        }
        if newest > self.last {
            self.last = newest;
            self.bookmark = Some(Bookmark::single(self.name.0.clone(), newest));
        }
        self.seen = Some(looks);
        Ok(())
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

/// The numbers of a log's first and last record.
fn ends(log: &EvtxLog) -> Option<(u64, u64)> {
    let chunks = log.chunks();
    let first = (0..chunks).find_map(|n| numbers(log, n))?.0;
    let last = (0..chunks).rev().find_map(|n| numbers(log, n))?.1;
    Some((first, last))
}

/// The numbers of a chunk's first and last record that are whole.
fn numbers(log: &EvtxLog, n: u64) -> Option<(u64, u64)> {
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    log.chunk(n, &mut buffer).ok()?.items(&mut items);
    let numbers = items.iter().filter_map(|item| match item {
        Item::Record(record) => Some(record.number),
        Item::Damage(_) => None,
    });
    numbers.fold(None, |ends, number| match ends {
        None => Some((number, number)),
        Some((first, last)) => Some((number.min(first), number.max(last))),
    })
}
