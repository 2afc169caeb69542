//! The same event as a record has it: values of types, and text that is not UTF-8.

use std::ops::ControlFlow;

use crate::{
    Ansi, DataName, Element, Event, EventTime, Field, FieldSource, Guid, Node, Sid, Sink, Utf16,
    Value,
};

/// An event whose values have types; the text of each is what the decoded event has.
#[derive(Debug)]
pub struct TypedEvent {
    root: TypedElement,
}

#[derive(Debug)]
struct TypedElement {
    name: String,
    attributes: Vec<(String, Vec<Typed>)>,
    children: Vec<TypedNode>,
    closed_empty: bool,
}

#[derive(Debug)]
enum TypedNode {
    Element(TypedElement),
    Text(Vec<Typed>),
}

#[derive(Debug)]
enum Typed {
    Null,
    Str(String),
    Utf16(Vec<u8>),
    Ansi(Vec<u8>),
    Int(i64),
    UInt(u64),
    Hex(u64),
    Float(f64),
    Bool(bool),
    Binary(Vec<u8>),
    Guid(Guid),
    Time(EventTime),
    Sid(Vec<u8>),
}

impl Typed {
    fn value(&self) -> Value<'_> {
        match self {
            Typed::Null => Value::Null,
            Typed::Str(text) => Value::Str(text),
            Typed::Utf16(bytes) => Value::Utf16(Utf16::new(bytes)),
            Typed::Ansi(bytes) => Value::Ansi(Ansi::new(bytes, encoding_rs::WINDOWS_1252)),
            Typed::Int(number) => Value::Int(*number),
            Typed::UInt(number) => Value::UInt(*number),
            Typed::Hex(number) => Value::Hex(*number),
            Typed::Float(number) => Value::Float64(*number),
            Typed::Bool(value) => Value::Bool(*value),
            Typed::Binary(bytes) => Value::Binary(bytes),
            Typed::Guid(guid) => Value::Guid(*guid),
            Typed::Time(time) => Value::Time(*time),
            Typed::Sid(bytes) => Sid::split(bytes).map_or(Value::Null, |(sid, _)| Value::Sid(sid)),
        }
    }

    /// A value with the text, of one of the types that have it.
    fn new(text: &str, random: &mut Random) -> Typed {
        let mut all = vec![Typed::Str(text.to_owned())];
        // What is no character was a lone surrogate.
        let units: Vec<u16> =
            text.encode_utf16().map(|unit| if unit == 0xfffd { 0xdc00 } else { unit }).collect();
        all.push(Typed::Utf16(units.iter().flat_map(|unit| unit.to_le_bytes()).collect()));
        all.push(Typed::Ansi(encoding_rs::WINDOWS_1252.encode(text).0.into_owned()));
        all.extend(text.parse().ok().map(Typed::Int));
        all.extend(text.parse().ok().map(Typed::UInt));
        all.extend(text.parse().ok().map(Typed::Float));
        all.extend(text.parse().ok().map(Typed::Bool));
        all.extend(
            hex_digits(text).and_then(|hex| u64::from_str_radix(hex, 16).ok().map(Typed::Hex)),
        );
        let bytes = text
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).ok());
        all.extend(bytes.collect::<Option<Vec<u8>>>().map(Typed::Binary));
        all.extend(Guid::parse(text).map(Typed::Guid));
        all.extend(EventTime::parse(text).map(Typed::Time));
        all.extend(sid(text).map(Typed::Sid));
        all.push(Typed::Null);
        all.retain(|typed| typed.value().to_string() == text);
        let last = all.len() - 1;
        // The last of them says the most of its type.
        let at = if random.below(2) == 0 { last } else { random.below(all.len()) };
        all.swap_remove(at)
    }
}

fn hex_digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x")
}

