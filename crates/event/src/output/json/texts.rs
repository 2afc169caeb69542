//! The members `message`, `message_source`, `names` and `rules`: text that an event doesn't hold
//! itself.

use super::super::kinds::Place;
use super::{More, Scratch, put, quoted};
use crate::{Field, FieldSource, Insert, MessageBy, MessageSource, NameOf, Recipe, Texts};

/// Writes the message, or null, and says who knew it. `more` is what the event has besides fields and
/// data, which may be its message.
pub(super) fn message_text<S: FieldSource>(
    source: &S,
    texts: Texts<'_>,
    more: More,
    kind: Option<Place>,
    inserts: &[Insert<'_>],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<MessageBy> {
    if scratch.has_message(more) {
        out.push(b'"');
        match scratch.outline(more) {
            Some(outline) => outline.json_message(source, out),
            None => put(scratch.tree.message().unwrap_or_default(), out),
        }
        out.push(b'"');
        return Some(MessageBy::Event);
    }
    if let Some(message) = texts.message {
        quoted(message.text, out);
        return Some(message.by);
    }
    match kind.and_then(|kind| scratch.kinds.get_mut(kind)).map(|kind| &mut kind.recipe) {
        Some(Recipe::None) => {
            put(b"null", out);
            return None;
        }
        Some(Recipe::Made(by, made)) => {
            let record = source.field(Field::RecordId).as_u64();
            let start = out.len();
            out.push(b'"');
            if made.push(record, inserts, out) {
                out.push(b'"');
                return Some(*by);
            }
            out.truncate(start);
        }
        Some(Recipe::Ask) | None => {}
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
pub(super) fn rules(texts: Texts<'_>, out: &mut Vec<u8>) {
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
pub(super) fn names<S: FieldSource>(
    source: &S,
    texts: Texts<'_>,
    kind: Option<Place>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> bool {
    if let Some(kind) = kind {
        let names = scratch.kinds.get(kind).map_or(&b""[..], |kind| &kind.names);
        put(names, out);
        return !names.is_empty();
    }
    texts.source.is_some_and(|known| ask_names(source, known, &mut scratch.buffer, out))
}

/// Asks for the names, one by one.
pub(super) fn ask_names<S: FieldSource>(
    source: &S,
    known: &dyn MessageSource,
    buffer: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    let mut name = |of, before: &[u8], out: &mut Vec<u8>| {
        buffer.clear();
        let is_known = known.name(source, of, buffer);
        if is_known {
            out.push(if out.len() == start { b'{' } else { b',' });
            put(before, out);
            quoted(&crate::text::lossy(buffer), out);
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

pub(super) fn by_name(by: Option<MessageBy>, out: &mut Vec<u8>) {
    match by {
        // A word that needs no escape.
        Some(by) => {
            out.push(b'"');
            put(by.as_str().as_bytes(), out);
            out.push(b'"');
        }
        None => put(b"null", out),
    }
}
