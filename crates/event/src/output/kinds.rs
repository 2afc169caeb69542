//! What is the same for all events of a kind, made once a thread: the names behind their numbers, as
//! they are written, and how their message is made.
//!
//! A kind is what a provider tells apart: its event's number and version, and the task, opcode and
//! keywords. An ordinary log has some dozen of them, so that finding an event's kind again is what text costs, and
//! filling in its values.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::kept::{Hashed, Kept};
use crate::{Field, Generation, Guid, Insert, MessageSource, Recipe, Value};

/// The kinds of the sources that a thread prints, and what is kept of each.
#[derive(Debug)]
pub(super) struct Kinds<T> {
    /// The last one that was asked for is the first.
    sources: Vec<OfSource<T>>,
}

/// Where a kind is, until the next is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

#[derive(Debug)]
struct OfSource<T> {
    generation: Generation,
    /// Their places in `kinds` by the hash of their keys. Of two with one hash the one that was seen last is
    /// here.
    places: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
    kinds: Vec<Kind<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Kind<T> {
    key: Key,
    provider: Box<str>,
    /// The same as it lies in records, where they have it as UTF-16: that is compared sooner.
    utf16: Box<[u8]>,
    source_name: Option<Box<str>>,
    kept: T,
}

impl Kept for Recipe {
    fn bytes(&self) -> usize {
        match self {
            Recipe::Made(_, made) => made.bytes(),
            Recipe::Ask | Recipe::None => 0,
        }
    }
}

/// The numbers of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    numbers: [Option<u64>; Key::FIELDS.len()],
    guid: Option<Guid>,
}

/// Sources whose kinds are kept, as a thread prints those of many servers in turns.
const MOST_SOURCES: usize = 8;

/// What the kinds of a source may take, in bytes: events can say anything of themselves, and what they say
/// next is made anew then.
const MOST_BYTES: usize = 2 << 20;

/// What a kind takes besides its texts, about, in bytes.
const KIND: usize = 512;

impl<T> Default for Kinds<T> {
    fn default() -> Self {
        Kinds { sources: Vec::new() }
    }
}

impl<T: Kept> Kinds<T> {
    /// Finds the kind of an event, `field` of which looks up its fields; `make` makes what is kept of it.
    /// Nothing where its text may not be kept.
    #[inline]
    pub(super) fn find<'s>(
        &mut self,
        known: &dyn MessageSource,
        field: impl Fn(Field) -> Value<'s>,
        make: impl FnOnce() -> T,
    ) -> Option<Place> {
        let generation = known.generation()?;
        let provider = field(Field::ProviderName);
        let source_name = field(Field::EventSourceName);
        if provider.is_null() {
            return None;
        }
        let key = Key::of(&field);
        let hash = key.hash(&provider);
        if let Some(first) = self.sources.first()
            && first.generation == generation
            && let Some(&place) = first.places.get(&hash)
            && first.kinds[place].is_of(&key, &provider, &source_name)
        {
            return Some(Place(place));
        }
        self.select(generation);
        let of_source = self.sources.first_mut()?;
        if let Some(&place) = of_source.places.get(&hash)
            && of_source.kinds[place].is_of(&key, &provider, &source_name)
        {
            return Some(Place(place));
        }
        let kind = Kind {
            key,
            provider: provider.to_string().into(),
            utf16: match provider {
                Value::Utf16(text) => text.bytes().into(),
                _ => Box::default(),
            },
            source_name: (!source_name.is_null()).then(|| source_name.to_string().into()),
            kept: make(),
        };
        Some(of_source.add(hash, kind))
    }

    /// Makes the kinds of a source the first.
    #[cold]
    fn select(&mut self, generation: Generation) {
        match self.sources.iter().position(|one| one.generation == generation) {
            Some(place) => self.sources[..=place].rotate_right(1),
            None => {
                self.sources.truncate(MOST_SOURCES - 1);
                self.sources.insert(0, OfSource::new(generation));
            }
        }
    }

    /// What is kept of a kind.
    #[inline]
    pub(super) fn get(&self, place: Place) -> Option<&T> {
        Some(&self.sources.first()?.kinds.get(place.0)?.kept)
    }

    /// The same, to be used.
    #[inline]
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        Some(&mut self.sources.first_mut()?.kinds.get_mut(place.0)?.kept)
    }
}

impl<T: Kept> OfSource<T> {
    fn new(generation: Generation) -> Self {
        OfSource { generation, places: HashMap::default(), kinds: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, hash: u64, kind: Kind<T>) -> Place {
        self.bytes += KIND + 3 * kind.provider.len() + kind.kept.bytes();
        if self.bytes > MOST_BYTES {
            *self = OfSource::new(self.generation);
        }
        let place = self.kinds.len();
        self.kinds.push(kind);
        self.places.insert(hash, place);
        Place(place)
    }
}

impl<T> Kind<T> {
    #[inline]
    fn is_of(&self, key: &Key, provider: &Value<'_>, source_name: &Value<'_>) -> bool {
        let same_source = match &self.source_name {
            None => source_name.is_null(),
            Some(name) => source_name.is_text(name),
        };
        let same_provider = || match provider {
            Value::Utf16(text) if text.bytes() == &*self.utf16 => true,
            provider => provider.is_text(&self.provider),
        };
        self.key == *key && same_source && same_provider()
    }
}

impl Key {
    const FIELDS: [Field; 6] = [
        Field::EventId,
        Field::Version,
        Field::Qualifiers,
        Field::Task,
        Field::Opcode,
        Field::Keywords,
    ];

    #[inline]
    fn of<'s>(field: impl Fn(Field) -> Value<'s>) -> Self {
        let guid = field(Field::ProviderGuid).as_guid();
        Key { numbers: Self::FIELDS.map(|of| field(of).as_u64()), guid }
    }

    /// A number that differs for most kinds of a log: of the provider's name the end tells it from
    /// others.
    #[inline]
    fn hash(&self, provider: &Value<'_>) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let end = |bytes: &[u8]| {
            let end = match bytes.last_chunk() {
                Some(end) => u64::from_le_bytes(*end),
                None => bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
            };
            end ^ bytes.len() as u64
        };
        let name = match provider {
            Value::Str(text) => end(text.as_bytes()),
            Value::Utf16(text) => end(text.bytes()),
            _ => 0,
        };
        let numbers = self.numbers.iter().map(|number| number.unwrap_or(u64::MAX));
        numbers.fold(name, |sum, number| (sum.rotate_left(9) ^ number).wrapping_mul(ODD))
    }
}

/// Room for the values of an event, used again for each.
#[derive(Default, Debug)]
pub(super) struct Inserts(Vec<Insert<'static>>);

impl Inserts {
    /// Takes the room, which is empty.
    #[inline]
    pub(super) fn take<'a>(&mut self) -> Vec<Insert<'a>> {
        std::mem::take(&mut self.0)
    }

    /// Keeps the room without the values.
    #[inline]
    pub(super) fn keep(&mut self, mut inserts: Vec<Insert<'_>>) {
        inserts.clear();
        // The room of a vector without elements serves elements that live as long as one likes: the
        // standard library collects in place.
        #[expect(clippy::unnecessary_filter_map, reason = "the type's lifetime is another one")]
        let room = inserts.into_iter().filter_map(|_| None).collect();
        self.0 = room;
    }
}
