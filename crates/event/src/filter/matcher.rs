//! The test of a filter on an event: the cheapest and most selective parts first, without
//! allocating, and without text for what isn't compared as text.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::data::{DataTest, Wanted};
use super::users::Users;
use super::{Filter, Glob, Pattern};
use crate::query::{CompiledQuery, Scratch};
use crate::text::Plain;
use crate::{EventTime, Field, FieldSource, PartialSource, Sink, Value};

/// Tests events for a filter. It has room of its own to work in: clone it for another thread.
pub struct Matcher {
    filter: Arc<Filter>,
    query: Option<Arc<CompiledQuery>>,
    /// Of which channel an event has to be; none for any.
    channels: Arc<[Glob]>,
    /// Whether the filter looks at the time.
    has_time: bool,
    text: Vec<u8>,
    users: Users,
    scratch: Scratch,
}

/// What is known of an event before its message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It doesn't match, whatever its message.
    No,
    /// It matches if its message does: see [`Matcher::message_matches`].
    IfMessageMatches,
    /// It matches.
    Yes,
}

impl Clone for Matcher {
    fn clone(&self) -> Self {
        Matcher::with(self.filter.clone(), self.query.clone(), Arc::clone(&self.channels))
    }
}

impl Matcher {
    pub(super) fn new(filter: &Filter, now: EventTime) -> Self {
        let query = filter.query.as_ref().map(|query| Arc::new(query.compile(now)));
        Matcher::with(Arc::new(filter.clone()), query, Arc::default())
    }

    /// The same, for a source whose events are of several channels: an event has to be of one that
    /// any of the globs matches. Where one of them matches every name, or there is none, events of
    /// every channel pass, and those without a channel.
    #[must_use]
    pub fn in_channels(self, globs: &[Glob]) -> Self {
        let is_choice = !globs.iter().any(Glob::matches_all);
        Matcher { channels: if is_choice { globs.into() } else { Arc::default() }, ..self }
    }

    /// Whether every event passes.
    pub fn passes_all(&self) -> bool {
        self.channels.is_empty() && self.filter.is_empty()
    }

    fn with(filter: Arc<Filter>, query: Option<Arc<CompiledQuery>>, channels: Arc<[Glob]>) -> Self {
        Matcher {
            has_time: filter.since.is_some() || filter.until.is_some(),
            filter,
            query,
            channels,
            text: Vec::new(),
            users: Users::default(),
            scratch: Scratch::default(),
        }
    }

    /// Whether an event matches. Without a message, `grep` looks at the event's values only.
    #[inline]
    pub fn matches<S: FieldSource>(&mut self, source: &S, message: Option<&str>) -> bool {
        match self.verdict(source) {
            Verdict::No => false,
            Verdict::Yes => true,
            Verdict::IfMessageMatches => message.is_some_and(|text| self.message_matches(text)),
        }
    }

    /// Whether an event doesn't match, as what is known of it tells. Where that isn't enough,
    /// [`verdict`](Self::verdict) has to tell.
    #[inline]
    pub fn rules_out<S: PartialSource>(&mut self, source: &S) -> bool {
        self.fails_a_test(source)
            || self.query.as_ref().is_some_and(|query| query.rules_out(source, &mut self.scratch))
    }

