//! One value of an event as plain text, for a cell of a table or of CSV.

use std::ops::Range;

use super::values::Values;
use super::{Column, Member, json};
use crate::text::Plain;
use crate::{Field, FieldSource, MessageBy, Origin, Texts, Value};

/// Memory that is used again for each event.
#[derive(Default, Debug)]
pub(super) struct Scratch {
    pub(super) tree: json::Tree,
    pub(super) values: Values,
    pub(super) cell: Vec<u8>,
    pub(super) matches: Vec<Range<usize>>,
}

/// Writes the text of a column; nothing where the event has nothing there. What is an object in
/// JSON is JSON here.
pub(super) fn push<S: FieldSource>(
    column: &Column,
    source: &S,
    origin: &Origin<'_>,
    texts: Texts<'_>,
    scratch: &mut super::Scratch,
    out: &mut Vec<u8>,
) {
    let member = match column {
        Column::Member(member) => *member,
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
            return;
        }
        Column::EachData => {
            let values = &mut scratch.text.values;
            values.read(source, texts, &mut scratch.text.tree);
            values.join(None, &mut Vec::new(), out);
            return;
        }
    };
    let field = match member {
        Member::V => return out.push(b'1'),
        Member::Source => return out.extend_from_slice(origin.source.as_bytes()),
        Member::Log => return out.extend_from_slice(origin.log.as_bytes()),
        Member::Recovered => {
            return out.extend_from_slice(if origin.recovered { b"true" } else { b"false" });
        }
        Member::LogRecord => {
            let number = origin.log_record.map_or(Value::Null, Value::UInt);
            return number.push::<Plain>(out);
        }
        Member::Host => match origin.host {
            Some(host) => return out.extend_from_slice(host.as_bytes()),
            None => Field::Computer,
        },
        Member::LevelName => {
            let name = json::level_of(source.field(Field::Level), source.field(Field::Keywords));
            return out.extend_from_slice(name.map_or("", |name| name.as_str()).as_bytes());
        }
        Member::Message => {
            let _ = message(source, texts, &mut scratch.text.tree, out);
            return;
        }
        Member::Rules => {
            for (n, rule) in texts.rules.iter().enumerate() {
                out.extend_from_slice(if n == 0 { b"" } else { b", " });
                out.extend_from_slice(rule.title.as_bytes());
                if !rule.level.is_empty() {
                    out.extend_from_slice(format!(" ({})", rule.level).as_bytes());
                }
            }
            return;
        }
        Member::MessageSource | Member::Names | Member::Data | Member::UserData | Member::Other => {
            let start = out.len();
            let field = |field| source.field(field);
            scratch.json.begin();
            json::member(source, field, origin, texts, member, &mut scratch.json, out);
            match &out[start..] {
                b"null" | b"{}" => out.truncate(start),
                [b'"', name @ .., b'"'] if member == Member::MessageSource => {
                    let end = name.len();
                    out.remove(start);
                    out.truncate(start + end);
                }
                _ => {}
            }
            return;
        }
        Member::Time => Field::TimeCreated,
        Member::Computer => Field::Computer,
        Member::Channel => Field::Channel,
        Member::RecordId => Field::RecordId,
        Member::Provider => Field::ProviderName,
        Member::ProviderGuid => Field::ProviderGuid,
        Member::EventId => Field::EventId,
        Member::Qualifiers => Field::Qualifiers,
        Member::Version => Field::Version,
        Member::Level => Field::Level,
        Member::Task => Field::Task,
        Member::Opcode => Field::Opcode,
        Member::Keywords => Field::Keywords,
        Member::UserSid => Field::UserId,
        Member::ProcessId => Field::ProcessId,
        Member::ThreadId => Field::ThreadId,
        Member::ActivityId => Field::ActivityId,
        Member::RelatedActivityId => Field::RelatedActivityId,
    };
    let value = source.field(field);
    let value = match member {
        Member::Keywords => value.as_u64().map_or(value, Value::Hex),
        Member::Time => value.as_time().map_or(value, Value::Time),
        _ => value,
    };
    value.push::<Plain>(out);
}

/// Writes the message text that there is, and says who knew it.
pub(super) fn message<S: FieldSource>(
    source: &S,
    texts: Texts<'_>,
    tree: &mut json::Tree,
    out: &mut Vec<u8>,
) -> Option<MessageBy> {
    if source.has_more() {
        tree.read::<Plain, S>(source);
        if let Some(text) = tree.message() {
            out.extend_from_slice(text);
            return Some(MessageBy::Event);
        }
    }
    if let Some(message) = texts.message {
        out.extend_from_slice(message.text.as_bytes());
        return Some(message.by);
    }
    texts.source.and_then(|known| known.message(source, out))
}
