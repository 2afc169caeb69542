//! A list for people: each field of an event on a line of its own, as PowerShell's `Format-List`
//! shows objects, and an empty line between events.
//!
//! Nothing that an event holds reaches the terminal as it is: see [`harmless`](crate::text::harmless).

use anstyle::Style;

use super::table::level_style;
use super::zoned::{Precision, push_time, zone_name};
use super::{Column, Member, Scratch, cell, json, safe};
use crate::{Field, FieldSource, Origin, RecordId, Texts};

/// How a list is made.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// The fields; without, all that an event has.
    pub columns: Option<Vec<Column>>,
    /// Whether to colour levels and names.
    pub color: bool,
    /// The time zone that times are shown in.
    pub zone: jiff::tz::TimeZone,
}

#[derive(Debug)]
pub(super) struct List {
    options: ListOptions,
    zone: String,
}

/// What is shown of an event before its values, in this order; the message comes after them.
const MEMBERS: [Member; 23] = {
    use Member::*;
    [
        Time,
        Source,
        Log,
        LogRecord,
        Recovered,
        Computer,
        Channel,
        RecordId,
        Provider,
        EventId,
        Version,
        Qualifiers,
        LevelName,
        Task,
        Opcode,
        Keywords,
        UserSid,
        ProcessId,
        ThreadId,
        ActivityId,
        RelatedActivityId,
        Rules,
        Other,
    ]
};

/// Names are aligned up to this width.
const MAX_NAME: usize = 30;

/// A field: its name, and its text, which may have several lines.
type Line = (String, Vec<u8>);

impl List {
    pub(super) fn new(options: ListOptions) -> Self {
        let zone = zone_name(&options.zone);
        List { options, zone }
    }

    /// Whether what is listed has text that an event doesn't hold itself.
    pub(super) fn shows_texts(&self) -> bool {
        let shows = |column: &Column| column.shows_texts() || column.named().is_some();
        self.options.columns.as_ref().is_none_or(|columns| columns.iter().any(shows))
    }

    pub(super) fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let mut lines: Vec<Line> = Vec::new();
        match &self.options.columns {
            None => {
                for member in MEMBERS {
                    let text = self.member(member, source, origin, texts, scratch);
                    // What an event says of itself only where that differs from where it was read.
                    let repeats = match member {
                        Member::Channel => text == origin.log.as_bytes(),
                        Member::RecordId => {
                            source.field(Field::RecordId).as_u64().map(RecordId)
                                == origin.log_record
                        }
                        Member::Recovered => !origin.recovered,
                        _ => false,
                    };
                    if !text.is_empty() && !repeats {
                        lines.push((member.name().to_owned(), text));
                    }
                }
                values(source, texts, scratch, &mut lines);
                let mut message = Vec::new();
                if scratch.text.messages.push(source, texts, &mut message).is_some() {
                    lines.push((Member::Message.name().to_owned(), message));
                }
            }
            Some(columns) => {
                for column in columns {
                    match column {
                        Column::Member(member) => {
                            let text = self.member(*member, source, origin, texts, scratch);
                            lines.push((member.name().to_owned(), text));
                        }
                        Column::EachData => values(source, texts, scratch, &mut lines),
                        Column::Name(_) => {
                            let mut text = Vec::new();
                            cell::push(column, source, origin, texts, scratch, &mut text);
                            lines.push((column.name().into_owned(), text));
                        }
                        Column::Data(_) | Column::UserData(_) => {
                            let mut text = Vec::new();
                            cell::push(column, source, origin, texts, scratch, &mut text);
                            lines.push((column.data_name().unwrap_or_default(), text));
                        }
                    }
                }
            }
        }
        let level = json::level_of(source.field(Field::Level), source.field(Field::Keywords));
        let level = match (level, self.options.color) {
            (Some(level), true) => level_style(level),
            _ => Style::new(),
        };
        self.lines(&lines, level, out);
    }

    /// The text of a member, with the name behind a number.
    fn member<S: FieldSource>(
        &self,
        member: Member,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
    ) -> Vec<u8> {
        let mut text = Vec::new();
        if member == Member::Time
            && let Some(time) = source.field(Field::TimeCreated).as_time()
        {
            push_time(time, &self.options.zone, Precision::Millisecond, &mut text);
            text.extend_from_slice(format!(" ({})", self.zone).as_bytes());
            return text;
        }
        let column = Column::Member(member);
        cell::push(&column, source, origin, texts, scratch, &mut text);
        if let Some(named) = column.named() {
            cell::push_names(source, named, texts, b" (", b")", &mut text);
        }
        text
    }

    /// Writes names and texts, aligned; an empty text too.
    fn lines(&self, lines: &[Line], level: Style, out: &mut Vec<u8>) {
        use std::io::Write as _;
        let bold = if self.options.color { Style::new().bold() } else { Style::new() };
        let width = |name: &str| safe::push_cell(name, None, &mut Vec::new());
        let longest = lines.iter().map(|(name, _)| width(name)).max().unwrap_or(0).min(MAX_NAME);
        for (name, text) in lines {
            let style = if name == Member::LevelName.name() { level } else { Style::new() };
            // Writing to a vector can't fail.
            let _ = write!(out, "{bold}");
            let used = safe::push_cell(name, None, out);
            let _ = write!(out, "{bold:#}");
            out.resize(out.len() + longest.saturating_sub(used), b' ');
            out.extend_from_slice(b" :");
            let text = crate::text::lossy(text);
            for (i, line) in text.trim_end().lines().enumerate() {
                if i > 0 {
                    out.push(b'\n');
                }
                if line.trim().is_empty() {
                    continue;
                }
                let line = match i {
                    0 => line,
                    _ => {
                        out.resize(out.len() + longest + 2 + indent(line), b' ');
                        line.trim_start()
                    }
                };
                out.push(b' ');
                let _ = write!(out, "{style}");
                safe::push_line(line, out);
                let _ = write!(out, "{style:#}");
            }
            out.push(b'\n');
        }
    }
}