    /// Whether an event fails one of the filter's tests on fields and named data, so far as they
    /// are known.
    #[inline]
    fn fails_a_test<S: PartialSource>(&mut self, source: &S) -> bool {
        let filter = &*self.filter;
        if let Some(ids) = &filter.ids
            && !ids.ranges.contains(&source.known_field(Field::EventId))
        {
            return true;
        }
        if self.has_time {
            let time = source.known_field(Field::TimeCreated).as_time();
            let is_in = |time: EventTime| {
                filter.since.is_none_or(|since| time >= since)
                    && filter.until.is_none_or(|until| time <= until)
            };
            if !time.is_some_and(is_in) {
                return true;
            }
        }
        if let Some(levels) = &filter.levels
            && !levels.contain(source)
        {
            return true;
        }
        let names = [
            (Field::Channel, &*self.channels),
            (Field::ProviderName, &*filter.providers),
            (Field::Computer, &*filter.computers),
        ];
        let is_other = |&(field, globs): &(Field, &[Glob])| {
            !globs.is_empty() && !is_named(&source.known_field(field), globs, &mut self.text)
        };
        if names.iter().any(is_other) {
            return true;
        }
        let fails = |test: &DataTest| {
            // A place takes all the data to count.
            test.place.is_none()
                && source.known_data(Some(&test.name), |value| {
                    match is_wanted(&test.wanted, &value, &mut self.text) {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                }) == Some(ControlFlow::Continue(()))
        };
        filter.data.iter().any(fails)
    }

    /// What can be said of an event without its message, which is dear to get.
    pub fn verdict<S: FieldSource>(&mut self, source: &S) -> Verdict {
        if self.fails_a_test(source) {
            return Verdict::No;
        }
        let filter = &*self.filter;
        let mut of_places = filter.data.iter().filter_map(|test| Some((test, test.place?)));
        if !of_places.all(|(test, place)| passes(test, place, source, &mut self.text)) {
            return Verdict::No;
        }
        if !filter.users.is_empty() && !self.users.are_named(&filter.users, source, &mut self.text)
        {
            return Verdict::No;
        }
        if let Some(query) = &self.query
            && !query.matches(source, &mut self.scratch)
        {
            return Verdict::No;
        }
        match &filter.grep {
            Some(pattern) if !is_in_values(pattern, source, &mut self.text) => {
                Verdict::IfMessageMatches
            }
            _ => Verdict::Yes,
        }
    }

    /// Whether a message has what `grep` asks for.
    pub fn message_matches(&self, message: &str) -> bool {
        self.filter.grep.as_ref().is_none_or(|pattern| pattern.is_in(message.as_bytes()))
    }
}

/// A value's text, written to `scratch` where it isn't UTF-8 already.
#[inline]
pub(super) fn text_of<'v>(value: &Value<'v>, scratch: &'v mut Vec<u8>) -> &'v [u8] {
    if let Value::Str(text) = value {
        return text.as_bytes();
    }
    scratch.clear();
    value.push::<Plain>(scratch);
    scratch
}

/// Whether any of the globs matches a value that is there.
fn is_named(value: &Value<'_>, globs: &[Glob], scratch: &mut Vec<u8>) -> bool {
    if value.is_empty() {
        return false;
    }
    globs.iter().any(|glob| match glob.matches_value(value) {
        Some(matches) => matches,
        None => glob.matches_utf8(text_of(value, scratch)),
    })
}

/// Whether the event's data pass a test on the value of a place or of its name.
fn passes<S: FieldSource>(
    test: &DataTest,
    wanted_place: u32,
    source: &S,
    scratch: &mut Vec<u8>,
) -> bool {
    let mut place = 0u32;
    let found = source.each_data(|name, value| {
        place = place.saturating_add(1);
        let asked = match name {
            Some(name) => name.as_str() == test.name,
            None => place == wanted_place,
        };
        match asked && is_wanted(&test.wanted, &value, scratch) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    found.is_break()
}

fn is_wanted(wanted: &Wanted, value: &Value<'_>, scratch: &mut Vec<u8>) -> bool {
    match (wanted, value) {
        (Wanted::Text(wanted), Value::Utf16(text)) => *text == **wanted,
        (Wanted::Text(wanted), _) => text_of(value, scratch) == wanted.as_bytes(),
        (Wanted::Pattern(pattern), _) => pattern.is_in(text_of(value, scratch)),
    }
}

/// Whether the expression is in a data value, or in a value of what is neither system nor data.
fn is_in_values<S: FieldSource>(pattern: &Pattern, source: &S, scratch: &mut Vec<u8>) -> bool {
    let found = source.each_data(|_, value| match pattern.is_in(text_of(&value, scratch)) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    if found.is_break() {
        return true;
    }
    if !source.has_more() {
        return false;
    }
    scratch.clear();
    let mut search = Search { pattern, found: false, text: scratch };
    source.walk(&mut Others::new(&mut search));
    search.found
}

/// Searches the values of a tree, each attribute's and each run of text.
struct Search<'s> {
    pattern: &'s Pattern,
    found: bool,
    text: &'s mut Vec<u8>,
}

impl Search<'_> {
    fn search(&mut self) {
        if !self.text.is_empty() {
            self.found = self.found || self.pattern.is_in(self.text);
            self.text.clear();
        }
    }
}

impl<'a> Sink<'a> for Search<'_> {
    fn open(&mut self, _name: &'a str) {
        self.search();
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        if name != "xmlns" && !name.starts_with("xmlns:") {
            pieces.iter().for_each(|piece| piece.push::<Plain>(self.text));
            self.search();
        }
    }

    fn text(&mut self, value: Value<'a>) {
        if !self.found {
            value.push::<Plain>(self.text);
        }
    }

    fn close(&mut self, _name: &'a str, _empty: bool) {
        self.search();
    }
}

/// Passes on what is in an event besides `<System>` and `<EventData>`.
pub(super) struct Others<'s, K> {
    sink: &'s mut K,
    depth: usize,
    skipping: bool,
}

impl<'s, K> Others<'s, K> {
    pub(super) fn new(sink: &'s mut K) -> Self {
        Others { sink, depth: 0, skipping: false }
    }

    fn passes(&self) -> bool {
        self.depth > 1 && !self.skipping
    }
}

impl<'a, K: Sink<'a>> Sink<'a> for Others<'_, K> {
    fn open(&mut self, name: &'a str) {
        self.depth += 1;
        if self.depth == 2 {
            self.skipping = matches!(name, "System" | "EventData");
        }
        if self.passes() {
            self.sink.open(name);
        }
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        if self.passes() {
            self.sink.attribute(name, pieces);
        }
    }

    fn text(&mut self, value: Value<'a>) {
        if self.passes() {
            self.sink.text(value);
        }
    }

    fn close(&mut self, name: &'a str, empty: bool) {
        if self.passes() {
            self.sink.close(name, empty);
        }
        self.depth = self.depth.saturating_sub(1);
    }
}
