//! Users that an event names: by SID, by name, and by domain and name.

use std::ops::{ControlFlow, Range};

use super::Glob;
use super::matcher::text_of;
use crate::text::Plain;
use crate::{Field, FieldSource, Sink, Value};

/// The most values of an event that are looked at; events have a few.
const MAX_VALUES: usize = 256;

/// The values of an event that name users and domains. Used again for the next event.
#[derive(Default)]
pub(super) struct Users {
    /// Prefixes and values one after another.
    text: Vec<u8>,
    values: Vec<Named>,
}

struct Named {
    kind: Kind,
    /// What the name has in front of `UserName` or `DomainName`.
    prefix: Range<usize>,
    value: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A user's name, which may have a domain elsewhere.
    UserName,
    /// A user or a SID.
    User,
    Domain,
}

/// What a value of this name is, and what the name has in front.
fn kind_of(name: &str) -> Option<(Kind, &str)> {
    let name = name.rsplit(':').next().unwrap_or(name);
    let without = |suffix: &str| {
        let (prefix, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
        end.eq_ignore_ascii_case(suffix).then_some(prefix)
    };
    if let Some(prefix) = without("UserName") {
        return Some((Kind::UserName, prefix));
    }
    if let Some(prefix) = without("DomainName") {
        return Some((Kind::Domain, prefix));
    }
    ["User", "AccountName", "Sid"]
        .iter()
        .any(|suffix| without(suffix).is_some())
        .then_some((Kind::User, ""))
}

impl Users {
    /// Whether the event names a user that any of the globs matches.
    pub(super) fn are_named<S: FieldSource>(
        &mut self,
        globs: &[Glob],
        source: &S,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let sid = source.field(Field::UserId);
        if !sid.is_empty() {
            let sid = text_of(&sid, scratch);
            if globs.iter().any(|glob| glob.matches_utf8(sid)) {
                return true;
            }
        }
        self.text.clear();
        self.values.clear();
        let _ = source.each_data(|name, value| {
            if name.is_some_and(|name| self.begin(name.as_str())) {
                value.push::<Plain>(&mut self.text);
                self.end();
            }
            match self.values.len() < MAX_VALUES {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        if source.has_more() {
            let mut collector = Collector { users: self, is_open: false };
            source.walk(&mut Others::new(&mut collector));
        }
        self.values.iter().any(|value| {
            value.kind != Kind::Domain
                && globs.iter().any(|glob| self.is_user(value, glob, scratch))
        })
    }

    fn is_user(&self, named: &Named, glob: &Glob, scratch: &mut Vec<u8>) -> bool {
        let value = &self.text[named.value.clone()];
        if value.is_empty() {
            return false;
        }
        if glob.matches_utf8(value) {
            return true;
        }
        if !glob.as_str().contains('\\') {
            // CORP\alice is alice too.
            let name = value.iter().rposition(|&b| b == b'\\').map(|at| &value[at + 1..]);
            return name.is_some_and(|name| !name.is_empty() && glob.matches_utf8(name));
        }
        let prefix = |named: &Named| &self.text[named.prefix.clone()];
        let same_prefix = |other: &Named| prefix(other).eq_ignore_ascii_case(prefix(named));
        named.kind == Kind::UserName
            && self.values.iter().any(|other| {
                if other.kind != Kind::Domain || !same_prefix(other) {
                    return false;
                }
                scratch.clear();
                scratch.extend_from_slice(&self.text[other.value.clone()]);
                scratch.push(b'\\');
                scratch.extend_from_slice(value);
                glob.matches_utf8(scratch)
            })
    }

    /// Begins a value if its name is one that counts; its text is written next.
    fn begin(&mut self, name: &str) -> bool {
        if self.values.len() == MAX_VALUES {
            return false;
        }
        let Some((kind, prefix)) = kind_of(name) else { return false };
        let start = self.text.len();
        self.text.extend_from_slice(prefix.as_bytes());
        let end = self.text.len();
        self.values.push(Named { kind, prefix: start..end, value: end..end });
        true
    }

    /// Ends the value that was begun last.
    fn end(&mut self) {
        if let Some(last) = self.values.last_mut() {
            last.value.end = self.text.len();
        }
    }

    /// Takes back the value that was begun last.
    fn discard(&mut self) {
        if let Some(last) = self.values.pop() {
            self.text.truncate(last.prefix.start);
        }
    }
}

/// Takes the values of user data: of elements without others in them, by the elements' names or
/// by their attribute `Name`.
struct Collector<'u> {
    users: &'u mut Users,
    is_open: bool,
}

impl Collector<'_> {
    fn begin(&mut self, name: &str) {
        if self.is_open {
            self.users.discard();
        }
        self.is_open = self.users.begin(name);
    }
}

impl<'a> Sink<'a> for Collector<'_> {
    fn open(&mut self, name: &'a str) {
        self.begin(name);
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        if name == "Name"
            && let [value] = pieces
        {
            value.with_text(|name| self.begin(name));
        }
    }

    fn text(&mut self, value: Value<'a>) {
        if self.is_open {
            value.push::<Plain>(&mut self.users.text);
        }
    }

    fn close(&mut self, _name: &'a str, _empty: bool) {
        if std::mem::take(&mut self.is_open) {
            self.users.end();
        }
    }
}

/// Passes on what is in an event besides `<System>` and `<EventData>`.
struct Others<'s, K> {
    sink: &'s mut K,
    depth: usize,
    skipping: bool,
}

