//! A rendered event as a [`FieldSource`]: `<System>` from values, the rest from XML that is
//! rendered when somebody asks for it.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use quarry_event::{
    DataName, Element, Event, Field, FieldSource, Node, PartialSource, Sink, Value,
};

use crate::error::Error;
use crate::variant::{Values, Variant};
use crate::xml;

/// Renders more of an event.
pub(crate) trait Render {
    /// The event as XML.
    fn xml(&self) -> Result<String, Error>;

    /// Calls `take` with the values of the event's data, which have no names.
    fn data(&self, take: &mut dyn FnMut(Values<'_>)) -> Result<(), Error>;
}

/// An event whose properties of `<System>` are rendered, and that renders its XML at need.
///
/// Where the XML can't be rendered there are no more than these properties, and
/// [`failure`](Self::failure) says so.
pub struct RenderedEvent<'r> {
    system: Values<'r>,
    source: &'r dyn Render,
    whole: OnceCell<Result<Event, (Error, Event)>>,
}

impl<'r> RenderedEvent<'r> {
    /// An event of which the system properties are known.
    pub(crate) fn new(system: Values<'r>, source: &'r dyn Render) -> Self {
        RenderedEvent { system, source, whole: OnceCell::new() }
    }

    /// What is known without XML.
    pub fn head(&self) -> Head<'_, 'r> {
        Head(self)
    }

    /// Why the XML couldn't be rendered, if somebody wanted it.
    pub fn failure(&self) -> Option<&Error> {
        match self.whole.get() {
            Some(Err((error, _))) => Some(error),
            _ => None,
        }
    }

    fn whole(&self) -> &Event {
        let whole = self.whole.get_or_init(|| {
            let render = || -> Result<Event, Error> {
                let mut event = xml::parse(&self.source.xml()?)?;
                if has_data(&event) {
                    // Without them the data stay as the XML has them.
                    let _ = self.source.data(&mut |values| {
                        let values = values.iter().map(|value| match value {
                            Variant::Value(value) => value,
                            Variant::Array(_) | Variant::Unreadable => Value::Null,
                        });
                        xml::canonical_data(&mut event, values);
                    });
                }
                Ok(event)
            };
            render().map_err(|error| (error, self.without_xml()))
        });
        match whole {
            Ok(event) | Err((_, event)) => event,
        }
    }

    /// As much of the event as the values tell.
    fn without_xml(&self) -> Event {
        let mut system = Element::new("System");
        for (field, place) in Field::all().filter_map(|field| Some((field, place(field)?))) {
            let value = self.system.value(place);
            if value.is_null() {
                continue;
            }
            if system.child(field.element()).is_none() {
                system.children.push(Node::Element(Element::new(field.element())));
            }
            let Some(Node::Element(element)) = system.children.last_mut() else { continue };
            match field.attribute() {
                Some(name) => element.attributes.push((name.to_owned(), value.to_string())),
                None => element.children.push(Node::Text(value.to_string())),
            }
        }
        let attributes = vec![("xmlns".to_owned(), Event::NAMESPACE.to_owned())];
        let children = vec![Node::Element(system)];
        Event { root: Element { attributes, children, ..Element::new("Event") } }
    }
}

/// Whether there are data whose values would tell more than their text.
fn has_data(event: &Event) -> bool {
    let has = |name| event.root.child(name).is_some_and(|data| data.elements().next().is_some());
    has("EventData") || has("UserData")
}

/// The place of a field among what `EvtRenderContextSystem` renders (`EVT_SYSTEM_PROPERTY_ID`).
/// It has no others.
fn place(field: Field) -> Option<usize> {
    Some(match field {
        Field::ProviderName => 0,
        Field::ProviderGuid => 1,
        Field::EventId => 2,
        Field::Qualifiers => 3,
        Field::Level => 4,
        Field::Task => 5,
        Field::Opcode => 6,
        Field::Keywords => 7,
        Field::TimeCreated => 8,
        Field::RecordId => 9,
        Field::ActivityId => 10,
        Field::RelatedActivityId => 11,
        Field::ProcessId => 12,
        Field::ThreadId => 13,
        Field::Channel => 14,
        Field::Computer => 15,
        Field::UserId => 16,
        Field::Version => 17,
        Field::EventSourceName
        | Field::ProcessorId
        | Field::SessionId
        | Field::KernelTime
        | Field::UserTime
        | Field::ProcessorTime => return None,
    })
}

impl FieldSource for RenderedEvent<'_> {
    fn field(&self, field: Field) -> Value<'_> {
        let Some(place) = place(field) else { return self.whole().field(field) };
        match (field, self.system.value(place)) {
            // Shown in hexadecimal, whatever type they come as.
            (Field::Keywords, Value::UInt(number)) => Value::Hex(number),
            (Field::Keywords, Value::Int(number)) => Value::Hex(number as u64),
            (_, value) => value,
        }
    }

    fn each_data<'a, F>(&'a self, visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        self.whole().each_data(visit)
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        self.whole().walk(sink);
    }

    fn has_more(&self) -> bool {
        self.whole().has_more()
    }
}

