//! Stored events in memory: what a store answers as, small enough to be read in one go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use quarry_collect::Selection;
use quarry_event::{Event, EventTime, Field, FieldSource, Origin, RecordId, RuleName, Texts};
use quarry_fleet::eventlog::LogInfo;
use tokio::sync::watch;

use super::gather::{Allowed, Gather, Gathered, Worker};
use super::health::{Activity, Health};
use super::search::{Feed, Trouble};
use super::{Asked, Backend, SourceInfo, SourceKind};
use crate::access::Person;
use crate::stream::hub::Hub;

/// Events that were stored, of some sources.
#[derive(Debug)]
pub struct Memory {
    infos: Arc<[SourceInfo]>,
    /// Where the events of each source were read, as their identity says it.
    identities: Arc<[String]>,
    events: Arc<RwLock<Vec<Stored>>>,
    changes: AtomicU64,
}

#[derive(Clone, Debug)]
struct Stored {
    source: usize,
    log: String,
    record: u64,
    event: Event,
    rules: Vec<Arc<RuleName>>,
}

impl Memory {
    /// No events, of sources with these names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let infos = names.into_iter().map(|name| SourceInfo::new(name, SourceKind::Stored));
        let infos: Arc<[SourceInfo]> = infos.collect();
        let identities = infos.iter().map(|info| info.name.clone()).collect();
        Memory { infos, identities, events: Arc::default(), changes: AtomicU64::new(0) }
    }

    /// The same, where the identity of a source's events has another name of it than it is called by:
    /// the address of a server, by which it is told that an event was stored and comes from there too.
    #[must_use]
    pub fn read_at(mut self, source: usize, address: impl Into<String>) -> Self {
        let mut identities = self.identities.to_vec();
        if let Some(identity) = identities.get_mut(source) {
            *identity = address.into();
        }
        self.identities = identities.into();
        self
    }

    /// Stores an event of a source, by its place; one of the same log and number is replaced.
    pub fn store(&self, source: usize, log: &str, record: u64, event: Event) {
        self.store_marked(source, log, record, event, Vec::new());
    }

    /// The same of an event that matches detection rules.
    pub fn store_marked(
        &self,
        source: usize,
        log: &str,
        record: u64,
        event: Event,
        rules: Vec<Arc<RuleName>>,
    ) {
        let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            |other: &Stored| other.source == source && other.log == log && other.record == record;
        events.retain(|other| !is_same(other));
        events.push(Stored { source, log: log.to_owned(), record, event, rules });
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Backend for Memory {
    fn is_stored(&self) -> bool {
        true
    }

    fn sources(&self) -> &[SourceInfo] {
        &self.infos
    }

    fn reads_as_person(&self) -> bool {
        false
    }

    fn answer(&self, asked: Asked, sources: Vec<usize>, feed: Feed) {
        let selection = match asked.question.selection(&asked.wanted, false, asked.wanted.counts) {
            Ok(selection) => selection,
            Err(problem) => {
                let trouble = Trouble::new("", problem.detail, None);
                return (0..sources.len()).for_each(|n| feed.trouble(n, trouble.clone(), true));
            }
        };
        let (infos, events) = (Arc::clone(&self.infos), Arc::clone(&self.events));
        let identities = Arc::clone(&self.identities);
        let work = move || {
            let events = events.read().unwrap_or_else(PoisonError::into_inner);
            look((&infos, &identities), &events, &asked, &selection, &sources, &feed);
        };
        // Who takes what is printed may be slow, and is waited for: not on a thread of a runtime.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }

    fn state(&self) -> Option<u64> {
        Some(self.changes.load(Ordering::Relaxed))
    }

    fn follow(&self, _: Asked, _: Vec<usize>, _: Arc<Hub>) -> bool {
        // What is stored doesn't happen.
        false
    }

    fn health(&self, _: &Person) -> Vec<Health> {
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        let of = |n: usize| {
            let mut logs: BTreeMap<&str, LogInfo> = BTreeMap::new();
            for stored in events.iter().filter(|stored| stored.source == n) {
                let info = logs.entry(&stored.log).or_default();
                let time = stored.event.field(Field::TimeCreated).as_time();
                info.records += 1;
                info.oldest = info.oldest.into_iter().chain(time).min();
                info.newest = info.newest.max(time);
            }
            let logs = logs.into_iter().map(|(log, info)| (log.to_owned(), Ok(info))).collect();
            let mine = events.iter().filter(|stored| stored.source == n);
            let activity = activity(mine, EventTime::from_timestamp(jiff::Timestamp::now()));
            Health { checked: Some(Instant::now()), logs, activity, ..Health::default() }
        };
        (0..self.infos.len()).map(of).collect()
    }

    fn survey(&self, _: &Person) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

/// What happened in some events' logs, up to now. Events of a log are told apart by what they say of
/// themselves, since rules ask for both.
fn activity<'e>(events: impl Iterator<Item = &'e Stored>, now: EventTime) -> Vec<Activity> {
    const HOUR: u64 = 3600 * EventTime::SECOND;
    let mut all: BTreeMap<(&str, String), (u64, u64)> = BTreeMap::new();
    for stored in events {
        let channel = stored.event.field(Field::Channel).with_text(str::to_owned);
        let time = stored.event.field(Field::TimeCreated).as_time().unwrap_or_default();
        let age = now.as_filetime().saturating_sub(time.as_filetime());
        let level = stored.event.field(Field::Level).as_u64();
        let (hour, errors) = all.entry((&stored.log, channel)).or_default();
        *hour += u64::from(age < HOUR);
        *errors += u64::from(age < 24 * HOUR && matches!(level, Some(1 | 2)));
    }
    let of = |((log, channel), (hour, errors)): ((&str, String), (u64, u64))| Activity {
        log: log.to_owned(),
        channel: Some(channel),
        last_hour: Some(hour),
        errors_of_day: Some(errors),
        a_minute: None,
    };
    all.into_iter().map(of).collect()
}

/// Looks at every event of some sources.
fn look(
    (infos, identities): (&[SourceInfo], &[String]),
    events: &[Stored],
    asked: &Asked,
    selection: &Selection,
    sources: &[usize],
    feed: &Feed,
) {
    let logs = selection.logs().to_vec();
    let mut matcher = selection.matcher(false);
    let allowed = Allowed::new(asked, asked.wanted.counts);
    let gather = Gather::new(&asked.wanted, asked.wanted.counts, &feed.threshold());
    let mut worker = Worker::default();
    for (n, &source) in sources.iter().enumerate() {
        let mut gathered = Gathered::default();
        let (mut records, mut matched) = (0, 0);
        for stored in events.iter().filter(|stored| stored.source == source) {
            if feed.is_over() {
                return;
            }
            records += 1;
            let is_of_log = logs.is_empty() || logs.iter().any(|log| log.is_match(&stored.log));
            let origin = Origin {
                source: &identities[source],
                host: Some(&infos[source].name),
                log: &stored.log,
                log_record: Some(RecordId(stored.record)),
                recovered: false,
            };
            let event = &stored.event;
            if is_of_log
                && matcher.as_mut().is_none_or(|matcher| {
                    matcher.matches(event, None) && matcher.rules_pass(&stored.rules)
                })
                && allowed.passes(event, &origin)
            {
                matched += 1;
                let texts = Texts { rules: &stored.rules, ..Texts::default() };
                gather.take(&mut worker, event, &origin, texts, &mut gathered);
            }
        }
        feed.opened(n);
        feed.gathered(n, records, matched, &mut gathered, asked.wanted.counts);
        feed.ended(n, None);
    }
}

#[cfg(test)]
mod tests {
    // What is stored is asked in `crate::sources::tests`, beside the other kinds.
    use super::*;

    #[test]
    fn an_event_that_is_stored_again_is_one() {
        let memory = Memory::new(["dc01".to_owned()]);
        let event = Event { root: quarry_event::Element::new("Event") };
        memory.store(0, "System", 1, event.clone());
        memory.store(0, "System", 1, event);
        assert_eq!(memory.events.read().unwrap().len(), 1);
    }
}
