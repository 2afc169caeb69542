//! The layout of events: what their trees have alike.
//!
//! Events of one template differ in the text of their values, and in which values are there; all else
//! is the same. [`FieldSource::layout`] tells the one from the other, and [`FieldSource::walk_layout`]
//! shows the tree with a mark in the place of each value. Whatever is made of that tree can be kept for
//! all events of the layout, and is made into an event's own by putting the values in the marks' places
//! (`Pieces`). So the rules for making it are those for any tree.

use std::sync::LazyLock;

use crate::FieldSource;
use crate::text::Escape;

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
