//! What is being answered now, and for whom: what the status page lists, and the queue of questions
//! that ask servers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::audit::Act;

/// Most questions of a person that ask servers at once; another one waits.
pub const LIVE_OF_PERSON: usize = 2;
/// Most questions in all that ask servers at once.
pub const LIVE: usize = 8;

/// What is being answered now.
#[derive(Debug)]
pub struct Running {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// How often each limit was reached.
    pub(super) hits: Hits,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last question.
    last: u64,
    /// The number of the last one that began to wait for its turn.
    last_waiting: u64,
    questions: BTreeMap<u64, Entry>,
}

struct Entry {
    person: String,
    act: Act,
    words: String,
    began: Instant,
    live: Live,
    stop: CancellationToken,
    /// Ends the asking.
    stops: Vec<Box<dyn Fn() + Send>>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("person", &self.person).field("live", &self.live).finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Live {
    /// It asks no server.
    No,
    /// It waits for its turn, since so many others did.
    Waits(u64),
    Asks,
}

/// How often each limit was reached since the start.
#[derive(Debug, Default)]
pub struct Hits {
    pub(super) sign_in: AtomicU64,
    pub(super) questions: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) audit: AtomicU64,
}

impl Hits {
    /// What each limit is, and how often it was reached.
    pub(crate) fn list(&self) -> [(&'static str, u64); 5] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("sign-ins refused after too many wrong passwords", of(&self.sign_in)),
            ("questions refused, as the person had too many", of(&self.questions)),
            ("connections refused, as the person had too many", of(&self.connections)),
            ("questions that waited for others to be done with servers", of(&self.waited)),
            ("questions refused, as the audit couldn't be written", of(&self.audit)),
        ]
    }

    pub(super) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// A question that is being answered, as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) number: u64,
    pub(crate) person: String,
    pub(crate) act: Act,
    pub(crate) words: String,
    pub(crate) time: Duration,
    /// Its place among those that wait, from 1.
    pub(crate) place: Option<usize>,
}

/// A question that is listed until this is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    running: Arc<Running>,
    number: u64,
    stop: CancellationToken,
}

