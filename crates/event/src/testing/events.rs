//! Generated events.

use proptest::prelude::*;

use crate::{Element, Event, Node};

/// Values of all kinds that text can have, and what only looks like one.
const VALUES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "5",
    "4624",
    "4625",
    "-5",
    "1.5",
    "4624.0",
    "1e3",
    "+5",
    " 2 ",
    "0x2",
    "0xff",
    "0xFF",
    "0x8020000000000000",
    "18446744073709551615",
    "99999999999999999999",
    "alice",
    "Alice",
    "CORP\\bob",
    "true",
    "00AB",
    "12",
    "{54849625-5478-4994-a5ba-3e3b0328c30d}",
    "{54849625-5478-4994-A5BA-3E3B0328C30D}",
    "2026-08-22T10:00:00.1234567Z",
    "2026-08-22T10:00:00.123Z",
    "2026-08-22T10:00:00.1240000Z",
    "40000-01-01T00:00:00.0000000Z",
    "S-1-5-18",
    "S-1-5-21-1-2-3-500",
    "é",
    "\u{fffd}x",
    "𝄞",
    "it's",
    "\"'",
    "<&>",
    "a\nb",
    "INF",
    "-",
];

/// Values that XPath 1.0 and Windows compare alike.
const PLAIN_VALUES: &[&str] =
    &["0", "1", "2", "3", "12", "4624", "-5", "1.5", "alice", "Alice", "it's", "<&>", "é", "-"];

const KEYWORDS: &[&str] =
    &["0x8020000000000000", "0x8010000000000000", "0x8000000000000000", "0x80000000000000", "0x0"];

/// Names of data and of user data.
const NAMES: &[&str] =
    &["TargetUserName", "TargetDomainName", "TargetUserSid", "Image", "A", "B", "param1", "param2"];

/// How far events may be from what is usual.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Anything.
    Odd,
    /// `<System>` has a typical value everywhere, data are in `<Data>` and nothing is nested.
    Tidy,
    /// What XPath 1.0 and Windows understand alike.
    Plain,
}

/// Events of all kinds.
pub fn events() -> impl Strategy<Value = Event> {
    event(Kind::Odd)
}

/// Events as Windows' own providers make most of them.
pub fn tidy_events() -> impl Strategy<Value = Event> {
    event(Kind::Tidy)
}

/// Events on which XPath 1.0 has the meaning that event queries have: no namespaces, numbers in
/// decimal only.
pub fn plain_events() -> impl Strategy<Value = Event> {
    event(Kind::Plain)
}

/// A value that data or fields may have.
pub(super) fn value() -> impl Strategy<Value = String> {
    prop::sample::select(VALUES).prop_map(str::to_owned)
}

/// A value that XPath 1.0 and Windows compare alike.
pub(super) fn plain_value() -> impl Strategy<Value = String> {
    prop::sample::select(PLAIN_VALUES).prop_map(str::to_owned)
}

/// The name of a value.
pub(super) fn name() -> impl Strategy<Value = String> {
    prop::sample::select(NAMES).prop_map(str::to_owned)
}

/// A time around that of [`now`](super::now), on and off whole milliseconds.
pub(super) fn time() -> impl Strategy<Value = crate::EventTime> {
    let units = prop_oneof![
        Just(0i64),
        Just(1),
        Just(-1),
        Just(10_000),
        Just(-10_000),
        -20_000_000i64..20_000_000
    ];
    units.prop_map(|offset| {
        let now = super::now().as_filetime() / 10_000 * 10_000;
        crate::EventTime::from_filetime(now.wrapping_add_signed(offset))
    })
}

fn event(kind: Kind) -> BoxedStrategy<Event> {
    let parts = (
        prop::option::weighted(0.95, system(kind)),
        prop::option::weighted(0.8, data(kind)),
        prop::option::weighted(if kind == Kind::Tidy { 0.1 } else { 0.3 }, user_data(kind)),
        any::<bool>(),
    );
    parts
        .prop_map(move |(system, data, user_data, namespace)| {
            let mut root = Element::new("Event");
            if namespace && kind != Kind::Plain {
                let uri = "http://schemas.microsoft.com/win/2004/08/events/event".to_owned();
                root.attributes.push(("xmlns".to_owned(), uri));
            }
            root.children
                .extend([system, data, user_data].into_iter().flatten().map(Node::Element));
            Event { root }
        })
        .boxed()
}

/// A value of a field: mostly what it typically is.
fn field(typical: impl Strategy<Value = String> + 'static, kind: Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::Tidy => typical.boxed(),
        Kind::Odd => prop_oneof![8 => typical, 1 => value(), 1 => Just(String::new())].boxed(),
        Kind::Plain => prop_oneof![8 => typical, 1 => plain_value()].boxed(),
    }
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

fn decimal(range: std::ops::Range<u32>) -> impl Strategy<Value = String> {
    range.prop_map(|number| number.to_string())
}

