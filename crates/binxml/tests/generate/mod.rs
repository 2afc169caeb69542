//! Events for property tests: what to write, and the tree that a reader has to find.
//!
//! [`rendered`] follows MS-EVEN6 2.2.12.1 to 2.2.12.12 and 3.1.4.7 on the description, not on
//! bytes, and shares no code with the decoder.
#![allow(dead_code)] // Each test uses a part of it.

use proptest::prelude::*;
use quarry_binxml::write::{
    Attribute, Content, Element, Fragment, Instance, Piece, Template, TypedValue, ValueType,
};
use quarry_event::{self as event, Event, EventTime, Guid, Sid};

/// What events to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Anything that can be written.
    Any,
    /// What the crate `evtx` reads as the specification says.
    Evtx,
}

/// An event to write.
pub(crate) fn fragment(flavour: Flavour) -> impl Strategy<Value = Fragment<'static>> {
    prop_oneof![
        1 => event_element(Vec::new(), flavour).prop_map(Fragment::Element),
        6 => instance_of(flavour, 2, event_element),
    ]
}

/// The tree that readers have to find in a fragment.
pub(crate) fn rendered(fragment: &Fragment<'_>) -> Event {
    let mut roots = Vec::new();
    render_fragment(fragment, true, &mut roots);
    let Some(event::Node::Element(root)) = roots.pop() else { panic!("an event is an element") };
    Event { root }
}

/// Gives the values of a fragment others, as far as there are any; not those that have elements.
pub(crate) fn replace_values(
    fragment: &mut Fragment<'static>,
    others: &mut impl Iterator<Item = TypedValue<'static>>,
) {
    let Fragment::Instance(Instance { values, .. }) = fragment else { return };
    for value in values {
        match value {
            TypedValue::BinXml(inner) => replace_values(inner, &mut *others),
            value => *value = others.next().unwrap_or(TypedValue::Null),
        }
    }
}

// --- Rendering ----------------------------------------------------------------------------

fn render_fragment(fragment: &Fragment<'_>, is_event: bool, into: &mut Vec<event::Node>) {
    match fragment {
        Fragment::Element(element) => render(element, &[], is_event, into),
        Fragment::Instance(Instance { template, values }) => {
            render(template.root(), values, is_event, into);
        }
    }
}

