//! One value of an event as plain text, for a cell of a table or of CSV.

use std::ops::{ControlFlow, Range};

use super::values::Values;
use super::{Column, Member, Messages, Named, json};
use crate::text::Plain;
use crate::time::Clock;
use crate::{Field, FieldSource, MessageBy, NameOf, Origin, PartialSource, Texts, Value};

/// Memory that is used again for each event.
#[derive(Default, Debug)]
pub(super) struct Scratch {
    pub(super) messages: Messages,
    pub(super) tree: json::Tree,
    pub(super) values: Values,
    pub(super) cell: Vec<u8>,
    pub(super) matches: Vec<Range<usize>>,
    pub(super) clock: Clock,
    /// Cells of names that most events of a log have alike.
    pub(super) repeated: [json::Repeated; 3],
}

/// Writes the text of a column; nothing where the event has nothing there. What is an object in
/// JSON is JSON here. Says what the text is made of.
pub(super) fn push<S: FieldSource>(
    column: &Column,
    source: &S,
    origin: &Origin<'_>,
    texts: Texts<'_>,
    scratch: &mut super::Scratch,
    out: &mut Vec<u8>,
) -> Made {
    let member = match column {
        Column::Member(member) => *member,
        Column::Name(named) => {
            push_names(source, *named, texts, b"", b"", out);
            return Made::Text;
        }
        Column::Data(_) | Column::UserData(_) => {
            let start = out.len();
            let name = match column {
                Column::UserData(path) => path.last().map_or("", |name| name),
                Column::Data(name) => name,
                _ => "",
            };
            json::each_of(source, column, |value| {
                if out.len() > start {
                    out.extend_from_slice(b", ");
                }
                value.push::<Plain>(out);
                let end = out.len();
                out.extend_from_slice(b" (");
                match texts.source.is_some_and(|known| known.words(source, name, &value, out)) {
                    true => out.push(b')'),
                    false => out.truncate(end),
                }
            });
            return Made::Text;
        }
        Column::EachData => {
            let values = &mut scratch.text.values;
            values.read(source, texts, &mut scratch.text.tree);
            values.join(None, &mut Vec::new(), out);
            return Made::Text;
        }
    };
    let field = |field| source.field(field);
    let clock = &mut scratch.text.clock;
    if let Some(made) = known_member(field, origin, texts, member, clock, out) {
        return made;
    }
    let start = out.len();
    match member {
        Member::Message => {
            let _ = scratch.text.messages.push(source, texts, out);
        }
        Member::MessageSource => {
            let by = scratch.text.messages.push(source, texts, out);
            out.truncate(start);
            out.extend_from_slice(by.map_or("", MessageBy::as_str).as_bytes());
        }
        _ => {
            scratch.json.begin();
            json::member(source, field, origin, texts, member, &mut scratch.json, out);
            if matches!(&out[start..], b"null" | b"{}") {
                out.truncate(start);
            }
        }
    }
    Made::Text
}

/// What a text may hold, by what it was made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Made {
    /// A number, a time, a GUID or a SID, which nothing takes for anything else.
    Tame,
    /// Any text.
    Text,
}

