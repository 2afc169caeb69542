//! The member `data`: the values of `<EventData>` by name, in the event's order.
//!
//! An unnamed value is `paramN`, N its place among all values. A name that comes again makes an
//! array at its first place. Names rarely come again, so the object is written straight away, and
//! begun anew the slow way when one does.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use super::put;
use crate::output::Column;
use crate::text::{Escape, Json};
use crate::{DataName, FieldSource, Value, user_data};

/// What stands around the name in `,"NAME":"`.
const MEMBER_START: usize = 2;
const MEMBER_END: usize = 3;

/// Names looked through one by one; an event with more is written the slow way, whose time does
/// not grow with their square.
const MAX_SCANNED: usize = 96;

/// Where the values of the object just written lie, from which the fallback message is made.
#[derive(Default, Debug)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    keys: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Piece {
    /// The name, escaped; empty for an unnamed value.
    name: Range<usize>,
    value: Range<usize>,
}

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes the values, `NAME=VALUE` for a named one, separated by commas and blanks. They lie
    /// in `data`, or in the output itself.
    pub(super) fn join(&self, data: Option<&[u8]>, out: &mut Vec<u8>) {
        let total: usize = self.pieces.iter().map(|p| p.name.len() + p.value.len() + 3).sum();
        out.reserve(total);
        let copy = |range: Range<usize>, out: &mut Vec<u8>| match data {
            Some(data) => out.extend_from_slice(&data[range]),
            None => out.extend_from_within(range),
        };
        for (i, piece) in self.pieces.iter().enumerate() {
            if i > 0 {
                put(b", ", out);
            }
            if !piece.name.is_empty() {
                copy(piece.name.clone(), out);
                out.push(b'=');
            }
            copy(piece.value.clone(), out);
        }
    }
}

/// Writes the object.
pub(super) fn object<S: FieldSource>(source: &S, pieces: &mut Pieces, out: &mut Vec<u8>) {
    let start = out.len();
    if source.has_distinct_names() {
        if distinct(source, &mut pieces.pieces, out) {
            return;
        }
        out.truncate(start);
    }
    let Pieces { pieces, keys } = pieces;
    pieces.clear();
    keys.clear();
    // A bit for each key seen, so that most names need no search.
    let mut seen = 0u64;
    let mut unnamed = false;
    let mut named_param = false;
    out.push(b'{');
    let repeats = source.each_data(|name, value| {
        put(if pieces.is_empty() { b"\"" } else { b",\"" }, out);
        let name_at = out.len();
        push_name(name, pieces.len() + 1, out);
        let name_end = out.len();
        let mut name_range = name_at..name_at;
        if name.is_some() {
            name_range = name_at..name_end;
            let written = &out[name_at..];
            let key = key(written);
            let bit = 1 << (key >> 58);
            if seen & bit != 0
                && (keys.len() > MAX_SCANNED
                    || keys.contains(&key)
                        && pieces.iter().any(|p| out[p.name.clone()] == *written))
            {
                return ControlFlow::Break(());
            }
            seen |= bit;
            keys.push(key);
            named_param |= written.starts_with(b"param");
        } else {
            unnamed = true;
        }
        if unnamed && named_param {
            return ControlFlow::Break(());
        }
        put(b"\":\"", out);
        let value_at = out.len();
        value.push::<Json>(out);
        pieces.push(Piece { name: name_range, value: value_at..out.len() });
        out.push(b'"');
        ControlFlow::Continue(())
    });
    if repeats.is_break() {
        out.truncate(start);
        grouped(source, pieces, out);
    } else {
        out.push(b'}');
    }
}

/// Writes the object for an event whose names all differ, from a template that has them ready.
/// Says whether they were.
#[inline]
fn distinct<S: FieldSource>(source: &S, pieces: &mut Vec<Piece>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    pieces.clear();
    let all = source.each_data(|name, value| {
        let Some(member) = name.and_then(|name| name.json_member()) else {
            return ControlFlow::Break(());
        };
        let name_at = out.len() + MEMBER_START;
        put(member.as_bytes(), out);
        let value_at = out.len();
        value.push::<Json>(out);
        let name = name_at..value_at - MEMBER_END;
        pieces.push(Piece { name, value: value_at..out.len() });
        out.push(b'"');
        ControlFlow::Continue(())
    });
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
    all.is_continue()
}

