//! A table for people. Threads print rows of cells ([`row`]), which a [`Layout`] puts into columns
//! as wide as their content asks for.
//!
//! Nothing that an event holds reaches the terminal as it is: see [`harmless`](crate::text::harmless).

mod layout;

pub(super) use layout::Layout;

use anstyle::{AnsiColor, Style};

use super::values::{self, Values};
use super::zoned::{Precision, push_time, time_heading};
use super::{Column, Member, Scratch, cell, json, row, safe};
use crate::COMMON_PREFIX;
use crate::filter::Pattern;
use crate::text::Plain;
use crate::{Field, FieldSource, LevelName, Origin, Texts};

/// How a table is made.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// The columns; without, as many as fit.
    pub columns: Option<Vec<Column>>,
    /// The terminal's width. Without, nothing is cut.
    pub width: Option<usize>,
    /// Whether to colour levels and what `highlight` finds.
    pub color: bool,
    /// The time zone that times are shown in; the heading names it.
    pub zone: jiff::tz::TimeZone,
    /// What was searched for: of a value that is too long for its column, the part with this in it
    /// is shown.
    pub highlight: Option<Pattern>,
}

#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Place>,
    gap: usize,
    width: Option<usize>,
    /// Whether a message of several lines is its first line and the values: there is room for little,
    /// and the values tell events apart.
    abridges: bool,
    color: bool,
    zone: jiff::tz::TimeZone,
    highlight: Option<Pattern>,
}

/// A column and how it is shown.
#[derive(Debug)]
struct Place {
    column: Column,
    brief: Brief,
    /// The columns of the terminal that it is given at most, where there is a terminal.
    most: usize,
}

/// How much of a value a column has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Brief {
    /// All of it.
    Full,
    /// Without what most have in common: `Microsoft-Windows-`, a time's fraction and offset.
    Short,
    /// The same, the computer without its domain, and the provider before the message.
    Narrow,
}

/// The width of a time without its fraction and offset, and of one with both.
const SHORT_TIME: usize = 19;
const FULL_TIME: usize = 29;

/// The room for a provider before a message.
const NARROW_PROVIDER: usize = 12;

impl Table {
    pub(super) fn new(options: TableOptions) -> Self {
        let TableOptions { columns, width, color, zone, highlight } = options;
        let abridges = columns.is_none() && width.is_some();
        let (places, gap) = match columns {
            Some(columns) => (chosen_columns(columns, width), 2),
            None => default_columns(width),
        };
        Table { places, gap, width, abridges, color, zone, highlight }
    }

