//! JSON: one event as one object, in one shape and one order of members.
//!
//! This is the form that scans print most, so nothing is made twice: values go from the record
//! into the output, and what is the same for every event of a log is escaped once. An ordinary event
//! needs no memory but the output's.
//!
//! | member | what it is |
//! |---|---|
//! | `data` | the values of `<EventData>` ([`data`]) |
//! | `user_data`, `other` | what has no member of its own ([`tree`]); `other` is left out where empty |
//! | `message` | the message text; null where there is none, as the values stand in `data` |
//! | `names` | task, opcode and keywords as text; left out where none is known |
//! | `rules` | the detection rules that it matches; left out where there are none |
//!
//! `recovered` is there for records of slack only, where not asked for by name.
//!
//! Numbers that an event has not, or has as text that is no number, are null; such text is then
//! in `other`.

mod data;
mod tree;

use super::{Column, Member};
use crate::text::{Escape, Json};
use crate::{
    Field, FieldSource, Keywords, Level, LevelName, MessageBy, NameOf, Origin, Texts, Value,
};

pub(super) use data::each_of;
pub(super) use tree::Tree;

/// Memory that is used again for each event.
#[derive(Default, Debug)]
pub(super) struct Scratch {
    origin: OriginText,
    names: data::Names,
    tree: Tree,
    /// Whether the tree is that of the event whose chosen members are written.
    is_read: bool,
    /// Text before it is escaped; an event to indent.
    buffer: Vec<u8>,
}

impl Scratch {
    /// Begins another event, of which nothing is known.
    pub(super) fn begin(&mut self) {
        self.is_read = false;
    }

    /// Reads an event's tree, once for all members that need it.
    fn read<S: FieldSource>(&mut self, source: &S) {
        if !self.is_read {
            self.tree.read::<Json, S>(source);
        }
        self.is_read = true;
    }
}

/// The fields that are numbers in JSON: what else stands there is in `other`.
const NUMBERS: [Field; 9] = [
    Field::RecordId,
    Field::EventId,
    Field::Qualifiers,
    Field::Version,
    Field::Level,
    Field::Task,
    Field::Opcode,
    Field::ProcessId,
    Field::ThreadId,
];

/// Writes all members of an event.
pub(super) fn event<S: FieldSource>(
    source: &S,
    origin: &Origin<'_>,
    texts: Texts<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    out.reserve(1024);
    scratch.origin.refresh(origin);
    let fields = source.fields();
    let mut odd = false;

    put(b"{\"v\":1,\"time\":", out);
    time(fields.get(Field::TimeCreated), out);
    put(&scratch.origin.source, out);
    let computer = fields.get(Field::Computer);
    let host_at = out.len();
    if origin.host.is_none() {
        text(computer, out);
    }
    let host = host_at..out.len();
    put(&scratch.origin.log, out);
    optional(origin.log_record, out);
    if origin.recovered {
        put(b",\"recovered\":true", out);
    }
    put(b",\"computer\":", out);
    if host.is_empty() {
        text(computer, out);
    } else {
        out.extend_from_within(host);
    }
    put(b",\"channel\":", out);
    text(fields.get(Field::Channel), out);
    put(b",\"record_id\":", out);
    odd |= number(fields.get(Field::RecordId), out);
    put(b",\"provider\":", out);
    text(fields.get(Field::ProviderName), out);
    put(b",\"provider_guid\":", out);
    token(fields.get(Field::ProviderGuid), out);
    put(b",\"event_id\":", out);
    odd |= number(fields.get(Field::EventId), out);
    put(b",\"qualifiers\":", out);
    odd |= number(fields.get(Field::Qualifiers), out);
    put(b",\"version\":", out);
    odd |= number(fields.get(Field::Version), out);
    put(b",\"level\":", out);
    let level = fields.get(Field::Level);
    let bits = fields.get(Field::Keywords);
    odd |= number(level, out);
    put(b",\"level_name\":", out);
    level_name(level, bits, out);
    put(b",\"task\":", out);
    odd |= number(fields.get(Field::Task), out);
    put(b",\"opcode\":", out);
    odd |= number(fields.get(Field::Opcode), out);
    put(b",\"keywords\":", out);
    keywords(bits, out);
    put(b",\"user_sid\":", out);
    token(fields.get(Field::UserId), out);
    put(b",\"process_id\":", out);
    odd |= number(fields.get(Field::ProcessId), out);
    put(b",\"thread_id\":", out);
    odd |= number(fields.get(Field::ThreadId), out);
    put(b",\"activity_id\":", out);
    token(fields.get(Field::ActivityId), out);
    put(b",\"related_activity_id\":", out);
    token(fields.get(Field::RelatedActivityId), out);

    put(b",\"data\":", out);
    data::object(source, &mut scratch.names, out);
    put(b",\"user_data\":", out);
    let more = odd || source.has_more();
    if more {
        scratch.tree.read::<Json, S>(source);
        scratch.tree.user_data(out);
    } else {
        put(b"null", out);
    }

    put(b",\"message\":", out);
    let own = more && scratch.tree.message().is_some();
    let by = message_text(source, texts, own, scratch, out);
    put(b",\"message_source\":", out);
    by_name(by, out);
    let start = out.len();
    put(b",\"names\":", out);
    if !names(source, texts, scratch, out) {
        out.truncate(start);
    }

    if !texts.rules.is_empty() {
        put(b",\"rules\":", out);
        rules(texts, out);
    }

    let start = out.len();
    put(b",\"other\":{", out);
    let inside = out.len();
    other_fields(&|field| fields.get(field), out);
    if more {
        scratch.tree.others(own, inside, out);
    }
    if out.len() == inside {
        out.truncate(start);
    } else {
        out.push(b'}');
    }
    out.push(b'}');
}