fn is_null(piece: &Piece, values: &[TypedValue<'_>]) -> bool {
    matches!(piece, Piece::Substitution { id, optional: true, .. }
        if values[usize::from(*id)] == TypedValue::Null)
}

fn render(
    element: &Element,
    values: &[TypedValue<'_>],
    is_event: bool,
    into: &mut Vec<event::Node>,
) {
    // Real events have <Event> depend on the values of <EventData>, and are there without.
    let depends_on = element.depends_on.filter(|_| !is_event);
    if depends_on.is_some_and(|id| values[usize::from(id)] == TypedValue::Null) {
        return;
    }
    let lacks = |content: &Content| matches!(content, Content::Piece(p) if is_null(p, values));
    if !is_event && element.content.iter().any(lacks) {
        return;
    }
    let mut tree = event::Element::new(&element.name);
    tree.closed_empty = element.closed_empty && element.content.is_empty();
    for Attribute { name, value } in &element.attributes {
        let mut text = String::new();
        value.iter().for_each(|piece| push_piece(piece, values, &mut text));
        if !text.is_empty() && !value.iter().any(|piece| is_null(piece, values)) {
            tree.attributes.push((name.clone(), text));
        }
    }
    // The first array in the element's content is shown as an element for each item.
    let array = element.content.iter().position(|content| {
        matches!(content, Content::Piece(Piece::Substitution { id, .. })
            if matches!(&values[usize::from(*id)], TypedValue::Array { items, .. } if !items.is_empty()))
    });
    let Some(array) = array.filter(|_| !is_event) else {
        render_content(&element.content, values, &mut tree.children);
        into.push(event::Node::Element(tree));
        return;
    };
    let Content::Piece(Piece::Substitution { id, .. }) = &element.content[array] else {
        panic!("an array is a value");
    };
    let TypedValue::Array { items, .. } = &values[usize::from(*id)] else {
        panic!("an array is one");
    };
    for item in items {
        let mut copy = tree.clone();
        render_content(&element.content[..array], values, &mut copy.children);
        push_text(text_of(item), &mut copy.children);
        render_content(&element.content[array + 1..], values, &mut copy.children);
        into.push(event::Node::Element(copy));
    }
}

fn render_content(content: &[Content], values: &[TypedValue<'_>], into: &mut Vec<event::Node>) {
    for content in content {
        match content {
            Content::Element(child) => render(child, values, false, into),
            Content::CData(text) => push_text(text.clone(), into),
            Content::Pi { .. } => {}
            Content::Piece(Piece::Substitution { id, .. })
                if let TypedValue::BinXml(inner) = &values[usize::from(*id)] =>
            {
                render_fragment(inner, false, into);
            }
            Content::Piece(piece) => {
                let mut text = String::new();
                push_piece(piece, values, &mut text);
                push_text(text, into);
            }
        }
    }
}

fn push_text(text: String, into: &mut Vec<event::Node>) {
    match into.last_mut() {
        _ if text.is_empty() => {}
        Some(event::Node::Text(before)) => before.push_str(&text),
        _ => into.push(event::Node::Text(text)),
    }
}

fn push_piece(piece: &Piece, values: &[TypedValue<'_>], text: &mut String) {
    match piece {
        Piece::Text(literal) => text.push_str(literal),
        Piece::CharRef(c) => text.push(char::from_u32(u32::from(*c)).unwrap_or('\u{fffd}')),
        Piece::EntityRef(name) => text.push(match &**name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => panic!("{other} is no entity of XML"),
        }),
        Piece::Substitution { id, .. } => text.push_str(&text_of(&values[usize::from(*id)])),
    }
}

/// The text of a value (2.2.12.3), in the canonical form where versions of Windows differ.
pub(crate) fn text_of(value: &TypedValue<'_>) -> String {
    let until_nul = |text: String| text.split('\0').next().unwrap_or_default().to_owned();
    match value {
        TypedValue::Null | TypedValue::BinXml(_) => String::new(),
        TypedValue::String(text) => until_nul(text.to_string()),
        TypedValue::Utf16(units) => until_nul(String::from_utf16_lossy(units)),
        // The generator has characters only that are the same in ISO 8859-1.
        TypedValue::AnsiString(bytes) => until_nul(bytes.iter().map(|&b| char::from(b)).collect()),
        TypedValue::Int8(n) => n.to_string(),
        TypedValue::UInt8(n) => n.to_string(),
        TypedValue::Int16(n) => n.to_string(),
        TypedValue::UInt16(n) => n.to_string(),
        TypedValue::Int32(n) => n.to_string(),
        TypedValue::UInt32(n) => n.to_string(),
        TypedValue::Int64(n) => n.to_string(),
        TypedValue::UInt64(n) => n.to_string(),
        TypedValue::Real32(n) => float_text(format!("{n:?}")),
        TypedValue::Real64(n) => float_text(format!("{n:?}")),
        TypedValue::Bool(b) => b.to_string(),
        TypedValue::Binary(bytes) => bytes.iter().map(|b| format!("{b:02X}")).collect(),
        TypedValue::Guid(guid) => {
            let b = guid.to_bytes();
            let [d1, d2, d3] = [
                u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
                u16::from_le_bytes([b[4], b[5]]).into(),
                u16::from_le_bytes([b[6], b[7]]).into(),
            ];
            let tail: String = b[10..].iter().map(|b| format!("{b:02x}")).collect();
            format!("{{{d1:08x}-{d2:04x}-{d3:04x}-{:02x}{:02x}-{tail}}}", b[8], b[9])
        }
        TypedValue::Size32(n) | TypedValue::HexInt32(n) => format!("{n:#x}"),
        TypedValue::Size64(n) | TypedValue::HexInt64(n) => format!("{n:#x}"),
        TypedValue::FileTime(time) => time.to_string(),
        TypedValue::SysTime(time) => {
            let units = time.as_filetime();
            EventTime::from_filetime(units - units % EventTime::MILLISECOND).to_string()
        }
        TypedValue::Sid(sid) => {
            let b = sid.as_bytes();
            let mut text = format!("S-1-{}", b[7]);
            for sub in b[8..].chunks_exact(4) {
                text += &format!("-{}", u32::from_le_bytes([sub[0], sub[1], sub[2], sub[3]]));
            }
            text
        }
        TypedValue::Array { items, .. } => {
            let items: Vec<String> = items.iter().map(text_of).collect();
            items.join(",")
        }
    }
}

fn float_text(text: String) -> String {
    match &*text {
        "inf" => "INF".into(),
        "-inf" => "-INF".into(),
        _ => text,
    }
}

// --- Values -------------------------------------------------------------------------------

fn text(flavour: Flavour) -> BoxedStrategy<String> {
    match flavour {
        // `evtx` replaces what XML can't hold, and so do we, by something else.
        Flavour::Evtx => "[ -~äß€\u{1F600}\u{FFFD}]{0,24}".boxed(),
        Flavour::Any => prop_oneof![
            4 => "[ -~]{0,24}",
            1 => "[ -~\\x01-\\x1f\\x7fäß€\u{1F600}\u{FFFE}]{0,40}",
        ]
        .boxed(),
    }
}

fn time() -> impl Strategy<Value = EventTime> {
    // To the year 9999, which is as far as others go.
    (0..2_650_467_743_990_000_000u64).prop_map(EventTime::from_filetime)
}

fn sid() -> impl Strategy<Value = Sid<'static>> {
    (0..=255u8, prop::collection::vec(any::<u32>(), 0..6)).prop_map(|(authority, subs)| {
        let mut bytes = vec![1, subs.len() as u8, 0, 0, 0, 0, 0, authority];
        subs.iter().for_each(|sub| bytes.extend_from_slice(&sub.to_le_bytes()));
        Sid::split(bytes.leak()).unwrap().0
    })
}

/// A value that can be in an array.
fn item(of: ValueType, flavour: Flavour) -> BoxedStrategy<TypedValue<'static>> {
    use TypedValue as V;
    use ValueType as T;
    match of {
        T::String => text(flavour).prop_map(|t| V::String(t.into())).boxed(),
        T::AnsiString => "[ -~äßÿ]{0,12}"
            .prop_map(|t| match V::ansi(&t, encoding_rs::WINDOWS_1252).unwrap() {
                V::AnsiString(bytes) => V::AnsiString(bytes.into_owned().into()),
                other => panic!("{other:?}"),
            })
            .boxed(),
        T::Int8 => any::<i8>().prop_map(V::Int8).boxed(),
        T::UInt8 => any::<u8>().prop_map(V::UInt8).boxed(),
        T::Int16 => any::<i16>().prop_map(V::Int16).boxed(),
        T::UInt16 => any::<u16>().prop_map(V::UInt16).boxed(),
        T::Int32 => any::<i32>().prop_map(V::Int32).boxed(),
        T::UInt32 => any::<u32>().prop_map(V::UInt32).boxed(),
        T::Int64 => any::<i64>().prop_map(V::Int64).boxed(),
        T::UInt64 => any::<u64>().prop_map(V::UInt64).boxed(),
        // Where it writes an exponent is its own.
        T::Real32 if flavour == Flavour::Evtx => {
            (-99_999i32..99_999).prop_map(|n| V::Real32(n as f32 / 16.0)).boxed()
        }
        T::Real64 if flavour == Flavour::Evtx => {
            (-99_999i32..99_999).prop_map(|n| V::Real64(f64::from(n) / 16.0)).boxed()
        }
        T::Real32 => any::<f32>().prop_map(V::Real32).boxed(),
        T::Real64 => any::<f64>().prop_map(V::Real64).boxed(),
        T::Bool => any::<bool>().prop_map(V::Bool).boxed(),
        T::Guid => any::<[u8; 16]>().prop_map(|b| V::Guid(Guid::from_bytes(b))).boxed(),
        T::SizeT => any::<u64>().prop_map(V::Size64).boxed(),
        T::FileTime => time().prop_map(V::FileTime).boxed(),
        T::SysTime => time().prop_map(V::SysTime).boxed(),
        T::Sid => sid().prop_map(V::Sid).boxed(),
        T::HexInt32 => any::<u32>().prop_map(V::HexInt32).boxed(),
        T::HexInt64 => any::<u64>().prop_map(V::HexInt64).boxed(),
        other => panic!("{other:?} is not in arrays"),
    }
}

/// The types that can be in arrays.
pub(crate) const ITEM_TYPES: [ValueType; 20] = [
    ValueType::String,
    ValueType::AnsiString,
    ValueType::Int8,
    ValueType::UInt8,
    ValueType::Int16,
    ValueType::UInt16,
    ValueType::Int32,
    ValueType::UInt32,
    ValueType::Int64,
    ValueType::UInt64,
    ValueType::Real32,
    ValueType::Real64,
    ValueType::Bool,
    ValueType::Guid,
    ValueType::SizeT,
    ValueType::FileTime,
    ValueType::SysTime,
    ValueType::Sid,
    ValueType::HexInt32,
    ValueType::HexInt64,
];

/// A value of any type but BinXML.
pub(crate) fn value(flavour: Flavour) -> BoxedStrategy<TypedValue<'static>> {
    let simple = prop::sample::select(&ITEM_TYPES[..]).prop_flat_map(move |of| item(of, flavour));
    let least = usize::from(flavour == Flavour::Evtx);
    // `evtx` has no arrays of sizes.
    let has = |of: &ValueType| flavour == Flavour::Any || *of != ValueType::SizeT;
    let item_types: Vec<_> = ITEM_TYPES.into_iter().filter(has).collect();
    let array = prop::sample::select(item_types).prop_flat_map(move |of| {
        prop::collection::vec(item(of, flavour), least..4)
            .prop_map(move |items| TypedValue::Array { of, items })
    });
    let units = prop::collection::vec(
        prop_oneof![8 => 0x20u16..0x7f, 1 => 0xd800u16..0xe000, 1 => any::<u16>()],
        0..12,
    );
    let odd: BoxedStrategy<TypedValue<'static>> = match flavour {
        Flavour::Evtx => any::<u32>().prop_map(TypedValue::Size32).boxed(),
        Flavour::Any => units.prop_map(|units| TypedValue::Utf16(units.into())).boxed(),
    };
    prop_oneof![
        3 => Just(TypedValue::Null),
        12 => simple,
        3 => array,
        1 => prop::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| TypedValue::Binary(bytes.into())),
        1 => any::<u32>().prop_map(TypedValue::Size32),
        1 => odd,
    ]
    .boxed()
}