impl<'s, K> Others<'s, K> {
    fn new(sink: &'s mut K) -> Self {
        Others { sink, depth: 0, skipping: false }
    }

    fn passes(&self) -> bool {
        self.depth > 1 && !self.skipping
    }
}

impl<'a, K: Sink<'a>> Sink<'a> for Others<'_, K> {
    fn open(&mut self, name: &'a str) {
        self.depth += 1;
        if self.depth == 2 {
            self.skipping = matches!(name, "System" | "EventData");
        }
        if self.passes() {
            self.sink.open(name);
        }
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        if self.passes() {
            self.sink.attribute(name, pieces);
        }
    }

    fn text(&mut self, value: Value<'a>) {
        if self.passes() {
            self.sink.text(value);
        }
    }

    fn close(&mut self, name: &'a str, empty: bool) {
        if self.passes() {
            self.sink.close(name, empty);
        }
        self.depth = self.depth.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use crate::EventTime;
    use crate::filter::{Filter, Glob};
    use crate::testing::event;

    fn names(user: &str, xml: &str) -> bool {
        let filter = Filter { users: vec![Glob::parse(user).unwrap()], ..Filter::default() };
        filter.matcher(EventTime::default()).matches(&event(xml), None)
    }

    #[test]
    fn users_are_found_by_sid_name_and_domain() {
        let xml = r#"<Event><System><Security UserID="S-1-5-18"/></System><EventData>
            <Data Name="SubjectUserName">DC01$</Data><Data Name="SubjectDomainName">CORP</Data>
            <Data Name="TargetUserName">Alice</Data><Data Name="targetdomainname">LAB</Data>
            <Data Name="TargetUserSid">S-1-5-21-7</Data><Data Name="Process">bob</Data>
            </EventData></Event>"#;
        for (user, expected) in [
            ("S-1-5-18", true),
            ("s-1-5-2?-7", true),
            ("alice", true),
            ("ALICE", true),
            ("lab\\alice", true),
            ("*\\alice", true),
            ("corp\\alice", false),
            ("CORP\\DC01$", true),
            ("bob", false),
            ("LAB", false),
        ] {
            assert_eq!(names(user, xml), expected, "{user}");
        }
    }

    #[test]
    fn a_domain_in_the_value_itself_counts() {
        let xml = r#"<Event><EventData><Data Name="User">CORP\bob</Data></EventData></Event>"#;
        for (user, expected) in [
            ("bob", true),
            ("corp\\bob", true),
            ("corp*", true),
            ("lab\\bob", false),
            ("corp", false),
        ] {
            assert_eq!(names(user, xml), expected, "{user}");
        }
    }

    #[test]
    fn user_data_names_users_too() {
        let xml = "<Event><UserData><LogFileCleared><SubjectUserName>eve</SubjectUserName>\
                   <SubjectDomainName>CORP</SubjectDomainName><X><User><A/>x</User></X>\
                   </LogFileCleared></UserData></Event>";
        for (user, expected) in [("eve", true), ("corp\\eve", true), ("x", false), ("corp", false)]
        {
            assert_eq!(names(user, xml), expected, "{user}");
        }
    }
}
