//! A decoded event: its tree, owned, with values as the text that Windows' XML shows.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::text::Plain;
use crate::{DataName, Field, FieldSource, Sink, Value};

/// An event that no longer needs the bytes it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The element `<Event>`.
    pub root: Element,
}

/// An element of an event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    /// The name, with a prefix if it has one.
    pub name: String,
    /// Names and values of the attributes, namespace declarations among them.
    pub attributes: Vec<(String, String)>,
    /// What is inside, in order.
    pub children: Vec<Node>,
    /// Whether an element without children is written `<a/>` rather than `<a></a>`.
    pub closed_empty: bool,
}

/// What can be inside an element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text.
    Text(String),
}

impl Event {
    /// The namespace that every event has (MS-EVEN6 2.2.13).
    pub const NAMESPACE: &str = "http://schemas.microsoft.com/win/2004/08/events/event";

    /// Decodes an event.
    pub fn from_source(source: &impl FieldSource) -> Self {
        let mut builder = Builder::default();
        source.walk(&mut builder);
        Event { root: builder.root }
    }
}

impl Element {
    /// An element with a name and nothing inside.
    pub fn new(name: impl Into<String>) -> Self {
        Element { name: name.into(), ..Element::default() }
    }

    /// The elements inside.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first element inside that has the name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.elements().find(|element| element.name == name)
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// The text inside, where there is nothing else; `""` where there is nothing.
    pub fn text(&self) -> Option<&str> {
        match &*self.children {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub(crate) fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        sink.open(&self.name);
        for (name, value) in &self.attributes {
            sink.attribute(name, &[Value::Str(value)]);
        }
        for child in &self.children {
            match child {
                Node::Element(element) => element.walk(sink),
                Node::Text(text) => sink.text(Value::Str(text)),
            }
        }
        sink.close(&self.name, self.closed_empty);
    }

    /// The values in an element of `<EventData>`: its own, or those of the elements in it.
    fn each_value<'a, F>(&'a self, visit: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        if self.elements().next().is_some() {
            return self.elements().try_for_each(|element| element.each_value(visit));
        }
        let name = match self.attribute("Name") {
            Some(name) => Some(name),
            None => (self.name != "Data").then_some(&*self.name),
        };
        visit(name.map(DataName::new), Value::Str(self.text().unwrap_or_default()))
    }
}

impl FieldSource for Event {
    fn field(&self, field: Field) -> Value<'_> {
        let place = self.root.child("System").and_then(|system| system.child(field.element()));
        let text = match (place, field.attribute()) {
            (Some(element), Some(name)) => element.attribute(name),
            (Some(element), None) => element.text(),
            (None, _) => None,
        };
        text.map_or(Value::Null, Value::Str)
    }

    fn each_data<'a, F>(&'a self, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        self.root
            .elements()
            .filter(|element| element.name == "EventData")
            .flat_map(Element::elements)
            .try_for_each(|element| element.each_value(&mut visit))
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        self.root.walk(sink);
    }

    fn has_more(&self) -> bool {
        let known = |element: &Element| match &*element.name {
            "System" => element.attributes.is_empty() && has_fields_only(element),
            "EventData" => {
                element.attributes.is_empty()
                    && !has_text_beside(element, true)
                    && element.elements().all(is_value)
            }
            _ => false,
        };
        let is_namespace =
            |(name, text): &(String, String)| name == "xmlns" && text == Event::NAMESPACE;
        !(self.root.attributes.iter().all(is_namespace) && self.root.elements().all(known))
    }
}

/// Whether `<System>` has nothing but fields, each once.
fn has_fields_only(system: &Element) -> bool {
    let mut seen = HashSet::new();
    system.elements().all(|child| {
        let has_text = !child.children.is_empty();
        Field::all().any(|field| field.element() == child.name)
            && seen.insert(&child.name)
            && (!has_text || Field::at(&child.name, None).is_some() && child.text().is_some())
            && child.attributes.iter().all(|(name, _)| Field::at(&child.name, Some(name)).is_some())
    })
}

/// Whether an element of `<EventData>` is a value, or has values in it, and nothing else.
fn is_value(element: &Element) -> bool {
    element.attributes.iter().all(|(name, _)| name == "Name")
        && !has_text_beside(element, element.elements().next().is_some())
        && element.elements().all(is_value)
}

/// Whether an element, if it `holds_elements`, has text beside them that is not for people who read
/// XML.
fn has_text_beside(element: &Element, holds_elements: bool) -> bool {
    let is_text = |node: &Node| matches!(node, Node::Text(text) if !text.trim().is_empty());
    holds_elements && element.children.iter().any(is_text)
}

/// Builds the tree that a source walks through.
#[derive(Default)]
struct Builder {
    root: Element,
    open: Vec<Element>,
}

impl<'a> Sink<'a> for Builder {
    fn open(&mut self, name: &'a str) {
        self.open.push(Element::new(name));
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        if let Some(element) = self.open.last_mut() {
            let mut text = Vec::new();
            pieces.iter().for_each(|piece| piece.push::<Plain>(&mut text));
            element.attributes.push((name.to_owned(), into_string(text)));
        }
    }

    fn text(&mut self, value: Value<'a>) {
        let Some(element) = self.open.last_mut() else { return };
        if value.is_empty() {
            return;
        }
        let mut text = match element.children.pop_if(|last| matches!(last, Node::Text(_))) {
            Some(Node::Text(text)) => text.into_bytes(),
            _ => Vec::new(),
        };
        value.push::<Plain>(&mut text);
        element.children.push(Node::Text(into_string(text)));
    }

    fn close(&mut self, _name: &'a str, empty: bool) {
        let Some(mut element) = self.open.pop() else { return };
        element.closed_empty = empty;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.root = element,
        }
    }
}

fn into_string(utf8: Vec<u8>) -> String {
    String::from_utf8(utf8).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}
