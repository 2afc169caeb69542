//! What is followed for whoever looks at the same question: a ring of what happened, in order and
//! numbered, so that a reader who was away goes on where they were.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quarry_collect::Stop;
use quarry_event::{EventTime, LevelName};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::sources::Row;

/// What is kept for readers who were away.
const RING: usize = 2000;
/// The rows of a second that are shown; the others are counted.
const ROWS_A_SECOND: u32 = 250;
const SECOND: Duration = Duration::from_secs(1);
/// How long is followed what nobody looks at.
const UNWATCHED: Duration = Duration::from_secs(60);
/// The most questions that are followed at once.
const HUBS: usize = 32;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) number: u64,
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Row(Arc<Row>),
    /// More rows in a second than are shown.
    Skipped(Value),
    /// Something about a source: lost, back, a gap.
    Source(Value),
}

/// A question that is followed: a backend gives it what happens.
#[derive(Debug)]
pub struct Hub {
    ring: Mutex<Ring>,
    changed: watch::Sender<u64>,
    stop: Stop,
    pace: Arc<Pace>,
}

/// Until when no more rows are shown, which whoever makes them looks at first.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    /// In nanoseconds since the beginning.
    full_until: AtomicU64,
}

impl Pace {
    /// Whether a row that comes now is counted rather than shown.
    pub(crate) fn is_full(&self) -> bool {
        let until = self.full_until.load(Ordering::Relaxed);
        until > 0 && self.began.elapsed() < Duration::from_nanos(until)
    }
}

/// Events that aren't shown.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Skipped {
    events: u64,
    errors: u64,
    /// The times of the first and the last one.
    span: Option<(EventTime, EventTime)>,
}

impl Skipped {
    /// Adds an event.
    pub(crate) fn add(&mut self, time: EventTime, level: LevelName) {
        let errors = u64::from(matches!(level, LevelName::Critical | LevelName::Error));
        self.merge(&Skipped { events: 1, errors, span: Some((time, time)) });
    }

    fn merge(&mut self, other: &Skipped) {
        self.events += other.events;
        self.errors += other.errors;
        self.span = match (self.span, other.span) {
            (Some(mine), Some(other)) => Some((mine.0.min(other.0), mine.1.max(other.1))),
            (mine, other) => mine.or(other),
        };
    }
}

#[derive(Debug)]
struct Ring {
    next: u64,
    items: VecDeque<Item>,
    second: Second,
    /// Since when nobody looks.
    unwatched: Option<Instant>,
    is_over: bool,
    /// All events, those that weren't shown too.
    events: u64,
}

/// What came in the second that it is.
#[derive(Debug)]
struct Second {
    began: Instant,
    shown: u32,
    skipped: Skipped,
}

impl Second {
    fn new() -> Self {
        Second { began: Instant::now(), shown: 0, skipped: Skipped::default() }
    }
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) struct Since {
    pub(crate) items: Vec<Item>,
    /// How many things happened that are gone.
    pub(crate) missed: u64,
    pub(crate) is_over: bool,
    pub(crate) events: u64,
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        let ring = Ring {
            next: 1,
            items: VecDeque::new(),
            second: Second::new(),
            unwatched: None,
            is_over: false,
            events: 0,
        };
        Arc::new(Hub {
            ring: Mutex::new(ring),
            changed: watch::channel(0).0,
            stop: Stop::default(),
            pace: Arc::new(Pace { began: Instant::now(), full_until: AtomicU64::new(0) }),
        })
    }

    /// Whether rows are shown, for whoever makes them.
    pub(crate) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    /// What ends the following.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// What happened after a number.
    pub(crate) fn since(&self, number: u64) -> Since {
        let ring = self.lock();
        let first = ring.items.front().map_or(ring.next, |item| item.number);
        let from = number.saturating_add(1);
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        Since {
            items: ring.items.iter().skip(skip).cloned().collect(),
            // A number of another program's is none of ours.
            missed: if number < ring.next { first.saturating_sub(from) } else { 0 },
            is_over: ring.is_over,
            events: ring.events,
        }
    }

    /// The number of the newest thing that happened.
    pub(crate) fn last(&self) -> u64 {
        self.lock().next - 1
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes rows as they come, and what was skipped among them.
    pub(crate) fn rows(&self, rows: impl IntoIterator<Item = Row>, skipped: &Skipped) {
        let mut ring = self.lock();
        ring.turn();
        ring.events += skipped.events;
        ring.second.skipped.merge(skipped);
        for row in rows {
            ring.events += 1;
            ring.turn();
            let second = &mut ring.second;
            if second.shown == ROWS_A_SECOND {
                second.skipped.add(row.place.time, row.level);
                continue;
            }
            second.shown += 1;
            if second.shown == ROWS_A_SECOND {
                let ends = (second.began + SECOND).duration_since(self.pace.began);
                // Nobody follows for five hundred years.
                let ends = u64::try_from(ends.as_nanos()).unwrap_or_default();
                self.pace.full_until.store(ends, Ordering::Relaxed);
            }
            ring.push(What::Row(Arc::new(row)));
        }
        drop(ring);
        self.change();
    }

    /// Something happened to a source.
    pub(crate) fn source(&self, what: Value) {
        self.lock().push(What::Source(what));
        self.change();
    }

    /// Called now and then: says what wasn't shown, and ends what nobody looks at.
    pub(crate) fn tick(&self) {
        let is_watched = self.changed.receiver_count() > 0;
        let mut ring = self.lock();
        let before = ring.next;
        ring.turn();
        let is_news = ring.next != before;
        match (is_watched, ring.unwatched) {
            (true, _) => ring.unwatched = None,
            (false, None) => ring.unwatched = Some(Instant::now()),
            (false, Some(since)) if since.elapsed() > UNWATCHED => {
                self.stop.set();
            }
            _ => {}
        }
        drop(ring);
        if is_news {
            self.change();
        }
    }

    /// Nothing more comes.
    pub(crate) fn end(&self) {
        self.lock().is_over = true;
        self.change();
    }

    fn change(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, what: What) {
        self.items.push_back(Item { number: self.next, what });
        self.next += 1;
        if self.items.len() > RING {
            self.items.pop_front();
        }
    }

    /// Begins another second where it is time to; what wasn't shown of the last one is told.
    fn turn(&mut self) {
        if self.second.began.elapsed() < SECOND {
            return;
        }
        let second = std::mem::replace(&mut self.second, Second::new());
        let Skipped { events, errors, span } = second.skipped;
        if let Some((since, until)) = span {
            let skipped = json!({
                "events": events, "errors": errors, "shown": second.shown,
                "since": since.to_string(), "until": until.to_string(),
            });
            self.push(What::Skipped(skipped));
        }
    }
}

