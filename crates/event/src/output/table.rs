//! A table for people: columns of a fixed width, so that threads can print rows by themselves and
//! the first row is out before the last is read.
//!
//! Nothing that an event holds reaches the terminal as it is: a control character is shown as its
//! picture, line ends and tabs as one blank, and what turns the direction of text as U+FFFD.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar;

use super::{Column, Member, Scratch, cell, json};
use crate::text::harmless;
use crate::{EventTime, Field, FieldSource, LevelName, Origin, Texts};

/// How a table is made.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// The columns; without, as many as fit.
    pub columns: Option<Vec<Column>>,
    /// The terminal's width. Without, nothing is cut.
    pub width: Option<usize>,
    /// Whether to colour levels.
    pub color: bool,
    /// The time zone that times are shown in.
    pub zone: jiff::tz::TimeZone,
}

#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Place>,
    gap: usize,
    cut: bool,
    color: bool,
    zone: jiff::tz::TimeZone,
}

/// A column and how it is shown.
#[derive(Debug)]
struct Place {
    column: Column,
    width: usize,
    brief: Brief,
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

/// What most providers and channels begin with.
const PREFIX: &str = "Microsoft-Windows-";

const TIME: Column = Column::Member(Member::Time);

/// The room for a provider before a message.
const NARROW_PROVIDER: usize = 12;

/// The least that a column of free length is given.
const LEAST: usize = 8;

impl Table {
    pub(super) fn new(options: TableOptions) -> Self {
        let TableOptions { columns, width, color, zone } = options;
        let (mut columns, gap) = match columns {
            Some(columns) => (columns.into_iter().map(natural).collect(), 2),
            None => default_columns(width),
        };
        if let Some(width) = width {
            fit(&mut columns, gap, width);
        }
        Table { columns, gap, cut: width.is_some(), color, zone }
    }

    pub(super) fn header(&self, out: &mut Vec<u8>) {
        let style = if self.color { Style::new().bold() } else { Style::new() };
        for i in 0..self.columns.len() {
            let name = match self.columns[i].column {
                Column::Member(Member::EventId) => "id".into(),
                Column::Member(Member::LevelName) => "level".into(),
                _ => self.columns[i].column.name(),
            };
            self.cell(i, name.to_uppercase().as_bytes(), style, out);
        }
        out.push(b'\n');
    }

    pub(super) fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let mut text = std::mem::take(&mut scratch.text.cell);
        for (i, place) in self.columns.iter().enumerate() {
            text.clear();
            let mut style = Style::new();
            let Column::Member(member) = place.column else {
                cell::push(&place.column, source, origin, texts, scratch, &mut text);
                self.cell(i, &text, style, out);
                continue;
            };
            let full = place.brief == Brief::Full;
            match member {
                Member::Time => {
                    let value = source.field(Field::TimeCreated);
                    match value.as_time() {
                        Some(time) if full => {
                            push_time(time, &self.zone, Precision::Millisecond, &mut text);
                        }
                        Some(time) => push_time(time, &self.zone, Precision::Local, &mut text),
                        None => value.push::<crate::text::Plain>(&mut text),
                    }
                }
                Member::LevelName | Member::Level => {
                    let level = source.field(Field::Level);
                    let name = json::level_of(level, source.field(Field::Keywords));
                    if self.color {
                        style = name.map(style_of).unwrap_or_default();
                    }
                    if member == Member::Level || full {
                        cell::push(&place.column, source, origin, texts, scratch, &mut text);
                    } else if let Some(name) = name {
                        text.extend_from_slice(short(name).as_bytes());
                    }
                }
                Member::Message if place.brief == Brief::Narrow => {
                    push_mark(origin, &mut text);
                    let mut provider = Vec::new();
                    source.field(Field::ProviderName).push::<crate::text::Plain>(&mut provider);
                    strip(&mut provider);
                    push_safe(&provider, Some(NARROW_PROVIDER), &mut text);
                    text.extend_from_slice(b": ");
                    cell::message_or_values(source, texts, scratch, &mut text);
                }
                Member::Message => {
                    push_mark(origin, &mut text);
                    cell::message_or_values(source, texts, scratch, &mut text);
                }
                _ => {
                    cell::push(&place.column, source, origin, texts, scratch, &mut text);
                    match member {
                        Member::Provider | Member::Log | Member::Channel if !full => {
                            strip(&mut text);
                        }
                        Member::Computer | Member::Host if place.brief == Brief::Narrow => {
                            first_label(&mut text);
                        }
                        _ => {}
                    }
                }
            }
            self.cell(i, &text, style, out);
        }
        out.push(b'\n');
        scratch.text.cell = text;
    }

