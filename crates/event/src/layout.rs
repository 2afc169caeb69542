//! The layout of events: what their trees have alike.
//!
//! Events of one template differ in the text of their values, and in which values are there; all else
//! is the same. [`FieldSource::layout`] tells the one from the other, and [`FieldSource::walk_layout`]
//! shows the tree with a mark in the place of each value. Whatever is made of that tree can be kept for
//! all events of the layout, and is made into an event's own by putting the values in the marks' places
//! (`Pieces`). So the rules for making it are those for any tree. [`Layouts`] keeps it: an ordinary log has
//! some dozen of layouts.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::LazyLock;

use crate::FieldSource;
use crate::kept::Hashed;
pub use crate::kept::Kept;
use crate::text::Escape;

/// A part of an event's tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of it.
    Whole,
    /// What the event has besides fields and data.
    More,
}

/// What a mark begins and ends with: a character that text with marks mustn't have otherwise. It is for
/// private use, so that each output writes it as it is.
pub const MARK: char = '\u{f8ff}';

/// How many values an event whose layout is known can have.
pub const SLOTS: usize = 512;

/// The text that stands for a value, by its number.
pub fn mark(slot: u32) -> Option<&'static str> {
    static MARKS: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..SLOTS).map(|slot| format!("{MARK}{slot}{MARK}")).collect());
    MARKS.get(slot as usize).map(|mark| &**mark)
}

/// Text with values in it.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// What stands before, between and after the values.
    literals: Box<[u8]>,
    /// Where the text before each value ends, and the value's number.
    places: Box<[(u32, u32)]>,
}

impl Pieces {
    /// Takes text with marks apart. Nothing for text in which the mark's character is something else.
    pub(crate) fn split(text: &[u8]) -> Option<Self> {
        let (mut literals, mut places) = (String::new(), Vec::new());
        let mut rest = std::str::from_utf8(text).ok()?;
        while let Some((before, marked)) = rest.split_once(MARK) {
            let (slot, after) = marked.split_once(MARK)?;
            literals.push_str(before);
            places.push((u32::try_from(literals.len()).ok()?, slot.parse().ok()?));
            rest = after;
        }
        literals.push_str(rest);
        Some(Pieces { literals: literals.into_bytes().into(), places: places.into() })
    }

    /// Whether there is nothing, whatever an event's values.
    pub(crate) fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.places.is_empty()
    }

    /// How much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.literals.len() + size_of_val(&*self.places)
    }

    /// Writes the text with the values of an event, by the rules of `E`, by which the rest was
    /// written.
    #[inline]
    pub(crate) fn push<E: Escape, S: FieldSource>(&self, source: &S, out: &mut Vec<u8>) {
        let mut start = 0;
        for &(end, slot) in &self.places {
            out.extend_from_slice(&self.literals[start..end as usize]);
            start = end as usize;
            source.slot(slot).push::<E>(out);
        }
        out.extend_from_slice(&self.literals[start..]);
    }
}

/// Something that is kept for all events of a layout.
pub trait OfLayout: Kept {
    /// The part of their trees that it is made of.
    const PART: Part;
}

/// What is kept of the layouts that a thread has met.
#[derive(Debug)]
pub struct Layouts<T> {
    known: Vec<Known<T>>,
    /// Their places in `known` by the hash of their keys. Of two with one hash the later is here.
    places: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
    last: usize,
    bytes: usize,
    /// How many were made, and how often one was found.
    made: usize,
    found: usize,
    key: Vec<u64>,
}

/// A layout, and what is kept of it.
#[derive(Debug)]
struct Known<T> {
    key: Box<[u64]>,
    /// Nothing where the tree is to be read of each event.
    kept: Option<T>,
}

/// Where a layout is, until the next is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(usize);

/// What is kept may take so much, in bytes: events can say anything of themselves, and what they say next
/// is made anew then.
const MOST_BYTES: usize = 2 << 20;

/// What a layout takes besides what is kept of it, about, in bytes.
const LAYOUT: usize = 512;

/// So many are made whether they are used or not. Of events that are all unlike, making them would cost
/// more than they save.
const TRIED: usize = 256;

impl<T> Default for Layouts<T> {
    fn default() -> Self {
        Layouts {
            known: Vec::new(),
            places: HashMap::default(),
            last: 0,
            bytes: 0,
            made: 0,
            found: 0,
            key: Vec::new(),
        }
    }
}

impl<T: OfLayout> Layouts<T> {
    /// Finds what is kept of an event's layout; nothing where the event's own tree is to be read. `make`
    /// makes it of a layout that wasn't met before, for good where it gives nothing.
    #[inline]
    pub fn find<S: FieldSource>(
        &mut self,
        source: &S,
        make: impl FnOnce() -> Option<T>,
    ) -> Option<Place> {
        self.key.clear();
        if !source.layout(T::PART, &mut self.key) {
            return None;
        }
        let is_it = |known: &Known<T>| *known.key == *self.key;
        if !self.known.get(self.last).is_some_and(is_it) {
            let hash = hash(&self.key);
            match self.places.get(&hash) {
                Some(&place) if is_it(&self.known[place]) => self.last = place,
                _ => self.last = self.add(hash, make)?,
            }
        }
        self.found += 1;
        self.known[self.last].kept.is_some().then_some(Place(self.last))
    }

    #[cold]
    fn add(&mut self, hash: u64, make: impl FnOnce() -> Option<T>) -> Option<usize> {
        if self.made >= TRIED && self.found < 4 * self.made {
            return None;
        }
        self.made += 1;
        let key: Box<[u64]> = self.key.as_slice().into();
        let kept = make();
        let bytes = LAYOUT + size_of_val(&*key) + kept.as_ref().map_or(0, T::bytes);
        if self.bytes + bytes > MOST_BYTES {
            let (made, found) = (self.made, self.found);
            *self = Layouts { made, found, key: std::mem::take(&mut self.key), ..Self::default() };
        }
        self.bytes += bytes;
        self.known.push(Known { key, kept });
        self.places.insert(hash, self.known.len() - 1);
        Some(self.known.len() - 1)
    }

    /// What is kept at a place.
    #[inline]
    pub fn get(&self, place: Place) -> Option<&T> {
        self.known.get(place.0)?.kept.as_ref()
    }
}

/// A number that differs for most keys that differ.
fn hash(key: &[u64]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    key.iter().fold(0, |sum: u64, &word| (sum.rotate_left(9) ^ word).wrapping_mul(ODD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_marks_is_taken_apart() {
        let text = format!("a{}b{}", mark(0).unwrap(), mark(511).unwrap());
        let pieces = Pieces::split(text.as_bytes()).unwrap();
        assert_eq!(pieces.places.iter().map(|place| place.1).collect::<Vec<_>>(), [0, 511]);
        assert_eq!(&*pieces.literals, b"ab");
        assert!(!pieces.is_empty());
        assert_eq!(mark(512), None);
    }

    #[test]
    fn a_mark_that_is_none_is_not_taken_for_one() {
        for text in ["\u{f8ff}", "\u{f8ff}1", "\u{f8ff}x\u{f8ff}", "\u{f8ff}\u{f8ff}"] {
            assert!(Pieces::split(text.as_bytes()).is_none(), "{text}");
        }
    }
}