// --- Elements -----------------------------------------------------------------------------

/// Substitution ids that can be used in text, and in content.
#[derive(Clone, Debug, Default)]
struct Ids {
    text: Vec<(u16, ValueType)>,
    binxml: Vec<u16>,
}

fn ids(values: &[TypedValue<'_>]) -> Ids {
    let mut ids = Ids::default();
    for (id, value) in values.iter().enumerate() {
        match value {
            TypedValue::BinXml(_) => ids.binxml.push(id as u16),
            value => ids.text.push((id as u16, value.value_type())),
        }
    }
    ids
}

fn instance_of<S: Strategy<Value = Element> + 'static>(
    flavour: Flavour,
    depth: u32,
    root: fn(Vec<TypedValue<'static>>, Flavour) -> S,
) -> BoxedStrategy<Fragment<'static>> {
    let leaf = value(flavour);
    let value = if depth == 0 {
        leaf
    } else {
        prop_oneof![
            9 => leaf,
            1 => inner(flavour, depth - 1).prop_map(|f| TypedValue::BinXml(Box::new(f))),
        ]
        .boxed()
    };
    (
        prop::collection::vec(value, 1..14),
        any::<[u8; 16]>(),
        prop::collection::vec(any::<u8>(), 0..4),
    )
        .prop_flat_map(move |(values, guid, waste)| {
            root(values.clone(), flavour).prop_map(move |root| {
                let guid = Guid::from_bytes(guid);
                let template = Template::with_waste(guid, root, waste.clone()).unwrap();
                Fragment::Instance(Instance { template, values: values.clone() })
            })
        })
        .boxed()
}