impl Default for Running {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::channel(0).0, hits: Hits::default() }
    }
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often each limit was reached.
    pub fn hits(&self) -> &Hits {
        &self.hits
    }

    pub(super) fn begin(self: &Arc<Self>, person: &str, act: Act, words: &str) -> Listed {
        let stop = CancellationToken::new();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let entry = Entry {
            person: person.to_owned(),
            act,
            words: words.chars().take(1000).collect(),
            began: Instant::now(),
            live: Live::No,
            stop: stop.clone(),
            stops: Vec::new(),
        };
        state.questions.insert(number, entry);
        Listed { running: Arc::clone(self), number, stop }
    }

    /// The questions whose person passes a test, the oldest first.
    pub(crate) fn list(&self, is_shown: impl Fn(&str) -> bool) -> Vec<Listing> {
        let state = self.lock();
        let shown = state.questions.iter().filter(|(_, entry)| is_shown(&entry.person));
        shown
            .map(|(&number, entry)| Listing {
                number,
                person: entry.person.clone(),
                act: entry.act,
                words: entry.words.clone(),
                time: entry.began.elapsed(),
                place: state.place(number),
            })
            .collect()
    }

    /// Stops a question whose person passes a test. Whether there is one.
    pub(crate) fn stop(&self, number: u64, may_stop: impl Fn(&str) -> bool) -> bool {
        let state = self.lock();
        let Some(entry) = state.questions.get(&number).filter(|entry| may_stop(&entry.person))
        else {
            return false;
        };
        entry.stop.cancel();
        entry.stops.iter().for_each(|stop| stop());
        true
    }

    fn change(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl State {
    fn asking(&self, person: Option<&str>) -> usize {
        let asks = self.questions.values().filter(|entry| entry.live == Live::Asks);
        asks.filter(|entry| person.is_none_or(|person| entry.person == person)).count()
    }

    /// The place of a question among those that wait, from 1.
    fn place(&self, number: u64) -> Option<usize> {
        let Live::Waits(mine) = self.questions.get(&number)?.live else { return None };
        let is_before = |entry: &&Entry| matches!(entry.live, Live::Waits(other) if other < mine);
        Some(self.questions.values().filter(is_before).count() + 1)
    }

    /// Lets those ask that wait and whose person has room, in the order in which they came.
    fn give_turns(&mut self) {
        let mut waiting: Vec<(u64, u64)> = Vec::new();
        for (&number, entry) in &self.questions {
            if let Live::Waits(ticket) = entry.live {
                waiting.push((ticket, number));
            }
        }
        waiting.sort_unstable();
        for (_, number) in waiting {
            if self.asking(None) >= LIVE {
                break;
            }
            let person = &self.questions[&number].person;
            if self.asking(Some(person)) < LIVE_OF_PERSON
                && let Some(entry) = self.questions.get_mut(&number)
            {
                entry.live = Live::Asks;
            }
        }
    }
}

impl Listed {
    /// Becomes ready when somebody stops the question.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// What ends the asking when somebody stops the question.
    pub(super) fn when_stopped(&self, stop: impl Fn() + Send + 'static) {
        let mut state = self.running.lock();
        if let Some(entry) = state.questions.get_mut(&self.number) {
            entry.stops.push(Box::new(stop));
        }
    }

    /// Waits until the question may ask servers; it may until it is dropped. `tell` is called with
    /// each new place among those that wait.
    pub(super) async fn turn(&self, mut tell: impl FnMut(usize) + Send) {
        let mut changes = self.running.changed.subscribe();
        {
            let mut state = self.running.lock();
            state.last_waiting += 1;
            let ticket = state.last_waiting;
            if let Some(entry) = state.questions.get_mut(&self.number)
                && entry.live == Live::No
            {
                entry.live = Live::Waits(ticket);
            }
            // At once, so that none that came with it gets a place for which there is room.
            state.give_turns();
        }
        let mut told = None;
        loop {
            changes.borrow_and_update();
            // None once it asks.
            let Some(place) = self.running.lock().place(self.number) else { break };
            if told != Some(place) {
                if told.is_none() {
                    Hits::add(&self.running.hits.waited);
                }
                told = Some(place);
                tell(place);
            }
            if changes.changed().await.is_err() {
                break;
            }
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        {
            let mut state = self.running.lock();
            state.questions.remove(&self.number);
            state.give_turns();
        }
        self.running.change();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn begin(running: &Arc<Running>, person: &str) -> Listed {
        running.begin(person, Act::Ask, "on:@all")
    }

    /// Whether it is a question's turn, and the last place that it was told.
    fn poll(question: &Listed) -> (bool, usize) {
        let mut told = 0;
        let is_turn = question.turn(|place| told = place).now_or_never().is_some();
        (is_turn, told)
    }

    #[tokio::test]
    async fn a_third_question_of_a_person_waits_and_others_pass_it() {
        let running = Arc::new(Running::default());
        let mut first: Vec<Listed> = (0..3).map(|_| begin(&running, "ann")).collect();
        assert_eq!(poll(&first[0]), (true, 0));
        assert_eq!(poll(&first[1]), (true, 0));
        assert_eq!(poll(&first[2]), (false, 1));
        let bob = begin(&running, "bob");
        assert_eq!(poll(&bob), (true, 0));
        // One is done: the third has its turn.
        drop(first.remove(0));
        assert_eq!(poll(&first[1]), (true, 0));
        assert_eq!(running.hits.list()[3].1, 1);
    }

    #[test]
    fn two_that_come_at_once_are_told_of_no_place() {
        let together = std::sync::Barrier::new(2);
        for _ in 0..500 {
            let running = Arc::new(Running::default());
            let questions = [begin(&running, "ann"), begin(&running, "ann")];
            std::thread::scope(|scope| {
                for question in &questions {
                    let together = &together;
                    scope.spawn(move || {
                        together.wait();
                        assert_eq!(poll(question), (true, 0));
                    });
                }
            });
        }
    }

    #[tokio::test]
    async fn there_are_eight_in_all_and_the_rest_have_their_turn_in_order() {
        let running = Arc::new(Running::default());
        let person = |n: usize| format!("person{n}");
        let mut asking: Vec<Listed> = (0..LIVE).map(|n| begin(&running, &person(n))).collect();
        assert!(asking.iter().all(|question| poll(question) == (true, 0)));
        let waiting: Vec<Listed> = (0..3).map(|n| begin(&running, &person(100 + n))).collect();
        let tasks: Vec<_> = waiting
            .into_iter()
            .map(|question| {
                tokio::spawn(async move {
                    let mut places = Vec::new();
                    question.turn(|place| places.push(place)).await;
                    (question, places)
                })
            })
            .collect();
        // Each waits at a place.
        while running.list(|_| true).iter().filter(|listed| listed.place.is_some()).count() < 3 {
            tokio::task::yield_now().await;
        }
        for (n, task) in tasks.into_iter().enumerate() {
            asking.pop();
            let (question, places) = task.await.expect("no panic");
            let expected: Vec<usize> = (1..=n + 1).rev().collect();
            assert_eq!((places.first(), places.last()), (expected.first(), Some(&1)));
            asking.insert(0, question);
        }
    }

    #[tokio::test]
    async fn a_question_is_listed_for_its_person_and_stopped_by_who_may() {
        let running = Arc::new(Running::default());
        let question = begin(&running, "ann");
        assert!(running.list(|person| person == "bob").is_empty());
        let number = running.list(|person| person == "ann")[0].number;
        assert!(!running.stop(number, |person| person == "bob"));
        assert!(question.stopped().now_or_never().is_none());
        let (told, is_told) = std::sync::mpsc::channel();
        question.when_stopped(move || told.send(()).expect("the test listens"));
        assert!(running.stop(number, |person| person == "ann"));
        question.stopped().await;
        is_told.try_recv().expect("it was told");
        drop(question);
        assert!(running.list(|_| true).is_empty());
    }
}
