//! The one appender of the process: what every run pushes into, and what is committed out of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quarry_collect::Stop;
use quarry_event::EventTime;
use quarry_eventlog::{Cursor, LogName, RecordId};
use quarry_fleet::Cursors;
use quarry_store::{Appender, Bookmark, Move, Notice, NoticeKind, Rows, Store, StoreError};
use tokio::runtime::Handle;

use super::work::now;
use crate::status::Status;

/// How often it is looked at whether a commit is due.
const TICK: Duration = Duration::from_millis(200);
/// The shortest time between two such looks.
const SHORTEST: Duration = Duration::from_millis(5);
/// How often the write-ahead log is made durable, where no pipeline asks for it.
const SYNC: Duration = Duration::from_secs(1);
/// The pauses after a commit that failed: the first and the longest.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(15)];
/// How long the last commit may be tried when the program stops.
const LAST: Duration = Duration::from_secs(20);

/// When a commit is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// The longest that a row waits.
    pub(crate) every: Duration,
    /// How many bytes wait at most.
    pub(crate) bytes: usize,
}

/// A row that is no event.
#[derive(Clone, Debug)]
pub(super) struct NoticeRow {
    pub(super) kind: NoticeKind,
    pub(super) source: String,
    pub(super) host: String,
    pub(super) log: Option<String>,
    pub(super) record: Option<RecordId>,
    pub(super) time: EventTime,
    pub(super) text: String,
}

/// What came of a log since its bookmark moved last.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    /// Records that are missing before the events.
    pub(super) gaps: Vec<NoticeRow>,
    pub(super) rows: Option<&'a Rows>,
    /// The source's address and the log.
    pub(super) key: (String, String),
    /// The last record before, where there was one.
    pub(super) from: Option<RecordId>,
    /// The last record, and its time.
    pub(super) to: (RecordId, Option<EventTime>),
    /// Whether the log's numbers began anew before.
    pub(super) is_new_generation: bool,
}

/// What became of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pushed {
    /// They are in the store.
    Rows(usize),
    /// There was nothing to push.
    Nothing,
    /// The source belongs to another run by now, or to another collector.
    NotHeld,
}

/// The appender, and who may push into it.
pub(crate) struct Writer {
    appender: Appender,
    /// Held for each push, and never while anything is committed.
    inner: Mutex<Inner>,
    /// There is room again.
    room: Condvar,
    /// Counts sources that were taken from their runs.
    releases: AtomicU64,
    columns: Arc<[String]>,
    no_rows: Rows,
    stop: Stop,
    status: Arc<Status>,
}

struct Inner {
    /// Which run follows each source, by its name.
    holders: HashMap<String, u64>,
    /// What the source is called whose address this is.
    names: HashMap<String, String>,
    due: Due,
    synced: Instant,
}

