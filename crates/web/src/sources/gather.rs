//! What is made of each event, on every core: a row where it may be shown, and counts.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_binxml::write::Packer;
use quarry_collect::{Found, Notes, Output, Stage, Work};
use quarry_event::output::{Column, Member, Printer, Scratch};
use quarry_event::text::Plain;
use quarry_event::{
    EventTime, Field, FieldSource, Keywords, Level, LevelName, Origin, Texts, Value,
};

use super::Asked;
use super::counts::{Counts, Facet, level_word};
use super::question::{Question, Wanted};
use super::row::{Detail, PackedEvent, Row};
use crate::stream::hub::{Pace, Skipped};
use crate::view::{Bars, Place};

/// The longest message that a row has, in characters.
const MESSAGE: usize = 300;
/// The longest text of another column of a row, in characters.
const TEXT: usize = 200;
/// The most detection rules of an event that are shown.
const RULES: usize = 100;
/// The most values of an event that its page shows.
const VALUES: usize = 2000;
/// The longest text of an event's page, in bytes.
const DETAIL: usize = 256 << 10;

/// Lets events through that the person may read and that are on the right side of the page's place.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    question: Arc<Question>,
    wanted: Arc<Wanted>,
    is_counted: bool,
}

impl Allowed {
    /// Where events are counted, those that the page doesn't show are let through too.
    pub(super) fn new(asked: &Asked, is_counted: bool) -> Self {
        let Asked { question, wanted } = asked;
        Allowed { question: Arc::clone(question), wanted: Arc::clone(wanted), is_counted }
    }

    /// Whether an event is part of the answer.
    pub(super) fn passes(&self, event: &impl FieldSource, origin: &Origin<'_>) -> bool {
        // Rules name a server as the fleet does; its identity is an address.
        let source = origin.host.unwrap_or(origin.source);
        let may_read = event
            .field(Field::Channel)
            .with_text(|channel| self.question.person.may_read(source, origin.log, channel));
        may_read
            && self
                .question
                .only
                .as_ref()
                .is_none_or(|only| time(event) == only.time && is_at(only, origin))
            && (self.is_counted || is_beyond(&self.wanted, event, origin))
    }
}

/// Whether an event is where a place says.
fn is_at(place: &Place, origin: &Origin<'_>) -> bool {
    origin.log == place.log && origin.log_record == place.record
}

/// Whether an event is on the side of the page's bound that the page shows.
fn is_beyond(wanted: &Wanted, event: &impl FieldSource, origin: &Origin<'_>) -> bool {
    let Some(bound) = wanted.bound() else { return true };
    let here = (time(event), origin.source, origin.log, origin.log_record);
    let bound = (bound.time, &*bound.source, &*bound.log, bound.record);
    if wanted.keeps_newest() { here < bound } else { here > bound }
}

fn time(event: &impl FieldSource) -> EventTime {
    event.field(Field::TimeCreated).as_time().unwrap_or_default()
}

impl Stage for Allowed {
    type Worker = ();

    fn worker(&self) {}

    fn passes<S: FieldSource>(
        &self,
        (): &mut (),
        event: &S,
        origin: &Origin<'_>,
        _: &mut Notes,
    ) -> bool {
        Allowed::passes(self, event, origin)
    }
}

/// Makes rows and counts.
#[derive(Clone, Debug)]
pub(super) struct Gather {
    wanted: Arc<Wanted>,
    /// Whether events are counted here, rather than the rows where all of them come together.
    counts: bool,
    /// What a row has to be newer than, or older, to be among those that are kept.
    threshold: Arc<AtomicU64>,
    /// Of what is followed, whether there is room for a row now.
    pace: Option<Arc<Pace>>,
    json: Printer,
}

/// What was made of some events.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) rows: Vec<Row>,
    pub(crate) counts: Counts,
    /// Events for which there was no room.
    pub(crate) skipped: Skipped,
    bytes: usize,
}

/// What a thread has for itself.
#[derive(Default)]
pub(super) struct Worker {
    scratch: Scratch,
    text: Vec<u8>,
    packer: Packer,
}

impl Gather {
    pub(super) fn new(wanted: &Arc<Wanted>, counts: bool, threshold: &Arc<AtomicU64>) -> Self {
        Gather {
            wanted: Arc::clone(wanted),
            counts,
            threshold: Arc::clone(threshold),
            pace: None,
            json: Printer::json(None, true),
        }
    }

    /// The same for what is followed: rows are made while there is room for them.
    pub(super) fn at_pace(self, pace: Arc<Pace>) -> Self {
        Gather { pace: Some(pace), ..self }
    }