/// Members that were asked for, in the order asked for.
#[derive(Debug)]
pub(super) struct Chosen {
    members: Vec<(Start, Column)>,
}

/// What stands before a member's value: the brace or comma, and its name.
#[derive(Debug)]
struct Start {
    text: Vec<u8>,
    /// Its first bytes, with others after them where it is shorter.
    first: [u8; Start::SHORT],
}

impl Chosen {
    /// Whether a member is text that an event doesn't hold itself. Values stand as they are.
    pub(super) fn shows_texts(&self) -> bool {
        let shows =
            |column: &Column| matches!(column, Column::Member(member) if member.shows_texts());
        self.members.iter().any(|(_, column)| shows(column))
    }
}

impl Start {
    /// What is written at once, as that is cheaper than a part of it.
    const SHORT: usize = 32;

    fn new(text: Vec<u8>) -> Self {
        let mut first = [0; Start::SHORT];
        first.iter_mut().zip(&text).for_each(|(to, byte)| *to = *byte);
        Start { text, first }
    }

    #[inline(always)]
    fn put(&self, out: &mut Vec<u8>) {
        if self.text.len() > Start::SHORT {
            return put(&self.text, out);
        }
        let end = out.len() + self.text.len();
        put(&self.first, out);
        out.truncate(end);
    }
}

impl Chosen {
    /// From so many members on, all fields of `<System>` are looked up at once.
    const MANY: usize = 12;

    pub(super) fn new(columns: Vec<Column>) -> Self {
        let begun = |(n, column): (usize, Column)| {
            let mut start = vec![if n == 0 { b'{' } else { b',' }];
            match &column {
                Column::EachData => quoted(Member::Data.name(), &mut start),
                column => quoted(&column.name(), &mut start),
            }
            start.push(b':');
            (Start::new(start), column)
        };
        Chosen { members: columns.into_iter().enumerate().map(begun).collect() }
    }

    /// Writes the members of an event.
    pub(super) fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        scratch.origin.refresh(origin);
        scratch.begin();
        if self.members.len() < Self::MANY {
            return self.write(source, |field| source.field(field), origin, texts, scratch, out);
        }
        out.reserve(1024);
        let fields = source.fields();
        self.write(source, |field| fields.get(field), origin, texts, scratch, out);
    }

    #[inline]
    fn write<'s, S: FieldSource>(
        &self,
        source: &'s S,
        field: impl Fn(Field) -> Value<'s>,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        for (start, column) in &self.members {
            start.put(out);
            match column {
                Column::EachData => data::object(source, &mut scratch.names, out),
                Column::Data(_) | Column::UserData(_) => data::values(source, column, out),
                Column::Member(Member::Source) => put(scratch.origin.source(), out),
                Column::Member(Member::Log) => put(scratch.origin.log(), out),
                Column::Member(member) => {
                    self::member(source, &field, origin, texts, *member, scratch, out);
                }
            }
        }
        put(if self.members.is_empty() { b"{}" } else { b"}" }, out);
    }
}

