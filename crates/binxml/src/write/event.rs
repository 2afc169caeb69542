//! From a decoded event back to BinXML.

use quarry_event::{self as event, Event, EventTime, Field, Guid};

use crate::write::{
    Attribute, Content, Element, Fragment, Instance, Piece, Template, TypedValue, ValueType,
    WriteError,
};

impl From<&event::Element> for Element {
    /// The element with all text literal.
    fn from(element: &event::Element) -> Self {
        let attribute = |(name, text): &(String, String)| Attribute {
            name: name.clone(),
            value: vec![Piece::Text(text.clone())],
        };
        Element {
            name: element.name.clone(),
            attributes: element.attributes.iter().map(attribute).collect(),
            depends_on: None,
            content: element.children.iter().map(literal).collect(),
            closed_empty: element.closed_empty,
        }
    }
}

fn literal(node: &event::Node) -> Content {
    match node {
        event::Node::Element(child) => Content::Element(child.into()),
        event::Node::Text(text) => Content::Piece(Piece::Text(text.clone())),
    }
}

/// An event as a template and values.
#[derive(Clone, PartialEq, Debug)]
pub struct Templated {
    /// The template. Its identifier is a hash of it.
    pub template: Template,
    /// The values.
    pub values: Vec<TypedValue<'static>>,
}

impl From<Templated> for Fragment<'static> {
    fn from(templated: Templated) -> Self {
        let Templated { template, values } = templated;
        Fragment::Instance(Instance { template, values })
    }
}

/// Makes a template of what events of one kind have in common (elements, attributes, the names
/// of data, the provider), and values of the rest. The values of `<System>` have the types that
/// Windows gives them, where their text is that of the type; all others are strings. An attribute
/// without text is left out, as a reader would do.
///
/// # Errors
/// A name that XML doesn't allow, an attribute that is there twice, or a bound of
/// [`Limits`](crate::Limits) that is passed.
pub fn templated(event: &Event) -> Result<Templated, WriteError> {
    let mut splitter = Splitter { values: Vec::new() };
    let root = splitter.element(&event.root, Place::Document);
    // The identifier isn't part of what it is made of.
    let anonymous = Template::new(Guid::from_bytes([0; 16]), root)?;
    let guid = Guid::from_bytes(fnv1a(anonymous.wire()).to_le_bytes());
    let template = Template::new(guid, anonymous.root().clone())?;
    Ok(Templated { template, values: splitter.values })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    Event,
    System,
    Elsewhere,
}

struct Splitter {
    values: Vec<TypedValue<'static>>,
}

impl Splitter {
    fn element(&mut self, element: &event::Element, place: Place) -> Element {
        let inside = match place {
            Place::Document => Place::Event,
            Place::Event if element.name == "System" => Place::System,
            _ => Place::Elsewhere,
        };
        let in_system = place == Place::System;
        let field = |attribute| in_system.then(|| Field::at(&element.name, attribute)).flatten();
        let mut split = Element::new(&element.name);
        split.closed_empty = element.closed_empty;
        for (name, text) in element.attributes.iter().filter(|(_, text)| !text.is_empty()) {
            let piece = match field(Some(name)) {
                Some(Field::ProviderName | Field::ProviderGuid) => Piece::Text(text.clone()),
                field => self.attribute(name, text, field),
            };
            split = split.attribute_of(name, vec![piece]);
        }
        for node in &element.children {
            split.content.push(match node {
                event::Node::Element(child) => Content::Element(self.element(child, inside)),
                event::Node::Text(text) => Content::Piece(self.value(text, field(None))),
            });
        }
        split
    }

    fn attribute(&mut self, name: &str, text: &str, field: Option<Field>) -> Piece {
        let is_same_for_all = name == "Name" || name == "xmlns" || name.starts_with("xmlns:");
        if field.is_none() && is_same_for_all {
            return Piece::Text(text.to_owned());
        }
        self.value(text, field)
    }

    /// A value, or literal text where it can't be one.
    fn value(&mut self, text: &str, field: Option<Field>) -> Piece {
        let bytes = 2 * text.encode_utf16().count();
        // 0xffff is no substitution id, as a dependency it says that there is none.
        let id = match u16::try_from(self.values.len()) {
            Ok(id) if id < u16::MAX => id,
            _ => return Piece::Text(text.to_owned()),
        };
        if bytes > usize::from(u16::MAX) || text.contains('\0') {
            return Piece::Text(text.to_owned());
        }
        let value = field
            .and_then(|field| typed(field, text))
            .unwrap_or_else(|| TypedValue::String(text.to_owned().into()));
        let expected = value.value_type();
        self.values.push(value);
        Piece::value(id, expected)
    }
}

/// The value of a field in the type that Windows gives it, where that has the same text.
pub(crate) fn typed(field: Field, text: &str) -> Option<TypedValue<'static>> {
    let value = match field {
        Field::EventId | Field::Qualifiers | Field::Task => {
            decimal(text).map(TypedValue::UInt16)?
        }
        Field::Version | Field::Level | Field::Opcode => decimal(text).map(TypedValue::UInt8)?,
        Field::Keywords => {
            let number = u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()?;
            (format!("{number:#x}") == text).then_some(TypedValue::HexInt64(number))?
        }
        Field::TimeCreated => {
            let time = EventTime::parse(text)?;
            (time.to_string() == text).then_some(TypedValue::FileTime(time))?
        }
        Field::RecordId => decimal(text).map(TypedValue::UInt64)?,
        Field::ActivityId | Field::RelatedActivityId => {
            let guid = Guid::parse(text)?;
            (guid.to_string() == text).then_some(TypedValue::Guid(guid))?
        }
        Field::ProcessId
        | Field::ThreadId
        | Field::SessionId
        | Field::KernelTime
        | Field::UserTime
        | Field::ProcessorTime => decimal(text).map(TypedValue::UInt32)?,
        Field::ProcessorId => decimal(text).map(TypedValue::UInt8)?,
        _ => return None,
    };
    debug_assert_ne!(value.value_type(), ValueType::String);
    Some(value)
}

/// A number, where its text is the one that it would be written as.
fn decimal<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    text.parse().ok().filter(|number: &N| number.to_string() == text)
}

/// The 128-bit FNV-1a hash, which makes the same identifier of the same template everywhere.
pub(crate) fn fnv1a(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}
