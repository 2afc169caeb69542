//! Events against rules, on one thread.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use quarry_event::text::Plain;
use quarry_event::{Field, FieldSource, PartialSource, Value};

use super::compile::{Compiled, HitPlace, Tree, instead};
use super::{Channel, Engine};
use crate::fields::{self, Origin};
use crate::pattern::fold_into;
use crate::test::Text;

/// What events say of their channels is anybody's: so many of a source are told apart, so many of all
/// sources, and no name is longer in bytes (Windows allows 255 characters).
const MAX_OF_SOURCE: usize = 1000;
const MAX_OF_ALL: usize = 200_000;
const MAX_NAME: usize = 512;

/// The channels that the events of each source were of, as threads note them.
#[derive(Debug, Default)]
pub struct Channels(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    of: BTreeMap<usize, BTreeSet<String>>,
    all: usize,
}

impl Channels {
    /// Their names in lowercase, by the source's number. A source without events has none.
    pub fn by_source(&self) -> BTreeMap<usize, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).of.clone()
    }

    fn note(&self, source: usize, channel: &str) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.all >= MAX_OF_ALL || channel.len() > MAX_NAME {
            return;
        }
        let of = noted.of.entry(source).or_default();
        if of.len() < MAX_OF_SOURCE && of.insert(channel.to_owned()) {
            noted.all += 1;
        }
    }
}

/// Tests events for the rules of an [`Engine`]. It has room of its own to work in.
pub struct Matcher {
    engine: Arc<Engine>,
    /// The channel of the event before, by its text, and the same in lowercase.
    channel: (String, String),
    /// The number of the source that events are of, the channels of its events since it began, in
    /// lowercase, and where they are noted.
    source: usize,
    seen: HashSet<String>,
    noted: Option<Arc<Channels>>,
    room: Room,
    hits: Vec<usize>,
}

/// What is known of an event so far.
#[derive(Default)]
struct Room {
    /// The texts of the values, as they are and folded.
    raw: String,
    folded: String,
    /// Of each slot the values.
    values: Vec<Vec<Place>>,
    /// Of each atom whether it holds, as far as that is known.
    atoms: Vec<Option<bool>>,
    /// Rules that have to be looked at.
    candidates: Vec<u32>,
    bytes: Vec<u8>,
    /// Of each text of an automaton the number of the last value that it was found in.
    found_in: Vec<u64>,
    /// The number of the value that is searched, of all so far.
    searched: u64,
}

/// Where a value's texts are.
#[derive(Clone, Copy)]
struct Place {
    raw: (usize, usize),
    folded: (usize, usize),
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Matcher {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Matcher {
            engine,
            channel: Default::default(),
            source: 0,
            seen: HashSet::new(),
            noted: None,
            room: Room::default(),
            hits: Vec::new(),
        }
    }

    /// The same, and notes the channels of the events, as those of source 0 until another
    /// [`begins`](Self::begins).
    #[must_use]
    pub fn noting(self, channels: &Arc<Channels>) -> Self {
        Matcher { noted: Some(Arc::clone(channels)), ..self }
    }

