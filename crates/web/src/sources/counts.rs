//! Events counted by time and by field, in bounded memory.

use std::collections::{BTreeMap, HashMap};

use quarry_event::{EventTime, LevelName, RuleName};

/// The most values of a field that are told apart; events with others are counted together.
const VALUES: usize = 20_000;
/// The longest value that is told apart, in bytes.
const VALUE_BYTES: usize = 256;
/// The most bars of a histogram while it is counted; it becomes coarser rather than longer.
const BARS: usize = 2048;
/// The most kinds of events that a bar is made of, where these aren't levels.
const SERIES: usize = 10;

/// The widths that bars can have, in seconds. Each divides the next, so that a histogram becomes
/// coarser without being counted again. Weeks begin on Mondays, as 1601 did.
pub(crate) const WIDTHS: [u64; 14] = [
    1,
    5,
    15,
    60,
    300,
    900,
    3600,
    10_800,
    43_200,
    86_400,
    604_800,
    2_419_200,
    31_449_600,
    314_496_000,
];

/// How many events there are, by time and by field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    /// Of each field that is counted.
    pub(crate) facets: Vec<Facet>,
    pub(crate) histogram: Histogram,
}

/// How many events there are with each value of a field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facet {
    values: HashMap<Box<str>, u64>,
    /// What values are called, where that is something else.
    names: HashMap<Box<str>, Box<str>>,
    /// Events with values for which there was no room.
    pub(crate) others: u64,
}

/// How many events there are in each span of time, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    /// The place of the bars' width among the widths.
    width: usize,
    /// What the kinds are called.
    pub(crate) series: Vec<Box<str>>,
    /// Of each span its events of each kind.
    bars: BTreeMap<u64, Vec<u64>>,
}

impl Facet {
    /// Adds events with a value.
    pub(crate) fn add(&mut self, value: &str, events: u64) {
        let value = &value[..value.floor_char_boundary(VALUE_BYTES)];
        if let Some(sum) = self.values.get_mut(value) {
            *sum += events;
        } else if self.values.len() < VALUES {
            self.values.insert(value.into(), events);
        } else {
            self.others += events;
        }
    }

    /// Adds an event that matches a detection rule.
    pub(crate) fn add_rule(&mut self, rule: &RuleName) {
        let value = rule_value(rule);
        if value.is_empty() {
            return;
        }
        self.add(value, 1);
        self.call(value, rule_title(rule));
    }

    /// Notes what a value is called.
    pub(super) fn call(&mut self, value: &str, name: &str) {
        let cut = |text: &str| -> Box<str> { text[..text.floor_char_boundary(VALUE_BYTES)].into() };
        if name != value && self.names.len() < VALUES && !self.names.contains_key(value) {
            self.names.insert(cut(value), cut(name));
        }
    }

    /// What a value is called.
    pub(crate) fn name<'f>(&'f self, value: &'f str) -> &'f str {
        self.names.get(value).map_or(value, |name| &**name)
    }

    fn merge(&mut self, other: &Facet) {
        other.values.iter().for_each(|(value, events)| self.add(value, *events));
        other.names.iter().for_each(|(value, name)| self.call(value, name));
        self.others += other.others;
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// How many events have one.
    pub(crate) fn total(&self) -> u64 {
        self.values.values().sum::<u64>() + self.others
    }

    /// How many events have a value.
    #[cfg(test)]
    pub(crate) fn of(&self, value: &str) -> u64 {
        let mut known = self.values.iter().filter(|(known, _)| known.eq_ignore_ascii_case(value));
        known.next().map_or(0, |(_, events)| *events)
    }

    /// The values with the most events, these first; then by their text.
    pub(crate) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> =
            self.values.iter().map(|(value, events)| (&**value, *events)).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all.truncate(most);
        all
    }
}

/// What the word `rule` asks for a detection rule by: its identifier, which no other has.
pub(crate) fn rule_value(rule: &RuleName) -> &str {
    if rule.id.is_empty() { &rule.title } else { &rule.id }
}

/// What a detection rule is called.
pub(crate) fn rule_title(rule: &RuleName) -> &str {
    if rule.title.is_empty() { &rule.id } else { &rule.title }
}

impl Histogram {
    /// Adds an event.
    pub(crate) fn add(&mut self, time: EventTime, kind: &str) {
        self.add_many(time, kind, 1);
    }

    /// Adds events of one bar.
    pub(crate) fn add_many(&mut self, time: EventTime, kind: &str, events: u64) {
        let kind = self.series(kind);
        let at = self.at(time);
        self.add_at(at, kind, events);
        self.coarsen_while_long();
    }

    /// Has bars at least this wide, in seconds: events were counted in such before.
    pub(crate) fn set_width(&mut self, seconds: u64) {
        while WIDTHS[self.width] < seconds && self.width + 1 < WIDTHS.len() {
            self.coarsen();
        }
    }

    fn at(&self, time: EventTime) -> u64 {
        time.as_filetime() / EventTime::SECOND / WIDTHS[self.width]
    }

    fn add_at(&mut self, at: u64, kind: usize, events: u64) {
        let bar = self.bars.entry(at).or_default();
        if bar.len() <= kind {
            bar.resize(kind + 1, 0);
        }
        bar[kind] += events;
    }