/// In templates inside one another, `evtx` repeats some elements for arrays and others not.
fn without_arrays(mut fragment: Fragment<'static>) -> Fragment<'static> {
    if let Fragment::Instance(Instance { values, .. }) = &mut fragment {
        for value in values {
            if let TypedValue::Array { items, .. } = value {
                *value = items.swap_remove(0);
            }
        }
    }
    fragment
}

/// BinXML in a value.
fn inner(flavour: Flavour, depth: u32) -> BoxedStrategy<Fragment<'static>> {
    prop_oneof![
        1 => element(Vec::new(), flavour, 2).prop_map(Fragment::Element),
        3 => instance_of(flavour, depth, |values, flavour| element(values, flavour, 2))
            .prop_map(move |inner| match flavour {
                Flavour::Any => inner,
                Flavour::Evtx => without_arrays(inner),
            }),
    ]
    .boxed()
}

/// A few names, so that they are used again; some that fields have, some of other scripts, and one
/// with a prefix that stands for nothing.
const NAMES: [&str; 9] =
    ["Data", "EventID", "Binary", "x-1.y", "Größe", "Name", "EventData", "System", "a:b"];

fn name(flavour: Flavour) -> impl Strategy<Value = String> {
    let names = match flavour {
        Flavour::Any => &NAMES[..],
        Flavour::Evtx => &NAMES[..8],
    };
    prop_oneof![
        4 => prop::sample::select(names).prop_map(str::to_owned),
        1 => "[A-Za-z_][A-Za-z0-9_.-]{0,8}",
    ]
}

