//! The values of an event for people: by name, those that tell events apart before the others, and
//! with the words behind them.

use std::ops::{ControlFlow, Range};

use super::json;
use crate::filter::Pattern;
use crate::text::Plain;
use crate::{DataName, FieldSource, Texts, Value};

/// The values of one event.
#[derive(Default, Debug)]
pub(super) struct Values {
    text: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    name: Range<usize>,
    value: Range<usize>,
    /// Whether the event names it.
    is_named: bool,
}

impl Values {
    /// Reads an event's data, or where it has none the leaves of its user data, and forgets the
    /// event before.
    pub(super) fn read<S: FieldSource>(
        &mut self,
        source: &S,
        texts: Texts<'_>,
        tree: &mut json::Tree,
    ) {
        self.text.clear();
        self.places.clear();
        let _ = source.each_data(|name, value| {
            self.add(name, |out| value.push::<Plain>(out));
            self.add_words(source, texts, &value);
            ControlFlow::Continue(())
        });
        if self.places.is_empty() && source.has_more() {
            tree.read::<Plain, S>(source);
            tree.each_leaf(|name, text| {
                let name = crate::text::lossy(name);
                self.add(Some(DataName::new(&name)), |out| out.extend_from_slice(text));
                let text = crate::text::lossy(text);
                self.add_words(source, texts, &Value::Str(&text));
            });
        }
    }

    fn add(&mut self, name: Option<DataName<'_>>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        match name {
            Some(name) => self.text.extend_from_slice(name.as_str().as_bytes()),
            None => {
                self.text.extend_from_slice(b"param");
                let number = self.places.len() + 1;
                self.text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
        }
        let middle = self.text.len();
        write(&mut self.text);
        let place =
            Place { name: start..middle, value: middle..self.text.len(), is_named: name.is_some() };
        self.places.push(place);
    }

    /// Adds the words behind the last value, in parentheses.
    fn add_words<S: FieldSource>(&mut self, source: &S, texts: Texts<'_>, value: &Value<'_>) {
        let (Some(known), Some(place)) = (texts.source, self.places.last_mut()) else { return };
        let name = crate::text::lossy(&self.text[place.name.clone()]).into_owned();
        let end = self.text.len();
        self.text.extend_from_slice(b" (");
        match known.words(source, &name, value, &mut self.text) {
            true => {
                self.text.push(b')');
                place.value.end = self.text.len();
            }
            false => self.text.truncate(end),
        }
    }

    /// Names and values, in the event's order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let text = |range: &Range<usize>| &self.text[range.clone()];
        self.places.iter().map(move |place| (text(&place.name), text(&place.value)))
    }

    /// Names and values, values of one name together at its first place, separated by commas and
    /// blanks.
    pub(super) fn by_name(&self) -> Vec<(&[u8], Vec<u8>)> {
        let mut places = std::collections::HashMap::new();
        let mut found: Vec<(&[u8], Vec<u8>)> = Vec::new();
        for (name, value) in self.iter() {
            match places.get(name) {
                Some(&place) => {
                    let (_, values): &mut (&[u8], Vec<u8>) = &mut found[place];
                    values.extend_from_slice(b", ");
                    values.extend_from_slice(value);
                }
                None => {
                    places.insert(name, found.len());
                    found.push((name, value.to_vec()));
                }
            }
        }
        found
    }

    /// Writes the values on one line, `NAME=VALUE` for a named one: first those in which the
    /// pattern is, then those that tell events apart, SIDs and GUIDs after names, then the others. Where the pattern is in
    /// what was written is added to `matches`.
    pub(super) fn join(
        &self,
        pattern: Option<&Pattern>,
        matches: &mut Vec<Range<usize>>,
        out: &mut Vec<u8>,
    ) {
        let value = |place: &Place| &self.text[place.value.clone()];
        let is_found = |place: &Place| pattern.is_some_and(|pattern| pattern.is_in(value(place)));
        let rank = |place: &Place| match () {
            () if is_found(place) => 0,
            () if is_dull(value(place)) => 3,
            () if is_opaque(value(place)) => 2,
            () => 1,
        };
        let mut order: Vec<(u8, &Place)> =
            self.places.iter().map(|place| (rank(place), place)).collect();
        order.sort_by_key(|&(rank, _)| rank);
        for (i, (rank, place)) in order.into_iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            if place.is_named {
                out.extend_from_slice(&self.text[place.name.clone()]);
                out.push(b'=');
            }
            let start = out.len();
            out.extend_from_slice(value(place));
            if let (0, Some(pattern)) = (rank, pattern) {
                find(pattern, start, out, matches);
            }
        }
    }
}