fn sid(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.strip_prefix("S-1-")?.split('-');
    let authority: u32 = parts.next()?.parse().ok()?;
    let subs = parts.map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()?;
    let mut bytes = vec![1, u8::try_from(subs.len()).ok()?, 0, 0];
    bytes.extend(authority.to_be_bytes());
    bytes.extend(subs.iter().flat_map(|sub| sub.to_le_bytes()));
    Some(bytes)
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

impl TypedEvent {
    /// The event with types that a seed chooses.
    pub fn new(event: &Event, seed: u64) -> Self {
        TypedEvent { root: TypedElement::new(&event.root, false, &mut Random(seed)) }
    }
}

impl TypedElement {
    /// `in_pieces` says that values may be of several pieces, as they may outside of system and
    /// data.
    fn new(element: &Element, in_pieces: bool, random: &mut Random) -> Self {
        let pieces = |text: &str, in_pieces: bool, random: &mut Random| {
            let at = text.floor_char_boundary(text.len() / 2);
            match in_pieces && random.below(2) == 0 {
                true => vec![
                    Typed::new(&text[..at], random),
                    Typed::Null,
                    Typed::new(&text[at..], random),
                ],
                false => vec![Typed::new(text, random)],
            }
        };
        let attribute = |(name, value): &(String, String), random: &mut Random| {
            let value = match &**name {
                "Name" => vec![Typed::Str(value.clone())],
                _ => pieces(value, in_pieces, random),
            };
            (name.clone(), value)
        };
        TypedElement {
            name: element.name.clone(),
            attributes: element.attributes.iter().map(|pair| attribute(pair, random)).collect(),
            children: element
                .children
                .iter()
                .map(|node| match node {
                    Node::Element(child) => {
                        let in_pieces = in_pieces || child.name == "UserData";
                        TypedNode::Element(TypedElement::new(child, in_pieces, random))
                    }
                    Node::Text(text) => TypedNode::Text(pieces(text, in_pieces, random)),
                })
                .collect(),
            closed_empty: element.closed_empty,
        }
    }

    fn elements(&self) -> impl Iterator<Item = &TypedElement> {
        self.children.iter().filter_map(|node| match node {
            TypedNode::Element(element) => Some(element),
            TypedNode::Text(_) => None,
        })
    }

    fn attribute(&self, name: &str) -> Option<&Typed> {
        self.attributes.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.first())
    }

    fn value(&self) -> Value<'_> {
        match &*self.children {
            [TypedNode::Text(pieces)] => pieces.first().map_or(Value::Null, Typed::value),
            _ => Value::Null,
        }
    }

    fn each_value<'a, F>(&'a self, visit: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        if self.elements().next().is_some() {
            return self.elements().try_for_each(|element| element.each_value(visit));
        }
        let name = match self.attribute("Name") {
            Some(Typed::Str(name)) => Some(&**name),
            _ => (self.name != "Data").then_some(&*self.name),
        };
        visit(name.map(DataName::new), self.value())
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        sink.open(&self.name);
        for (name, value) in &self.attributes {
            let pieces: Vec<_> = value.iter().map(Typed::value).collect();
            sink.attribute(name, &pieces);
        }
        for child in &self.children {
            match child {
                TypedNode::Element(element) => element.walk(sink),
                TypedNode::Text(pieces) => pieces.iter().for_each(|piece| sink.text(piece.value())),
            }
        }
        sink.close(&self.name, self.closed_empty);
    }
}

impl FieldSource for TypedEvent {
    fn field(&self, field: Field) -> Value<'_> {
        let system = self.root.elements().find(|element| element.name == "System");
        let place = system
            .and_then(|system| system.elements().find(|element| element.name == field.element()));
        match (place, field.attribute()) {
            (Some(element), Some(name)) => {
                element.attribute(name).map_or(Value::Null, Typed::value)
            }
            (Some(element), None) => element.value(),
            (None, _) => Value::Null,
        }
    }

    fn each_data<'a, F>(&'a self, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        self.root
            .elements()
            .filter(|element| element.name == "EventData")
            .flat_map(TypedElement::elements)
            .try_for_each(|element| element.each_value(&mut visit))
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        self.root.walk(sink);
    }
}
