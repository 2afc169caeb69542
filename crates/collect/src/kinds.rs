//! Which kinds of events there are: channels and ids, and of the Security log the subcategories of
//! the audit policy that its events are of, and what changed in that policy.

use std::collections::{BTreeMap, BTreeSet};

use quarry_detect::{PolicyChange, Subcategory};
use quarry_event::filter::{Filter, Ids};
use quarry_event::{Event, EventTime, Field, FieldSource, PartialSource, RecordId};
use quarry_eventlog::{
    BatchReader, Damage, Direction, EventLog, LogError, LogName, Query, Visitor,
};

use crate::sink::{Found, Output, Work};

/// The most kinds that are told apart.
const MAX_KINDS: usize = 100_000;
/// The most changes of an audit policy that are kept.
const MAX_CHANGES: usize = 100;

/// The kinds of events in a source, or in a part of it.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    /// By the channel's name in lowercase: its name, and how many events there are of each id.
    channels: BTreeMap<String, (String, BTreeMap<u64, u64>)>,
    kinds: usize,
    records: u64,
    /// By their tasks.
    subcategories: BTreeSet<u16>,
    changes: Vec<(EventTime, PolicyChange)>,
    is_cut: bool,
}

impl Kinds {
    /// Adds an event.
    pub fn add(&mut self, event: &impl FieldSource) {
        let id = event.field(Field::EventId).as_u64().unwrap_or_default();
        self.records += 1;
        event.field(Field::Channel).with_text(|channel| self.count(channel, id, 1));
        if !event.field(Field::Channel).is_text("Security") {
            return;
        }
        let task = event.field(Field::Task).as_u64();
        self.subcategories.extend(task.and_then(Subcategory::of_task).map(|known| known.task));
        if let Some(change) = PolicyChange::of(event) {
            let time = event.field(Field::TimeCreated).as_time().unwrap_or_default();
            self.changed([(time, change)]);
        }
    }

    fn count(&mut self, channel: &str, id: u64, events: u64) {
        let key = channel.to_lowercase();
        let is_known = self.channels.get(&key).is_some_and(|(_, ids)| ids.contains_key(&id));
        if !is_known {
            if self.kinds >= MAX_KINDS {
                self.is_cut = true;
                return;
            }
            self.kinds += 1;
        }
        let (_, ids) =
            self.channels.entry(key).or_insert_with(|| (channel.to_owned(), BTreeMap::new()));
        *ids.entry(id).or_default() += events;
    }

    /// Keeps the newest changes.
    fn changed(&mut self, changes: impl IntoIterator<Item = (EventTime, PolicyChange)>) {
        self.changes.extend(changes);
        self.changes.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        self.changes.dedup();
        self.changes.truncate(MAX_CHANGES);
    }

    /// Adds what others counted.
    pub fn merge(&mut self, other: &Kinds) {
        for (channel, ids) in other.channels.values() {
            ids.iter().for_each(|(id, events)| self.count(channel, *id, *events));
        }
        self.records += other.records;
        self.subcategories.extend(&other.subcategories);
        self.changed(other.changes.iter().cloned());
        self.is_cut |= other.is_cut;
    }

    /// How many events were looked at.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Whether there were too many kinds to tell apart.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The channels, each with its ids and how many events they have.
    pub fn channels(&self) -> impl Iterator<Item = (&str, &BTreeMap<u64, u64>)> {
        self.channels.values().map(|(channel, ids)| (&**channel, ids))
    }

    /// Whether there is an event of a channel, without regard to case, with one of some ids; or
    /// with any, where none are given.
    pub fn has(&self, channel: &str, ids: Option<&[u64]>) -> bool {
        self.channels.get(&channel.to_lowercase()).is_some_and(|(_, known)| {
            ids.is_none_or(|ids| ids.iter().any(|id| known.contains_key(id)))
        })
    }

    /// The subcategories of the audit policy that events of Security are of.
    pub fn subcategories(&self) -> impl Iterator<Item = &'static Subcategory> {
        self.subcategories.iter().filter_map(|task| Subcategory::of_task((*task).into()))
    }

    /// What changed in the audit policy, the newest first.
    pub fn changes(&self) -> &[(EventTime, PolicyChange)] {
        &self.changes
    }
}

/// Counts kinds of events, on any thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountKinds;

impl Work for CountKinds {
    type Worker = ();
    type Output = Kinds;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), event: &S, _: &Found<'_>, output: &mut Kinds) {
        output.add(event);
    }
}

impl Output for Kinds {
    fn bytes(&self) -> usize {
        // About what a place in a map takes; channels are few.
        self.kinds * 64 + self.changes.len() * 128
    }

    fn clear(&mut self) {
        *self = Kinds::default();
    }

    /// Which came first is forgotten: nobody counts kinds with a limit.
    fn truncate(&mut self, _: u64) {}
}

/// The kinds of the newest events of a log, at most so many, and the changes of the audit policy that the
/// whole log has.
///
/// # Errors
/// [`LogError`]: the log can't be read.
pub async fn newest_kinds(
    log: &dyn EventLog,
    name: &LogName,
    most: u64,
) -> Result<Kinds, LogError> {
    let mut kinds = Kinds::default();
    let newest = Query { limit: Some(most), ..Query::new(name.clone(), Direction::Backward) };
    let all = |event: &Event| {
        kinds.add(event);
        true
    };
    look(log, &newest, most, all).await?;
    let most = MAX_CHANGES as u64;
    let filter = Filter { ids: Some(Ids::of([PolicyChange::ID.into()])), ..Filter::default() };
    let query =
        Query { limit: Some(most), filter, ..Query::new(name.clone(), Direction::Backward) };
    let mut changes = Kinds::default();
    // A server may send others too.
    let wanted = |event: &Event| {
        let is_change = PolicyChange::of(event).is_some();
        if is_change {
            changes.add(event);
        }
        is_change
    };
    look(log, &query, most, wanted).await?;
    kinds.changed(changes.changes);
    Ok(kinds)
}

/// Visits the records that a query gives, until so many counted.
async fn look(
    log: &dyn EventLog,
    query: &Query,
    most: u64,
    visit: impl FnMut(&Event) -> bool + Send,
) -> Result<(), LogError> {
    let mut batches = log.query(query).await?;
    let mut reader = BatchReader::default();
    let mut first = First { left: most, visit };
    while first.left > 0 {
        let Some(batch) = batches.next().await.transpose()? else { break };
        reader.read(&batch, &mut first);
    }
    batches.close().await;
    Ok(())
}

struct First<F> {
    left: u64,
    visit: F,
}

impl<F: FnMut(&Event) -> bool> Visitor for First<F> {
    fn wants<S: PartialSource>(&mut self, _: &S) -> bool {
        self.left > 0
    }

    fn event<S: FieldSource>(&mut self, event: &S, _: &str, _: Option<RecordId>) {
        if self.left > 0 {
            self.left -= u64::from((self.visit)(&Event::from_source(event)));
        }
    }

    fn damage(&mut self, _: &Damage) {}
}