    /// Writes a cell, and the blanks that stand before and behind it.
    fn cell(&self, i: usize, text: &[u8], style: Style, out: &mut Vec<u8>) {
        let place = &self.columns[i];
        if i > 0 {
            out.resize(out.len() + self.gap, b' ');
        }
        let start = out.len();
        // Writing to a vector can't fail.
        let _ = std::io::Write::write_fmt(out, format_args!("{style}"));
        let text_at = out.len();
        let used = push_safe(text, self.cut.then_some(place.width), out);
        let text_end = out.len();
        let _ = std::io::Write::write_fmt(out, format_args!("{style:#}"));
        let missing = place.width.saturating_sub(used);
        if is_number(&place.column) && missing > 0 {
            out.resize(out.len() + missing, b' ');
            out[start..].rotate_right(missing);
        } else if i + 1 < self.columns.len() {
            out.resize(out.len() + missing, b' ');
        } else if text_at == text_end {
            out.truncate(start);
        }
    }
}

/// Marks the message of a record of slack, as there is no column for it.
fn push_mark(origin: &Origin<'_>, out: &mut Vec<u8>) {
    if origin.recovered {
        out.extend_from_slice(b"[recovered] ");
    }
}

/// The columns for a width: what an admin looks at first, and more where there is room.
fn default_columns(width: Option<usize>) -> (Vec<Place>, usize) {
    use Member::*;
    let (members, brief, gap): (&[(Member, usize)], _, _) = match width {
        Some(..110) => {
            let members =
                &[(Time, 19), (Computer, 10), (LevelName, 7), (EventId, 5), (Message, usize::MAX)];
            (members, Brief::Narrow, 1)
        }
        Some(..160) => {
            let members = &[
                (Time, 19),
                (Computer, 15),
                (LevelName, 7),
                (Provider, 24),
                (EventId, 5),
                (Message, usize::MAX),
            ];
            (members, Brief::Short, 1)
        }
        _ => {
            let members = &[
                (Time, 29),
                (Computer, 20),
                (Log, 20),
                (LevelName, 13),
                (Provider, 24),
                (EventId, 5),
                (Message, usize::MAX),
            ];
            (members, Brief::Short, 2)
        }
    };
    let wide = members.len() == 7;
    let place = |&(member, width)| {
        let full = wide && matches!(member, Time | LevelName);
        let brief = if full { Brief::Full } else { brief };
        Place { column: Column::Member(member), width, brief }
    };
    (members.iter().map(place).collect(), gap)
}

/// A column that was asked for, with the width that its values mostly have.
fn natural(column: Column) -> Place {
    use Member::*;
    let width = match &column {
        Column::Data(name) => name.len().clamp(15, 24),
        Column::Member(member) => match member {
            V => 1,
            Time => 29,
            Source => 30,
            Host | Computer => 20,
            Log | Channel => 20,
            LogRecord | RecordId => 10,
            Recovered => 9,
            Provider => 35,
            ProviderGuid | ActivityId | RelatedActivityId => 38,
            EventId => 5,
            Qualifiers => 10,
            Version => 7,
            Level => 5,
            LevelName => 13,
            Task => 5,
            Opcode => 6,
            Keywords => 18,
            UserSid => 46,
            ProcessId | ThreadId => 10,
            MessageSource => 14,
            Data | UserData | Message | Names | Other => usize::MAX,
        },
    };
    Place { column, width, brief: Brief::Full }
}

/// Makes the columns fit: those of free length share what the others leave; where that is too
/// little, the widest give way.
fn fit(columns: &mut [Place], gap: usize, width: usize) {
    let free = columns.iter().filter(|place| place.width == usize::MAX).count();
    let gaps = gap * columns.len().saturating_sub(1);
    let room = width.saturating_sub(gaps).max(columns.len());
    let least = (room / 3 / free.max(1)).max(LEAST);
    let fixed = |columns: &[Place]| -> usize {
        columns.iter().map(|place| place.width).filter(|&width| width != usize::MAX).sum()
    };
    if fixed(columns) + free * least > room {
        for time in columns.iter_mut().filter(|place| place.column == TIME) {
            (time.width, time.brief) = (19, Brief::Short);
        }
    }
    while fixed(columns) + free * least > room {
        let widest = columns.iter_mut().filter(|place| place.width != usize::MAX);
        match widest.max_by_key(|place| place.width) {
            Some(place) if place.width > LEAST => place.width -= 1,
            _ => break,
        }
    }
    let mut rest = room.saturating_sub(fixed(columns));
    let mut left = free;
    for place in columns.iter_mut().filter(|place| place.width == usize::MAX) {
        place.width = (rest / left).max(LEAST);
        rest = rest.saturating_sub(place.width);
        left -= 1;
    }
    if let (0, Some(last)) = (free, columns.last_mut()) {
        last.width += rest;
    }
}

