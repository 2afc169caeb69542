//! Events, queries and filters for property tests, here and in other crates: generators that make
//! what is typical and what is odd out of small pools, so that filters often match.

mod events;
mod filters;
mod queries;
mod typed;

pub use events::{events, plain_events, tidy_events};
pub use filters::{filters, pushable_filters};
pub use queries::{plain_queries, queries, query_lists};
pub use typed::TypedEvent;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event as Xml};

use crate::{Element, Event, EventTime, Node};

/// What `timediff` counts from in tests.
pub fn now() -> EventTime {
    EventTime::from_filetime(0x01dd_0000_0000_0000)
}

/// The event of an XML text that a test has written; white space between elements is left out.
///
/// # Panics
/// If it is not XML.
pub fn event(xml: &str) -> Event {
    let mut reader = Reader::from_str(xml);
    let mut open = vec![Element::default()];
    loop {
        let event = reader.read_event().expect("well-formed XML");
        let parent = open.last_mut().expect("an open element");
        match event {
            Xml::Start(start) => {
                let element = element(&start);
                open.push(element);
            }
            Xml::Empty(start) => {
                let element = Element { closed_empty: true, ..element(&start) };
                parent.children.push(Node::Element(element));
            }
            Xml::End(_) => {
                let element = open.pop().expect("an open element");
                let parent = open.last_mut().expect("an open element");
                parent.children.push(Node::Element(element));
            }
            Xml::Text(text) if text.trim().is_empty() => {}
            Xml::Text(text) => parent.children.push(Node::Text(text.to_string())),
            Xml::Eof => break,
            other => panic!("not for tests: {other:?}"),
        }
    }
    let document = open.pop().expect("the document");
    Event { root: document.elements().next().expect("an element").clone() }
}

fn element(start: &BytesStart<'_>) -> Element {
    let mut element = Element::new(start.name().as_ref());
    for attribute in start.attributes() {
        let attribute = attribute.expect("an attribute");
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
        let value = value.expect("a value").into_owned();
        element.attributes.push((attribute.key.as_ref().to_owned(), value));
    }
    element
}