/// Writes the value of one member; `{}` for `other` where there is nothing. `field` looks up a field
/// of `<System>`.
#[inline]
pub(super) fn member<'s, S: FieldSource>(
    source: &'s S,
    field: impl Fn(Field) -> Value<'s>,
    origin: &Origin<'_>,
    texts: Texts<'_>,
    member: Member,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    match member {
        Member::V => out.push(b'1'),
        Member::Time => time(field(Field::TimeCreated), out),
        Member::Source => quoted(origin.source, out),
        Member::Host => match origin.host {
            Some(host) => quoted(host, out),
            None => text(field(Field::Computer), out),
        },
        Member::Log => quoted(origin.log, out),
        Member::LogRecord => optional(origin.log_record, out),
        Member::Recovered => put(if origin.recovered { b"true" } else { b"false" }, out),
        Member::Computer => text(field(Field::Computer), out),
        Member::Channel => text(field(Field::Channel), out),
        Member::Provider => text(field(Field::ProviderName), out),
        Member::ProviderGuid => token(field(Field::ProviderGuid), out),
        Member::LevelName => level_name(field(Field::Level), field(Field::Keywords), out),
        Member::Keywords => keywords(field(Field::Keywords), out),
        Member::UserSid => token(field(Field::UserId), out),
        Member::ActivityId => token(field(Field::ActivityId), out),
        Member::RelatedActivityId => token(field(Field::RelatedActivityId), out),
        Member::RecordId => drop(number(field(Field::RecordId), out)),
        Member::EventId => drop(number(field(Field::EventId), out)),
        Member::Qualifiers => drop(number(field(Field::Qualifiers), out)),
        Member::Version => drop(number(field(Field::Version), out)),
        Member::Level => drop(number(field(Field::Level), out)),
        Member::Task => drop(number(field(Field::Task), out)),
        Member::Opcode => drop(number(field(Field::Opcode), out)),
        Member::ProcessId => drop(number(field(Field::ProcessId), out)),
        Member::ThreadId => drop(number(field(Field::ThreadId), out)),
        Member::Data => data::object(source, &mut scratch.names, out),
        Member::UserData if source.has_more() => {
            scratch.read(source);
            scratch.tree.user_data(out);
        }
        Member::UserData => put(b"null", out),
        Member::Message | Member::MessageSource => {
            let start = out.len();
            let own = source.has_more() && {
                scratch.read(source);
                scratch.tree.message().is_some()
            };
            let by = message_text(source, texts, own, scratch, out);
            if member == Member::MessageSource {
                out.truncate(start);
                by_name(by, out);
            }
        }
        Member::Names => {
            if !names(source, texts, scratch, out) {
                put(b"null", out);
            }
        }
        Member::Rules => rules(texts, out),
        Member::Other => {
            let start = out.len();
            out.push(b'{');
            other_fields(&field, out);
            let is_odd = |number| {
                let value = field(number);
                value.as_u64().is_none() && !value.is_empty()
            };
            if source.has_more() || NUMBERS.into_iter().any(is_odd) {
                scratch.read(source);
                let own = scratch.tree.message().is_some();
                scratch.tree.others(own, start + 1, out);
            }
            out.push(b'}');
        }
    }
}