    /// The events after this are of the source with this number.
    pub fn begins(&mut self, source: usize) {
        if source != self.source {
            self.source = source;
            self.seen.clear();
            // So that the next event's is noted.
            self.channel = Default::default();
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Whether no rule is about an event, which its channel and id tell.
    #[inline]
    pub fn rules_out<S: PartialSource>(&mut self, event: &S) -> bool {
        let id = event.known_field(Field::EventId).as_u64();
        let channel = event.known_field(Field::Channel);
        self.group(&channel, id).is_none()
    }

    /// The places of the rules that an event matches, in the engine's order.
    pub fn matches<S: FieldSource>(&mut self, event: &S) -> &[usize] {
        self.hits.clear();
        let id = event.field(Field::EventId).as_u64();
        let Some(group) = self.group(&event.field(Field::Channel), id) else { return &[] };
        let engine = Arc::clone(&self.engine);
        self.look_for(engine.compiled(group), event);
        let shared = engine.shared(group);
        if !shared.is_empty() {
            for &group in shared {
                self.look_for(engine.compiled(group), event);
            }
            self.hits.sort_unstable();
            self.hits.dedup();
        }
        &self.hits
    }

    fn look_for<S: FieldSource>(&mut self, compiled: &Compiled, event: &S) {
        self.room.read(event, compiled);
        self.room.search(compiled);
        self.room.candidates.extend_from_slice(&compiled.always);
        self.room.candidates.sort_unstable();
        self.room.candidates.dedup();
        for n in std::mem::take(&mut self.room.candidates) {
            let rule = &compiled.rules[n as usize];
            // A rule may be there once for each form that its events have.
            if self.hits.last() != Some(&rule.rule) && self.room.holds(&rule.tree, compiled) {
                self.hits.push(rule.rule);
            }
        }
    }

    fn note(&mut self) {
        let Some(noted) = &self.noted else { return };
        let channel = &self.channel.1;
        if self.seen.len() < MAX_OF_SOURCE && !self.seen.contains(channel) {
            self.seen.insert(channel.clone());
            noted.note(self.source, channel);
        }
    }

    #[inline]
    fn group(&mut self, channel: &Value<'_>, id: Option<u64>) -> Option<usize> {
        if !channel.is_text(&self.channel.0) {
            channel.with_text(|text| self.channel = (text.to_owned(), text.to_lowercase()));
            self.note();
        }
        let Channel { ids, others } = self.engine.channels.get(&self.channel.1)?;
        id.and_then(|id| ids.get(&id).copied()).or(*others)
    }
}

impl Room {
    /// Takes the values of an event that the rules look at.
    fn read<S: FieldSource>(&mut self, event: &S, compiled: &Compiled) {
        self.raw.clear();
        self.folded.clear();
        self.values.iter_mut().for_each(Vec::clear);
        if self.values.len() < compiled.slots.len() {
            self.values.resize_with(compiled.slots.len(), Vec::new);
        }
        self.atoms.clear();
        self.atoms.resize(compiled.lazy.len(), None);
        self.candidates.clear();
        let texts = compiled.slots.iter().map(|slot| slot.hits.len()).max().unwrap_or_default();
        if self.found_in.len() < texts {
            self.found_in.resize(texts, 0);
        }
        fields::each_value(event, |key, value| {
            let named = compiled.names.get(key).map_or(&[][..], |slots| slots);
            let mut shared = None;
            for &slot in named.iter().chain(&compiled.every) {
                let place = match (compiled.slots[slot].slot.padded, shared) {
                    (true, _) => self.add(&value, true),
                    (false, Some(place)) => place,
                    (false, None) => {
                        let place = self.add(&value, false);
                        shared = Some(place);
                        place
                    }
                };
                self.values[slot].push(place);
            }
        });
        for (n, slot) in compiled.slots.iter().enumerate() {
            if let Origin::Computed { name, computed, .. } = &slot.slot.origin {
                let texts = |input: &usize| -> Vec<&str> {
                    self.values[*input].iter().map(|place| self.raw_of(*place)).collect()
                };
                let inputs: Vec<Vec<&str>> = slot.inputs.iter().map(texts).collect();
                if let Some(made) = computed.make_any(name, &inputs) {
                    let place = self.add(&Value::Str(&made), slot.slot.padded);
                    self.values[n].push(place);
                }
            } else if let Some(field) = instead(&slot.slot)
                && self.values[n].is_empty()
            {
                let value = event.field(field);
                if !value.is_null() {
                    let place = self.add(&value, slot.slot.padded);
                    self.values[n].push(place);
                }
            }
        }
    }

    fn add(&mut self, value: &Value<'_>, padded: bool) -> Place {
        self.bytes.clear();
        value.push::<Plain>(&mut self.bytes);
        let text = match std::str::from_utf8(&self.bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&self.bytes),
        };
        let text = if padded { text.trim_end_matches(' ') } else { &text };
        let (raw, folded) = (self.raw.len(), self.folded.len());
        self.raw.push_str(text);
        fold_into(text, &mut self.folded);
        Place { raw: (raw, self.raw.len()), folded: (folded, self.folded.len()) }
    }

    fn raw_of(&self, place: Place) -> &str {
        &self.raw[place.raw.0..place.raw.1]
    }

    fn text(&self, place: Place) -> Text<'_> {
        let folded = &self.folded[place.folded.0..place.folded.1];
        Text { raw: self.raw_of(place), folded }
    }

    /// Looks for what the rules search for, and notes the rules that may hold then.
    fn search(&mut self, compiled: &Compiled) {
        for (slot, values) in compiled.slots.iter().zip(&self.values) {
            let Some(automaton) = &slot.automaton else { continue };
            for place in values {
                let text = &self.folded[place.folded.0..place.folded.1];
                self.searched += 1;
                for found in automaton.find_overlapping_iter(text) {
                    let (start, end) = (found.start(), found.end());
                    let hits = &slot.hits[found.pattern().as_usize()];
                    // Where a text stands matters at the ends of the value alone. All else is known
                    // once it is found, however often it is there.
                    let last = &mut self.found_in[found.pattern().as_usize()];
                    let is_first = std::mem::replace(last, self.searched) != self.searched;
                    if !is_first && start > 0 && end < text.len() {
                        continue;
                    }
                    for hit in hits {
                        if self.atoms[hit.atom as usize].is_some() {
                            continue;
                        }
                        let holds = match hit.place {
                            HitPlace::Anywhere => true,
                            HitPlace::Verify(_) if !is_first => false,
                            HitPlace::Start => start == 0,
                            HitPlace::End => end == text.len(),
                            HitPlace::Whole => start == 0 && end == text.len(),
                            HitPlace::Verify(n) => {
                                let verify = &compiled.verify[n as usize];
                                let raw = &self.raw[place.raw.0..place.raw.1];
                                verify.pattern.matches(if verify.cased { raw } else { text })
                            }
                        };
                        if holds {
                            self.atoms[hit.atom as usize] = Some(true);
                            let triggered = &compiled.triggers[hit.atom as usize];
                            self.candidates.extend_from_slice(triggered);
                        }
                    }
                }
            }
        }
    }

    fn holds(&mut self, tree: &Tree, compiled: &Compiled) -> bool {
        match tree {
            Tree::Const(value) => *value,
            Tree::Atom(n) => self.atom(*n, compiled),
            Tree::And(terms) => terms.iter().all(|term| self.holds(term, compiled)),
            Tree::Or(terms) => terms.iter().any(|term| self.holds(term, compiled)),
            Tree::Not(term) => !self.holds(term, compiled),
        }
    }

    fn atom(&mut self, n: u32, compiled: &Compiled) -> bool {
        if let Some(known) = self.atoms[n as usize] {
            return known;
        }
        // What the automata didn't find isn't there.
        let holds = compiled.lazy[n as usize].as_ref().is_some_and(|lazy| {
            let values = self.values[lazy.slot].iter().map(|place| self.text(*place));
            lazy.test.holds(values, |_, take| {
                let places = lazy.other.map_or(&[][..], |slot| &self.values[slot]);
                places.iter().any(|place| take(self.text(*place)))
            })
        });
        self.atoms[n as usize] = Some(holds);
        holds
    }
}
