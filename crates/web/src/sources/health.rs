//! How sources are: whether they can be read, and what their logs hold.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quarry_event::EventTime;
use quarry_fleet::eventlog::LogInfo;
use tokio::sync::watch;

use super::search::Trouble;

/// How long what was found out is shown before it is looked up again.
const FRESH: Duration = Duration::from_secs(10);

/// How a source is, as far as that was found out.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// When it was last asked; nothing if it never was, or is for the first time.
    pub checked: Option<Instant>,
    /// Why it can't be read.
    pub trouble: Option<Trouble>,
    /// Since when it can't be.
    pub since: Option<jiff::Timestamp>,
    /// Its logs, each with what is in it or why that can't be told.
    pub logs: Vec<LogHealth>,
}

/// A log, and what is in it or why that can't be told.
pub type LogHealth = (String, Result<LogInfo, String>);

impl Health {
    /// The time of the newest event of all its logs.
    pub fn newest(&self) -> Option<EventTime> {
        self.infos().filter_map(|info| info.newest).max()
    }

    /// The time of the oldest event.
    pub fn oldest(&self) -> Option<EventTime> {
        self.infos().filter_map(|info| info.oldest).min()
    }

    /// How many records its logs have.
    pub fn records(&self) -> u64 {
        self.infos().map(|info| info.records).sum()
    }

    fn infos(&self) -> impl Iterator<Item = &LogInfo> {
        self.logs.iter().filter_map(|(_, info)| info.as_ref().ok())
    }
}

/// What is known of the health of some sources.
#[derive(Debug)]
pub(super) struct Known {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    all: Vec<Health>,
    /// When the last survey began, and whether it goes on.
    began: Option<Instant>,
    goes_on: bool,
}

impl Known {
    pub(super) fn new(sources: usize) -> Arc<Self> {
        let inner = Inner { all: vec![Health::default(); sources], began: None, goes_on: false };
        Arc::new(Known { inner: Mutex::new(inner), changed: watch::channel(0).0 })
    }

    pub(super) fn all(&self) -> Vec<Health> {
        self.lock().all.clone()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether a survey is due, which then counts as begun.
    pub(super) fn begin(&self) -> bool {
        let mut inner = self.lock();
        let is_due = !inner.goes_on && inner.began.is_none_or(|began| began.elapsed() > FRESH);
        if is_due {
            inner.began = Some(Instant::now());
            inner.goes_on = true;
        }
        is_due
    }

    /// A source answered, or failed.
    pub(super) fn set(&self, source: usize, result: Result<Vec<LogHealth>, Trouble>) {
        {
            let mut inner = self.lock();
            let health = &mut inner.all[source];
            health.checked = Some(Instant::now());
            match result {
                Ok(logs) => *health = Health { checked: health.checked, logs, ..Health::default() },
                Err(trouble) => {
                    // What it held is still worth showing.
                    health.trouble = Some(trouble);
                    health.since.get_or_insert_with(jiff::Timestamp::now);
                }
            }
        }
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The survey is over.
    pub(super) fn end(&self) {
        self.lock().goes_on = false;
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