/// The blanks that a line of a message begins with, a tab as four.
fn indent(line: &str) -> usize {
    const MOST: usize = 16;
    let blanks = line.chars().map_while(|c| match c {
        '\t' => Some(4),
        ' ' => Some(1),
        _ => None,
    });
    blanks.take(MOST).sum::<usize>().min(MOST)
}

/// Each value by its name.
fn values<S: FieldSource>(
    source: &S,
    texts: Texts<'_>,
    scratch: &mut Scratch,
    lines: &mut Vec<Line>,
) {
    let values = &mut scratch.text.values;
    values.read(source, texts, &mut scratch.text.tree);
    let line = |(name, value): (&[u8], Vec<u8>)| (crate::text::lossy(name).into(), value);
    lines.extend(values.by_name().into_iter().map(line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Printer;
    use crate::output::fake::{Fake, element, logon, text};
    use crate::{Message, MessageBy, Value};

    const ORIGIN: Origin<'_> = Origin {
        source: "Security.evtx",
        host: None,
        log: "Security",
        log_record: Some(crate::RecordId(812)),
        recovered: false,
    };

    fn list(columns: Option<&[&str]>, texts: Texts<'_>, events: &[Fake]) -> String {
        let columns =
            columns.map(|names| names.iter().map(|name| Column::parse(name).unwrap()).collect());
        let zone = jiff::tz::TimeZone::UTC;
        let printer = Printer::list(ListOptions { columns, color: false, zone });
        let mut document = printer.document();
        let mut out = Vec::new();
        for event in events {
            let mut text = Vec::new();
            printer.event(event, &ORIGIN, texts, &mut Scratch::default(), &mut text);
            document.events(&text, &mut out).unwrap();
        }
        document.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_field_of_an_event_is_on_a_line_of_its_own() {
        let message = Message {
            text: "An account was logged on.\r\n\r\nSubject:\r\n\tName:\t-",
            by: MessageBy::Server,
        };
        let mut other = Fake::new(&[(Field::EventId, Value::UInt(7))], &[]);
        other.more.push(element("UserData", &[], vec![text("Name", "bob\u{1b}[2J")]));
        insta::assert_snapshot!(list(None, Texts::given(message), &[logon(), logon()]));
        insta::assert_snapshot!(list(None, Texts::default(), &[other]));
    }

    #[test]
    fn blanks_of_a_value_are_all_there() {
        let command = r#"cmd  /c "a   b"  "#;
        let mut event = Fake::new(&[(Field::EventId, Value::UInt(1))], &[]);
        event.more.push(element("UserData", &[], vec![text("Command", command)]));
        let list = list(Some(&["data.Command"]), Texts::default(), &[event]);
        assert_eq!(list, "Command : cmd  /c \"a   b\"\n");
    }

    #[test]
    fn fields_that_were_asked_for_are_there_even_where_the_event_has_none() {
        let names = ["time", "user_sid", "data.TargetUserName", "data.*"];
        insta::assert_snapshot!(list(Some(&names), Texts::default(), &[logon()]));
    }
}
