//! The values of `<UserData>`: the elements in it that have no elements inside, by their names.
//!
//! `UserData` is what a provider's manifest makes of it, so its values have no common shape; but
//! the last element of each branch has a name and text, as data of `<EventData>` have.

use crate::text::{Plain, eq_ignore_case};
use crate::{FieldSource, Sink, Value};

/// The deepest element that counts, from `<UserData>`; what is deeper belongs to its ancestor
/// there.
const MAX_DEPTH: usize = 64;

/// A value of user data.
pub(crate) struct Leaf<'l> {
    /// The names of the elements from inside `<UserData>` to the value's own.
    path: &'l [&'l str],
    /// What the attribute `Name` says.
    name: Option<&'l str>,
    attribute: bool,
    text: &'l str,
}

impl Leaf<'_> {
    /// The value's name: that of its attribute `Name`, or of its element.
    pub(crate) fn name(&self) -> &str {
        self.name.or_else(|| self.path.last().copied()).unwrap_or_default()
    }

    /// Whether a name is the value's, without regard to case; a prefix needs not be given.
    pub(crate) fn is_named(&self, wanted: &str) -> bool {
        !self.attribute && is_name(self.name(), wanted)
    }

    /// Whether the names of elements lead to the value, each without regard to case.
    pub(crate) fn is_at(&self, path: &[String]) -> bool {
        self.path.len() == path.len()
            && self.path.iter().zip(path).all(|(name, wanted)| is_name(name, wanted))
    }

    /// Whether it is an attribute's.
    pub(crate) fn is_attribute(&self) -> bool {
        self.attribute
    }

    /// The name without its prefix.
    pub(crate) fn local_name(&self) -> &str {
        let name = self.name();
        name.rsplit_once(':').map_or(name, |(_, local)| local)
    }

    /// The names that lead to the value as a field has them: `user_data.A.B`.
    pub(crate) fn path(&self) -> String {
        format!("user_data.{}", self.path.join("."))
    }

    pub(crate) fn text(&self) -> &str {
        self.text
    }
}

fn is_name(name: &str, wanted: &str) -> bool {
    let local = || name.rsplit_once(':').is_some_and(|(_, local)| eq_ignore_case(local, wanted));
    eq_ignore_case(name, wanted) || local()
}

/// Calls `visit` with each value, until it says that it wants no more.
pub(crate) fn each<S: FieldSource>(source: &S, visit: impl FnMut(&Leaf<'_>) -> bool) {
    let mut reader = Reader {
        visit,
        depth: 0,
        inside: false,
        done: false,
        path: Vec::new(),
        name: None,
        text: Vec::new(),
        is_leaf: false,
    };
    source.walk(&mut reader);
}

struct Reader<'a, F> {
    visit: F,
    /// How many elements are open.
    depth: usize,
    /// Whether the walk is in `<UserData>`.
    inside: bool,
    done: bool,
    path: Vec<&'a str>,
    /// The innermost element's attribute `Name`.
    name: Option<String>,
    /// The innermost element's text.
    text: Vec<u8>,
    /// Whether the innermost element has no elements inside so far.
    is_leaf: bool,
}

impl<F: FnMut(&Leaf<'_>) -> bool> Reader<'_, F> {
    /// Gives the innermost element's value.
    fn give(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let name = self.name.as_deref();
        let leaf = Leaf { path: &self.path, name, attribute: false, text: &text };
        self.done = !(self.visit)(&leaf);
    }
}

impl<'a, F: FnMut(&Leaf<'_>) -> bool> Sink<'a> for Reader<'a, F> {
    fn skips(&self, name: &str) -> bool {
        self.done || self.depth == 1 && name != "UserData"
    }

    fn open(&mut self, name: &'a str) {
        self.depth += 1;
        if self.depth == 2 {
            self.inside = name == "UserData";
        } else if self.inside && !self.done && self.depth <= MAX_DEPTH + 2 {
            self.path.push(name);
            self.name = None;
            self.text.clear();
            self.is_leaf = true;
        }
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        if self.done || !self.inside || self.path.is_empty() || self.depth > MAX_DEPTH + 2 {
            return;
        }
        if name == "xmlns" || name.starts_with("xmlns:") {
            return;
        }
        self.text.clear();
        pieces.iter().for_each(|piece| piece.push::<Plain>(&mut self.text));
        if name == "Name" {
            self.name = Some(String::from_utf8_lossy(&self.text).into_owned());
        }
        let attribute = format!("@{name}");
        let mut path = self.path.clone();
        path.push(&attribute);
        let text = String::from_utf8_lossy(&self.text);
        let leaf = Leaf { path: &path, name: None, attribute: true, text: &text };
        self.done = !(self.visit)(&leaf);
        self.text.clear();
    }

    fn text(&mut self, value: Value<'a>) {
        if self.is_leaf && !self.done {
            value.push::<Plain>(&mut self.text);
        }
    }

    fn close(&mut self, _name: &'a str, _empty: bool) {
        if self.inside && self.depth > 2 && self.depth <= MAX_DEPTH + 2 && !self.done {
            if std::mem::take(&mut self.is_leaf) {
                self.give();
            }
            self.path.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        if self.depth < 2 {
            self.inside = false;
        }
    }
}
