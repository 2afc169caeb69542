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

mod chosen;
mod data;
mod outlines;
mod texts;
mod tree;

use super::Member;
use super::kinds::{self, Inserts, Kinds};
use crate::layout::{self, Kept, Layouts};
use crate::text::{Escape, Json};
use crate::time::Clock;
use crate::{
    Field, FieldSource, Fields, Keywords, Level, LevelName, MessageForm, Origin, Recipe, Texts,
    Value,
};
use texts::{ask_names, by_name, message_text, names, rules};

pub(super) use chosen::Chosen;
pub(super) use data::{each_of, inserts, may_be_a_place};
pub(super) use outlines::Outline;
pub(super) use tree::Tree;

/// Memory that is used again for each event.
#[derive(Default, Debug)]
pub(super) struct Scratch {
    origin: OriginText,
    clock: Clock,
    computer: Repeated,
    channel: Repeated,
    provider: Repeated,
    provider_guid: Repeated,
    names: data::Names,
    kinds: Kinds<OfKind>,
    inserts: Inserts,
    pub(super) outlines: Layouts<Outline>,
    tree: Tree,
    /// What the event has whose chosen members are written, once it was looked for.
    more: Option<More>,
    /// Text before it is escaped; an event to indent.
    buffer: Vec<u8>,
}

/// What is kept of a kind of events.
#[derive(Debug)]
struct OfKind {
    recipe: Recipe,
    /// The member `names`, empty where there are none.
    names: Vec<u8>,
}

impl Kept for OfKind {
    fn bytes(&self) -> usize {
        self.recipe.bytes() + self.names.len()
    }
}

/// What an event has besides fields and data, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum More {
    Nothing,
    /// What others of its layout have.
    Outline(layout::Place),
    /// In the tree, which was read.
    Tree,
}

