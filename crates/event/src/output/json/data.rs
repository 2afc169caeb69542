//! The member `data`: the values of `<EventData>` by name, in the event's order.
//!
//! An unnamed value is `paramN`, N its place among all values, or `#N` where another value has that
//! name itself. A name that comes again makes an array at its first place. Names rarely come again, so the object is written straight away, and
//! begun anew the slow way when one does.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use super::put;
use crate::output::Column;
use crate::text::{Escape, Json};
use crate::{
    DataName, FieldSource, Insert, InsertOf, PartialSource, Substituted, Value, user_data,
};

/// The name of the bytes after an event's strings.
const BINARY: &str = "Binary";

/// Names looked through one by one; an event with more is written the slow way, whose time does
/// not grow with their square.
const MAX_SCANNED: usize = 96;

/// The names of the object being written, to see whether one comes again.
#[derive(Default, Debug)]
pub(super) struct Names {
    /// Where each lies in the output, escaped.
    places: Vec<Range<usize>>,
    keys: Vec<u64>,
}

/// Writes the object.
pub(super) fn object<S: FieldSource>(source: &S, names: &mut Names, out: &mut Vec<u8>) {
    let start = out.len();
    if source.has_distinct_names() {
        if distinct(source, |_, _, _| {}, out) {
            return;
        }
        out.truncate(start);
    }
    any(source, names, out);
}

/// Writes the object, and lists its values for a message.
pub(super) fn object_with<'a, S: FieldSource>(
    source: &'a S,
    names: &mut Names,
    inserts: &mut Vec<Insert<'a>>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    if source.has_distinct_names() {
        let list = |name: DataName<'a>, value, written| {
            inserts.push(Insert { value, of: of(name), written });
        };
        if distinct(source, list, out) {
            if source.substituted().is_some_and(|substituted| !substituted.is_data) {
                inserts.clear();
                self::inserts(source, inserts);
            }
            return;
        }
        inserts.clear();
        out.truncate(start);
    }
    any(source, names, out);
    self::inserts(source, inserts);
}

/// Lists the values for a message; none where one of them is an array, which takes room of its own.
pub(in super::super) fn inserts<'a, S: FieldSource>(source: &'a S, inserts: &mut Vec<Insert<'a>>) {
    if let Some(Substituted { of, slots, has_arrays, .. }) = source.substituted() {
        if !has_arrays {
            let or_empty = |value: Value<'a>| if value.is_null() { Value::Str("") } else { value };
            let values = slots.map(|slot| or_empty(source.slot(slot)));
            inserts.extend(values.map(|value| Insert { value, of, written: 0..0 }));
        }
        return;
    }
    let _ = source.each_data(|name, value| {
        inserts.push(Insert { value, of: name.map_or(InsertOf::Data, of), written: 0..0 });
        ControlFlow::Continue(())
    });
}

#[inline]
fn of(name: DataName<'_>) -> InsertOf {
    match name.as_str() {
        BINARY => InsertOf::Binary,
        _ => InsertOf::Data,
    }
}

/// Writes the object for any event.
fn any<S: FieldSource>(source: &S, names: &mut Names, out: &mut Vec<u8>) {
    let start = out.len();
    let Names { places, keys } = names;
    places.clear();
    keys.clear();
    // A bit for each key seen, so that most names need no search.
    let mut seen = 0u64;
    let mut place = 0;
    let mut unnamed = false;
    let mut named_param = false;
    out.push(b'{');
    let repeats = source.each_data(|name, value| {
        put(if place == 0 { b"\"" } else { b",\"" }, out);
        place += 1;
        let name_at = out.len();
        push_name(name, place, out);
        if name.is_some() {
            let written = &out[name_at..];
            let key = key(written);
            let bit = 1 << (key >> 58);
            if seen & bit != 0
                && (keys.len() > MAX_SCANNED
                    || keys.contains(&key)
                        && places.iter().any(|place| out[place.clone()] == *written))
            {
                return ControlFlow::Break(());
            }
            seen |= bit;
            keys.push(key);
            named_param |= written.starts_with(b"param");
            places.push(name_at..out.len());
        } else {
            unnamed = true;
        }
        if unnamed && named_param {
            return ControlFlow::Break(());
        }
        put(b"\":\"", out);
        value.push::<Json>(out);
        out.push(b'"');
        ControlFlow::Continue(())
    });
    if repeats.is_break() {
        out.truncate(start);
        grouped(source, out);
    } else {
        out.push(b'}');
    }
}

