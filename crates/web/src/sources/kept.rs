//! What a backend outside this crate is asked, and how it answers: with events, and with numbers that
//! it has counted itself.

use std::collections::HashMap;
use std::sync::Arc;

use quarry_event::filter::{Filter, Glob};
use quarry_event::output::Column;
use quarry_event::{EventTime, FieldSource, Origin, RecordId, RuleName, Texts};

use super::Asked;
use super::counts::{Counts, WIDTHS, rule_title, rule_value};
use super::gather::{Allowed, Gather, Gathered, USUAL, Usual, Worker};
use super::question::Shown;
use super::search::Feed;
use crate::access::Person;
use crate::view::{Bars, Place};

/// A field of which the values are counted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Counted<'a> {
    /// The word of an event's level, as filters have it.
    Level,
    /// What the event's source is called.
    Source,
    /// The channel that the event names.
    Channel,
    /// The event's number.
    EventId,
    /// The provider's name.
    Provider,
    /// The computer that the event names.
    Computer,
    /// The identifiers of the detection rules that it matches, each by itself.
    Rules,
    /// The text of a column.
    Column(&'a Column),
}

/// Events as a backend has counted them. Those that the person may not read are in none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many events match.
    pub events: u64,
    /// Of each field of [`Asked::counted`], in its order, the values with their events, and how many
    /// events have values for which there was no room.
    pub fields: Vec<(Vec<(String, u64)>, u64)>,
    /// What the detection rules among the values are called.
    pub rules: Vec<Arc<RuleName>>,
    /// Of each source that is asked, in its order, how many events match.
    pub by_source: Vec<u64>,
    /// The width of the histogram's bars in seconds: one of [`bar_width`].
    pub width: u64,
    /// The bars' parts: when a bar begins, a kind ([`Asked::bars`]), and its events.
    pub bars: Vec<(EventTime, String, u64)>,
}

/// The narrowest width that bars over so many seconds can have, for at most so many bars, in seconds.
pub fn bar_width(seconds: u64, bars: u64) -> u64 {
    let widest = WIDTHS[WIDTHS.len() - 1];
    WIDTHS.into_iter().find(|width| seconds / width < bars).unwrap_or(widest)
}

impl Asked {
    /// Who asks. Their [`scope`](Person::scope) is to stand under everything that is answered.
    pub fn person(&self) -> &Person {
        &self.question.person
    }

    /// What events have to pass.
    pub fn filter(&self) -> &Filter {
        &self.question.filter
    }

    /// The logs that events were read from, of which any has to match; none for all.
    pub fn logs(&self) -> &[Glob] {
        &self.question.logs
    }

    /// What times that are relative count from.
    pub fn now(&self) -> EventTime {
        self.question.now
    }

    /// The place of the one event that is wanted, where it is one.
    pub fn only(&self) -> Option<&Place> {
        self.question.only.as_ref()
    }

    /// What is looked at.
    pub fn shown(&self) -> Shown {
        self.wanted.shown
    }

    /// How many rows are wanted; none for counts alone.
    pub fn rows(&self) -> usize {
        if self.shown().has_rows() { self.wanted.rows } else { 0 }
    }

    /// Whether the rows that are wanted are the newest, rather than the oldest.
    pub fn keeps_newest(&self) -> bool {
        self.wanted.keeps_newest()
    }

    /// The place that bounds the rows: they are older than it if the newest are wanted, else newer.
    pub fn bound(&self) -> Option<&Place> {
        self.wanted.bound()
    }

    /// Whether every event is wanted, in any number and order, rather than some rows.
    pub fn is_stream(&self) -> bool {
        self.wanted.is_stream
    }

    /// Whether events are counted, by time and by field. All that match are, wherever the rows are.
    pub fn counts(&self) -> bool {
        self.wanted.counts
    }

    /// The fields of which values are counted.
    pub fn counted(&self) -> Vec<Counted<'_>> {
        let usual = USUAL.map(|usual| match usual {
            Usual::Level => Counted::Level,
            Usual::On => Counted::Source,
            Usual::Log => Counted::Channel,
            Usual::Id => Counted::EventId,
            Usual::Provider => Counted::Provider,
            Usual::Computer => Counted::Computer,
            Usual::Rule => Counted::Rules,
        });
        usual.into_iter().chain(self.wanted.facets.iter().map(Counted::Column)).collect()
    }

    /// What the bars of the histogram are made of.
    pub fn bars(&self) -> Bars {
        self.wanted.bars
    }
}

