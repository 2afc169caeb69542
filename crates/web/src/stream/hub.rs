//! What is followed for whoever looks at the same question: a ring of what happened, in order and
//! numbered, so that a reader who was away goes on where they were.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quarry_collect::Stop;
use quarry_event::LevelName;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::sources::Row;

/// What is kept for readers who were away.
const RING: usize = 2000;
/// The rows of a second that are shown; the others are counted.
const ROWS_A_SECOND: u32 = 250;
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
    skipped: u64,
    errors: u64,
    /// The times of the first and the last one that weren't shown.
    span: Option<(String, String)>,
}

impl Second {
    fn new() -> Self {
        Second { began: Instant::now(), shown: 0, skipped: 0, errors: 0, span: None }
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
        })
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

    /// Takes rows as they come.
    pub(crate) fn rows(&self, rows: impl IntoIterator<Item = Row>) {
        let mut ring = self.lock();
        for row in rows {
            ring.events += 1;
            ring.turn();
            if ring.second.shown < ROWS_A_SECOND {
                ring.second.shown += 1;
                ring.push(What::Row(Arc::new(row)));
                continue;
            }
            let second = &mut ring.second;
            second.skipped += 1;
            second.errors += u64::from(matches!(row.level, LevelName::Critical | LevelName::Error));
            let time = row.place.time.to_string();
            match &mut second.span {
                None => second.span = Some((time.clone(), time)),
                Some((first, last)) => {
                    if time < *first {
                        *first = time;
                    } else if time > *last {
                        *last = time;
                    }
                }
            }
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
        if self.second.began.elapsed() < Duration::from_secs(1) {
            return;
        }
        let second = std::mem::replace(&mut self.second, Second::new());
        if let Some((since, until)) = second.span {
            let skipped = json!({
                "events": second.skipped, "errors": second.errors, "shown": second.shown,
                "since": since, "until": until,
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
        hub.rows((0..1000).map(|n| {
            row_of_a_test(n, if n >= 990 { LevelName::Error } else { LevelName::Information })
        }));
        let shown = hub.since(0);
        assert_eq!((shown.items.len(), shown.missed, shown.events), (250, 0, 1000));
        // The second is over.
        hub.lock().second.began = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        hub.tick();
        let rest = hub.since(shown.items.last().unwrap().number);
        let [Item { what: What::Skipped(skipped), .. }] = &*rest.items else { panic!("{rest:?}") };
        assert_eq!((&skipped["events"], &skipped["errors"]), (&json!(750), &json!(10)));
    }

    #[test]
    fn a_reader_goes_on_where_they_were_or_is_told_how_much_is_gone() {
        let hub = Hub::new();
        for n in 0..RING as u64 + 100 {
            // However fast they come, each is shown.
            hub.lock().second.shown = 0;
            hub.rows([row_of_a_test(n, LevelName::Information)]);
        }
        let all = hub.since(0);
        assert_eq!((all.items.len(), all.missed), (RING, 100));
        let some = hub.since(hub.last() - 3);
        assert_eq!((some.items.len(), some.missed), (3, 0));
        assert_eq!(hub.since(hub.last()).items.len(), 0);
    }
}
