//! An answer while it fills: rows in order, counts, and how it stands with each source.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quarry_collect::Stop;
use quarry_event::EventTime;
use tokio::sync::{mpsc, watch};

use super::counts::Counts;
use super::gather::{Gathered, ON, USUAL, Usual};
use super::kept::Stored;
use super::question::{Question, Wanted};
use super::row::{PackedEvent, Row};
use super::{SourceInfo, SourceKind};
use crate::access::audit::Outcome;
use crate::view::{Bars, Place};

/// The longest that a question may take.
const LONGEST: Duration = Duration::from_secs(60);

/// The same of one whose events are handed on as they come.
const LONGEST_STREAM: Duration = Duration::from_secs(3600);

/// An answer while it fills. Dropping the last of it ends the asking.
#[derive(Debug)]
pub(crate) struct Search {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts what has changed.
    changed: watch::Sender<u64>,
    stop: Stop,
    wanted: Wanted,
    threshold: Arc<AtomicU64>,
    began: Instant,
    /// When it has to be done.
    ends: Instant,
    /// Where printed events go as they come.
    parts: Mutex<Parts>,
}

/// Some events that are handed on as they come.
#[derive(Debug)]
pub(crate) enum Part {
    /// Printed, one after another.
    Printed(Vec<u8>),
    /// To be saved in a log file, with the time of each.
    Packed(Vec<(EventTime, PackedEvent)>),
}

/// Both ends of a stream of events.
#[derive(Debug, Default)]
struct Parts {
    sender: Option<mpsc::Sender<Part>>,
    receiver: Option<mpsc::Receiver<Part>>,
}

/// How an answer stands.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The rows that are wanted, of those that came.
    rows: BTreeMap<Place, Row>,
    pub(crate) counts: Counts,
    /// Records that were read, those that don't match too. Not for somebody from whom some are hidden:
    /// of these there is no count either.
    pub(crate) records: Option<u64>,
    pub(crate) sources: Vec<SourceState>,
    pub(crate) troubles: Vec<Trouble>,
    /// Backends that are still at it.
    feeds: usize,
    /// Whether somebody stopped it.
    pub(crate) is_stopped: bool,
    /// Rows that were dropped, as they are not among those wanted.
    dropped: bool,
    /// Events that were counted besides those that were stored.
    pub(crate) besides: u64,
}

/// How it stands with a source.
#[derive(Clone, Debug)]
pub(crate) struct SourceState {
    pub(crate) info: SourceInfo,
    pub(crate) status: Status,
    /// Events of it that match and came.
    pub(crate) events: u64,
    /// The time of the last event that came of it, where its events come in order.
    pub(crate) reached: Option<EventTime>,
    /// Whether there may be more than what came, as only so many were asked for.
    pub(crate) has_more: bool,
    /// Whether records of it couldn't be read.
    pub(crate) has_holes: bool,
}

/// How far a source is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Asked,
    Open,
    Done,
    Failed,
}

/// Why something of a source is missing, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Trouble {
    /// The source's name.
    pub source: String,
    /// What happened, without the source's name: what sources that failed alike have in common.
    pub what: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Trouble {
    /// Something that happened to a source, and what to do about it.
    pub fn new(source: impl Into<String>, what: impl Into<String>, remedy: Option<String>) -> Self {
        Trouble { source: source.into(), what: what.into(), remedy }
    }
}

/// How exact a count is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exactness {
    /// Every event that matches was counted.
    Exact,
    /// What was fetched so far or at all was counted; there may be more.
    Fetched,
    /// It is still being counted, or was not counted to the end.
    AtLeast,
}

