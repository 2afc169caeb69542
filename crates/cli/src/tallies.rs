//! What events are counted by, and how many there are of each: for `quarry count`, with and without
//! `--by`, `quarry logs`, and `quarry detect --by`.

use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};
use quarry_collect::{Found, Output, Work};
use quarry_event::output::{Column as EventColumn, Scratch};
use quarry_event::text::{Plain, lossy};
use quarry_event::{EventTime, Field, FieldSource, Origin, PartialSource, Texts};

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
    /// The worker's number for these tallies, once it has counted in them.
    number: Option<NonZeroU64>,
}

/// What a thread keeps.
#[derive(Default)]
pub(crate) struct Worker {
    /// Where a key is written, and what tells it.
    key: Vec<u8>,
    telling: Vec<u8>,
    scratch: Scratch,
    cache: Cache,
}

/// From an event's kind and fields, which tell a key, to that key, so that its text is written once.
struct Cache {
    telling: Keys,
    /// The keys one after the other.
    keys: Vec<u8>,
    each: Vec<Told>,
    /// How many tallies there were.
    tallies: u64,
    /// The bytes that are kept, about.
    most: usize,
}

/// A key that something tells.
struct Told {
    /// Where it lies.
    key: Range<usize>,
    /// The tallies in which it was counted last, and its place there.
    tallies: Option<NonZeroU64>,
    place: usize,
}

impl Default for Cache {
    fn default() -> Self {
        /// What stays in a processor's own memory beside a batch.
        const MOST: usize = 256 << 10;
        Cache {
            telling: Keys::default(),
            keys: Vec::new(),
            each: Vec::new(),
            tallies: 0,
            most: MOST,
        }
    }
}

impl Cache {
    /// Gives tallies that nothing was counted in their number.
    #[inline]
    fn begin(&mut self, output: &mut Tallies) {
        if output.number.is_none() {
            self.tallies += 1;
            output.number = NonZeroU64::new(self.tallies);
        }
    }

    /// Adds what tells a key, and the key's place.
    fn insert(&mut self, telling: &[u8], key: &[u8], output: &Tallies, place: usize) {
        let bytes = self.keys.len() + size_of_val(&self.each[..]) + self.telling.bytes();
        if bytes > self.most {
            self.keys.clear();
            self.each.clear();
            self.telling.clear();
        }
        self.telling.insert(telling);
        let begin = self.keys.len();
        self.keys.extend_from_slice(key);
        self.each.push(Told { key: begin..self.keys.len(), tallies: output.number, place });
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
        worker: &mut Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Tallies,
    ) -> bool {
        let Some(place) = self.known_place(worker, event, &found.origin, found.texts, output)
        else {
            return false;
        };
        let time = event.known_field(Field::TimeCreated).as_time();
        output.tallies[place].count(time, found.origin.recovered);
        true
    }

    fn event<S: FieldSource>(
        &self,
        Worker { key, scratch, .. }: &mut Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Tallies,
    ) {
        let origin = &found.origin;
        key.clear();
        match &self.key {
            Key::Channel => event.field(Field::Channel).push::<Plain>(key),
            Key::Log => key.extend_from_slice(origin.log.as_bytes()),
            Key::Fields(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    key.extend_from_slice(if i > 0 { b"\0" } else { b"" });
                    field.write(event, origin, found.texts, scratch, key);
                    field.write_names(event, found.texts, key);
                }
            }
        }
        let place = self.place(key, output);
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

