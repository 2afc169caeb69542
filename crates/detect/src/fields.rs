//! What a rule's field is in an event: a field of `<System>`, a value of the event's data, or
//! something that is made of these.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use quarry_event::text::Plain;
use quarry_event::{Field, FieldSource, Sink, Value};

use crate::mapping::{Computed, FieldMap, Mapping};

/// The deepest element of user data whose values count, from `<UserData>`.
const MAX_DEPTH: usize = 64;

/// Where the values of a field are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) origin: Origin,
    /// Whether blanks at the end of a value don't count.
    pub(crate) padded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    System(Field),
    /// Values of this name (see [`key`]); where there are none, perhaps a field of `<System>`.
    Data {
        key: String,
        or: Option<Field>,
    },
    /// Made of values of data of these names.
    Computed {
        name: String,
        computed: Computed,
        inputs: Vec<String>,
    },
    /// Every value of the data.
    Every,
}

impl Slot {
    /// Where a rule's field is in events with the fields of a map; nothing where it can't be.
    pub(crate) fn of(
        field: Option<&str>,
        map: Option<&FieldMap>,
        mapping: &Mapping,
    ) -> Option<Slot> {
        let Some(name) = field else {
            return Some(Slot { origin: Origin::Every, padded: false });
        };
        let padded = mapping.is_padded(name);
        if let Some(computed) = map.and_then(|map| map.computed(name)) {
            let inputs = computed.from.iter().map(|name| key(name)).collect();
            let origin =
                Origin::Computed { name: name.to_owned(), computed: computed.clone(), inputs };
            return Some(Slot { origin, padded });
        }
        if map.is_some_and(|map| map.lacks(name)) {
            return None;
        }
        let origin = match system_field(name) {
            Some((field, true)) => Origin::System(field),
            other => Origin::Data { key: key(name), or: other.map(|(field, _)| field) },
        };
        Some(Slot { origin, padded })
    }
}

/// A name of data for comparing: case and blanks don't count.
pub(crate) fn key(name: &str) -> String {
    let mut key = String::new();
    push_key(name, &mut key);
    key
}

#[inline]
pub(crate) fn push_key(name: &str, key: &mut String) {
    crate::pattern::fold_into(name, key);
    if key.as_bytes().contains(&b' ') {
        key.retain(|c| c != ' ');
    }
}

/// The field of `<System>` that a rule's name means, and whether it can mean no data. Case and blanks
/// of the name don't count, as in names of data.
pub(crate) fn system_field(name: &str) -> Option<(Field, bool)> {
    static FIELDS: OnceLock<HashMap<String, (Field, bool)>> = OnceLock::new();
    let fields = FIELDS.get_or_init(|| {
        let named = |field: Field| match field.attribute() {
            Some(attribute) => (key(&format!("{}_{attribute}", field.element())), (field, true)),
            None => {
                let is_only = matches!(field, Field::EventId | Field::Computer);
                (key(field.element()), (field, is_only))
            }
        };
        Field::all().map(named).collect()
    });
    fields.get(&key(name)).copied()
}

/// A value of an event's data, for those who want all of them: with the key of its name.
pub(crate) fn each_value<S: FieldSource>(event: &S, mut visit: impl FnMut(&str, Value<'_>)) {
    let mut name_key = String::new();
    let _ = event.each_data(|name, value| {
        name_key.clear();
        // What has no name is what Windows' XML calls it: Data.
        match name {
            Some(name) if !name.as_str().is_empty() => push_key(name.as_str(), &mut name_key),
            _ => name_key.push_str("data"),
        }
        visit(&name_key, value);
        ControlFlow::Continue(())
    });
    if event.has_more() {
        let mut leaves =
            Leaves { visit, depth: 0, inside: false, name: "", text: Vec::new(), is_leaf: false };
        event.walk(&mut leaves);
    }
}

/// Visits the elements of `<UserData>` that have none inside.
struct Leaves<'a, F> {
    visit: F,
    depth: usize,
    inside: bool,
    name: &'a str,
    text: Vec<u8>,
    is_leaf: bool,
}

impl<'a, F: FnMut(&str, Value<'_>)> Sink<'a> for Leaves<'a, F> {
    fn open(&mut self, name: &'a str) {
        self.depth += 1;
        if self.depth == 2 {
            self.inside = name == "UserData";
        } else if self.inside && self.depth <= MAX_DEPTH {
            self.name = name.rsplit_once(':').map_or(name, |(_, local)| local);
            self.text.clear();
            self.is_leaf = true;
        }
    }

    fn attribute(&mut self, _: &'a str, _: &[Value<'a>]) {}

    fn text(&mut self, value: Value<'a>) {
        if self.inside && self.is_leaf {
            value.push::<Plain>(&mut self.text);
        }
    }

    fn close(&mut self, _: &'a str, _: bool) {
        if self.inside && self.depth > 2 && std::mem::take(&mut self.is_leaf) {
            let text = String::from_utf8_lossy(&self.text);
            (self.visit)(&key(self.name), Value::Str(&text));
        }
        self.depth = self.depth.saturating_sub(1);
    }
}
