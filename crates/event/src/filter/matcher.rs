//! The test of a filter on an event: the cheapest and most selective parts first, without
//! allocating, and without text for what isn't compared as text.

use std::sync::Arc;

use super::names::{NameWatch, Names};
use super::users::Users;
use super::{Filter, Glob, Pattern, Word, grep};
use crate::query::{CompiledQuery, Look, Scratch};
use crate::text::Plain;
use crate::{EventTime, Field, FieldSource, PartialSource, RuleName, Value};

/// Tests events for a filter. It has room of its own to work in: clone it for another thread.
pub struct Matcher {
    filter: Arc<Filter>,
    query: Option<Arc<CompiledQuery>>,
    /// One for each filter that an event must not pass.
    not: Vec<Matcher>,
    /// Of which channel an event has to be; none for any.
    channels: Arc<[Glob]>,
    /// Whether the filter looks at the time, at names, and at anything but fields.
    has_time: bool,
    has_names: bool,
    has_more: bool,
    /// Words of the expressions that are searched for, where nothing but fields is looked at besides.
    words: Arc<[Word]>,
    watch: Option<NameWatch>,
    /// Whether the message of the event tested last decides.
    is_open: bool,
    /// Of the patterns that it has to have, those that aren't in its values.
    missing: Vec<usize>,
    text: Vec<u8>,
    pair: Vec<u8>,
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
        Matcher {
            filter: Arc::clone(&self.filter),
            query: self.query.clone(),
            channels: Arc::clone(&self.channels),
            not: self.not.clone(),
            has_time: self.has_time,
            has_names: self.has_names,
            has_more: self.has_more,
            words: Arc::clone(&self.words),
            watch: self.watch.clone(),
            is_open: false,
            missing: Vec::new(),
            text: Vec::new(),
            pair: Vec::new(),
            users: Users::default(),
            scratch: Scratch::default(),
        }
    }
}

impl Matcher {
    pub(super) fn new(filter: &Filter, now: EventTime) -> Self {
        let has_more = !filter.data.is_empty() || filter.query.is_some() || !filter.not.is_empty();
        let words = match has_more || !filter.users.is_empty() {
            true => Arc::default(),
            false => filter.grep.iter().filter_map(Pattern::word).collect(),
        };
        Matcher {
            has_more,
            words,
            has_time: filter.since.is_some() || filter.until.is_some(),
            has_names: !(filter.not_channels.is_empty()
                && filter.providers.is_empty()
                && filter.computers.is_empty()),
            filter: Arc::new(filter.clone()),
            query: filter.query.as_ref().map(|query| Arc::new(query.compile(now))),
            channels: Arc::default(),
            not: {
                // Nobody passes what tests rules here.
                let tested = filter.not.iter().filter(|filter| !filter.tests_rules());
                tested.map(|filter| Matcher::new(filter, now)).collect()
            },
            watch: None,
            is_open: false,
            missing: Vec::new(),
            text: Vec::new(),
            pair: Vec::new(),
            users: Users::default(),
            scratch: Scratch::default(),
        }
    }

    /// The same, for a source whose events are of several channels: an event has to be of one that
    /// any of the globs matches. Where one of them matches every name, or there is none, events of
    /// every channel pass, and those without a channel.
    #[must_use]
    pub fn in_channels(self, globs: &[Glob]) -> Self {
        let is_choice = !globs.iter().any(Glob::matches_all);
        let channels: Arc<[Glob]> = if is_choice { globs.into() } else { Arc::default() };
        Matcher { has_names: self.has_names || !channels.is_empty(), channels, ..self }
    }

    /// Whether every event passes, and nothing is noted of any, or not any more.
    pub fn passes_all(&self) -> bool {
        let notes_nothing = self.watch.as_ref().is_none_or(NameWatch::is_settled);
        self.channels.is_empty() && self.filter.is_empty() && notes_nothing
    }

    /// Whether an event that [`rules_out`](Self::rules_out) doesn't rule out passes, so that nothing has to
    /// be known of it but its fields.
    pub fn is_of_fields(&self) -> bool {
        !self.has_more
            && self.filter.users.is_empty()
            && self.filter.grep.is_empty()
            && !self.filter.tests_rules()
            && self.watch.as_ref().is_none_or(NameWatch::is_settled)
    }

    /// Notes which of the names asked for occur in the events that are tested: those of the
    /// filter's own tests on data, and others that were given to [`Names::new`].
    #[must_use]
    pub fn watching(self, names: &Arc<Names>) -> Self {
        Matcher { watch: NameWatch::new(names), ..self }
    }

    /// Whether detection rules that stand beside an event pass: see [`Filter::rules_pass`].
    #[inline]
    pub fn rules_pass(&self, rules: &[Arc<RuleName>]) -> bool {
        !self.filter.tests_rules() || self.filter.rules_pass(rules)
    }

    /// Whether an event matches, as far as it tells itself. Without a message, `grep` looks at the
    /// event's values only.
    #[inline]
    pub fn matches<S: FieldSource>(&mut self, source: &S, message: Option<&str>) -> bool {
        match self.verdict(source) {
            Verdict::No => false,
            Verdict::Yes => true,
            Verdict::IfMessageMatches => self.message_matches(message),
        }
    }

