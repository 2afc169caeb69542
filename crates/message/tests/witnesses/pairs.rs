//! Real records with the message that Windows made of them (OTRF Security-Datasets): with the
//! provider file of one build, and parameter strings that were seen replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use quarry_event::{Element, Event, Node};
use quarry_message::manifest::{EventDefinition, Template};
use quarry_message::{LanguageId, MessageTable, Provider, ProviderTexts, Resources, Tables};
use serde_json::Value;

use crate::{databases, files};

const SECURITY: &str = "Microsoft-Windows-Security-Auditing";

#[test]
fn nine_of_ten_security_records_come_out_to_the_letter_and_the_rest_is_explained() {
    let Some(security) = security() else { return };
    let Some(pairs) = quarry_testkit::corpus_file("messages/pairs.jsonl") else { return };
    let pairs = std::fs::read_to_string(pairs).unwrap();
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in pairs.lines() {
        let pair: Value = serde_json::from_str(line).unwrap();
        if pair["provider"] != SECURITY {
            continue;
        }
        let id: u16 = pair["event_id"].as_str().unwrap().parse().unwrap();
        let (kind, what) = compare(&security, id, &pair["event"]);
        kinds.entry(kind).or_default().push(format!("{id} {what}"));
    }
    let total: usize = kinds.values().map(Vec::len).sum();
    for (kind, records) in &kinds {
        println!("{kind}: {}", records.len());
        if *kind != SAME {
            records.iter().for_each(|record| println!("    {record}"));
        }
    }
    let same = kinds[SAME].len();
    assert_eq!(total, 160);
    assert!(same * 10 >= total * 9, "{same} of {total}");
    assert!(!kinds.contains_key(UNEXPLAINED), "{:#?}", kinds[UNEXPLAINED]);
}

/// The text is what Windows made.
const SAME: &str = "the same";
/// The data set lacks a value, or has another one for it than the event had.
const NO_VALUE: &str = "the data set lacks a value";
/// The message of the record's build has other words than the provider file's.
const OTHER_BUILD: &str = "another build's words";
/// The data set has no version, and the message has the marks of none that is known.
const NO_EVENT: &str = "the provider file lacks the event";
/// A parameter string that was never seen, or seen as another one.
const NO_PARAMETER: &str = "no parameter string";
const UNEXPLAINED: &str = "unexplained";

fn compare(security: &ProviderTexts, id: u16, record: &Value) -> (&'static str, String) {
    let manifest = security.provider().manifest.as_ref().unwrap();
    let data = match &record["event_data"] {
        Value::Null => record,
        data => data,
    };
    let version = record["Version"].as_u64().or_else(|| record["version"].as_u64());
    let message = record["Message"].as_str().or_else(|| record["message"].as_str()).unwrap();
    let wanted = lines(message);
    let mut candidates: Vec<&EventDefinition> = manifest
        .events
        .iter()
        .filter(|event| event.id == id)
        .filter(|event| version.is_none_or(|version| version == u64::from(event.version)))
        .collect();
    // Without a version, the newest one whose values are there.
    candidates.sort_by_key(|event| std::cmp::Reverse(event.version));
    let template =
        |event: &EventDefinition| event.template.map(|at| &manifest.templates[at as usize]);
    let missing = |event: &&EventDefinition| {
        let fields = template(event).map_or(&[][..], |template| &template.fields);
        fields.iter().filter(|field| data[&field.name].is_null()).count()
    };
    let Some(event) = candidates.iter().copied().min_by_key(missing) else {
        return (NO_EVENT, String::new());
    };
    let text = render(security, event, template(event), data);
    if text == wanted {
        return (SAME, String::new());
    }
    let literals = literals(security.event(id, event.version, None).unwrap());
    let at = text.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| {
        let from = text.floor_char_boundary(at.saturating_sub(20));
        text[from..text.floor_char_boundary(at + 40)].to_owned()
    };
    let what = format!("{:?} for {:?}", around(&text), around(&wanted));
    match () {
        () if missing(&event) > 0 => (NO_VALUE, what),
        () if text.contains("%%") => (NO_PARAMETER, what),
        () if !in_order(&wanted, &literals) => (OTHER_BUILD, what),
        () => (UNEXPLAINED, what),
    }
}

fn render(
    security: &ProviderTexts,
    event: &EventDefinition,
    template: Option<&Template>,
    data: &Value,
) -> String {
    let element = |name: &str, text: String| Element {
        children: vec![Node::Text(text)],
        ..Element::new(name)
    };
    let mut system = Element::new("System");
    system.children.push(Node::Element(element("EventID", event.id.to_string())));
    system.children.push(Node::Element(element("Version", event.version.to_string())));
    let mut event_data = Element::new("EventData");
    for field in template.map_or(&[][..], |template| &template.fields) {
        let text = match &data[&field.name] {
            // Some of the records have their text escaped for XML, where the message has not.
            Value::String(text) if text.contains("&lt;") => {
                quick_xml::escape::unescape(text).unwrap().into_owned()
            }
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let mut value = element("Data", text);
        value.attributes.push(("Name".to_owned(), field.name.clone()));
        event_data.children.push(Node::Element(value));
    }
    let mut root = Element::new("Event");
    root.children = vec![Node::Element(system), Node::Element(event_data)];
    let mut out = Vec::new();
    assert!(security.push_message(&Event { root }, &mut out));
    lines(&String::from_utf8(out).unwrap())
}

/// The text with the line ends of the data set, which trims what is at the end.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").trim_end().to_owned()
}

/// The words of a message between its marks.
fn literals(text: &quarry_message::EventText) -> Vec<String> {
    let mut out = Vec::new();
    text.text().literals().for_each(|literal| out.push(lines(literal)));
    out
}

/// Whether the parts stand in the text, one after another.
fn in_order(text: &str, parts: &[String]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.split_once(&**part) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

fn security() -> Option<ProviderTexts> {
    let file = files::ADTSCHEMA.read()?;
    let resources = Resources::read(&*file).unwrap();
    // Of Windows 7, which has nearly all; those that came later were seen in the pairs.
    let known = databases::plaso()?.provider(SECURITY, None).unwrap();
    let mut strings = Vec::new();
    for number in 1000..20_000 {
        let mut text = Vec::new();
        if known.push_parameter(number, &mut text) {
            strings.push((number, String::from_utf8(text).unwrap()));
        }
    }
    let seen = std::fs::read(quarry_testkit::corpus_file("messages/parameters.json")?).unwrap();
    let seen: BTreeMap<String, String> = serde_json::from_slice(&seen).unwrap();
    strings.extend(seen.into_iter().map(|(mark, text)| (mark[2..].parse().unwrap(), text)));
    let messages = resources.table(LanguageId::ENGLISH).unwrap().clone();
    let manifest = resources.manifests.into_iter().next();
    Some(ProviderTexts::new(
        Provider { manifest, ..Provider::default() },
        Tables::new(vec![Arc::new(messages)]),
        Tables::new(vec![Arc::new(MessageTable::new(strings))]),
        Tables::default(),
        Tables::default(),
    ))
}