impl Search {
    pub(super) fn new(infos: Vec<SourceInfo>, question: &Question, wanted: &Wanted) -> Arc<Self> {
        let source = |info| SourceState {
            info,
            status: Status::Asked,
            events: 0,
            reached: None,
            has_more: false,
            has_holes: false,
        };
        let state = State {
            rows: BTreeMap::new(),
            counts: Counts::new(USUAL.len() + wanted.facets.len()),
            records: question.person.scope().is_everything().then_some(0),
            sources: infos.into_iter().map(source).collect(),
            troubles: Vec::new(),
            feeds: 0,
            is_stopped: false,
            dropped: false,
            besides: 0,
        };
        let threshold = if wanted.keeps_newest() { 0 } else { u64::MAX };
        let parts = match wanted.is_stream {
            true => {
                let (sender, receiver) = mpsc::channel(4);
                Parts { sender: Some(sender), receiver: Some(receiver) }
            }
            false => Parts::default(),
        };
        let longest = if wanted.is_stream { LONGEST_STREAM } else { LONGEST };
        Arc::new(Search {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: watch::channel(0).0,
                stop: Stop::default(),
                wanted: wanted.clone(),
                threshold: Arc::new(AtomicU64::new(threshold)),
                began: Instant::now(),
                ends: Instant::now() + longest,
                parts: Mutex::new(parts),
            }),
        })
    }

    /// Something through which a backend gives what it finds; its sources are at these places.
    /// Where stored events are asked beside, `stored` says which of its events are counted there.
    pub(super) fn feed(&self, places: Vec<usize>, stored: Option<Arc<Stored>>) -> Feed {
        self.shared.lock().feeds += 1;
        Feed { shared: Arc::clone(&self.shared), places, stored }
    }

    /// Ends the asking because somebody wants that. What came by then stays.
    pub(crate) fn stop(&self) {
        if self.shared.stop.set() {
            self.shared.lock().is_stopped = true;
            self.shared.change();
        }
    }

    /// Has the asking end when somebody stops the question.
    pub(crate) fn stops_with(self: &Arc<Self>, question: &crate::access::Question) {
        let search = Arc::downgrade(self);
        question.when_stopped(move || {
            if let Some(search) = search.upgrade() {
                search.stop();
            }
        });
    }

    /// The printed events as they come, for the one who asks first.
    pub(crate) fn parts(&self) -> Option<mpsc::Receiver<Part>> {
        let mut parts = self.shared.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.receiver.take()
    }

    /// How it stands now.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.shared.lock())
    }

    /// How long it has been asked.
    pub(crate) fn time(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// A receiver that is notified of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Waits until it is as is wished, it is complete, or the time is over.
    pub(crate) async fn wait(&self, most: Duration, is_enough: impl Fn(&State) -> bool) {
        let mut changes = self.changes();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                if self.look(|state| state.is_complete() || is_enough(state)) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whatever it has come to by then is shown.
        let _ = tokio::time::timeout(most, waiting).await;
    }

    /// Waits until it is complete, or the time is over.
    pub(crate) async fn wait_for_end(&self, most: Duration) {
        self.wait(most, |_| false).await;
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.shared.stop.set();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl State {
    /// Whether nothing more comes.
    pub(crate) fn is_complete(&self) -> bool {
        self.feeds == 0
    }

    /// The rows in the order of the list, and whether there may be more beyond the last.
    pub(crate) fn rows(&self, wanted: &Wanted) -> (Vec<&Row>, bool) {
        let has_more = self.dropped || self.sources.iter().any(|source| source.has_more);
        let rows: Vec<&Row> = match wanted.order {
            crate::view::Order::Newest => self.rows.values().rev().collect(),
            crate::view::Order::Oldest => self.rows.values().collect(),
        };
        (rows, has_more)
    }

    /// The sources with a status.
    pub(crate) fn with(&self, status: Status) -> impl Iterator<Item = &SourceState> {
        self.sources.iter().filter(move |source| source.status == status)
    }

    /// Sources that are still being asked.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = &SourceState> {
        self.sources.iter().filter(|source| matches!(source.status, Status::Asked | Status::Open))
    }

    /// How exact its counts are.
    pub(crate) fn exactness(&self) -> Exactness {
        let is_live = |source: &SourceState| source.info.kind == SourceKind::Server;
        if !self.is_complete() || self.is_stopped {
            return Exactness::AtLeast;
        }
        let is_partial = |source: &SourceState| {
            source.has_more || source.has_holes || source.status != Status::Done
        };
        match self.sources.iter().find(|source| is_partial(source)) {
            None => Exactness::Exact,
            Some(source) if is_live(source) => Exactness::Fetched,
            Some(_) => Exactness::AtLeast,
        }
    }

    /// How the question ended, for the audit.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.is_stopped {
            Outcome::Bounded
        } else if !self.is_complete() || self.sources.iter().any(|s| s.status != Status::Done) {
            Outcome::Partial
        } else {
            Outcome::Complete
        }
    }

    /// What failed, alike together: what happened, what to do, and the sources.
    pub(crate) fn alike(&self) -> Vec<(&str, Option<&str>, Vec<&str>)> {
        let mut groups: Vec<(&str, Option<&str>, Vec<&str>)> = Vec::new();
        for trouble in &self.troubles {
            match groups.iter_mut().find(|group| group.0 == trouble.what) {
                Some(group) if group.2.contains(&&*trouble.source) => {}
                Some(group) => group.2.push(&trouble.source),
                None => {
                    groups.push((&trouble.what, trouble.remedy.as_deref(), vec![&trouble.source]));
                }
            }
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.2.len()));
        groups
    }
}

