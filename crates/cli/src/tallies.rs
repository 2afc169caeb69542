//! What events are counted by, and how many there are of each: for `quarry count`, with and without
//! `--by`, `quarry logs`, and `quarry detect --by`.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};
use quarry_collect::{Found, Output, Work};
use quarry_event::output::{Column as EventColumn, Scratch};
use quarry_event::text::{Plain, lossy};
use quarry_event::{EventTime, Field, FieldSource, PartialSource};

/// Counts events, on any thread.
pub(crate) struct Count {
    key: Key,
    /// The fields of `<System>` that tell the key, where nothing else does.
    fields: Option<Vec<Field>>,
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
    /// What they are counted by.
    keys: Keys,
    /// What was counted by each key.
    tallies: Vec<Tally>,
    /// Which of the worker's it is, once it has begun.
    number: u64,
}

/// What a thread keeps.
#[derive(Default)]
pub(crate) struct Worker {
    /// Where what an event is counted by is written, and what tells it.
    name: Vec<u8>,
    telling: Vec<u8>,
    scratch: Scratch,
    known: Known,
}

/// What tells a key, and which: a key is written once for all events that tell it alike.
#[derive(Default)]
struct Known {
    telling: Keys,
    /// The names one after the other, and of each that is told where it lies, and its place in which tallies.
    names: Vec<u8>,
    each: Vec<(Range<usize>, u64, usize)>,
    /// How many tallies there were.
    tallies: u64,
}

impl Known {
    /// The bytes that are kept.
    const KEPT: usize = 1 << 20;

    /// Begins with tallies, if that is new to them.
    #[inline]
    fn begin(&mut self, output: &mut Tallies) {
        if output.number == 0 {
            self.tallies += 1;
            output.number = self.tallies;
        }
    }

    /// Keeps what tells a name, and its place.
    fn insert(&mut self, telling: &[u8], name: &[u8], output: &Tallies, place: usize) {
        if self.names.len() + self.telling.bytes() > Self::KEPT {
            self.names.clear();
            self.each.clear();
            self.telling.clear();
        }
        self.telling.insert(telling);
        let begin = self.names.len();
        self.names.extend_from_slice(name);
        self.each.push((begin..self.names.len(), output.number, place));
    }
}

/// Keys, each once, by numbers in the order in which they came.
#[derive(Default)]
struct Keys {
    /// One after the other.
    all: Vec<u8>,
    /// Where each lies.
    each: Vec<Range<usize>>,
    by_text: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// The one that was found last, as the next event often has it too.
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

    /// Counts an event.
    #[inline]
    fn count(&mut self, time: Option<EventTime>, recovered: bool) {
        self.events += 1;
        self.recovered += u64::from(recovered);
        // What the log has given up is not between its oldest and newest.
        if let Some(time) = time.filter(|_| !recovered) {
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
            self.newest = Some(self.newest.map_or(time, |newest| newest.max(time)));
        }
    }
}

impl Work for Count {
    type Worker = Worker;
    type Output = Tallies;

    fn worker(&self) -> Self::Worker {
        Default::default()
    }

    fn takes_known(&self, has_texts: bool) -> bool {
        let shows = |field: &EventColumn| field.shows_texts() || field.named().is_some();
        let shows_texts = matches!(&self.key, Key::Fields(fields) if fields.iter().any(shows));
        !(has_texts && shows_texts)
    }

    #[inline]
    fn known<S: PartialSource>(
        &self,
        Worker { name, telling, scratch, known }: &mut Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Tallies,
    ) -> bool {
        known.begin(output);
        let origin = &found.origin;
        let is_told = self.tell(event, telling);
        let place = match if is_told { known.telling.find(telling) } else { None } {
            Some(n) => {
                let Known { names, each, .. } = known;
                let (name, tallies, place) = &mut each[n];
                if *tallies != output.number {
                    *place = self.place(&names[name.clone()], output);
                    *tallies = output.number;
                }
                *place
            }
            None => {
                name.clear();
                match &self.key {
                    Key::Channel => event.known_field(Field::Channel).push::<Plain>(name),
                    Key::Log => name.extend_from_slice(origin.log.as_bytes()),
                    Key::Fields(fields) => {
                        for (i, field) in fields.iter().enumerate() {
                            name.extend_from_slice(if i > 0 { b"\0" } else { b"" });
                            if !field.write_known(event, origin, found.texts, scratch, name) {
                                return false;
                            }
                        }
                    }
                }
                let place = self.place(name, output);
                if is_told {
                    known.insert(telling, name, output, place);
                }
                place
            }
        };
        let time = event.known_field(Field::TimeCreated).as_time();
        output.tallies[place].count(time, origin.recovered);
        true
    }