    /// The place of a kind among them; the last one's where there is no room for more.
    fn series(&mut self, kind: &str) -> usize {
        if let Some(known) = self.series.iter().position(|known| **known == *kind) {
            return known;
        }
        if self.series.len() + 1 < SERIES {
            self.series.push(kind[..kind.floor_char_boundary(VALUE_BYTES)].into());
        } else if self.series.len() + 1 == SERIES {
            self.series.push(OTHERS.into());
        }
        self.series.len() - 1
    }

    fn coarsen_while_long(&mut self) {
        while self.bars.len() > BARS && self.width + 1 < WIDTHS.len() {
            self.coarsen();
        }
    }

    /// Makes the bars as wide as the next width.
    fn coarsen(&mut self) {
        let times = WIDTHS[self.width + 1] / WIDTHS[self.width];
        self.width += 1;
        for (at, bar) in std::mem::take(&mut self.bars) {
            for (kind, events) in bar.into_iter().enumerate() {
                if events > 0 {
                    self.add_at(at / times, kind, events);
                }
            }
        }
    }

    fn merge(&mut self, other: &Histogram) {
        while self.width < other.width {
            self.coarsen();
        }
        let kinds: Vec<usize> = other.series.iter().map(|kind| self.series(kind)).collect();
        let times = WIDTHS[self.width] / WIDTHS[other.width];
        for (at, bar) in &other.bars {
            for (kind, &events) in bar.iter().enumerate().filter(|(_, events)| **events > 0) {
                self.add_at(at / times, kinds[kind], events);
            }
        }
        self.coarsen_while_long();
    }

    /// The spans of time, the first first, as wide as it takes to have at most so many of them, with
    /// those that have no events; their width in seconds.
    pub(crate) fn bars(&self, most: u64) -> (u64, Vec<(EventTime, Vec<u64>)>) {
        let mut shown = self.clone();
        let len = |shown: &Histogram| {
            let ends = (shown.bars.keys().next(), shown.bars.keys().next_back());
            if let (Some(first), Some(last)) = ends { last - first + 1 } else { 0 }
        };
        while len(&shown) > most && shown.width + 1 < WIDTHS.len() {
            shown.coarsen();
        }
        let width = WIDTHS[shown.width];
        let mut bars = Vec::new();
        if let (Some(&first), Some(&last)) =
            (shown.bars.keys().next(), shown.bars.keys().next_back())
        {
            for at in first..=last.min(first.saturating_add(most)) {
                let time = EventTime::from_filetime(at * width * EventTime::SECOND);
                let mut bar = shown.bars.remove(&at).unwrap_or_default();
                bar.resize(self.series.len(), 0);
                bars.push((time, bar));
            }
        }
        (width, bars)
    }
}

/// What events of kinds are called for which there is no room.
pub(crate) const OTHERS: &str = "others";

/// The word for a level in facets and bars, which the word `level` takes too.
pub(crate) fn level_word(level: LevelName) -> &'static str {
    level.word()
}

impl Counts {
    /// Counts of nothing, for so many fields.
    pub(crate) fn new(facets: usize) -> Self {
        Counts { facets: vec![Facet::default(); facets], ..Counts::default() }
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn merge(&mut self, other: &Counts) {
        self.events += other.events;
        if self.facets.len() < other.facets.len() {
            self.facets.resize(other.facets.len(), Facet::default());
        }
        self.facets.iter_mut().zip(&other.facets).for_each(|(mine, other)| mine.merge(other));
        self.histogram.merge(&other.histogram);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> EventTime {
        EventTime::from_filetime(seconds * EventTime::SECOND)
    }

    #[test]
    fn each_width_divides_the_next() {
        assert!(WIDTHS.windows(2).all(|pair| pair[1] % pair[0] == 0));
    }

    #[test]
    fn values_beyond_the_bound_are_counted_together() {
        let mut facet = Facet::default();
        for n in 0..VALUES + 5 {
            facet.add(&n.to_string(), 1);
        }
        facet.add("0", 1);
        assert_eq!((facet.len(), facet.others, facet.of("0")), (VALUES, 5, 2));
        assert_eq!(facet.top(1), [("0", 2)]);
    }

    proptest! {
        #[test]
        fn a_histogram_in_parts_is_the_histogram_of_all(
            times in prop::collection::vec((0_u64..40_000_000, 0_usize..15), 0..3000), parts in 1_usize..5
        ) {
            let mut whole = Histogram::default();
            let mut merged = Histogram::default();
            for part in times.chunks(times.len().div_ceil(parts).max(1)) {
                let mut histogram = Histogram::default();
                for (time, kind) in part {
                    // Every kind beyond the bound is one.
                    histogram.add(at(*time), if *kind < 5 { "a" } else { "b" });
                    whole.add(at(*time), if *kind < 5 { "a" } else { "b" });
                }
                merged.merge(&histogram);
            }
            let (width, bars) = merged.bars(60);
            prop_assert!(bars.len() <= 60);
            let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
            times.iter().for_each(|(time, _)| *expected.entry(time / width).or_default() += 1);
            for (time, bar) in &bars {
                let seconds = time.as_filetime() / EventTime::SECOND;
                let events = expected.remove(&(seconds / width)).unwrap_or_default();
                prop_assert_eq!(bar.iter().sum::<u64>(), events);
            }
            prop_assert!(expected.is_empty());
            prop_assert_eq!(whole.bars(60).0, width);
        }
    }
}