    /// Takes an event that is part of the answer.
    pub(super) fn take(
        &self,
        worker: &mut Worker,
        event: &impl FieldSource,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        output: &mut Gathered,
    ) {
        let wanted = &*self.wanted;
        let time = time(event);
        let level = level_of(event);
        if self.counts {
            self.count(worker, event, origin, texts, (time, level), &mut output.counts);
        }
        let threshold = self.threshold.load(Ordering::Relaxed);
        let is_kept = match wanted.keeps_newest() {
            true => time.as_filetime() >= threshold,
            false => time.as_filetime() <= threshold,
        };
        let is_counted_elsewhere = wanted.counts && !self.counts;
        if !is_counted_elsewhere && (wanted.rows == 0 || !is_kept)
            || self.counts && !is_beyond(wanted, event, origin)
        {
            return;
        }
        if self.pace.as_ref().is_some_and(|pace| pace.is_full()) {
            output.skipped.add(time, level);
            return;
        }
        let row = self.row(worker, event, origin, texts, (time, level));
        output.bytes += row.bytes();
        output.rows.push(row);
    }

    fn count(
        &self,
        worker: &mut Worker,
        event: &impl FieldSource,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        (time, level): (EventTime, LevelName),
        counts: &mut Counts,
    ) {
        counts.events += 1;
        let facets = USUAL.len() + self.wanted.facets.len();
        if counts.facets.len() < facets {
            *counts = Counts { events: counts.events, ..Counts::new(facets) };
        }
        let shown = self.wanted.shown;
        if shown.has_fields() {
            self.count_fields(worker, event, origin, texts, level, &mut counts.facets);
        }
        if shown.has_bars() {
            match self.wanted.bars {
                Bars::Level => counts.histogram.add(time, level_word(level)),
                Bars::On => counts.histogram.add(time, ON),
                Bars::Provider => event
                    .field(Field::ProviderName)
                    .with_text(|provider| counts.histogram.add(time, provider)),
            }
        }
    }

    fn count_fields(
        &self,
        worker: &mut Worker,
        event: &impl FieldSource,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        level: LevelName,
        facets: &mut [Facet],
    ) {
        let Worker { scratch, text, .. } = worker;
        for (n, facet) in facets.iter_mut().enumerate() {
            text.clear();
            match USUAL.get(n) {
                Some(Usual::Level) => text.extend_from_slice(level_word(level).as_bytes()),
                // The sources' names are known where all come together.
                Some(Usual::On) => continue,
                Some(Usual::Log) => event.field(Field::Channel).push::<Plain>(text),
                Some(Usual::Id) => event.field(Field::EventId).push::<Plain>(text),
                Some(Usual::Provider) => event.field(Field::ProviderName).push::<Plain>(text),
                Some(Usual::Computer) => event.field(Field::Computer).push::<Plain>(text),
                // An event may match several.
                Some(Usual::Rule) => {
                    texts.rules.iter().for_each(|rule| facet.add_rule(rule));
                    continue;
                }
                None => {
                    self.wanted.facets[n - USUAL.len()].write(event, origin, texts, scratch, text)
                }
            }
            let value = String::from_utf8_lossy(text);
            if !value.is_empty() {
                facet.add(&value, 1);
            }
        }
    }