    /// Whether an event doesn't match, as what is known of it tells. Where that isn't enough,
    /// [`verdict`](Self::verdict) has to tell.
    // This is where most events of a selective scan end. Several kinds of work call it, and without
    // `always` it is a call then, in which the source's own methods aren't inlined either.
    #[inline(always)]
    pub fn rules_out<S: PartialSource>(&mut self, source: &S) -> bool {
        let is_out =
            self.fails_a_field(source) || self.has_more && self.look_further(source) == Look::No;
        // Of each kind of event one is looked at whole, for its names.
        is_out && !self.watch.as_mut().is_some_and(|watch| watch.is_new(source))
    }

    /// Whether an event that [`rules_out`](Self::rules_out) doesn't rule out fails nothing but a
    /// search, so that it can match by its message only, as what is known of it tells. Otherwise
    /// [`verdict`](Self::verdict) has to tell.
    #[inline]
    pub fn lacks_a_word<S: PartialSource>(&self, source: &S) -> bool {
        self.words.iter().any(|word| source.lacks(word))
            && !self.watch.as_ref().is_some_and(|watch| watch.is_new(source))
    }

    /// What can be said of an event of which not everything is known.
    fn look<S: PartialSource>(&mut self, source: &S) -> Look {
        match self.fails_a_field(source) {
            true => Look::No,
            false => self.look_further(source),
        }
    }

    /// What can be said of an event that fails no test on fields.
    fn look_further<S: PartialSource>(&mut self, source: &S) -> Look {
        let filter = &*self.filter;
        let mut worst = match filter.users.is_empty() && filter.grep.is_empty() {
            true => Look::Yes,
            false => Look::Maybe,
        };
        for (n, test) in filter.data.iter().enumerate() {
            let found = test.look(source, &mut self.text);
            if found.any
                && let Some(watch) = &self.watch
            {
                watch.meet(n);
            }
            match found.passes {
                Some(false) => return Look::No,
                Some(true) => {}
                None => worst = Look::Maybe,
            }
        }
        if let Some(query) = &self.query {
            worst = worst.min(query.look(source, &mut self.scratch));
        }
        for not in &mut self.not {
            if worst == Look::No {
                break;
            }
            worst = worst.min(!not.look(source));
        }
        worst
    }

    /// Whether an event fails one of the filter's tests on fields.
    #[inline(always)]
    fn fails_a_field<S: PartialSource>(&mut self, source: &S) -> bool {
        let filter = &*self.filter;
        if let Some(ids) = &filter.ids
            && !ids.ranges.contains(&source.known_field(Field::EventId))
        {
            return true;
        }
        if !filter.routes.is_empty() && !filter.routes.iter().any(|route| route.has(source)) {
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
        self.has_names && self.fails_a_name(source)
    }

    /// Whether an event fails one of the filter's tests on fields that are names.
    fn fails_a_name<S: PartialSource>(&mut self, source: &S) -> bool {
        let filter = &*self.filter;
        if !filter.not_channels.is_empty()
            && is_named(&source.known_field(Field::Channel), &filter.not_channels, &mut self.text)
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
        names.iter().any(is_other)
    }

    /// What can be said of an event without its message, which is dear to get.
    pub fn verdict<S: FieldSource>(&mut self, source: &S) -> Verdict {
        if let Some(watch) = &mut self.watch {
            watch.observe(source);
            if watch.is_settled() {
                self.watch = None;
            }
        }
        let verdict = self.test(source);
        self.is_open = verdict == Verdict::IfMessageMatches;
        verdict
    }

    fn test<S: FieldSource>(&mut self, source: &S) -> Verdict {
        self.missing.clear();
        if self.fails_a_field(source) {
            return Verdict::No;
        }
        let filter = &*self.filter;
        if !filter.data.iter().all(|test| test.passes(source, &mut self.text)) {
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
        let mut verdict = Verdict::Yes;
        for not in &mut self.not {
            match not.verdict(source) {
                Verdict::Yes => return Verdict::No,
                Verdict::IfMessageMatches => verdict = Verdict::IfMessageMatches,
                Verdict::No => {}
            }
        }
        for (n, pattern) in filter.grep.iter().enumerate() {
            if !grep::is_in_values(pattern, source, &mut self.text, &mut self.pair) {
                self.missing.push(n);
                verdict = Verdict::IfMessageMatches;
            }
        }
        verdict
    }

    /// Whether the event of the last [`verdict`](Self::verdict) matches, with the message
    /// that it has or none.
    pub fn message_matches<'m>(&self, message: impl Into<Option<&'m str>>) -> bool {
        let message = message.into();
        let is_in = |n: &usize| message.is_some_and(|text| self.has(*n, text));
        let is_out = |not: &Matcher| not.is_open && not.message_matches(message);
        self.missing.iter().all(is_in) && !self.not.iter().any(is_out)
    }

    fn has(&self, pattern: usize, text: &str) -> bool {
        self.filter.grep.get(pattern).is_some_and(|pattern| pattern.is_in(text.as_bytes()))
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