/// `<System>`, of which any child may be missing.
fn system(kind: Kind) -> impl Strategy<Value = Element> {
    type Part = BoxedStrategy<Option<Element>>;
    let there = |part: BoxedStrategy<Element>, weight: f64| -> Part {
        prop::option::weighted(weight, part).boxed()
    };
    let text = |name: &'static str, value: BoxedStrategy<String>| {
        value.prop_map(move |value| leaf(name, &[], &value)).boxed()
    };
    let attribute = |element: &'static str, name: &'static str, value: BoxedStrategy<String>| {
        value.prop_map(move |value| leaf(element, &[(name, value)], "")).boxed()
    };
    let guid = || one_of(&["{54849625-5478-4994-a5ba-3e3b0328c30d}"]);
    let provider = (
        field(one_of(&["Service Control Manager", "Microsoft-Windows-Kernel", "provider"]), kind),
        prop::option::of(field(guid(), kind)),
    );
    let provider = provider.prop_map(|(name, guid)| {
        let mut attributes = vec![("Name", name)];
        attributes.extend(guid.map(|guid| ("Guid", guid)));
        leaf("Provider", &attributes, "")
    });
    let id = (field(decimal(4620..4630), kind), prop::option::of(field(decimal(0..3), kind)));
    let id = id.prop_map(|(id, qualifiers)| {
        let attributes: Vec<_> =
            qualifiers.map(|value| ("Qualifiers", value)).into_iter().collect();
        leaf("EventID", &attributes, &id)
    });
    // XPath 1.0 reads no hexadecimal.
    let keywords = match kind {
        Kind::Plain => &["9232379236109516800", "4503599627370496", "36028797018963968", "0"],
        _ => KEYWORDS,
    };
    let keywords = one_of(keywords);
    // XPath 1.0 has no number for the difference of what is no time.
    let created = time().prop_map(|time| time.to_string());
    let created = field(created, if kind == Kind::Plain { Kind::Tidy } else { kind });
    let execution = (field(decimal(0..5), kind), field(decimal(0..5), kind))
        .prop_map(|(p, t)| leaf("Execution", &[("ProcessID", p), ("ThreadID", t)], ""));
    let parts: Vec<Part> = vec![
        there(provider.boxed(), 0.95),
        there(id.boxed(), 0.95),
        there(text("Version", field(decimal(0..3), kind)), 0.9),
        there(text("Level", field(decimal(0..8), kind)), 0.95),
        there(text("Keywords", field(keywords, kind)), 0.9),
        there(attribute("TimeCreated", "SystemTime", created), 0.95),
        there(text("EventRecordID", field(decimal(0..9), kind)), 0.8),
        there(attribute("Correlation", "ActivityID", field(guid(), kind)), 0.3),
        there(execution.boxed(), 0.8),
        there(text("Channel", field(one_of(&["Security", "System", "A/Operational"]), kind)), 0.9),
        there(text("Computer", field(one_of(&["DC01.corp", "web1", "WEB1"]), kind)), 0.9),
        there(attribute("Security", "UserID", field(one_of(&["S-1-5-18", "S-1-5-20"]), kind)), 0.5),
    ];
    parts.prop_map(|parts| {
        let mut system = Element::new("System");
        system.children.extend(parts.into_iter().flatten().map(Node::Element));
        system
    })
}

fn leaf(name: &str, attributes: &[(&str, String)], text: &str) -> Element {
    let mut element = Element::new(name);
    element.attributes =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    element.closed_empty = text.is_empty();
    if !text.is_empty() {
        element.children.push(Node::Text(text.to_owned()));
    }
    element
}

fn any_value(kind: Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::Plain => plain_value().boxed(),
        _ => prop_oneof![9 => value(), 1 => Just(String::new())].boxed(),
    }
}

/// `<EventData>`: mostly `<Data>` with a name.
fn data(kind: Kind) -> impl Strategy<Value = Element> {
    let named = || {
        (name(), any_value(kind)).prop_map(|(name, value)| leaf("Data", &[("Name", name)], &value))
    };
    let unnamed = || any_value(kind).prop_map(|value| leaf("Data", &[], &value));
    let item = match kind {
        Kind::Tidy => prop_oneof![5 => named(), 1 => unnamed()].boxed(),
        _ => {
            let other =
                (name(), any_value(kind)).prop_map(|(name, value)| leaf(&name, &[], &value));
            let both = (name(), name(), any_value(kind))
                .prop_map(|(element, name, value)| leaf(&element, &[("Name", name)], &value));
            let nested = (
                one_of(&["ComplexData", "Data"]),
                name(),
                prop::collection::vec(prop_oneof![named(), unnamed()], 1..3),
            );
            let nested = nested.prop_map(|(element, name, children)| {
                let mut element = Element::new(element);
                element.attributes.push(("Name".to_owned(), name));
                // Text that no query asks for: XPath 1.0 would find it in the element's value.
                element.children.push(Node::Text("§".to_owned()));
                element.children.extend(children.into_iter().map(Node::Element));
                element
            });
            prop_oneof![12 => named(), 3 => unnamed(), 1 => other, 1 => both, 1 => nested].boxed()
        }
    };
    prop::collection::vec(item, 0..6).prop_map(|items| {
        let mut data = Element::new("EventData");
        data.children.extend(items.into_iter().map(Node::Element));
        data
    })
}

/// `<UserData>` with elements in elements.
fn user_data(kind: Kind) -> impl Strategy<Value = Element> {
    let attributes =
        move || prop::option::weighted(0.3, (one_of(&["Name", "id"]), any_value(kind)));
    let leaf = (name(), attributes(), any_value(kind)).prop_map(|(name, attribute, value)| {
        let attributes: Vec<_> = attribute.iter().map(|(n, v)| (&**n, v.clone())).collect();
        leaf(&name, &attributes, &value)
    });
    let tree = leaf.prop_recursive(3, 12, 4, move |inner| {
        let children = prop::collection::vec(inner, 1..4);
        (one_of(&["X", "Y", "EventXML"]), attributes(), children).prop_map(
            |(name, attribute, children)| {
                let mut element = Element::new(name);
                element.attributes.extend(attribute);
                element.children.push(Node::Text("§".to_owned()));
                element.children.extend(children.into_iter().map(Node::Element));
                element
            },
        )
    });
    prop::collection::vec(tree, 0..2).prop_map(|children| {
        let mut data = Element::new("UserData");
        data.children.extend(children.into_iter().map(Node::Element));
        data
    })
}