/// Writes the message, or null, and says who knew it. `own` says that the tree was read and has
/// the event's own.
fn message_text<S: FieldSource>(
    source: &S,
    texts: Texts<'_>,
    own: bool,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<MessageBy> {
    if own && let Some(text) = scratch.tree.message() {
        out.push(b'"');
        put(text, out);
        out.push(b'"');
        return Some(MessageBy::Event);
    }
    if let Some(message) = texts.message {
        quoted(message.text, out);
        return Some(message.by);
    }
    scratch.buffer.clear();
    let by = texts.source.and_then(|known| known.message(source, &mut scratch.buffer));
    match by {
        Some(_) => quoted(&crate::text::lossy(&scratch.buffer), out),
        None => put(b"null", out),
    }
    by
}

/// Writes the rules that an event matches.
#[cold]
fn rules(texts: Texts<'_>, out: &mut Vec<u8>) {
    for (n, rule) in texts.rules.iter().enumerate() {
        put(if n == 0 { b"[" } else { b"," }, out);
        put(b"{\"id\":", out);
        quoted(&rule.id, out);
        put(b",\"title\":", out);
        quoted(&rule.title, out);
        put(b",\"level\":", out);
        quoted(&rule.level, out);
        put(b",\"tags\":[", out);
        for (n, tag) in rule.tags.iter().enumerate() {
            put(if n == 0 { b"" } else { b"," }, out);
            quoted(tag, out);
        }
        put(b"]}", out);
    }
    put(if texts.rules.is_empty() { b"[]" } else { b"]" }, out);
}

/// Writes the object of the names of an event's numbers. Says whether any is known; otherwise
/// nothing is written.
fn names<S: FieldSource>(
    source: &S,
    texts: Texts<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> bool {
    let Some(known) = texts.source else { return false };
    let start = out.len();
    let mut name = |of, before: &[u8], out: &mut Vec<u8>| {
        scratch.buffer.clear();
        let is_known = known.name(source, of, &mut scratch.buffer);
        if is_known {
            out.push(if out.len() == start { b'{' } else { b',' });
            put(before, out);
            quoted(&crate::text::lossy(&scratch.buffer), out);
        }
        is_known
    };
    name(NameOf::Task, b"\"task\":", out);
    name(NameOf::Opcode, b"\"opcode\":", out);
    let bits = source.field(Field::Keywords).as_u64().unwrap_or(0);
    let mut first = true;
    for bit in (0..u64::BITS).map(|bit| 1 << bit).filter(|bit| bits & bit != 0) {
        let before: &[u8] = if first { b"\"keywords\":[" } else { b"" };
        first &= !name(NameOf::Keyword(bit), before, out);
    }
    if !first {
        out.push(b']');
    }
    if out.len() > start {
        out.push(b'}');
    }
    out.len() > start
}

fn by_name(by: Option<MessageBy>, out: &mut Vec<u8>) {
    match by {
        Some(by) => quoted(by.as_str(), out),
        None => put(b"null", out),
    }
}

/// Writes the fields of `<System>` that few events have, as members of `other`.
#[inline]
fn other_fields<'s>(look_up: &impl Fn(Field) -> Value<'s>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut member = |field: Field, name: &'static [u8], is_number: bool| {
        let value = look_up(field);
        if value.is_null() {
            return;
        }
        if out.len() != start {
            out.push(b',');
        }
        put(name, out);
        match is_number {
            true => drop(number(value, out)),
            false => text(value, out),
        }
    };
    member(Field::EventSourceName, b"\"event_source_name\":", false);
    member(Field::ProcessorId, b"\"processor_id\":", true);
    member(Field::SessionId, b"\"session_id\":", true);
    member(Field::KernelTime, b"\"kernel_time\":", true);
    member(Field::UserTime, b"\"user_time\":", true);
    member(Field::ProcessorTime, b"\"processor_time\":", true);
}

/// The members that are the same for all events of a log, escaped once.
#[derive(Default, Debug)]
struct OriginText {
    known: Option<(String, Option<String>, String)>,
    /// From after the time up to the host, or past it where the host is known.
    source: Vec<u8>,
    /// Where the source's name ends in it.
    source_end: usize,
    /// From after the host up to the record number.
    log: Vec<u8>,
}

impl OriginText {
    const SOURCE: &[u8] = b",\"source\":";
    const LOG: &[u8] = b",\"log\":";
    const LOG_RECORD: &[u8] = b",\"log_record\":";

    /// The value of `source`.
    fn source(&self) -> &[u8] {
        &self.source[Self::SOURCE.len()..self.source_end]
    }

    /// The value of `log`.
    fn log(&self) -> &[u8] {
        &self.log[Self::LOG.len()..self.log.len() - Self::LOG_RECORD.len()]
    }

    #[inline]
    fn refresh(&mut self, origin: &Origin<'_>) {
        let same = self.known.as_ref().is_some_and(|(source, host, log)| {
            source == origin.source && host.as_deref() == origin.host && log == origin.log
        });
        if !same {
            self.set(origin);
        }
    }

