//! The same records from the crate `evtx`, and what counts as the same.
//!
//! Only this is made equal: the case and braces of GUIDs, digits of times past those that both
//! have, line ends, and the white space that readers of XML make of them; elements and attributes
//! without text, which `evtx` shows where a NULL value drops them (MS-EVEN6 2.2.12, DependencyID;
//! 3.1.4.7.2).

use std::collections::HashMap;

use evtx::{EvtxParser, ParserSettings};
use quarry_event::{EventTime, Guid};

/// The records of a file as `evtx` gives them, by number; as XML and as JSON.
pub(crate) struct Peer {
    pub(crate) xml: HashMap<u64, Vec<String>>,
    pub(crate) json: HashMap<u64, Vec<serde_json::Value>>,
    /// Records and chunks that it can't read.
    pub(crate) errors: Vec<String>,
}

impl Peer {
    pub(crate) fn read(bytes: &[u8]) -> Peer {
        Peer::with(bytes, ParserSettings::new())
    }

    /// With the records that `evtx` takes to be left from before, and looks for when asked to.
    pub(crate) fn recovered(bytes: &[u8]) -> Peer {
        Peer::with(bytes, ParserSettings::new().recover_records(true))
    }

    pub(crate) fn with(bytes: &[u8], settings: ParserSettings) -> Peer {
        let settings = settings.num_threads(1).indent(false);
        let parser = || {
            EvtxParser::from_buffer(bytes.to_vec()).map(|p| p.with_configuration(settings.clone()))
        };
        let mut peer = Peer { xml: HashMap::new(), json: HashMap::new(), errors: Vec::new() };
        let mut parser = match (parser(), parser()) {
            (Ok(xml), Ok(json)) => (xml, json),
            (Err(e), _) | (_, Err(e)) => {
                peer.errors.push(e.to_string());
                return peer;
            }
        };
        for record in parser.0.records() {
            match record {
                Ok(record) => {
                    peer.xml.entry(record.event_record_id).or_default().push(record.data);
                }
                Err(error) => peer.errors.push(error.to_string()),
            }
        }
        for record in parser.1.records_json_value().flatten() {
            peer.json.entry(record.event_record_id).or_default().push(record.data);
        }
        peer
    }

    pub(crate) fn records(&self) -> usize {
        self.xml.values().map(Vec::len).sum()
    }
}

/// An element, attribute or text of an XML document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// Its path, and its text where it has one.
    pub(crate) text: String,
    /// Whether it is an element that has neither attributes nor text in it.
    pub(crate) void: bool,
}

/// Each element, attribute and text of an XML document, in its order.
pub(crate) fn flat_xml(xml: &str) -> Result<Vec<Line>, roxmltree::Error> {
    let document = roxmltree::Document::parse(xml)?;
    let mut flat = Vec::new();
    flatten(document.root_element(), String::new(), &mut flat);
    Ok(flat)
}

/// Where two documents are not the same: the lines of each that the other has otherwise. It stops
/// where they no longer have the same elements.
pub(crate) fn difference(ours: &[Line], theirs: &[Line]) -> Option<String> {
    let path = |line: &Line| line.text.split('=').next().map(str::to_owned);
    let mut ours = ours.iter().peekable();
    let mut theirs = theirs.iter().peekable();
    let mut found = Vec::new();
    loop {
        match (ours.peek(), theirs.peek()) {
            (None, None) => break,
            (Some(mine), Some(other)) if path(mine) == path(other) => {
                if mine.text != other.text {
                    found.push((mine.text.clone(), other.text.clone()));
                }
                ours.next();
                theirs.next();
            }
            // One that NULL drops.
            (_, Some(other)) if other.void => {
                theirs.next();
            }
            (mine, other) => {
                let text = |line: Option<&&Line>| line.map_or("nothing", |l| &l.text).to_owned();
                found.push((text(mine), text(other)));
                break;
            }
        }
    }
    let described = described(found.iter().map(|(ours, theirs)| (&**ours, &**theirs)));
    (!described.is_empty()).then_some(described)
}

/// Lines of ours and of theirs as one text.
pub(crate) fn described<'l>(lines: impl Iterator<Item = (&'l str, &'l str)>) -> String {
    let lines: Vec<String> =
        lines.map(|(ours, theirs)| format!("ours {ours:?}, theirs {theirs:?}")).collect();
    lines.join("; ")
}

fn flatten(node: roxmltree::Node<'_, '_>, path: String, flat: &mut Vec<Line>) {
    let path = format!("{path}/{}", node.tag_name().name());
    let start = flat.len();
    let line = |text| Line { text, void: false };
    flat.push(line(path.clone()));
    for namespace in node.namespaces().filter(|n| n.name() != Some("xml")) {
        // Declarations are inherited; those of this element are what its parent hasn't.
        let inherited = node.parent_element().is_some_and(|parent| {
            parent.lookup_namespace_uri(namespace.name()) == Some(namespace.uri())
        });
        if !inherited {
            let name = namespace.name().map(|name| format!(":{name}")).unwrap_or_default();
            flat.push(line(format!("{path}@xmlns{name}={}", namespace.uri())));
        }
    }
    for attribute in node.attributes().filter(|attribute| !attribute.value().is_empty()) {
        flat.push(line(format!("{path}@{}={}", attribute.name(), normal(attribute.value()))));
    }
    let text: String =
        node.children().filter(|child| child.is_text()).filter_map(|child| child.text()).collect();
    let text = normal(&text);
    if !text.is_empty() {
        flat.push(line(format!("{path}={text}")));
    }
    let own = flat.len();
    node.children().filter(|child| child.is_element()).for_each(|c| flatten(c, path.clone(), flat));
    flat[start].void = own == start + 1 && flat[own..].iter().all(|line| line.void);
}

/// All values of a JSON document.
pub(crate) fn flat_json(value: &serde_json::Value, values: &mut Vec<String>) {
    use serde_json::Value;
    let text = match value {
        Value::Null => return,
        Value::Array(items) => return items.iter().for_each(|item| flat_json(item, values)),
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| !name.contains("xmlns"));
            return members.for_each(|(_, value)| flat_json(value, values));
        }
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
    };
    let text = normal(&text);
    if !text.is_empty() {
        values.push(text);
    }
}

/// Text without what is no difference.
pub(crate) fn normal(text: &str) -> String {
    if let Some(guid) = Guid::parse(text) {
        return guid.to_string();
    }
    let fraction = text.split_once('.').and_then(|(_, rest)| rest.strip_suffix('Z'));
    match EventTime::parse(text) {
        // `evtx` has six digits.
        Some(time) if fraction.is_none_or(|digits| digits.len() >= 6) => {
            EventTime::from_filetime(time.as_filetime() / 10 * 10).to_string()
        }
        _ => text.replace("\r\n", "\n").replace('\r', "\n"),
    }
}