    /// The columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.places.iter().map(|place| &place.column)
    }

    pub(super) fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let level = json::level_of(source.field(Field::Level), source.field(Field::Keywords));
        let row = row::begin(level.map_or(0, tag_of), out);
        let mut text = std::mem::take(&mut scratch.text.cell);
        let mut matches = std::mem::take(&mut scratch.text.matches);
        for place in &self.places {
            text.clear();
            matches.clear();
            if place.column == Column::EachData {
                let values = &mut scratch.text.values;
                values.read(source, texts, &mut scratch.text.tree);
                row::cell(out, |out| {
                    self.each_data(values, &mut matches, out);
                    0
                });
                continue;
            }
            self.value(place, level, source, origin, texts, scratch, &mut text, &mut matches);
            row::cell(out, |out| self.push(&text, &matches, out));
        }
        scratch.text.cell = text;
        scratch.text.matches = matches;
        row::end(row, out);
    }

    /// The cells of a column for each value.
    fn each_data(
        &self,
        values: &Values,
        matches: &mut Vec<std::ops::Range<usize>>,
        out: &mut Vec<u8>,
    ) {
        for (name, value) in values.by_name() {
            matches.clear();
            if let Some(pattern) = &self.highlight {
                values::find(pattern, 0, &value, matches);
            }
            row::cell(out, |out| safe::push_safe(name, None, out));
            row::cell(out, |out| self.push(&value, matches, out));
        }
    }

    fn push(&self, text: &[u8], matches: &[std::ops::Range<usize>], out: &mut Vec<u8>) -> usize {
        safe::push_marked(text, matches, self.width, out)
    }

    /// Writes the text of a column, as it is, and where in it is what was searched for.
    #[allow(clippy::too_many_arguments)] // What there is to write from, and to.
    fn value<S: FieldSource>(
        &self,
        place: &Place,
        level: Option<LevelName>,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        text: &mut Vec<u8>,
        matches: &mut Vec<std::ops::Range<usize>>,
    ) {
        let full = place.brief == Brief::Full;
        let pattern = self.highlight.as_ref();
        let find = |text: &[u8], matches: &mut Vec<_>| {
            pattern.into_iter().for_each(|pattern| values::find(pattern, 0, text, matches));
        };
        let member = match &place.column {
            Column::Member(member) => *member,
            _ => {
                cell::push(&place.column, source, origin, texts, scratch, text);
                return find(text, matches);
            }
        };
        match member {
            Member::Time => {
                let precision = if full { Precision::Millisecond } else { Precision::Local };
                let value = source.field(Field::TimeCreated);
                match value.as_time() {
                    Some(time) => push_time(time, &self.zone, precision, text),
                    None => value.push::<Plain>(text),
                }
            }
            Member::LevelName if !full => text.extend(level.map_or("", short).bytes()),
            Member::Message => {
                if origin.recovered {
                    text.extend_from_slice(b"[recovered] ");
                }
                let start = text.len();
                match scratch.text.messages.push(source, texts, text) {
                    Some(_) => {
                        pattern
                            .into_iter()
                            .for_each(|pattern| values::find(pattern, start, text, matches));
                        let line =
                            text[start..].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                        if let (true, Some(line)) = (self.abridges, line)
                            && matches.first().is_none_or(|found| found.end <= start + line)
                        {
                            text.truncate(start + line);
                            matches.retain(|found| found.end <= start + line);
                            let values = &mut scratch.text.values;
                            values.read(source, texts, &mut scratch.text.tree);
                            text.push(b' ');
                            values.join(pattern, matches, text);
                        }
                    }
                    None => {
                        // A sentence says what it is about, and values don't.
                        if place.brief == Brief::Narrow {
                            let mut provider = Vec::new();
                            source.field(Field::ProviderName).push::<Plain>(&mut provider);
                            strip(&mut provider);
                            safe::push_safe(&provider, Some(NARROW_PROVIDER), text);
                            text.extend_from_slice(b": ");
                        }
                        let values = &mut scratch.text.values;
                        values.read(source, texts, &mut scratch.text.tree);
                        values.join(pattern, matches, text);
                    }
                }
            }
            Member::Log => {
                // A file's name says little, and less than which log it is of.
                let channel = source.field(Field::Channel);
                match origin.host.is_none() && !channel.is_empty() {
                    true => channel.push::<Plain>(text),
                    false => text.extend_from_slice(origin.log.as_bytes()),
                }
            }
            _ => {
                cell::push(&place.column, source, origin, texts, scratch, text);
                place.column.write_names(source, texts, text);
            }
        }
        match member {
            Member::Provider | Member::Log | Member::Channel if !full => strip(text),
            Member::Computer | Member::Host if place.brief == Brief::Narrow => first_label(text),
            Member::Data | Member::UserData | Member::Other => find(text, matches),
            _ => {}
        }
    }

    /// What a column is headed by. A value's name is the event's own word; others are in capitals.
    fn heading(&self, place: &Place) -> String {
        match &place.column {
            Column::Member(Member::Time) => {
                time_heading("TIME", &self.zone, self.width.map(|_| place.most))
            }
            Column::Member(Member::EventId) => "ID".to_owned(),
            Column::Member(Member::LevelName) => "LEVEL".to_owned(),
            column => column.data_name().unwrap_or_else(|| column.name().to_uppercase()),
        }
    }
}

/// The columns of the terminal that a value's name is given in a heading.
const MAX_NAME: usize = 40;

/// The columns for a width: what an admin looks at first, and more where there is room.
fn default_columns(width: Option<usize>) -> (Vec<Place>, usize) {
    use Member::*;
    let (members, brief, gap): (&[(Member, usize)], _, _) = match width {
        Some(..110) => (
            &[(Time, SHORT_TIME), (Computer, 15), (LevelName, 7), (EventId, 10), (Message, MOST)],
            Brief::Narrow,
            1,
        ),
        Some(..160) => (
            &[
                (Time, SHORT_TIME),
                (Computer, 20),
                (LevelName, 7),
                (Provider, 24),
                (EventId, 10),
                (Message, MOST),
            ],
            Brief::Short,
            1,
        ),
        _ => (
            &[
                (Time, FULL_TIME),
                (Computer, 30),
                (Log, 30),
                (LevelName, 13),
                (Provider, 30),
                (EventId, 10),
                (Message, MOST),
            ],
            Brief::Short,
            2,
        ),
    };
    let wide = members.len() == 7;
    let place = |&(member, most)| {
        let full = wide && matches!(member, Time | LevelName);
        let brief = if full { Brief::Full } else { brief };
        Place { column: Column::Member(member), brief, most }
    };
    (members.iter().map(place).collect(), gap)
}