/// How far a log of a source was stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reached {
    /// What the source is called.
    pub on: String,
    /// The source's name in the identity of its events.
    pub source: String,
    /// The log there.
    pub log: String,
    /// The number of the last record that was stored, or that nobody wanted.
    pub record: RecordId,
    /// When its event was created, where that is known.
    pub time: Option<EventTime>,
}

/// The last record of each log that is stored, by the source's name in identities and the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored(HashMap<String, HashMap<String, RecordId>>);

impl Stored {
    pub(super) fn new(reached: impl IntoIterator<Item = Reached>) -> Self {
        let mut all: HashMap<String, HashMap<String, RecordId>> = HashMap::new();
        for Reached { source, log, record, .. } in reached {
            all.entry(source).or_default().insert(log, record);
        }
        Stored(all)
    }

    /// Whether the record at a place was stored, so that it is counted there.
    pub(super) fn has(&self, place: &Place) -> bool {
        let last = self.0.get(&place.source).and_then(|logs| logs.get(&place.log));
        last.zip(place.record).is_some_and(|(last, record)| record <= *last)
    }
}

/// Makes rows of events, one after another.
pub struct Rows<'f> {
    feed: &'f Feed,
    allowed: Allowed,
    gather: Gather,
    worker: Worker,
    /// What was made of events of one source, and whose they are.
    gathered: Gathered,
    source: usize,
    is_counted: bool,
}

/// The most rows that are made before they are handed over.
const TOGETHER: usize = 500;

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl Rows<'_> {
    /// Takes an event of a source, by its place among those that are asked. It is shown if the person
    /// may read it and it is on the page's side of its bound; it isn't counted. Where events are handed
    /// on as they come, this blocks while their reader is behind.
    pub fn take(
        &mut self,
        source: usize,
        event: &impl FieldSource,
        origin: &Origin<'_>,
        texts: Texts<'_>,
    ) {
        if !self.allowed.passes(event, origin) {
            return;
        }
        if source != self.source || self.gathered.rows.len() >= TOGETHER {
            self.hand_over();
        }
        self.source = source;
        self.gather.take(&mut self.worker, event, origin, texts, &mut self.gathered);
    }

    fn hand_over(&mut self) {
        let rows = self.gathered.rows.len() as u64;
        if rows > 0 {
            // Where events are counted, a tally says how many there are.
            let matched = if self.is_counted { 0 } else { rows };
            self.feed.gathered(self.source, rows, matched, &mut self.gathered, true);
        }
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl Feed {
    /// A source is open.
    pub fn open(&self, source: usize) {
        self.opened(source);
    }

    /// Nothing more comes of a source, as it failed.
    pub fn failed(&self, source: usize, trouble: super::Trouble) {
        self.trouble(source, trouble, true);
    }

    /// A source was read as far as was asked.
    pub fn done(&self, source: usize) {
        self.ended(source, None);
    }

    /// Makes rows of what a backend finds for a question.
    pub fn take(&self, asked: &Asked) -> Rows<'_> {
        Rows {
            feed: self,
            allowed: Allowed::new(asked, false),
            gather: Gather::new(&asked.wanted, false, &self.threshold()),
            worker: Worker::default(),
            gathered: Gathered::default(),
            source: 0,
            is_counted: asked.wanted.counts,
        }
    }

    /// Takes what a backend has counted.
    pub fn tally(&self, asked: &Asked, tally: Tally) {
        let fields = USUAL.len() + asked.wanted.facets.len();
        let mut counts = Counts { events: tally.events, ..Counts::new(fields) };
        for (facet, (values, others)) in counts.facets.iter_mut().zip(&tally.fields) {
            values.iter().for_each(|(value, events)| facet.add(value, *events));
            facet.others += others;
        }
        let of_rules =
            USUAL.iter().zip(&mut counts.facets).find(|(usual, _)| **usual == Usual::Rule);
        if let Some((_, facet)) = of_rules {
            tally.rules.iter().for_each(|rule| facet.call(rule_value(rule), rule_title(rule)));
        }
        counts.histogram.set_width(tally.width);
        for (time, kind, events) in &tally.bars {
            counts.histogram.add_many(*time, kind, *events);
        }
        self.counted(&counts, &tally.by_source);
    }
}