    /// Where an event is counted, if what is known of it tells its key.
    #[inline]
    fn known_place<S: PartialSource>(
        &self,
        Worker { key, telling, scratch, cache }: &mut Worker,
        event: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        output: &mut Tallies,
    ) -> Option<usize> {
        cache.begin(output);
        let is_told = self.tell(event, telling);
        if is_told && let Some(n) = cache.telling.find(telling) {
            let told = &mut cache.each[n];
            if told.tallies != output.number {
                told.place = self.place(&cache.keys[told.key.clone()], output);
                told.tallies = output.number;
            }
            return Some(told.place);
        }
        key.clear();
        match &self.key {
            Key::Channel => event.known_field(Field::Channel).push::<Plain>(key),
            Key::Log => key.extend_from_slice(origin.log.as_bytes()),
            Key::Fields(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    key.extend_from_slice(if i > 0 { b"\0" } else { b"" });
                    if !field.write_known(event, origin, texts, scratch, key) {
                        return None;
                    }
                }
            }
        }
        let place = self.place(key, output);
        if is_told {
            cache.insert(telling, key, output, place);
        }
        Some(place)
    }

    /// Where events are counted by a key.
    fn place(&self, key: &[u8], output: &mut Tallies) -> usize {
        let name = lossy(key);
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
        self.all.len() + self.each.len() * (size_of::<Range<usize>>() + size_of::<usize>())
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
        self.number = None;
    }

    /// Nobody counts with a limit: which were the first is forgotten.
    fn truncate(&mut self, _: u64) {}
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use quarry_event::Value;

    use super::*;

    /// What is known of an event of a kind, all of which have one channel.
    #[derive(Clone, Copy)]
    struct Head {
        kind: u64,
        channel: &'static str,
        id: u64,
    }

    impl PartialSource for Head {
        fn known_field(&self, field: Field) -> Value<'_> {
            match field {
                Field::Channel => Value::Str(self.channel),
                Field::EventId => Value::UInt(self.id),
                _ => Value::Null,
            }
        }

        fn kind(&self) -> Option<u64> {
            Some(self.kind)
        }

        fn is_fixed(&self, field: Field) -> bool {
            field == Field::Channel
        }

        fn known_data<'a, F>(&'a self, _: Option<&str>, _: F) -> Option<ControlFlow<()>>
        where
            F: FnMut(Value<'a>) -> ControlFlow<()>,
        {
            None
        }
    }

    /// Counts each batch in tallies that have been used before, and gives the sum, by channel and id.
    fn counted(most: usize, batches: &[Vec<Head>]) -> BTreeMap<String, u64> {
        let columns = ["channel", "event_id"].map(|name| EventColumn::parse(name).unwrap());
        let count = Count::by(Key::Fields(columns.to_vec()));
        let mut worker = Worker { cache: Cache { most, ..Cache::default() }, ..Worker::default() };
        let mut outputs = [Tallies::default(), Tallies::default()];
        let (source, log) = ("a", "b");
        let origin = Origin { source, host: None, log, log_record: None, recovered: false };
        let mut sums = BTreeMap::new();
        for (n, batch) in batches.iter().enumerate() {
            // What a batch begins may be handed on, and gone on with in others.
            for half in batch.chunks(batch.len().div_ceil(2).max(1)) {
                let output = &mut outputs[n % 2];
                for head in half {
                    let texts = Texts::default();
                    let place = count.known_place(&mut worker, head, &origin, texts, output);
                    output.tallies[place.unwrap()].count(None, false);
                }
                for (key, tally) in output.iter() {
                    *sums.entry(key.replace('\0', " ")).or_default() += tally.events;
                }
                output.clear();
            }
        }
        sums
    }

    #[test]
    fn what_is_kept_of_one_batch_serves_the_next_and_counts_in_its_own_tallies() {
        let head = |n: u64| Head {
            kind: n % 7,
            channel: ["System", "Security", "Application"][n as usize % 7 % 3],
            id: n * n % 11,
        };
        let batches: Vec<Vec<Head>> =
            (0..20).map(|batch| (0..batch * 3).map(|n| head(batch + 5 * n)).collect()).collect();
        let mut expected = BTreeMap::new();
        for head in batches.iter().flatten() {
            *expected.entry(format!("{} {}", head.channel, head.id)).or_default() += 1_u64;
        }
        // With room for all, for some, for one and for none.
        for most in [1 << 20, 500, 100, 0] {
            assert_eq!(counted(most, &batches), expected, "{most} bytes");
        }
    }
}