fn is_number(column: &Column) -> bool {
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

fn style_of(level: LevelName) -> Style {
    match level {
        LevelName::Critical => AnsiColor::Red.on_default().bold(),
        LevelName::Error => AnsiColor::Red.on_default(),
        LevelName::Warning | LevelName::AuditFailure => AnsiColor::Yellow.on_default(),
        LevelName::Verbose => Style::new().dimmed(),
        LevelName::Information | LevelName::AuditSuccess | LevelName::Other(_) => Style::new(),
    }
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
    if text.len() > PREFIX.len() && text.starts_with(PREFIX.as_bytes()) {
        text.drain(..PREFIX.len());
    }
}

/// Cuts the domain off a name; an address stays as it is.
fn first_label(text: &mut Vec<u8>) {
    let is_address = !text.iter().any(u8::is_ascii_alphabetic) || text.contains(&b':');
    if !is_address && let Some(dot) = text.iter().position(|&b| b == b'.') {
        text.truncate(dot);
    }
}

/// How a time is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    /// `2026-08-22 12:00:00`
    Local,
    /// `2026-08-22 12:00:00+02:00`
    Second,
    /// `2026-08-22 12:00:00.123+02:00`
    Millisecond,
}

fn push_time(time: EventTime, zone: &jiff::tz::TimeZone, precision: Precision, out: &mut Vec<u8>) {
    use std::io::Write;
    let Some(timestamp) = time.to_timestamp() else {
        return out.extend_from_slice(time.to_text().as_bytes());
    };
    let offset = zone.to_offset(timestamp);
    let local = offset.to_datetime(timestamp);
    // Writing to a vector can't fail.
    let _ = write!(
        out,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    );
    if precision == Precision::Millisecond {
        let _ = write!(out, ".{:03}", local.subsec_nanosecond() / 1_000_000);
    }
    if precision != Precision::Local {
        let seconds = offset.seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.unsigned_abs() / 60;
        let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
}

/// A time in a zone as tables show it: `2026-08-22 12:00:00+02:00`.
pub fn local_time(time: EventTime, zone: &jiff::tz::TimeZone) -> String {
    let mut text = Vec::new();
    push_time(time, zone, Precision::Second, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes text for a cell of at most `width` columns of the terminal, and says how many it takes.
/// What does not fit is cut and ends in `…`; control characters are made visible.
pub fn push_cell(text: &str, width: Option<usize>, out: &mut Vec<u8>) -> usize {
    push_safe(text.as_bytes(), width, out)
}

/// Writes text as far as it fits, and says how many columns it takes. What does not fit is cut,
/// and ends in `…`.
fn push_safe(text: &[u8], width: Option<usize>, out: &mut Vec<u8>) -> usize {
    let text = String::from_utf8_lossy(text);
    let width = width.unwrap_or(usize::MAX);
    let mut used = 0;
    // Where the text would be cut, and the columns used up to there.
    let mut cut = (out.len(), 0);
    let mut blank = true;
    let mut marks = 0;
    for c in text.trim_end().chars() {
        let c = harmless(c);
        if c == ' ' && std::mem::replace(&mut blank, c == ' ') {
            continue;
        }
        blank = c == ' ';
        let columns = c.width().unwrap_or(0);
        // Marks pile up on one letter without end.
        marks = if columns == 0 { marks + 1 } else { 0 };
        if marks > 4 {
            continue;
        }
        if columns > width - used {
            out.truncate(cut.0);
            if width > 0 {
                out.extend_from_slice("…".as_bytes());
                return cut.1 + 1;
            }
            return 0;
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        used += columns;
        if used < width {
            cut = (out.len(), used);
        }
    }
    used
}

#[cfg(test)]
mod tests;