    fn row(
        &self,
        worker: &mut Worker,
        event: &impl FieldSource,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        (time, level): (EventTime, LevelName),
    ) -> Row {
        let Worker { scratch, text, packer } = worker;
        let field = |field| event.field(field).with_text(str::to_owned);
        let mut write = |column: &Column, most: usize| {
            text.clear();
            column.write(event, origin, texts, scratch, text);
            brief(text, most)
        };
        let mut message = write(&Column::Member(Member::Message), MESSAGE);
        let has_message = !message.is_empty();
        if !has_message {
            message = write(&Column::EachData, MESSAGE);
        }
        let more = self.wanted.texts().map(|column| write(column, TEXT)).collect();
        let mut printed = Vec::new();
        if let Some(printer) = &self.wanted.print {
            printer.event(event, origin, texts, scratch, &mut printed);
        }
        let packed = self.wanted.is_packed.then(|| {
            let mut values = Vec::new();
            let template = packer.pack(event, &mut values);
            Box::new(PackedEvent { template, values })
        });
        let detail =
            self.wanted.detail.then(|| Box::new(self.detail(worker, event, origin, texts)));
        let mut rules = texts.rules.to_vec();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.rank()));
        rules.truncate(RULES);
        Row {
            place: Place {
                time,
                source: origin.source.to_owned(),
                log: origin.log.to_owned(),
                record: origin.log_record,
            },
            on: "".into(),
            level,
            id: event.field(Field::EventId).as_u64(),
            channel: field(Field::Channel),
            provider: field(Field::ProviderName),
            computer: field(Field::Computer),
            message,
            has_message,
            rules,
            more,
            printed,
            packed,
            detail,
        }
    }

    fn detail(
        &self,
        worker: &mut Worker,
        event: &impl FieldSource,
        origin: &Origin<'_>,
        texts: Texts<'_>,
    ) -> Detail {
        let Worker { scratch, text, .. } = worker;
        let mut write = |column: &Column| {
            text.clear();
            column.write(event, origin, texts, scratch, text);
            bounded(text)
        };
        let message = write(&Column::Member(Member::Message));
        let by = write(&Column::Member(Member::MessageSource));
        let by = ["event", "mta", "catalogue", "server", "foreign"]
            .into_iter()
            .find(|known| *known == by);
        let system = SYSTEM.map(|member| (member.name(), write(&Column::Member(member))));
        let mut values = Vec::new();
        let _ = event.each_data(|name, value| {
            let unnamed;
            let name = match name {
                Some(name) => name.as_str(),
                None => {
                    unnamed = format!("param{}", values.len() + 1);
                    &unnamed
                }
            };
            let mut words = Vec::new();
            if let Some(known) = texts.source {
                known.words(event, name, &value, &mut words);
            }
            let mut text = Vec::new();
            value.push::<Plain>(&mut text);
            values.push((name.to_owned(), bounded(&text), bounded(&words)));
            if values.len() < VALUES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let mut json = Vec::new();
        self.json.event(event, origin, texts, scratch, &mut json);
        let mut xml = Vec::new();
        event.write_xml(&mut xml);
        Detail {
            message,
            message_by: by,
            values,
            system: system.into_iter().filter(|(_, text)| !text.is_empty()).collect(),
            json: bounded(&json),
            xml: bounded(&xml),
        }
    }
}

/// The fields of `<System>` that an event's page shows.
const SYSTEM: [Member; 16] = [
    Member::Computer,
    Member::Channel,
    Member::RecordId,
    Member::Provider,
    Member::ProviderGuid,
    Member::EventId,
    Member::Version,
    Member::LevelName,
    Member::Task,
    Member::Opcode,
    Member::Keywords,
    Member::UserSid,
    Member::ProcessId,
    Member::ThreadId,
    Member::ActivityId,
    Member::RelatedActivityId,
];

/// The fields of which values are always counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Usual {
    Level,
    On,
    Log,
    Id,
    Provider,
    Computer,
    Rule,
}

/// The same, in the order of the page.
pub(crate) const USUAL: [Usual; 7] =
    [Usual::Level, Usual::On, Usual::Log, Usual::Id, Usual::Provider, Usual::Computer, Usual::Rule];

/// What events are counted as by time until their source's name is known.
pub(super) const ON: &str = "\u{1}on";

/// What an event's level is called.
fn level_of(event: &impl FieldSource) -> LevelName {
    let level = event.field(Field::Level).as_u64().and_then(|level| u8::try_from(level).ok());
    let keywords = match event.field(Field::Keywords) {
        Value::Str(text) => text
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .or_else(|| text.parse().ok()),
        value => value.as_u64(),
    };
    LevelName::of(Level(level.unwrap_or_default()), Keywords(keywords.unwrap_or_default()))
}

/// The beginning of a text, on one line.
fn brief(text: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * most)]);
    let mut short = String::new();
    let mut is_blank = true;
    for c in text.chars().take(most) {
        match c {
            ' ' | '\t' | '\r' | '\n' if is_blank => {}
            ' ' | '\t' | '\r' | '\n' => {
                short.push(' ');
                is_blank = true;
            }
            c => {
                short.push(c);
                is_blank = false;
            }
        }
    }
    short.truncate(short.trim_end().len());
    short
}

/// A text, cut where it is longer than a page shows.
fn bounded(text: &[u8]) -> String {
    let mut shown = String::from_utf8_lossy(&text[..text.len().min(DETAIL)]).into_owned();
    if text.len() > DETAIL {
        shown.push_str(" ...");
    }
    shown
}

impl Work for Gather {
    type Worker = Worker;
    type Output = Gathered;

    fn worker(&self) -> Worker {
        Worker::default()
    }

    fn event<S: FieldSource>(
        &self,
        worker: &mut Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Gathered,
    ) {
        self.take(worker, event, &found.origin, found.texts, output);
    }
}

impl Output for Gathered {
    fn bytes(&self) -> usize {
        // Counts are bounded by themselves, and merged where they come together.
        self.bytes
    }

    fn clear(&mut self) {
        *self = Gathered::default();
    }

    fn truncate(&mut self, events: u64) {
        self.rows.truncate(usize::try_from(events).unwrap_or(usize::MAX));
    }
}