/// Through which a backend gives what it finds. The answer is complete when all feeds are dropped.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
    /// Of each of the backend's sources that are asked, its place in the search.
    places: Vec<usize>,
    /// Of events that are read as they are asked for, those that were stored and asked for too.
    stored: Option<Arc<Stored>>,
}

impl Feed {
    /// Set when nobody wants more.
    pub fn stop(&self) -> Stop {
        self.shared.stop.clone()
    }

    /// Whether nobody wants more.
    pub fn is_over(&self) -> bool {
        self.shared.stop.is_set()
    }

    /// Ends it when its time is over. Whether it was.
    pub(super) fn check_time(&self) -> bool {
        let is_late = Instant::now() > self.shared.ends;
        if is_late && self.shared.stop.set() {
            self.shared.lock().is_stopped = true;
        }
        is_late
    }

    /// Whether some of its events may have been stored, and are counted there.
    pub(super) fn has_stored(&self) -> bool {
        self.stored.is_some()
    }

    pub(super) fn threshold(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.threshold)
    }

    fn change<T>(&self, source: usize, change: impl FnOnce(&mut State, usize) -> T) -> T {
        let result = change(&mut self.shared.lock(), self.places[source]);
        self.shared.change();
        result
    }

    /// A source is open.
    pub(super) fn opened(&self, source: usize) {
        self.change(source, |state, at| {
            if state.sources[at].status == Status::Asked {
                state.sources[at].status = Status::Open;
            }
        });
    }

    /// Something of a source is missing; if `is_end`, no more comes of it.
    pub(super) fn trouble(&self, source: usize, trouble: Trouble, is_end: bool) {
        self.change(source, |state, at| {
            if is_end {
                state.sources[at].status = Status::Failed;
            } else {
                state.sources[at].has_holes = true;
            }
            state.troubles.push(trouble);
        });
    }

    /// Records of a source couldn't be read.
    pub(super) fn hole(&self, source: usize) {
        self.change(source, |state, at| state.sources[at].has_holes = true);
    }

    /// A source was read to its end, or as far as was asked.
    pub(super) fn ended(&self, source: usize, limit: Option<u64>) {
        self.change(source, |state, at| {
            let source = &mut state.sources[at];
            source.has_more = limit.is_some_and(|limit| source.events >= limit);
            if source.status != Status::Failed {
                source.status = Status::Done;
            }
        });
    }

    /// Adds what a backend has counted, and how many of it are of each source.
    pub(super) fn counted(&self, counts: &Counts, by_source: &[u64]) {
        let mut state = self.shared.lock();
        state.counts.merge(counts);
        for (&at, events) in self.places.iter().zip(by_source) {
            state.sources[at].events += events;
        }
        drop(state);
        self.shared.change();
    }

    /// There are more rows than those that came.
    pub fn more(&self) {
        self.shared.lock().dropped = true;
    }

    /// Hands printed events on, and waits while their reader is behind.
    fn hand_on(&self, gathered: &mut Gathered) {
        if gathered.rows.is_empty() {
            return;
        }
        let rows = gathered.rows.drain(..);
        let part = match self.shared.wanted.is_packed {
            true => {
                Part::Packed(rows.filter_map(|row| Some((row.place.time, *row.packed?))).collect())
            }
            false => Part::Printed(rows.flat_map(|row| row.printed).collect()),
        };
        let sender =
            self.shared.parts.lock().unwrap_or_else(PoisonError::into_inner).sender.clone();
        if let Some(sender) = sender
            && sender.blocking_send(part).is_err()
        {
            // Nobody reads any more.
            self.shared.stop.set();
        }
    }

    /// Takes what was made of some events of a source. Where they weren't counted, the rows are.
    pub(super) fn gathered(
        &self,
        source: usize,
        records: u64,
        matched: u64,
        gathered: &mut Gathered,
        is_counted: bool,
    ) {
        let wanted = &self.shared.wanted;
        if wanted.is_stream {
            self.hand_on(gathered);
        }
        let mut state = self.shared.lock();
        let at = self.places[source];
        let name: Arc<str> = state.sources[at].info.name.as_str().into();
        if let Some(read) = &mut state.records {
            *read += records;
        }
        state.sources[at].events += matched;
        if wanted.counts {
            if is_counted {
                for kind in
                    gathered.counts.histogram.series.iter_mut().filter(|kind| &***kind == ON)
                {
                    *kind = (*name).into();
                }
                state.counts.merge(&gathered.counts);
                count_source(&mut state.counts, &name, gathered.counts.events);
            } else {
                let is_new = |row: &&Row| !self.stored.as_ref().is_some_and(|s| s.has(&row.place));
                for row in gathered.rows.iter().filter(is_new) {
                    count(&mut state.counts, row, &name, wanted);
                    state.besides += u64::from(self.stored.is_some());
                }
            }
        }
        let mut reached = state.sources[at].reached;
        let all_have_rows = gathered.rows.len() as u64 == matched;
        for mut row in gathered.rows.drain(..) {
            reached = Some(row.place.time);
            row.on = Arc::clone(&name);
            if let Some(full) = is_full(&state, wanted) {
                let is_wanted = match wanted.keeps_newest() {
                    true => row.place > full,
                    false => row.place < full,
                };
                if !is_wanted {
                    state.dropped = true;
                    continue;
                }
            }
            match state.rows.entry(row.place.clone()) {
                Entry::Vacant(place) => {
                    place.insert(row);
                }
                // What was stored knows the rules that it matches.
                Entry::Occupied(mut place) if self.stored.is_none() => {
                    place.insert(row);
                }
                Entry::Occupied(_) => {}
            }
            if state.rows.len() > wanted.rows {
                let _ = match wanted.keeps_newest() {
                    true => state.rows.pop_first(),
                    false => state.rows.pop_last(),
                };
                state.dropped = true;
            }
        }
        state.sources[at].reached = reached;
        if let Some(full) = is_full(&state, wanted) {
            if !all_have_rows {
                // Those without one are beyond it.
                state.sources[at].reached = Some(full.time);
            }
            self.shared.threshold.store(full.time.as_filetime(), Ordering::Relaxed);
            // What comes after may be dropped without being looked at.
            state.dropped |= is_counted && state.counts.events > state.rows.len() as u64;
        }
        drop(state);
        self.shared.change();
    }
}