impl Writer {
    /// # Errors
    /// As [`Store::appender`].
    pub(crate) fn new(
        store: &Store,
        due: Due,
        stop: Stop,
        status: Arc<Status>,
    ) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Writer {
            appender: store.appender()?,
            no_rows: store.rows()?,
            columns: store.columns().into(),
            inner: Mutex::new(Inner {
                holders: HashMap::new(),
                names: HashMap::new(),
                due,
                synced: Instant::now(),
            }),
            room: Condvar::new(),
            releases: AtomicU64::new(0),
            stop,
            status,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits at other times from now on.
    pub(crate) fn set_due(&self, due: Due) {
        self.lock().due = due;
    }

    /// Makes a run the one that follows a source.
    pub(super) fn hold(&self, run: u64, name: &str) {
        self.lock().holders.insert(name.to_owned(), run);
    }

    /// Takes a source from whatever run follows it. What it still pushes is left aside.
    pub(super) fn release(&self, name: &str) {
        if self.lock().holders.remove(name).is_some() {
            self.releases.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn is_held(&self, run: u64, name: &str) -> bool {
        self.lock().holders.get(name) == Some(&run)
    }

    /// A number that changes whenever a source is taken from its run.
    pub(super) fn releases(&self) -> u64 {
        self.releases.load(Ordering::Acquire)
    }

    /// Takes a source by each address that it may have, and says where each of its logs goes on: where
    /// it is in the table at this moment, or where rows have brought it that wait here. Nobody holds it
    /// meanwhile.
    pub(super) async fn take(
        &self,
        store: &Store,
        addresses: &[&str],
    ) -> Result<Cursors, StoreError> {
        let mut cursors = Cursors::new();
        for address in addresses {
            for Bookmark { source, log, record, time, .. } in store.take(address).await? {
                let cursor = Cursor { record, time };
                cursors.insert((source, LogName(log)), cursor);
            }
        }
        Ok(cursors)
    }

    /// Pushes rows of a log of a source, together with the bookmark after them. Blocks while too much
    /// waits for its commit.
    pub(super) fn push(
        &self,
        run: u64,
        name: &str,
        whole: &Whole<'_>,
    ) -> Result<Pushed, StoreError> {
        let Whole { gaps, rows: events, key, from, to, is_new_generation } = whole;
        let (to, is_new_generation) = (*to, *is_new_generation);
        let made;
        let rows = match (events, gaps.is_empty()) {
            (Some(events), true) => events,
            (None, true) => &self.no_rows,
            (events, false) => {
                let mut rows = self.notices(gaps)?;
                events.map_or(Ok(()), |events| rows.append(events))?;
                made = rows;
                &made
            }
        };
        let mut inner = self.lock();
        loop {
            if inner.holders.get(name) != Some(&run) {
                return Ok(Pushed::NotHeld);
            }
            if rows.is_empty() && !is_new_generation && *from == Some(to.0) {
                return Ok(Pushed::Nothing);
            }
            let new_generation = is_new_generation || from.is_some_and(|from| to.0 < from);
            let moved = Move { source: key.0.clone(), log: key.1.clone(), to, new_generation };
            if !inner.names.contains_key(&key.0) {
                inner.names.insert(key.0.clone(), name.to_owned());
            }
            match self.appender.push(rows, &[moved]) {
                Ok(()) => {
                    self.status.waiting(self.appender.waiting());
                    return Ok(Pushed::Rows(events.map_or(0, Rows::len)));
                }
                Err(StoreError::Full { .. }) if !self.stop.is_set() => {
                    self.status.full();
                    let waited = self.room.wait_timeout(inner, TICK);
                    inner = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Err(StoreError::NotTaken { .. }) => {
                    drop(inner);
                    self.release(name);
                    return Ok(Pushed::NotHeld);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Pushes rows that are no events and that no bookmark goes with.
    pub(super) fn note(
        &self,
        run: u64,
        name: &str,
        notices: &[NoticeRow],
    ) -> Result<(), StoreError> {
        let rows = self.notices(notices)?;
        let inner = self.lock();
        if inner.holders.get(name) != Some(&run) {
            return Ok(());
        }
        match self.appender.push(&rows, &[]) {
            // While nothing can be committed, failures are told in the log alone.
            Err(StoreError::Full { .. }) => Ok(()),
            pushed => pushed,
        }
    }

    /// Rows for the table, without any.
    pub(super) fn rows(&self) -> Result<Rows, StoreError> {
        Rows::new(&self.columns)
    }

    fn notices(&self, notices: &[NoticeRow]) -> Result<Rows, StoreError> {
        let mut rows = self.rows()?;
        for notice in notices {
            rows.notice(&Notice {
                kind: notice.kind,
                source: &notice.source,
                host: Some(&notice.host),
                log: notice.log.as_deref(),
                log_record: notice.record,
                time: notice.time,
                received: now(),
                text: &notice.text,
            })?;
        }
        Ok(rows)
    }

    /// Makes what was pushed durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.lock().synced = Instant::now();
        self.sync_log()
    }

    /// Commits what was pushed when that is due, until the program stops; then what is left. Blocks.
    pub(crate) fn commit_until_stopped(&self, runtime: &Handle, ended: &Stop) {
        let mut pause = PAUSE[0];
        let mut deadline: Option<Instant> = None;
        loop {
            let is_last = ended.is_set();
            let (since, due) = {
                let inner = self.lock();
                (inner.synced, inner.due)
            };
            if since.elapsed() >= SYNC
                && let Err(error) = self.sync()
            {
                tracing::error!(%error, "the write-ahead log can't be synced");
                self.status.commit_failed(&error.to_string());
            }
            let waiting = self.appender.waiting();
            self.status.waiting(waiting);
            let left = due.every.saturating_sub(waiting.age.unwrap_or_default());
            let is_due = waiting.bytes >= due.bytes || left.is_zero();
            let is_there = waiting.rows > 0 || waiting.age.is_some();
            let waiting = is_there.then_some(is_due || is_last);
            match waiting {
                None if is_last => return,
                Some(true) => {
                    if self.commit(runtime) {
                        pause = PAUSE[0];
                    } else {
                        let until = *deadline.get_or_insert_with(|| Instant::now() + LAST);
                        if is_last && Instant::now() >= until {
                            tracing::error!("the last events are in the write-ahead log only");
                            return;
                        }
                        self.sleep(pause, ended);
                        pause = (pause * 2).min(PAUSE[1]);
                    }
                    if !is_last {
                        deadline = None;
                    }
                }
                _ => self.sleep(TICK.min(left.max(SHORTEST)), ended),
            }
        }
    }

    /// Without a write-ahead log it is the commit that makes rows durable, and nothing is acknowledged to
    /// anybody before; queries have them from now on all the same.
    fn sync_log(&self) -> Result<(), StoreError> {
        match self.appender.sync() {
            Err(StoreError::NoLog) => Ok(()),
            synced => synced,
        }
    }

    fn sleep(&self, time: Duration, ended: &Stop) {
        let until = Instant::now() + time;
        while Instant::now() < until && !ended.is_set() {
            std::thread::sleep(TICK.min(time));
        }
    }

    /// One commit. Whether it got through.
    fn commit(&self, runtime: &Handle) -> bool {
        let began = Instant::now();
        let flushed = runtime.block_on(self.appender.flush());
        self.status.waiting(self.appender.waiting());
        let flushed = match flushed {
            Ok(flushed) => flushed,
            Err(error) => {
                tracing::error!(%error, "events can't be committed; they wait");
                self.status.commit_failed(&error.to_string());
                return false;
            }
        };
        let mut inner = self.lock();
        for (source, log) in &flushed.fenced {
            tracing::warn!(source, log, "another collector follows it; it is given up here");
            if let Some(name) = inner.names.get(source).cloned()
                && inner.holders.remove(&name).is_some()
            {
                self.status.given_up(&name);
                self.releases.fetch_add(1, Ordering::Release);
            }
        }
        drop(inner);
        self.room.notify_all();
        self.status.committed(flushed.version, flushed.rows as u64, began.elapsed());
        tracing::debug!(version = flushed.version, rows = flushed.rows, "committed");
        true
    }
}
