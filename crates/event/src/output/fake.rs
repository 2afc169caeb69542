//! Events for the tests of the outputs.

use std::ops::ControlFlow;

use crate::{DataName, Element, Event, Field, FieldSource, Node, Sink, Utf16, Value};

/// An event of typed values, as a record has them.
#[derive(Default, Debug)]
pub(super) struct Fake {
    pub(super) fields: Vec<(Field, Value<'static>)>,
    /// Names and UTF-16 values.
    pub(super) data: Vec<(Option<String>, Vec<u8>)>,
    /// What follows `<EventData>`.
    pub(super) more: Vec<Element>,
}

pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub(super) fn element(name: &str, attributes: &[(&str, &str)], children: Vec<Node>) -> Element {
    let mut element = Element::new(name);
    element.attributes =
        attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    element.children = children;
    element
}

pub(super) fn text(name: &str, text: &str) -> Node {
    Node::Element(element(name, &[], vec![Node::Text(text.into())]))
}

impl Fake {
    pub(super) fn new(fields: &[(Field, Value<'static>)], data: &[(&str, &str)]) -> Self {
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Fake {
            fields: fields.to_vec(),
            data: data.iter().map(|(name, value)| (named(name), utf16(value))).collect(),
            more: Vec::new(),
        }
    }

    /// The same, decoded.
    pub(super) fn decoded(&self) -> Event {
        Event::from_source(self)
    }
}

impl FieldSource for Fake {
    fn field(&self, field: Field) -> Value<'_> {
        self.fields.iter().find(|(f, _)| *f == field).map_or(Value::Null, |(_, value)| *value)
    }

    fn each_data<'a, F>(&'a self, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        self.data.iter().try_for_each(|(name, value)| {
            visit(name.as_deref().map(DataName::new), Value::Utf16(Utf16::new(value)))
        })
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        sink.open("Event");
        let namespace = "http://schemas.microsoft.com/win/2004/08/events/event";
        sink.attribute("xmlns", &[Value::Str(namespace)]);
        sink.open("System");
        let fields: Vec<Field> =
            Field::all().filter(|&field| !self.field(field).is_null()).collect();
        for group in fields.chunk_by(|a, b| a.element() == b.element()) {
            sink.open(group[0].element());
            for &field in group {
                if let Some(name) = field.attribute() {
                    sink.attribute(name, &[self.field(field)]);
                }
            }
            for &field in group {
                if field.attribute().is_none() {
                    sink.text(self.field(field));
                }
            }
            sink.close(group[0].element(), false);
        }
        sink.close("System", false);
        if !self.data.is_empty() {
            sink.open("EventData");
            for (name, value) in &self.data {
                sink.open("Data");
                if let Some(name) = name {
                    sink.attribute("Name", &[Value::Str(name)]);
                }
                sink.text(Value::Utf16(Utf16::new(value)));
                sink.close("Data", false);
            }
            sink.close("EventData", false);
        }
        self.more.iter().for_each(|element| element.walk(sink));
        sink.close("Event", false);
    }

    fn has_more(&self) -> bool {
        !self.more.is_empty()
    }
}

/// The logon that the design shows.
pub(super) fn logon() -> Fake {
    Fake::new(
        &[
            (Field::ProviderName, Value::Str("Microsoft-Windows-Security-Auditing")),
            (Field::ProviderGuid, Value::Str("{54849625-5478-4994-a5ba-3e3b0328c30d}")),
            (Field::EventId, Value::UInt(4624)),
            (Field::Version, Value::UInt(2)),
            (Field::Level, Value::UInt(0)),
            (Field::Task, Value::UInt(12544)),
            (Field::Opcode, Value::UInt(0)),
            (Field::Keywords, Value::Hex(0x8020_0000_0000_0000)),
            (Field::TimeCreated, Value::Str("2026-08-22T10:00:00.1234567Z")),
            (Field::RecordId, Value::UInt(812)),
            (Field::ProcessId, Value::UInt(712)),
            (Field::ThreadId, Value::UInt(900)),
            (Field::Channel, Value::Str("Security")),
            (Field::Computer, Value::Str("DC01.corp")),
        ],
        &[("TargetUserName", "alice"), ("", "unnamed")],
    )
}