fn piece(ids: &Ids, flavour: Flavour) -> BoxedStrategy<Piece> {
    const ENTITIES: &[&str] = &["amp", "lt", "gt", "quot", "apos"];
    let literal = prop_oneof![
        6 => text(flavour).prop_map(Piece::Text),
        1 => (0x20u16..0x7f).prop_map(Piece::CharRef),
        1 => prop::sample::select(ENTITIES).prop_map(|e| Piece::EntityRef(e.to_owned())),
    ];
    // `evtx` keeps what a NULL drops, where there is more in it.
    let optional = any::<bool>().prop_map(move |optional| optional && flavour == Flavour::Any);
    // It repeats elements for arrays in attributes too, and for each of several in one element.
    let text: Vec<_> = match flavour {
        Flavour::Any => ids.text.clone(),
        Flavour::Evtx => ids.text.iter().filter(|id| !is_array(id.1)).copied().collect(),
    };
    if text.is_empty() {
        return literal.boxed();
    }
    let value = (prop::sample::select(text), optional)
        .prop_map(|((id, expected), optional)| Piece::Substitution { id, expected, optional });
    prop_oneof![1 => literal, 3 => value].boxed()
}

fn is_array(value_type: ValueType) -> bool {
    value_type.code() & 0x80 != 0
}

fn attributes(ids: &Ids, flavour: Flavour) -> impl Strategy<Value = Vec<Attribute>> + use<> {
    // Two attributes of one name can't be written.
    let value = prop::collection::vec(piece(ids, flavour), 0..3);
    let name = prop_oneof![3 => Just("Name".to_owned()), 2 => name(flavour)];
    prop::collection::btree_map(name, value, 0..3).prop_map(|attributes| {
        attributes.into_iter().map(|(name, value)| Attribute { name, value }).collect()
    })
}

fn element(
    values: Vec<TypedValue<'static>>,
    flavour: Flavour,
    depth: u32,
) -> BoxedStrategy<Element> {
    named_element(name(flavour).boxed(), ids(&values), flavour, depth)
}

fn named_element(
    name: BoxedStrategy<String>,
    ids: Ids,
    flavour: Flavour,
    depth: u32,
) -> BoxedStrategy<Element> {
    let piece = piece(&ids, flavour).prop_map(Content::Piece).boxed();
    let mut content = vec![(6, piece)];
    if flavour == Flavour::Any {
        content.push((1, text(flavour).prop_map(Content::CData).boxed()));
        let pi = ("[a-z]{1,4}", text(flavour));
        content.push((1, pi.prop_map(|(target, data)| Content::Pi { target, data }).boxed()));
    }
    if !ids.binxml.is_empty() {
        let binxml = prop::sample::select(ids.binxml.clone());
        content.push((
            4,
            binxml.prop_map(|id| Content::Piece(Piece::value(id, ValueType::BinXml))).boxed(),
        ));
    }
    if depth > 0 {
        let child = named_element(self::name(flavour).boxed(), ids.clone(), flavour, depth - 1);
        content.push((6, child.prop_map(Content::Element).boxed()));
    }
    let content = prop::strategy::Union::new_weighted(content);
    let most = if depth == 0 { 2 } else { 4 };
    let depends = match ids.text.is_empty() || flavour == Flavour::Evtx {
        true => Just(None).boxed(),
        false => prop_oneof![
            4 => Just(None),
            1 => prop::sample::select(ids.text.clone()).prop_map(|(id, _)| Some(id)),
        ]
        .boxed(),
    };
    let content = prop::collection::vec(content, 0..=most).boxed();
    let arrays: Vec<_> = ids.text.iter().filter(|id| is_array(id.1)).copied().collect();
    let content = match arrays.is_empty() {
        true => content,
        false => {
            let array = prop::sample::select(arrays).prop_map(|(id, of)| Piece::value(id, of));
            prop_oneof![4 => content, 1 => array.prop_map(|piece| vec![Content::Piece(piece)])]
                .boxed()
        }
    };
    (name, attributes(&ids, flavour), depends, content, any::<bool>())
        .prop_map(|(name, attributes, depends_on, content, closed_empty)| Element {
            name,
            attributes,
            depends_on,
            content,
            closed_empty,
        })
        .boxed()
}