    #[cold]
    fn set(&mut self, origin: &Origin<'_>) {
        self.known =
            Some((origin.source.into(), origin.host.map(str::to_owned), origin.log.into()));
        self.source.clear();
        put(Self::SOURCE, &mut self.source);
        quoted(origin.source, &mut self.source);
        self.source_end = self.source.len();
        put(b",\"host\":", &mut self.source);
        if let Some(host) = origin.host {
            quoted(host, &mut self.source);
        }
        self.log.clear();
        put(Self::LOG, &mut self.log);
        quoted(origin.log, &mut self.log);
        put(Self::LOG_RECORD, &mut self.log);
    }
}

#[inline(always)]
fn put(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    Json::push_str(text, out);
    out.push(b'"');
}

/// Text: a string, null where there is none.
#[inline]
fn text(value: Value<'_>, out: &mut Vec<u8>) {
    if value.is_null() {
        return put(b"null", out);
    }
    out.push(b'"');
    value.push::<Json>(out);
    out.push(b'"');
}

/// A GUID or SID: a string that is never empty.
#[inline]
fn token(value: Value<'_>, out: &mut Vec<u8>) {
    if value.is_empty() {
        return put(b"null", out);
    }
    text(value, out);
}

#[inline]
fn time(value: Value<'_>, out: &mut Vec<u8>) {
    match value.as_time() {
        Some(time) => {
            out.push(b'"');
            put(time.to_text().as_bytes(), out);
            out.push(b'"');
        }
        // Text that is no time in any form known is still better than nothing.
        None => token(value, out),
    }
}

/// A number, or null. Says whether there is something that is no number.
#[inline]
fn number(value: Value<'_>, out: &mut Vec<u8>) -> bool {
    let number = value.as_u64();
    optional(number, out);
    number.is_none() && !value.is_empty()
}

#[inline]
fn optional(number: Option<u64>, out: &mut Vec<u8>) {
    match number {
        Some(number) => put(itoa::Buffer::new().format(number).as_bytes(), out),
        None => put(b"null", out),
    }
}

#[inline]
fn keywords(value: Value<'_>, out: &mut Vec<u8>) {
    match value.as_u64() {
        Some(bits) => {
            out.push(b'"');
            crate::value::push_hex(bits, out);
            out.push(b'"');
        }
        None => token(value, out),
    }
}

/// The name of a level, from its value and the keywords; nothing where there is no level.
pub(super) fn level_of(level: Value<'_>, keywords: Value<'_>) -> Option<LevelName> {
    let level = u8::try_from(level.as_u64()?).unwrap_or(u8::MAX);
    Some(LevelName::of(Level(level), Keywords(keywords.as_u64().unwrap_or(0))))
}

#[inline]
fn level_name(level: Value<'_>, keywords: Value<'_>, out: &mut Vec<u8>) {
    match level_of(level, keywords) {
        Some(name) => {
            out.push(b'"');
            put(name.as_str().as_bytes(), out);
            out.push(b'"');
        }
        None => put(b"null", out),
    }
}

/// Indents the object that the output ends with, from `start`: two blanks a level.
pub(super) fn indent(start: usize, scratch: &mut Scratch, out: &mut Vec<u8>) {
    scratch.buffer.clear();
    scratch.buffer.extend_from_slice(&out[start..]);
    out.truncate(start);
    let mut depth = 0usize;
    let line = |depth: usize, out: &mut Vec<u8>| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    let mut rest = scratch.buffer.as_slice();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'"' => {
                let end = 1 + string_len(tail);
                out.push(b'"');
                out.extend_from_slice(&tail[..end]);
                rest = &tail[end..];
            }
            b'{' | b'[' => {
                out.push(*byte);
                if let [close @ (b'}' | b']'), tail @ ..] = tail {
                    out.push(*close);
                    rest = tail;
                } else {
                    depth += 1;
                    line(depth, out);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(depth, out);
                out.push(*byte);
            }
            b',' => {
                out.push(b',');
                line(depth, out);
            }
            b':' => out.extend_from_slice(b": "),
            other => out.push(*other),
        }
    }
}

/// The bytes of a JSON string's inside, up to its closing quote.
fn string_len(json: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len() - 1
}

#[cfg(test)]
mod tests;