/// Adds where a pattern is in the text that begins at `start`.
pub(super) fn find(pattern: &Pattern, start: usize, text: &[u8], matches: &mut Vec<Range<usize>>) {
    /// Matches that are marked in one value; there is no room to see more.
    const MOST: usize = 100;
    let found = pattern.find_in(&text[start..]).filter(|found| !found.is_empty());
    matches.extend(found.take(MOST).map(|found| start + found.start..start + found.end));
}

/// Whether a value is what events have where there is nothing to say, and so doesn't tell them
/// apart.
pub(super) fn is_dull(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let is_guid = value.first() == Some(&b'{') && value.len() == 38;
    matches!(value, b"" | b"-" | b"0x0" | b"S-1-0-0" | b"NULL SID")
        || is_guid && value.iter().all(|b| matches!(b, b'{' | b'}' | b'-' | b'0'))
}

/// Whether a value is a SID or GUID, which says less to people than the name that mostly stands
/// beside it.
fn is_opaque(value: &[u8]) -> bool {
    value.starts_with(b"S-1-") || value.len() == 38 && value.starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fake::{Fake, element, text};

    fn joined(fake: &Fake, pattern: Option<&str>) -> String {
        let pattern = pattern.map(|pattern| Pattern::parse(pattern).unwrap());
        let mut values = Values::default();
        values.read(fake, Texts::default(), &mut json::Tree::default());
        let (mut out, mut matches) = (Vec::new(), Vec::new());
        values.join(pattern.as_ref(), &mut matches, &mut out);
        for found in matches.into_iter().rev() {
            out.insert(found.end, b']');
            out.insert(found.start, b'[');
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_that_tell_events_apart_come_before_those_that_do_not() {
        let fake = Fake::new(
            &[],
            &[
                ("SubjectUserSid", "S-1-0-0"),
                ("SubjectUserName", "-"),
                ("SubjectLogonId", "0x0"),
                ("TargetUserSid", "S-1-5-21-1-2-3-1001"),
                ("TargetUserName", "alice"),
                ("LogonGuid", "{00000000-0000-0000-0000-000000000000}"),
                ("LogonType", "3"),
                ("", ""),
                ("", "last"),
            ],
        );
        let expected = "TargetUserName=alice, LogonType=3, last, \
                        TargetUserSid=S-1-5-21-1-2-3-1001, SubjectUserSid=S-1-0-0, \
                        SubjectUserName=-, SubjectLogonId=0x0, \
                        LogonGuid={00000000-0000-0000-0000-000000000000}, ";
        assert_eq!(joined(&fake, None), expected);
    }

    #[test]
    fn the_value_that_a_pattern_is_in_comes_first() {
        let fake = Fake::new(&[], &[("A", "1"), ("B", "x needle, needle"), ("needle", "2")]);
        assert_eq!(joined(&fake, Some("needle")), "B=x [needle], [needle], A=1, needle=2");
        assert_eq!(joined(&fake, Some("^x")), "B=[x] needle, needle, A=1, needle=2");
    }

    #[test]
    fn the_leaves_of_user_data_are_values() {
        let mut fake = Fake::default();
        fake.more.push(element("UserData", &[], vec![text("SubjectUserName", "bob")]));
        assert_eq!(joined(&fake, None), "SubjectUserName=bob");
    }
}