/// The place that a row has to be beyond to be kept, where there are as many as are wanted.
fn is_full(state: &State, wanted: &Wanted) -> Option<Place> {
    if state.rows.len() < wanted.rows {
        return None;
    }
    let ends = match wanted.keeps_newest() {
        true => state.rows.keys().next(),
        false => state.rows.keys().next_back(),
    };
    ends.cloned()
}

fn count_source(counts: &mut Counts, name: &str, events: u64) {
    let place = USUAL.iter().position(|usual| *usual == Usual::On);
    if let Some(facet) = place.and_then(|place| counts.facets.get_mut(place))
        && events > 0
    {
        facet.add(name, events);
    }
}

/// Counts a row.
fn count(counts: &mut Counts, row: &Row, name: &str, wanted: &Wanted) {
    let level = super::counts::level_word(row.level);
    let id = row.id.map(|id| id.to_string()).unwrap_or_default();
    counts.events += 1;
    let usual = USUAL.map(|usual| match usual {
        Usual::Level => level,
        Usual::On => name,
        Usual::Log => &row.channel,
        Usual::Id => &id,
        Usual::Provider => &row.provider,
        Usual::Computer => &row.computer,
        Usual::Rule => "",
    });
    let more = row.more.iter().skip(wanted.columns.len()).map(|text| &**text);
    for (facet, value) in counts.facets.iter_mut().zip(usual.into_iter().chain(more)) {
        if !value.is_empty() {
            facet.add(value, 1);
        }
    }
    let place = USUAL.iter().position(|usual| *usual == Usual::Rule);
    if let Some(facet) = place.and_then(|place| counts.facets.get_mut(place)) {
        row.rules.iter().for_each(|rule| facet.add_rule(rule));
    }
    let kind = match wanted.bars {
        Bars::Level => level,
        Bars::On => name,
        Bars::Provider => &row.provider,
    };
    counts.histogram.add(row.place.time, kind);
}

impl Drop for Feed {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.feeds -= 1;
            if state.feeds == 0 {
                // The stream ends with the last event.
                self.shared.parts.lock().unwrap_or_else(PoisonError::into_inner).sender = None;
            }
            for &at in &self.places {
                if matches!(state.sources[at].status, Status::Asked | Status::Open) {
                    // Nothing more comes of it, and nobody said that it was read.
                    state.sources[at].status = Status::Failed;
                }
            }
        }
        self.shared.change();
    }
}