/// Writes the text of a column for an event that is not decoded, and what it is made of; nothing where what is
/// known of the event isn't enough, and then something may have been written.
#[inline]
pub(super) fn known<S: PartialSource>(
    column: &Column,
    source: &S,
    origin: &Origin<'_>,
    texts: Texts<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<Made> {
    match column {
        Column::Member(member) => {
            let field = |field| source.known_field(field);
            known_member(field, origin, texts, *member, &mut scratch.clock, out)
        }
        // There may be words behind a value.
        Column::Data(name) if texts.source.is_none() && !source.may_have_user_data() => {
            let (start, mut count, mut made) = (out.len(), 0, Made::Text);
            let _ = source.known_data(Some(name), |value| {
                if out.len() > start {
                    out.extend_from_slice(b", ");
                }
                count += 1;
                made = push_value(value, out);
                ControlFlow::Continue(())
            })?;
            Some(if count == 1 { made } else { Made::Text })
        }
        Column::Name(_) | Column::Data(_) | Column::UserData(_) | Column::EachData => None,
    }
}

/// Gives each name behind a number of an event; `buffer` is room to work in.
pub(super) fn each_name<S: FieldSource>(
    source: &S,
    named: Named,
    texts: Texts<'_>,
    buffer: &mut Vec<u8>,
    mut give: impl FnMut(&[u8]),
) {
    let Some(known) = texts.source else { return };
    let mut add = |of| {
        buffer.clear();
        if known.name(source, of, buffer) {
            give(buffer);
        }
    };
    match named {
        Named::Task => add(NameOf::Task),
        Named::Opcode => add(NameOf::Opcode),
        Named::Keywords => {
            let bits = source.field(Field::Keywords).as_u64().unwrap_or(0);
            let is_set = |bit: &u64| bits & bit != 0;
            let all = (0..u64::BITS).map(|bit| 1 << bit).filter(is_set);
            all.for_each(|bit| add(NameOf::Keyword(bit)));
        }
    }
}

/// Writes the names behind a number of an event, with `before` and `after` around them where there
/// are any.
pub(super) fn push_names<S: FieldSource>(
    source: &S,
    named: Named,
    texts: Texts<'_>,
    before: &[u8],
    after: &[u8],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    each_name(source, named, texts, &mut Vec::new(), |name| {
        out.extend_from_slice(if out.len() == start { before } else { b", " });
        out.extend_from_slice(name);
    });
    if out.len() > start {
        out.extend_from_slice(after);
    }
}

/// Writes the text of a member that the fields of `<System>` tell, and what is known of an event besides itself;
/// nothing of another one.
#[inline]
fn known_member<'s>(
    look_up: impl Fn(Field) -> Value<'s>,
    origin: &Origin<'_>,
    texts: Texts<'_>,
    member: Member,
    clock: &mut Clock,
    out: &mut Vec<u8>,
) -> Option<Made> {
    if let Some(of) = member.field() {
        return Some(push_field(member, look_up(of), clock, out));
    }
    Some(match member {
        Member::V => push_value(Value::UInt(1), out),
        Member::Source => push_value(Value::Str(origin.source), out),
        Member::Log => push_value(Value::Str(origin.log), out),
        Member::Recovered => push_value(Value::Bool(origin.recovered), out),
        Member::LogRecord => {
            push_value(origin.log_record.map_or(Value::Null, |record| Value::UInt(record.0)), out)
        }
        Member::Host => match origin.host {
            Some(host) => push_value(Value::Str(host), out),
            None => push_value(look_up(Field::Computer), out),
        },
        Member::LevelName => {
            let name = json::level_of(look_up(Field::Level), look_up(Field::Keywords));
            out.extend_from_slice(name.map_or("", |name| name.as_str()).as_bytes());
            Made::Text
        }
        Member::Rules => {
            for (n, rule) in texts.rules.iter().enumerate() {
                out.extend_from_slice(if n == 0 { b"" } else { b", " });
                out.extend_from_slice(rule.title.as_bytes());
                if !rule.level.is_empty() {
                    out.extend_from_slice(format!(" ({})", rule.level).as_bytes());
                }
            }
            Made::Text
        }
        _ => return None,
    })
}

/// Writes the text of a member that one field tells.
#[inline]
pub(super) fn push_field(
    member: Member,
    value: Value<'_>,
    clock: &mut Clock,
    out: &mut Vec<u8>,
) -> Made {
    match member {
        Member::Time => match value.as_time() {
            Some(time) => {
                clock.push(time, out);
                Made::Tame
            }
            None => push_value(value, out),
        },
        Member::Keywords => push_value(value.as_u64().map_or(value, Value::Hex), out),
        _ => push_value(value, out),
    }
}

#[inline]
fn push_value(value: Value<'_>, out: &mut Vec<u8>) -> Made {
    value.push::<Plain>(out);
    match value {
        Value::Null
        | Value::UInt(_)
        | Value::Hex(_)
        | Value::Bool(_)
        | Value::Guid(_)
        | Value::Time(_)
        | Value::Sid(_) => Made::Tame,
        // Of these some are `-inf`, which begins as a formula does.
        Value::Float32(_) | Value::Float64(_) | Value::Int(_) => Made::Text,
        Value::Utf16(_) | Value::Str(_) | Value::Ansi(_) | Value::Binary(_) => Made::Text,
    }
}