/// The properties of `<System>`, which are enough to see that most events are not wanted.
pub struct Head<'e, 'r>(&'e RenderedEvent<'r>);

impl PartialSource for Head<'_, '_> {
    fn known_field(&self, field: Field) -> Value<'_> {
        self.0.field(field)
    }

    /// The values could be had without XML, but not in the text that the XML gives them: a number
    /// may be shown in hexadecimal or by a name.
    fn known_data<'a, F>(&'a self, _wanted: Option<&str>, _visit: F) -> Option<ControlFlow<()>>
    where
        F: FnMut(Value<'a>) -> ControlFlow<()>,
    {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use quarry_event::EventTime;
    use quarry_event::filter::{Filter, Ids};

    use super::*;

    /// A source that counts how often it is asked for XML.
    struct Fake<'x> {
        xml: Result<&'x str, Error>,
        asked: Cell<u32>,
    }

    impl Render for Fake<'_> {
        fn xml(&self) -> Result<String, Error> {
            self.asked.set(self.asked.get() + 1);
            self.xml.clone().map(str::to_owned)
        }

        fn data(&self, take: &mut dyn FnMut(Values<'_>)) -> Result<(), Error> {
            take(Values::new(&[], 0, 0));
            Ok(())
        }
    }

    const XML: &str = "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>\
        <System><Provider Name='P' EventSourceName='Old'/><EventID>7</EventID></System>\
        <EventData><Data Name='A'>x</Data></EventData></Event>";

    /// The values of the system context, of which only the id, the keywords and the number are there.
    fn system() -> Vec<u8> {
        let mut bytes = vec![0; 18 * 16];
        for (place, value, kind) in [(2, 7u64, 6u32), (7, 0x8020_0000_0000_0000, 10), (9, 812, 10)]
        {
            bytes[place * 16..place * 16 + 8].copy_from_slice(&value.to_le_bytes());
            bytes[place * 16 + 12..place * 16 + 16].copy_from_slice(&kind.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn xml_is_rendered_only_for_what_the_values_do_not_have() {
        let bytes = system();
        let fake = Fake { xml: Ok(XML), asked: Cell::new(0) };
        let event = RenderedEvent::new(Values::new(&bytes, 0, 18), &fake);
        assert_eq!(event.field(Field::EventId).as_u64(), Some(7));
        assert_eq!(event.field(Field::Keywords).to_string(), "0x8020000000000000");
        assert!(event.field(Field::ProviderGuid).is_null());
        let ids = |text| Filter { ids: Some(Ids::parse(text).unwrap()), ..Filter::default() };
        let now = EventTime::default();
        assert!(ids("8").matcher(now).rules_out(&event.head()));
        assert!(!ids("7").matcher(now).rules_out(&event.head()));
        assert_eq!(fake.asked.get(), 0);
        assert_eq!(event.field(Field::EventSourceName).to_string(), "Old");
        assert!(
            event
                .each_data_named("A", |value| match value.is_text("x") {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
                .is_break()
        );
        assert_eq!(Event::from_source(&event).root.child("System").unwrap().children.len(), 2);
        assert_eq!(fake.asked.get(), 1);
        assert_eq!(event.failure(), None);
    }

    #[test]
    fn where_there_is_no_xml_the_values_are_left_and_the_failure_is_told() {
        let bytes = system();
        let error = Error::Refused { call: "EvtRender", status: 15005 };
        let fake = Fake { xml: Err(error.clone()), asked: Cell::new(0) };
        let event = RenderedEvent::new(Values::new(&bytes, 0, 18), &fake);
        let decoded = Event::from_source(&event);
        assert_eq!(decoded.field(Field::EventId).to_string(), "7");
        assert_eq!(decoded.field(Field::RecordId).to_string(), "812");
        assert!(decoded.root.child("EventData").is_none());
        assert_eq!(event.failure(), Some(&error));
    }
}