/// What is followed now, by question and person.
#[derive(Debug, Default)]
pub(crate) struct Hubs(Mutex<HashMap<String, Arc<Hub>>>);

impl Hubs {
    /// The hub of a question, which `begin` begins to fill if it is new; nothing where too many are
    /// followed already.
    pub(crate) fn get(&self, key: &str, begin: impl FnOnce(Arc<Hub>)) -> Option<Arc<Hub>> {
        let mut hubs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.retain(|_, hub| !hub.stop.is_set() && !hub.lock().is_over);
        if let Some(hub) = hubs.get(key) {
            return Some(Arc::clone(hub));
        }
        if hubs.len() >= HUBS {
            // What nobody looks at gives way.
            let idle = hubs.iter().find(|(_, hub)| hub.changed.receiver_count() == 0);
            let idle = idle.map(|(key, _)| key.clone())?;
            hubs.remove(&idle)?.stop.set();
        }
        let hub = Hub::new();
        begin(Arc::clone(&hub));
        hubs.insert(key.to_owned(), Arc::clone(&hub));
        Some(hub)
    }

    /// How many questions are followed.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Ends everything that is followed.
    pub(crate) fn stop(&self) {
        let hubs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.values().for_each(|hub| {
            hub.stop.set();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::row_of_a_test;

    #[test]
    fn what_a_second_has_more_than_it_shows_is_counted_exactly() {
        let hub = Hub::new();
        assert!(!hub.pace().is_full());
        let level = |n| if n >= 990 { LevelName::Error } else { LevelName::Information };
        let row = |n| row_of_a_test(n, level(n));
        hub.rows((1..400).map(row), &Skipped::default());
        // From then on none needs to be made.
        assert!(hub.pace().is_full());
        let mut skipped = Skipped::default();
        (600..=1000).for_each(|n| skipped.add(EventTime::from_filetime(n), level(n)));
        hub.rows((400..600).map(row), &skipped);
        let shown = hub.since(0);
        assert_eq!((shown.items.len(), shown.missed, shown.events), (250, 0, 1000));
        // The second is over.
        hub.lock().second.began = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        hub.tick();
        let rest = hub.since(shown.items.last().unwrap().number);
        let [Item { what: What::Skipped(skipped), .. }] = &*rest.items else { panic!("{rest:?}") };
        assert_eq!((&skipped["events"], &skipped["errors"]), (&json!(750), &json!(11)));
        let time = |n| json!(EventTime::from_filetime(n).to_string());
        assert_eq!((&skipped["since"], &skipped["until"]), (&time(251), &time(1000)));
        // The next second has room again.
        std::thread::sleep(SECOND);
        assert!(!hub.pace().is_full());
    }

    #[test]
    fn a_reader_goes_on_where_they_were_or_is_told_how_much_is_gone() {
        let hub = Hub::new();
        for n in 0..RING as u64 + 100 {
            // However fast they come, each is shown.
            hub.lock().second.shown = 0;
            hub.rows([row_of_a_test(n, LevelName::Information)], &Skipped::default());
        }
        let all = hub.since(0);
        assert_eq!((all.items.len(), all.missed), (RING, 100));
        let some = hub.since(hub.last() - 3);
        assert_eq!((some.items.len(), some.missed), (3, 0));
        assert_eq!(hub.since(hub.last()).items.len(), 0);
    }
}