    fn event<S: FieldSource>(
        &self,
        Worker { name, scratch, .. }: &mut Worker,
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
        let place = self.place(name, output);
        output.tallies[place].count(event.field(Field::TimeCreated).as_time(), origin.recovered);
    }
}

impl Count {
    pub(crate) fn by(key: Key) -> Self {
        let fields = match &key {
            Key::Log => None,
            Key::Channel => Some(vec![Field::Channel]),
            Key::Fields(columns) => {
                let fields: Option<Vec<_>> = columns.iter().map(EventColumn::fields).collect();
                fields.map(|fields| fields.concat())
            }
        };
        Count { key, fields }
    }

    /// Writes what tells an event's key: its kind, and the fields that aren't the same for all of it. False
    /// where that doesn't tell it.
    #[inline]
    fn tell<S: PartialSource>(&self, event: &S, telling: &mut Vec<u8>) -> bool {
        let (Some(fields), Some(kind)) = (&self.fields, event.kind()) else { return false };
        telling.clear();
        telling.extend_from_slice(&kind.to_le_bytes());
        for &field in fields {
            if !event.is_fixed(field) {
                event.known_field(field).push_exact(telling);
            }
        }
        true
    }

    /// Where events are counted by a key.
    fn place(&self, name: &[u8], output: &mut Tallies) -> usize {
        let name = lossy(name);
        let is_log = !matches!(self.key, Key::Fields(_));
        let is_full = is_log
            && output.tallies.len() >= MAX_LOGS
            && output.keys.find(name.as_bytes()).is_none();
        output.place(if is_full { "" } else { &name })
    }
}

impl Tallies {
    /// Adds to what is counted by a key.
    pub(crate) fn add(&mut self, key: &str, tally: &Tally) {
        let place = self.place(key);
        self.tallies[place].add(tally);
    }

    /// The keys, in the order in which they came first, and what was counted by each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Tally)> {
        let keys = self.keys.iter().map(|key| std::str::from_utf8(key).unwrap_or_default());
        keys.zip(&self.tallies)
    }

    fn place(&mut self, key: &str) -> usize {
        self.keys.find(key.as_bytes()).unwrap_or_else(|| {
            self.tallies.push(Tally::default());
            self.keys.insert(key.as_bytes())
        })
    }
}

impl Keys {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.each.iter().map(|range| &self.all[range.clone()])
    }

    /// The number of a text that is there.
    #[inline]
    fn find(&mut self, text: &[u8]) -> Option<usize> {
        let is_it =
            |n: usize| self.each.get(n).is_some_and(|range| self.all[range.clone()] == *text);
        if !is_it(self.last) {
            let hash = self.hasher.hash_one(text);
            self.last = *self.by_text.find(hash, |&n| is_it(n))?;
        }
        Some(self.last)
    }

    /// Adds a text that isn't there, and gives its number.
    #[cold]
    fn insert(&mut self, text: &[u8]) -> usize {
        let Keys { all, each, by_text, hasher, last } = self;
        *last = each.len();
        each.push(all.len()..all.len() + text.len());
        all.extend_from_slice(text);
        let hash = |&n: &usize| hasher.hash_one(&all[each[n].clone()]);
        by_text.insert_unique(hasher.hash_one(text), *last, hash);
        *last
    }

    /// How many bytes of memory they hold, about.
    #[inline]
    fn bytes(&self) -> usize {
        self.all.len() + size_of_val(&self.each[..])
    }

    fn clear(&mut self) {
        self.all.clear();
        self.each.clear();
        self.by_text.clear();
    }
}

impl Output for Tallies {
    #[inline]
    fn bytes(&self) -> usize {
        self.keys.bytes() + size_of_val(&self.tallies[..])
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.tallies.clear();
        self.number = 0;
    }

    /// Nobody counts with a limit: which were the first is forgotten.
    fn truncate(&mut self, _: u64) {}
}