/// Writes the object for an event whose names all differ, from a template that has them ready.
/// Says whether they were. `list` is called with each value, and where it was written.
#[inline]
fn distinct<'a, S: FieldSource>(
    source: &'a S,
    mut list: impl FnMut(DataName<'a>, Value<'a>, Range<usize>),
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    let all = source.each_data(|name, value| {
        let Some((name, member)) = name.and_then(|name| Some((name, name.json_member()?))) else {
            return ControlFlow::Break(());
        };
        put(member.as_bytes(), out);
        let written = out.len();
        value.push::<Json>(out);
        list(name, value, written..out.len());
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
fn grouped<S: FieldSource>(source: &S, out: &mut Vec<u8>) {
    let mut groups: Vec<(Vec<u8>, Vec<Value<'_>>)> = Vec::new();
    let mut by_name: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut named: HashSet<Vec<u8>> = HashSet::new();
    let _ = source.each_data(|name, _| {
        if name.is_some() {
            let mut written = Vec::new();
            push_name(name, 0, &mut written);
            named.insert(written);
        }
        ControlFlow::Continue(())
    });
    let mut place = 0;
    let _ = source.each_data(|name, value| {
        place += 1;
        let mut written = Vec::new();
        push_name(name, place, &mut written);
        if name.is_none() && named.contains(&written) {
            written = format!("#{place}").into_bytes();
            while named.contains(&written) {
                written.insert(0, b'#');
            }
        }
        let group = *by_name.entry(written).or_insert_with_key(|written| {
            groups.push((written.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(value);
        ControlFlow::Continue(())
    });
    for (i, (name, values)) in groups.iter().enumerate() {
        put(if i == 0 { b"{\"" } else { b",\"" }, out);
        put(name, out);
        put(b"\":", out);
        let many = values.len() > 1;
        for (i, value) in values.iter().enumerate() {
            if many {
                out.push(if i == 0 { b'[' } else { b',' });
            }
            out.push(b'"');
            value.push::<Json>(out);
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
        put_value(value, count, out);
    });
    end_values(start, count, out);
}

/// The same of a named value of an event that is not decoded. Says whether what is known of it is enough;
/// otherwise something may have been written.
#[inline]
pub(super) fn known_values<S: PartialSource>(source: &S, name: &str, out: &mut Vec<u8>) -> bool {
    if source.may_have_user_data() {
        return false;
    }
    let start = out.len();
    let mut count = 0;
    let flow = source.known_data(Some(name), |value| {
        count += 1;
        put_value(value, count, out);
        ControlFlow::Continue(())
    });
    end_values(start, count, out);
    flow.is_some()
}

#[inline]
fn put_value(value: Value<'_>, count: usize, out: &mut Vec<u8>) {
    put(if count == 1 { b"\"" } else { b",\"" }, out);
    value.push::<Json>(out);
    out.push(b'"');
}

#[inline]
fn end_values(start: usize, count: usize, out: &mut Vec<u8>) {
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
        Column::Member(_) | Column::Name(_) | Column::EachData => {}
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
    let mut any_named = false;
    let _ = source.each_data_named(wanted, |value| {
        any_named = true;
        visit(value);
        ControlFlow::Continue(())
    });
    let place = number_after("#", wanted);
    let place = place.or_else(|| number_after("param", wanted).filter(|_| !any_named));
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

/// The number of an unnamed value, in a name that may mean it.
fn number_after(prefix: &str, name: &str) -> Option<usize> {
    let (start, digits) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| digits.parse().ok())?
}

/// Whether a name of data may mean an unnamed value by its place.
pub(in super::super) fn may_be_a_place(name: &str) -> bool {
    ["#", "param"].iter().any(|prefix| number_after(prefix, name).is_some())
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