/// No bound on a column's width but the terminal's.
const MOST: usize = usize::MAX;

/// Columns that were asked for. Times are short where there may be little room.
fn chosen_columns(columns: Vec<Column>, width: Option<usize>) -> Vec<Place> {
    let usual: usize = columns.iter().map(|column| usual_width(column) + 2).sum();
    let is_narrow = width.is_some_and(|width| usual > width + 2);
    let place = |column| match column {
        Column::Member(Member::Time) if is_narrow => {
            Place { column, brief: Brief::Short, most: SHORT_TIME }
        }
        Column::Member(Member::Time) => Place { column, brief: Brief::Full, most: FULL_TIME },
        column => Place { column, brief: Brief::Full, most: MOST },
    };
    columns.into_iter().map(place).collect()
}

/// The width that a column's values mostly have.
fn usual_width(column: &Column) -> usize {
    use Member::*;
    let member = match column {
        Column::Member(member) => member,
        Column::Name(_) | Column::Data(_) | Column::UserData(_) => return 15,
        Column::EachData => return 60,
    };
    match member {
        Time => FULL_TIME,
        Source | Provider => 25,
        Host | Computer | Log | Channel => 15,
        ProviderGuid | ActivityId | RelatedActivityId | UserSid => 38,
        LevelName | MessageSource => 13,
        Keywords => 18,
        Data | UserData | Message | Names | Rules | Other => 30,
        V | LogRecord | RecordId | Recovered | EventId | Qualifiers | Version | Level | Task
        | Opcode | ProcessId | ThreadId => 8,
    }
}

/// Whether a column's values are numbers.
pub(super) fn is_number(column: &Column) -> bool {
    use Member::*;
    let Column::Member(member) = column else { return false };
    matches!(
        member,
        V | LogRecord
            | RecordId
            | EventId
            | Qualifiers
            | Version
            | Level
            | Task
            | Opcode
            | ProcessId
            | ThreadId
    )
}

/// Whether a column's values are of any length.
fn is_free(column: &Column) -> bool {
    use Member::*;
    matches!(column, Column::Member(Data | UserData | Message | Names | Rules | Other))
}

/// A row's tag for an event's level.
fn tag_of(level: LevelName) -> u8 {
    match level {
        LevelName::Critical => 1,
        LevelName::Error => 2,
        LevelName::Warning | LevelName::AuditFailure => 3,
        LevelName::Verbose => 4,
        LevelName::Information | LevelName::AuditSuccess | LevelName::Other(_) => 0,
    }
}

/// The style of the level in a row with a tag.
fn style_of(tag: u8) -> Style {
    match tag {
        1 => AnsiColor::Red.on_default().bold(),
        2 => AnsiColor::Red.on_default(),
        3 => AnsiColor::Yellow.on_default(),
        4 => Style::new().dimmed(),
        _ => Style::new(),
    }
}

/// The style of an event's level.
pub(super) fn level_style(level: LevelName) -> Style {
    style_of(tag_of(level))
}

/// A level's name in seven letters at most.
fn short(level: LevelName) -> &'static str {
    match level {
        LevelName::Critical => "Crit",
        LevelName::Information => "Info",
        LevelName::AuditSuccess => "Success",
        LevelName::AuditFailure => "Failure",
        other => other.as_str(),
    }
}

fn strip(text: &mut Vec<u8>) {
    if text.len() > COMMON_PREFIX.len() && text.starts_with(COMMON_PREFIX.as_bytes()) {
        text.drain(..COMMON_PREFIX.len());
    }
}

/// Cuts the domain off a name; an address stays as it is.
fn first_label(text: &mut Vec<u8>) {
    let is_address = !text.iter().any(u8::is_ascii_alphabetic) || text.contains(&b':');
    if !is_address && let Some(dot) = text.iter().position(|&b| b == b'.') {
        text.truncate(dot);
    }
}

#[cfg(test)]
mod tests;
