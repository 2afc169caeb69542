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
    /// What happens in its logs, as far as that is known.
    pub activity: Vec<Activity>,
}

/// What happens in a log of a source.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Activity {
    /// The log where the events were read.
    pub log: String,
    /// What the events say of themselves, where they were told apart by it.
    pub channel: Option<String>,
    /// Events of the last hour, where each was counted.
    pub last_hour: Option<u64>,
    /// Errors, and worse, of the last 24 hours, where each was counted.
    pub errors_of_day: Option<u64>,
    /// New records a minute, between the last two looks at the log.
    pub a_minute: Option<f64>,
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

    /// Events of the last hour, where they were counted.
    pub fn last_hour(&self) -> Option<u64> {
        self.activity.iter().filter_map(|activity| activity.last_hour).reduce(|a, b| a + b)
    }

    /// Errors, and worse, of the last 24 hours, where they were counted.
    pub fn errors_of_day(&self) -> Option<u64> {
        self.activity.iter().filter_map(|activity| activity.errors_of_day).reduce(|a, b| a + b)
    }

    /// New records a minute, where its logs were looked at twice.
    pub fn a_minute(&self) -> Option<f64> {
        self.activity.iter().filter_map(|activity| activity.a_minute).reduce(|a, b| a + b)
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
            let before = health.checked.replace(Instant::now());
            match result {
                Ok(logs) => {
                    let activity = match before {
                        Some(before) => growth(&health.logs, &logs, before.elapsed()),
                        None => Vec::new(),
                    };
                    *health =
                        Health { checked: health.checked, logs, activity, ..Health::default() };
                }
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

/// How fast logs grew between two looks at them. One that was cleared, or that lost its oldest records
/// meanwhile, can't tell.
fn growth(before: &[LogHealth], now: &[LogHealth], time: Duration) -> Vec<Activity> {
    let grew = |(log, info): &LogHealth| {
        let now = info.as_ref().ok()?;
        let (_, before) = before.iter().find(|(other, _)| other == log)?;
        let before = before.as_ref().ok()?;
        let records = now.records.checked_sub(before.records)?;
        let is_same = now.oldest == before.oldest && !time.is_zero();
        let a_minute = is_same.then(|| records as f64 * 60.0 / time.as_secs_f64())?;
        Some(Activity { log: log.clone(), a_minute: Some(a_minute), ..Activity::default() })
    };
    now.iter().filter_map(grew).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_only_grew_tells_how_fast() {
        let oldest = Some(EventTime::from_filetime(7));
        let log = |name: &str, records, oldest| {
            let info = LogInfo { records, oldest, ..LogInfo::default() };
            (name.to_owned(), Ok(info))
        };
        let before = [log("System", 100, oldest), log("Setup", 5, oldest), log("Wrapped", 9, None)];
        let now = [
            log("System", 130, oldest),
            log("Setup", 3, oldest),
            log("Wrapped", 9, oldest),
            log("New", 1, oldest),
        ];
        let grew = growth(&before, &now, Duration::from_secs(30));
        assert_eq!(grew.len(), 1, "{grew:?}");
        assert_eq!((&*grew[0].log, grew[0].a_minute), ("System", Some(60.0)));
    }
}
