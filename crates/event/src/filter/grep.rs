//! Where `grep` looks in an event: in each value of its data, and of what else it has besides
//! `<System>`, by itself and with its name, `NAME=VALUE`, as values are shown where there is no
//! message. The message is the caller's.

use std::ops::ControlFlow;

use super::Pattern;
use super::matcher::text_of;
use crate::text::Plain;
use crate::{FieldSource, Sink, Value};

/// Whether an expression is in a value. `text` and `pair` are room to work in.
pub(super) fn is_in_values<S: FieldSource>(
    pattern: &Pattern,
    source: &S,
    text: &mut Vec<u8>,
    pair: &mut Vec<u8>,
) -> bool {
    let found = source.each_data(|name, value| {
        let value = text_of(&value, text);
        let is_in = match name {
            Some(name) => pattern.is_in_pair(name.as_str(), value, pair),
            None => pattern.is_in(value),
        };
        if is_in { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if found.is_break() {
        return true;
    }
    if !source.has_more() {
        return false;
    }
    text.clear();
    let mut search =
        Search { pattern, found: false, depth: 0, section: "", is_leaf: false, text, pair };
    source.walk(&mut search);
    search.found
}

/// Searches the values of a tree: each attribute's and each run of text.
struct Search<'s, 'a> {
    pattern: &'s Pattern,
    found: bool,
    /// How many elements are open.
    depth: usize,
    /// The child of `<Event>` that the walk is in.
    section: &'a str,
    /// Whether the innermost element has no elements inside so far.
    is_leaf: bool,
    /// The text read last.
    text: &'s mut Vec<u8>,
    pair: &'s mut Vec<u8>,
}

impl Search<'_, '_> {
    /// Searches the text read last; `name` is that of the element that it is all of.
    fn search(&mut self, name: Option<&str>) {
        if !self.found && !self.text.is_empty() {
            self.found = match name {
                Some(name) => self.pattern.is_in_pair(name, self.text, self.pair),
                None => self.pattern.is_in(self.text),
            };
        }
        self.text.clear();
    }

    /// Whether what comes is searched here. Fields are not; `<Event>` itself has attributes only.
    fn is_searched(&self) -> bool {
        !self.found && self.depth > 1 && self.section != "System"
    }
}

impl<'a> Sink<'a> for Search<'_, 'a> {
    fn open(&mut self, name: &'a str) {
        self.search(None);
        self.depth += 1;
        if self.depth == 2 {
            self.section = name;
        }
        self.is_leaf = true;
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        let is_namespace = name == "xmlns" || name.starts_with("xmlns:");
        // A name in <EventData> is no value, and each value was searched with it.
        let is_name = self.section == "EventData" && name == "Name";
        if self.is_searched() && !is_namespace && !is_name {
            pieces.iter().for_each(|piece| piece.push::<Plain>(self.text));
            self.search(None);
        }
    }

    fn text(&mut self, value: Value<'a>) {
        if self.is_searched() {
            value.push::<Plain>(self.text);
        }
    }

    fn close(&mut self, name: &'a str, _empty: bool) {
        let is_value = std::mem::take(&mut self.is_leaf) && self.section != "EventData";
        self.search(is_value.then_some(name));
        self.depth = self.depth.saturating_sub(1);
    }
}
