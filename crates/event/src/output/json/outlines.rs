//! What an event has besides fields and data, kept for all events of one layout: user data, the message
//! of a forwarded event, and all else that is in `other`.
//!
//! Each is what the [tree](super::tree) makes of it, with the values left open. An ordinary log has some
//! dozen of layouts.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::super::kinds::Hashed;
use super::tree::Tree;
use crate::FieldSource;
use crate::layout::Pieces;
use crate::text::{Json, Plain};

/// The outlines of the layouts that a thread has met.
#[derive(Default, Debug)]
pub(in super::super) struct Outlines {
    known: Vec<Known>,
    /// Their places in `known` by the hash of their keys. Of two with one hash the later is here.
    places: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
    last: usize,
    bytes: usize,
    /// How many were made, and how often one was found.
    made: usize,
    found: usize,
    key: Vec<u64>,
}

/// A layout, and what its events have.
#[derive(Debug)]
struct Known {
    key: Box<[u64]>,
    /// Nothing where the tree is to be read of each event.
    outline: Option<Outline>,
}

/// Where an outline is, until the next is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Place(usize);

/// What an event of a layout has.
#[derive(Debug)]
pub(in super::super) struct Outline {
    /// The member `user_data`.
    user_data: Pieces,
    /// The members of `other` that aren't fields, without a comma before them.
    others: Pieces,
    message: Option<Own>,
}

/// The message that an event carries.
#[derive(Debug)]
struct Own {
    json: Pieces,
    plain: Pieces,
}

/// What the outlines may take, in bytes: events can say anything of themselves, and what they say next
/// is made anew then.
const MOST_BYTES: usize = 2 << 20;

/// What an outline takes besides its texts, about, in bytes.
const OUTLINE: usize = 512;

/// So many outlines are made whether they are used or not. Of events that are all unlike, making them
/// would cost more than they save.
const TRIED: usize = 256;

impl Outlines {
    /// Finds the outline of an event that has more than fields and data; nothing where its tree is to be
    /// read. `tree` is room to work in.
    #[inline]
    pub(in super::super) fn find<S: FieldSource>(
        &mut self,
        source: &S,
        tree: &mut Tree,
    ) -> Option<Place> {
        self.key.clear();
        if !source.layout(&mut self.key) {
            return None;
        }
        let is_it = |known: &Known| *known.key == *self.key;
        if !self.known.get(self.last).is_some_and(is_it) {
            let hash = hash(&self.key);
            match self.places.get(&hash) {
                Some(&place) if is_it(&self.known[place]) => self.last = place,
                _ => self.last = self.add(hash, source, tree)?,
            }
        }
        self.found += 1;
        self.known[self.last].outline.is_some().then_some(Place(self.last))
    }

    #[cold]
    fn add<S: FieldSource>(&mut self, hash: u64, source: &S, tree: &mut Tree) -> Option<usize> {
        if self.made >= TRIED && self.found < 4 * self.made {
            return None;
        }
        self.made += 1;
        let key: Box<[u64]> = self.key.as_slice().into();
        let outline = Outline::of(source, tree);
        let bytes = OUTLINE + size_of_val(&*key) + outline.as_ref().map_or(0, Outline::bytes);
        if self.bytes + bytes > MOST_BYTES {
            let (made, found) = (self.made, self.found);
            *self = Outlines { made, found, key: std::mem::take(&mut self.key), ..Self::default() };
        }
        self.bytes += bytes;
        self.known.push(Known { key, outline });
        self.places.insert(hash, self.known.len() - 1);
        Some(self.known.len() - 1)
    }

    #[inline]
    pub(in super::super) fn get(&self, place: Place) -> Option<&Outline> {
        self.known.get(place.0)?.outline.as_ref()
    }
}

impl Outline {
    fn of<S: FieldSource>(source: &S, tree: &mut Tree) -> Option<Self> {
        let mut text = Vec::new();
        let mut split = |write: &dyn Fn(&mut Vec<u8>)| {
            text.clear();
            write(&mut text);
            Pieces::split(&text)
        };
        tree.read_layout::<Json, S>(source);
        if !tree.is_settled() {
            return None;
        }
        let user_data = split(&|out| tree.user_data(out))?;
        let has_message = tree.message().is_some();
        let others = split(&|out| tree.others(has_message, 0, out))?;
        let json = Pieces::split(tree.message().unwrap_or_default())?;
        tree.read_layout::<Plain, S>(source);
        let plain = Pieces::split(tree.message().unwrap_or_default())?;
        let message = has_message.then_some(Own { json, plain });
        Some(Outline { user_data, others, message })
    }

    fn bytes(&self) -> usize {
        let message = self.message.as_ref();
        self.user_data.bytes()
            + self.others.bytes()
            + message.map_or(0, |own| own.json.bytes() + own.plain.bytes())
    }

    /// Writes the member `user_data`.
    #[inline]
    pub(super) fn user_data<S: FieldSource>(&self, source: &S, out: &mut Vec<u8>) {
        self.user_data.push::<Json, S>(source, out);
    }

    /// Writes the members of `other` as [`Tree::others`] does.
    pub(super) fn others<S: FieldSource>(&self, source: &S, inside: usize, out: &mut Vec<u8>) {
        if self.others.is_empty() {
            return;
        }
        if out.len() > inside {
            out.push(b',');
        }
        self.others.push::<Json, S>(source, out);
    }

    /// Whether the event carries its message.
    pub(in super::super) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// Writes the message that the event carries, as the inside of a string.
    pub(super) fn json_message<S: FieldSource>(&self, source: &S, out: &mut Vec<u8>) {
        if let Some(own) = &self.message {
            own.json.push::<Json, S>(source, out);
        }
    }

    /// Writes the message that the event carries. Says whether there is one.
    pub(in super::super) fn plain_message<S: FieldSource>(
        &self,
        source: &S,
        out: &mut Vec<u8>,
    ) -> bool {
        if let Some(own) = &self.message {
            own.plain.push::<Plain, S>(source, out);
        }
        self.message.is_some()
    }
}

/// A number that differs for most keys that differ.
fn hash(key: &[u64]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    key.iter().fold(0, |sum: u64, &word| (sum.rotate_left(9) ^ word).wrapping_mul(ODD))
}