/// Writes the object with an array for each name that comes again.
#[cold]
fn grouped<S: FieldSource>(source: &S, pieces: &mut Vec<Piece>, out: &mut Vec<u8>) {
    struct Group<'a> {
        name: Vec<u8>,
        /// Each value with its place among all, and whether it is named.
        values: Vec<(usize, bool, Value<'a>)>,
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut by_name: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut place = 0;
    let _ = source.each_data(|name, value| {
        place += 1;
        let mut written = Vec::new();
        push_name(name, place, &mut written);
        let group = *by_name.entry(written).or_insert_with_key(|written| {
            groups.push(Group { name: written.clone(), values: Vec::new() });
            groups.len() - 1
        });
        groups[group].values.push((place - 1, name.is_some(), value));
        ControlFlow::Continue(())
    });
    pieces.clear();
    pieces.resize(place, Piece { name: 0..0, value: 0..0 });
    for (i, group) in groups.iter().enumerate() {
        put(if i == 0 { b"{\"" } else { b",\"" }, out);
        let name_at = out.len();
        put(&group.name, out);
        let name_end = out.len();
        put(b"\":", out);
        let many = group.values.len() > 1;
        for (i, (place, named, value)) in group.values.iter().enumerate() {
            put(
                if !many {
                    b"\""
                } else if i == 0 {
                    b"[\""
                } else {
                    b",\""
                },
                out,
            );
            let value_at = out.len();
            value.push::<Json>(out);
            let name = if *named { name_at..name_end } else { 0..0 };
            pieces[*place] = Piece { name, value: value_at..out.len() };
            out.push(b'"');
        }
        if many {
            out.push(b']');
        }
    }
    put(if groups.is_empty() { b"{}" } else { b"}" }, out);
}

/// Writes the value of a column, an array if there are several, null if there is none.
pub(super) fn values<S: FieldSource>(source: &S, column: &Column, out: &mut Vec<u8>) {
    let start = out.len();
    let mut count = 0;
    each_of(source, column, |value| {
        count += 1;
        put(if count == 1 { b"\"" } else { b",\"" }, out);
        value.push::<Json>(out);
        out.push(b'"');
    });
    match count {
        0 => put(b"null", out),
        1 => {}
        _ => {
            out.insert(start, b'[');
            out.push(b']');
        }
    }
}

/// Calls `visit` with each value of a column that is one of the data or of user data.
pub(in super::super) fn each_of<S: FieldSource>(
    source: &S,
    column: &Column,
    mut visit: impl FnMut(Value<'_>),
) {
    match column {
        Column::Member(_) => {}
        Column::UserData(path) => {
            if source.has_more() {
                user_data::each(source, |leaf| {
                    if leaf.is_at(path) {
                        visit(Value::Str(leaf.text()));
                    }
                    true
                });
            }
        }
        Column::Data(wanted) => {
            each_named(source, wanted, &mut visit);
            if source.has_more() {
                user_data::each(source, |leaf| {
                    if leaf.is_named(wanted) {
                        visit(Value::Str(leaf.text()));
                    }
                    true
                });
            }
        }
    }
}

/// Calls `visit` with each value of `<EventData>` that a name is of: the named ones, or, where none
/// has the name `paramN`, the Nth value if it has no name; `#N` is that one in any case.
fn each_named<S: FieldSource>(source: &S, wanted: &str, visit: &mut impl FnMut(Value<'_>)) {
    let digits = |prefix: &str| {
        let (start, digits) = wanted.split_at_checked(prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then(|| digits.parse::<usize>().ok())?
    };
    let mut any_named = false;
    let _ = source.each_data_named(wanted, |value| {
        any_named = true;
        visit(value);
        ControlFlow::Continue(())
    });
    let place = digits("#").or_else(|| digits("param").filter(|_| !any_named));
    let Some(wanted) = place else { return };
    let mut place = 0;
    let _ = source.each_data(|name, value| {
        place += 1;
        if name.is_none() && place == wanted {
            visit(value);
        }
        ControlFlow::Continue(())
    });
}

#[inline]
fn push_name(name: Option<DataName<'_>>, place: usize, out: &mut Vec<u8>) {
    match name {
        Some(name) => Json::push_str(name.as_str(), out),
        None => {
            put(b"param", out);
            put(itoa::Buffer::new().format(place).as_bytes(), out);
        }
    }
}

/// A number that differs for most names that differ.
#[inline]
fn key(name: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (first, last) = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (name.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)), 0),
    };
    (first ^ last.rotate_left(29) ^ name.len() as u64).wrapping_mul(ODD)
}
