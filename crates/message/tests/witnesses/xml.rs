//! Just enough of a tree to read manifests.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.attribute(name).unwrap_or_else(|| panic!("<{}> has no {name}", self.name))
    }

    /// All elements of a name, however deep.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> Vec<&'a Element> {
        let mut found = Vec::new();
        for child in &self.children {
            if child.name == name {
                found.push(child);
            }
            found.extend(child.all(name));
        }
        found
    }

    /// The elements in the first child of a name.
    pub(crate) fn inside(&self, name: &str) -> &[Element] {
        self.children.iter().find(|child| child.name == name).map_or(&[], |child| &child.children)
    }
}

pub(crate) fn parse(document: &str) -> Element {
    let mut reader = Reader::from_str(document);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().expect("the manifest is XML") {
            Event::Start(start) => open.push(element(&start)),
            Event::Empty(start) => {
                let element = element(&start);
                open.last_mut().expect("an element is open").children.push(element);
            }
            Event::End(_) => {
                let element = open.pop().expect("an element is open");
                open.last_mut().expect("an element is open").children.push(element);
            }
            Event::Eof => return open.pop().expect("the document's element"),
            _ => {}
        }
    }
}

fn element(start: &BytesStart<'_>) -> Element {
    Element {
        name: start.name().as_ref().to_owned(),
        attributes: start
            .attributes()
            .map(|attribute| {
                let attribute = attribute.expect("an attribute");
                let value = quick_xml::escape::unescape(&attribute.value).expect("a value");
                (attribute.key.as_ref().to_owned(), value.into_owned())
            })
            .collect(),
        children: Vec::new(),
    }
}
