//! What events are counted by, and how many there are of each: for `quarry count`, with and without
//! `--by`, `quarry logs`, and `quarry detect --by`.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};
use quarry_collect::{Found, Output, Work};
use quarry_event::output::{Column as EventColumn, Scratch};
use quarry_event::text::{Plain, lossy};
use quarry_event::{EventTime, Field, FieldSource, Origin, PartialSource, Value};

/// Counts events, on any thread.
pub(crate) struct Count {
    pub(crate) key: Key,
}

/// What events are counted by.
pub(crate) enum Key {
    /// The log they were read from.
    Log,
    /// The log that they say they are of.
    Channel,
    /// The text of fields, with a NUL between: no field's text has one.
    Fields(Vec<EventColumn>),
}

/// Channels told apart in one source, beyond which they are counted together.
const MAX_LOGS: usize = 10_000;

/// How many events there are of each thing that they are counted by. It is filled and cleared for each batch,
/// so no key takes memory of its own.
#[derive(Default)]
pub(crate) struct Tallies {
    /// What they are counted by, one key after the other.
    keys: String,
    /// Where each key lies, and what was counted by it.
    tallies: Vec<(Range<usize>, Tally)>,
    by_key: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// The one that was added to last, as the next event is often of it too.
    last: usize,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    /// All of them, and those that were recovered from slack.
    pub(crate) events: u64,
    pub(crate) recovered: u64,
    /// Of those that weren't.
    pub(crate) oldest: Option<EventTime>,
    pub(crate) newest: Option<EventTime>,
    /// The size of the log's file in bytes, and whether it is written to, where that is known.
    pub(crate) size: Option<u64>,
    pub(crate) enabled: Option<bool>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.events += other.events;
        self.recovered += other.recovered;
        self.oldest = match (self.oldest, other.oldest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.newest = self.newest.max(other.newest);
    }
}

impl Work for Count {
    /// Where what an event is counted by is written.
    type Worker = (Vec<u8>, Scratch);
    type Output = Tallies;

    fn worker(&self) -> Self::Worker {
        Default::default()
    }

    fn takes_known(&self, has_texts: bool) -> bool {
        !has_texts
    }

    #[inline]
    fn known<S: PartialSource>(
        &self,
        (name, scratch): &mut Self::Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Tallies,
    ) -> bool {
        let origin = &found.origin;
        name.clear();
        match &self.key {
            Key::Channel => event.known_field(Field::Channel).push::<Plain>(name),
            Key::Log => name.extend_from_slice(origin.log.as_bytes()),
            Key::Fields(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    name.extend_from_slice(if i > 0 { b"\0" } else { b"" });
                    let has_name = field.named().is_some() && found.texts.source.is_some();
                    if has_name || !field.write_known(event, origin, found.texts, scratch, name) {
                        return false;
                    }
                }
            }
        }
        self.add(name, &event.known_field(Field::TimeCreated), origin, output);
        true
    }

    fn event<S: FieldSource>(
        &self,
        (name, scratch): &mut Self::Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Tallies,
    ) {
        let origin = &found.origin;
        name.clear();
        match &self.key {
            Key::Channel => event.field(Field::Channel).push::<Plain>(name),
            Key::Log => name.extend_from_slice(origin.log.as_bytes()),
            Key::Fields(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    name.extend_from_slice(if i > 0 { b"\0" } else { b"" });
                    field.write(event, origin, found.texts, scratch, name);
                    field.write_names(event, found.texts, name);
                }
            }
        }
        self.add(name, &event.field(Field::TimeCreated), origin, output);
    }
}

impl Count {
    /// Counts an event.
    fn add(&self, name: &[u8], time: &Value<'_>, origin: &Origin<'_>, output: &mut Tallies) {
        let name = lossy(name);
        let recovered = u64::from(origin.recovered);
        // What the log has given up is not between its oldest and newest.
        let time = time.as_time().filter(|_| !origin.recovered);
        let tally = Tally { events: 1, recovered, oldest: time, newest: time, ..Tally::default() };
        let is_log = !matches!(self.key, Key::Fields(_));
        let is_full = is_log && output.tallies.len() >= MAX_LOGS && output.place(&name).is_none();
        output.add(if is_full { "" } else { &name }, &tally);
    }
}

impl Tallies {
    /// Adds to what is counted by a key.
    pub(crate) fn add(&mut self, key: &str, tally: &Tally) {
        match self.place(key) {
            Some(place) => {
                self.last = place;
                self.tallies[place].1.add(tally);
            }
            None => self.insert(key, tally),
        }
    }

    /// The keys, in the order in which they came first, and what was counted by each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Tally)> {
        self.tallies.iter().map(|(key, tally)| (&self.keys[key.clone()], tally))
    }

    #[inline]
    fn place(&self, key: &str) -> Option<usize> {
        let is_it = |place: usize| {
            self.tallies.get(place).is_some_and(|(known, _)| self.keys[known.clone()] == *key)
        };
        if is_it(self.last) {
            return Some(self.last);
        }
        self.by_key.find(self.hasher.hash_one(key), |&place| is_it(place)).copied()
    }

    #[cold]
    fn insert(&mut self, key: &str, tally: &Tally) {
        let Tallies { keys, tallies, by_key, hasher, last } = self;
        let start = keys.len();
        keys.push_str(key);
        *last = tallies.len();
        tallies.push((start..keys.len(), *tally));
        let hash = |&place: &usize| hasher.hash_one(&keys[tallies[place].0.clone()]);
        by_key.insert_unique(hasher.hash_one(key), *last, hash);
    }
}

impl Output for Tallies {
    fn bytes(&self) -> usize {
        self.keys.len() + size_of_val(&self.tallies[..])
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.tallies.clear();
        self.by_key.clear();
    }

    /// Nobody counts with a limit: which were the first is forgotten.
    fn truncate(&mut self, _: u64) {}
}