/// `<Event>` with `<System>` and, mostly, `<EventData>` or something else.
fn event_element(
    values: Vec<TypedValue<'static>>,
    flavour: Flavour,
) -> impl Strategy<Value = Element> {
    let ids = ids(&values);
    let fields: Vec<&str> = quarry_event::Field::all().map(|field| field.element()).collect();
    let field_name = prop::sample::select(fields).prop_map(str::to_owned).boxed();
    let system = prop::collection::vec(system_child(field_name, &ids, flavour), 0..10);
    let data = prop::collection::vec(
        named_element(
            prop_oneof![4 => Just("Data".to_owned()), 1 => name(flavour)].boxed(),
            ids.clone(),
            flavour,
            1,
        ),
        0..6,
    );
    let more = prop::collection::vec(
        named_element(
            prop_oneof![Just("UserData".to_owned()), Just("RenderingInfo".to_owned())].boxed(),
            ids.clone(),
            flavour,
            2,
        ),
        0..2,
    );
    // What stands in <Event>, <System> and <EventData> themselves, after their elements.
    let loose = (loose(&ids, flavour), loose(&ids, flavour), loose(&ids, flavour));
    (system, data, more, loose).prop_map(|(system, data, more, loose)| {
        let inside = |name: &str, children: Vec<Element>, loose: Vec<Content>| {
            let mut element = children.into_iter().fold(Element::new(name), Element::child);
            element.content.extend(loose);
            element
        };
        let event = Element::new("Event")
            .attribute("xmlns", "http://schemas.microsoft.com/win/2004/08/events/event")
            .child(inside("System", system, loose.0))
            .child(inside("EventData", data, loose.1));
        let mut event = more.into_iter().fold(event, Element::child);
        event.content.extend(loose.2);
        event
    })
}

fn loose(ids: &Ids, flavour: Flavour) -> BoxedStrategy<Vec<Content>> {
    if flavour == Flavour::Evtx {
        return Just(Vec::new()).boxed();
    }
    let piece = piece(ids, flavour).prop_map(Content::Piece).boxed();
    let mut content = vec![(1, piece)];
    if !ids.binxml.is_empty() {
        let binxml = prop::sample::select(ids.binxml.clone());
        let binxml = binxml.prop_map(|id| Content::Piece(Piece::value(id, ValueType::BinXml)));
        content.push((4, binxml.boxed()));
    }
    let content = prop::strategy::Union::new_weighted(content);
    prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(content, 1..3),
    ]
    .boxed()
}

fn system_child(
    name: BoxedStrategy<String>,
    ids: &Ids,
    flavour: Flavour,
) -> BoxedStrategy<Element> {
    let attribute = prop::sample::select(
        &["Name", "Guid", "Qualifiers", "SystemTime", "ProcessID", "ThreadID", "UserID"][..],
    );
    let value = prop::collection::vec(piece(ids, flavour), 0..3);
    let attributes = prop::collection::btree_map(attribute, value.clone(), 0..3);
    let depends = match ids.text.is_empty() || flavour == Flavour::Evtx {
        true => Just(None).boxed(),
        false => prop::option::weighted(0.3, prop::sample::select(ids.text.clone()))
            .prop_map(|id| id.map(|(id, _)| id))
            .boxed(),
    };
    (name, attributes, value, depends, any::<bool>())
        .prop_map(|(name, attributes, text, depends_on, closed_empty)| Element {
            name,
            attributes: attributes
                .into_iter()
                .map(|(name, value)| Attribute { name: name.to_owned(), value })
                .collect(),
            depends_on,
            content: text.into_iter().map(Content::Piece).collect(),
            closed_empty,
        })
        .boxed()
}