impl Scratch {
    /// Finds the kind of an event.
    #[inline]
    fn kind<'s, S: FieldSource>(
        &mut self,
        source: &'s S,
        texts: Texts<'_>,
        field: impl Fn(Field) -> Value<'s>,
    ) -> Option<kinds::Place> {
        let Scratch { kinds, buffer, .. } = self;
        let known = texts.source?;
        kinds.find(known, field, || {
            let mut names = Vec::new();
            ask_names(source, known, buffer, &mut names);
            OfKind { recipe: known.recipe(source, MessageForm::Json), names }
        })
    }

    /// Whether the message of a kind is made of an event's values.
    #[inline]
    fn wants_inserts(&self, kind: Option<kinds::Place>) -> bool {
        kind.and_then(|kind| self.kinds.get(kind)).is_some_and(|kind| kind.recipe.wants_inserts())
    }

    /// Begins another event, of which nothing is known.
    pub(super) fn begin(&mut self) {
        self.more = None;
    }

    /// Looks for what an event has besides fields and data. `is_odd` says that a number among its fields
    /// is none.
    #[inline]
    fn look<'s, S: FieldSource>(
        &mut self,
        source: &'s S,
        is_odd: bool,
        field: impl Fn(Field) -> Value<'s>,
    ) -> More {
        if !is_odd && !source.has_more() {
            return More::Nothing;
        }
        self.look_further(source, is_odd, field)
    }

    fn look_further<'s, S: FieldSource>(
        &mut self,
        source: &'s S,
        is_odd: bool,
        field: impl Fn(Field) -> Value<'s>,
    ) -> More {
        let is_odd = is_odd || OTHER_NUMBERS.iter().any(|&number| is_no_number(field(number)));
        let Scratch { outlines, tree, .. } = self;
        if !is_odd && let Some(place) = outlines.find(source, || Outline::of(source, tree)) {
            return More::Outline(place);
        }
        self.tree.read::<Json, S>(source);
        More::Tree
    }

    /// The same for chosen members, once an event.
    fn look_once<'s, S: FieldSource>(
        &mut self,
        source: &'s S,
        field: impl Fn(Field) -> Value<'s>,
    ) -> More {
        if let Some(more) = self.more {
            return more;
        }
        let is_odd = NUMBERS.iter().any(|&number| is_no_number(field(number)));
        let more = self.look(source, is_odd, field);
        self.more = Some(more);
        more
    }

    fn outline(&self, more: More) -> Option<&Outline> {
        match more {
            More::Outline(place) => self.outlines.get(place),
            More::Nothing | More::Tree => None,
        }
    }

    /// Writes the member `user_data`.
    #[inline]
    fn user_data<S: FieldSource>(&self, source: &S, more: More, out: &mut Vec<u8>) {
        match (more, self.outline(more)) {
            (_, Some(outline)) => outline.user_data(source, out),
            (More::Tree, None) => self.tree.user_data(out),
            (_, None) => put(b"null", out),
        }
    }

    /// Whether the event carries its message.
    #[inline]
    fn has_message(&self, more: More) -> bool {
        match (more, self.outline(more)) {
            (_, Some(outline)) => outline.has_message(),
            (More::Tree, None) => self.tree.message().is_some(),
            (_, None) => false,
        }
    }

    /// Writes the members of `other` that aren't fields, into an object whose inside begins at `inside`.
    #[inline]
    fn others<S: FieldSource>(&self, source: &S, more: More, inside: usize, out: &mut Vec<u8>) {
        match (more, self.outline(more)) {
            (_, Some(outline)) => outline.others(source, inside, out),
            (More::Tree, None) => self.tree.others(self.has_message(more), inside, out),
            (_, None) => {}
        }
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

/// The fields in `other` that are numbers.
const OTHER_NUMBERS: [Field; 5] = [
    Field::ProcessorId,
    Field::SessionId,
    Field::KernelTime,
    Field::UserTime,
    Field::ProcessorTime,
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
    let fields = source.fields();
    out.push(b'{');
    let (kind, more) = main_members(source, &fields, origin, texts, true, scratch, out);
    let start = out.len();
    put(b",\"names\":", out);
    if !names(source, texts, kind, scratch, out) {
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
    scratch.others(source, more, inside, out);
    if out.len() == inside {
        out.truncate(start);
    } else {
        out.push(b'}');
    }
    out.push(b'}');
}

/// The members that [`main_members`] writes.
const MAIN: [Member; 28] = [
    Member::V,
    Member::Time,
    Member::Source,
    Member::Host,
    Member::Log,
    Member::LogRecord,
    Member::Computer,
    Member::Channel,
    Member::RecordId,
    Member::Provider,
    Member::ProviderGuid,
    Member::EventId,
    Member::Qualifiers,
    Member::Version,
    Member::Level,
    Member::LevelName,
    Member::Task,
    Member::Opcode,
    Member::Keywords,
    Member::UserSid,
    Member::ProcessId,
    Member::ThreadId,
    Member::ActivityId,
    Member::RelatedActivityId,
    Member::Data,
    Member::UserData,
    Member::Message,
    Member::MessageSource,
];

/// Writes the members of where an event was read, of its `<System>`, its data and its message, with
/// `recovered` among them where that is marked. Gives the event's kind, and what it has besides fields and
/// data.
#[inline]
fn main_members<'s, S: FieldSource>(
    source: &'s S,
    fields: &Fields<'s>,
    origin: &Origin<'_>,
    texts: Texts<'_>,
    marks_recovered: bool,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> (Option<kinds::Place>, More) {
    let field = |field| fields.get(field);
    scratch.origin.of(origin);
    let kind = scratch.kind(source, texts, field);
    let mut inserts = scratch.inserts.take();
    let mut odd = false;
    put(b"\"v\":1,\"time\":", out);
    time(field(Field::TimeCreated), &mut scratch.clock, out);
    put(&scratch.origin.source, out);
    let computer = field(Field::Computer);
    let host_at = out.len();
    if origin.host.is_none() {
        scratch.computer.text(computer, out);
    }
    let host = host_at..out.len();
    put(&scratch.origin.log, out);
    optional(origin.log_record.map(|record| record.0), out);
    if marks_recovered && origin.recovered {
        put(b",\"recovered\":true", out);
    }
    put(b",\"computer\":", out);
    if host.is_empty() {
        scratch.computer.text(computer, out);
    } else {
        out.extend_from_within(host);
    }
    put(b",\"channel\":", out);
    scratch.channel.text(field(Field::Channel), out);
    put(b",\"record_id\":", out);
    odd |= number(field(Field::RecordId), out);
    put(b",\"provider\":", out);
    scratch.provider.text(field(Field::ProviderName), out);
    put(b",\"provider_guid\":", out);
    scratch.provider_guid.token(field(Field::ProviderGuid), out);
    put(b",\"event_id\":", out);
    odd |= number(field(Field::EventId), out);
    put(b",\"qualifiers\":", out);
    odd |= number(field(Field::Qualifiers), out);
    put(b",\"version\":", out);
    odd |= number(field(Field::Version), out);
    put(b",\"level\":", out);
    let level = field(Field::Level);
    let bits = field(Field::Keywords);
    odd |= number(level, out);
    put(b",\"level_name\":", out);
    level_name(level, bits, out);
    put(b",\"task\":", out);
    odd |= number(field(Field::Task), out);
    put(b",\"opcode\":", out);
    odd |= number(field(Field::Opcode), out);
    put(b",\"keywords\":", out);
    keywords(bits, out);
    put(b",\"user_sid\":", out);
    token(field(Field::UserId), out);
    put(b",\"process_id\":", out);
    odd |= number(field(Field::ProcessId), out);
    put(b",\"thread_id\":", out);
    odd |= number(field(Field::ThreadId), out);
    put(b",\"activity_id\":", out);
    token(field(Field::ActivityId), out);
    put(b",\"related_activity_id\":", out);
    token(field(Field::RelatedActivityId), out);

    put(b",\"data\":", out);
    match scratch.wants_inserts(kind) {
        true => data::object_with(source, &mut scratch.names, &mut inserts, out),
        false => data::object(source, &mut scratch.names, out),
    }
    put(b",\"user_data\":", out);
    let more = scratch.look(source, odd, field);
    // Chosen members that come after these needn't look again.
    scratch.more = Some(more);
    scratch.user_data(source, more, out);

    put(b",\"message\":", out);
    let by = message_text(source, texts, more, kind, &inserts, scratch, out);
    scratch.inserts.keep(inserts);
    put(b",\"message_source\":", out);
    by_name(by, out);
    (kind, more)
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
    if known_member(&field, origin, texts, member, scratch, out) {
        return;
    }
    match member {
        Member::Data => data::object(source, &mut scratch.names, out),
        Member::UserData => {
            let more = scratch.look_once(source, field);
            scratch.user_data(source, more, out);
        }
        Member::Message | Member::MessageSource => {
            let start = out.len();
            let more = scratch.look_once(source, &field);
            let kind = scratch.kind(source, texts, &field);
            let mut inserts = scratch.inserts.take();
            if !scratch.has_message(more) && scratch.wants_inserts(kind) {
                data::inserts(source, &mut inserts);
            }
            let by = message_text(source, texts, more, kind, &inserts, scratch, out);
            scratch.inserts.keep(inserts);
            if member == Member::MessageSource {
                out.truncate(start);
                by_name(by, out);
            }
        }
        Member::Names => {
            let kind = scratch.kind(source, texts, &field);
            if !names(source, texts, kind, scratch, out) {
                put(b"null", out);
            }
        }
        Member::Other => {
            let start = out.len();
            out.push(b'{');
            other_fields(&field, out);
            let more = scratch.look_once(source, &field);
            scratch.others(source, more, start + 1, out);
            out.push(b'}');
        }
        // The others are known.
        _ => {}
    }
}

/// Writes the value of a member that the fields of `<System>` tell, and what is known of an event besides
/// itself. Says whether it is one.
#[inline]
fn known_member<'s>(
    field: impl Fn(Field) -> Value<'s>,
    origin: &Origin<'_>,
    texts: Texts<'_>,
    member: Member,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> bool {
    if let Some(of) = member.field() {
        field_member(member, field(of), scratch, out);
        return true;
    }
    match member {
        Member::V => out.push(b'1'),
        Member::Source => put(scratch.origin.of(origin).source(), out),
        Member::Host => match origin.host {
            Some(host) => quoted(host, out),
            None => scratch.computer.text(field(Field::Computer), out),
        },
        Member::Log => put(scratch.origin.of(origin).log(), out),
        Member::LogRecord => optional(origin.log_record.map(|record| record.0), out),
        Member::Recovered => put(if origin.recovered { b"true" } else { b"false" }, out),
        Member::LevelName => level_name(field(Field::Level), field(Field::Keywords), out),
        Member::Rules => rules(texts, out),
        _ => return false,
    }
    true
}

/// Writes the value of a member that one field tells.
#[inline]
pub(super) fn field_member(
    member: Member,
    value: Value<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    match member {
        Member::Time => time(value, &mut scratch.clock, out),
        Member::Computer => scratch.computer.text(value, out),
        Member::Channel => scratch.channel.text(value, out),
        Member::Provider => scratch.provider.text(value, out),
        Member::ProviderGuid => scratch.provider_guid.token(value, out),
        Member::Keywords => keywords(value, out),
        Member::UserSid | Member::ActivityId | Member::RelatedActivityId => token(value, out),
        _ => drop(number(value, out)),
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

    /// The members of events that are read there.
    #[inline]
    fn of(&mut self, origin: &Origin<'_>) -> &Self {
        let same = self.known.as_ref().is_some_and(|(source, host, log)| {
            source == origin.source && host.as_deref() == origin.host && log == origin.log
        });
        if !same {
            self.set(origin);
        }
        self
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

/// A member that most events of a log have alike, made once for those that follow each other.
#[derive(Default, Debug)]
pub(super) struct Repeated {
    /// What it was made of: of which type, and the bytes.
    kind: u8,
    of: Vec<u8>,
    text: Vec<u8>,
}

impl Repeated {
    /// The most bytes that are kept.
    const MOST: usize = 512;

    /// Writes [`text`].
    #[inline]
    fn text(&mut self, value: Value<'_>, out: &mut Vec<u8>) {
        match value {
            Value::Utf16(utf16) => self.put(1, utf16.bytes(), out, |out| text(value, out)),
            Value::Str(utf8) => self.put(2, utf8.as_bytes(), out, |out| text(value, out)),
            value => text(value, out),
        }
    }

    /// Writes [`token`].
    #[inline]
    fn token(&mut self, value: Value<'_>, out: &mut Vec<u8>) {
        match value {
            Value::Guid(guid) => self.put(3, &guid.to_bytes(), out, |out| text(value, out)),
            value => token(value, out),
        }
    }

    /// Writes what `make` makes of bytes, which `kind` says, more than 0, how it makes it of them.
    #[inline]
    pub(super) fn put(
        &mut self,
        kind: u8,
        of: &[u8],
        out: &mut Vec<u8>,
        make: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.kind == kind && self.of == of {
            return put(&self.text, out);
        }
        let start = out.len();
        make(out);
        if of.len() <= Self::MOST {
            self.kind = kind;
            self.of.clear();
            self.of.extend_from_slice(of);
            self.text.clear();
            self.text.extend_from_slice(&out[start..]);
        }
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
fn time(value: Value<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    match value.as_time() {
        Some(time) => {
            out.push(b'"');
            clock.push(time, out);
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

/// Whether there is something that is no number.
#[inline]
fn is_no_number(value: Value<'_>) -> bool {
    !value.is_empty() && value.as_u64().is_none()
}

#[inline]
fn optional(number: Option<u64>, out: &mut Vec<u8>) {
    match number {
        Some(number @ 0..10) => out.push(b'0' + number as u8),
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
