//! Everything that can be asked of an event.

use std::ops::ControlFlow;

use quarry_event::output::{Printer, Scratch};
use quarry_event::{Event, Field, FieldSource, Origin, PartialSource, RecordId, Texts};

/// Reads an undecoded event in every way there is, and sees that a decoded one agrees.
pub fn use_event(record: &impl FieldSource) {
    let decoded = Event::from_source(record);
    let all = record.fields();
    for field in Field::all() {
        let (raw, event) = (record.field(field), decoded.field(field));
        assert_eq!(raw.is_null(), event.is_null(), "{field:?}");
        assert_eq!(raw.to_string(), event.to_string(), "{field:?}");
        assert_eq!(all.get(field).to_string(), raw.to_string(), "{field:?}");
    }
    let values = data(record);
    assert_eq!(values, data(&decoded));
    if record.has_distinct_names() {
        let mut names: Vec<_> = values.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), values.len());
    }
    assert!(record.has_more() || !decoded.has_more());
    let [xml, json] = print(record);
    let [decoded_xml, decoded_json] = print(&decoded);
    assert_eq!(xml, decoded_xml);
    if let Some(at) = json.bytes().zip(decoded_json.bytes()).position(|(a, b)| a != b) {
        panic!("JSON: {:?} {:?}", tail(&json, at), tail(&decoded_json, at));
    }
    assert_eq!(json.len(), decoded_json.len());
}

/// What is known of an event: its fields, and the values of some names and of all, where these are.
#[derive(PartialEq, Debug)]
pub struct Known {
    fields: Vec<(bool, String)>,
    data: Vec<Option<Vec<String>>>,
}

/// What an event's head says, or the whole event; of its data, that of the names which the whole
/// event has.
pub fn known(source: &impl PartialSource, names: &[Option<String>]) -> Known {
    let field = |field| {
        let value = source.known_field(field);
        (value.is_null(), value.to_string())
    };
    let data = |name: &Option<String>| {
        let mut values = Vec::new();
        let flow = source.known_data(name.as_deref(), |value| {
            values.push(value.to_string());
            ControlFlow::Continue(())
        });
        flow.map(|_| values)
    };
    Known { fields: Field::all().map(field).collect(), data: names.iter().map(data).collect() }
}

/// The names of an event's data, and none, which stands for all.
pub fn names(source: &impl FieldSource) -> Vec<Option<String>> {
    let mut names: Vec<_> = data(source).into_iter().map(|(name, _)| name).take(8).collect();
    names.extend([Some("Name".to_owned()), None]);
    names
}

/// Sees that an event's head says nothing else than the event.
pub fn compare_head(head: &Known, whole: &Known) {
    assert_eq!(head.fields, whole.fields);
    for (head, whole) in head.data.iter().zip(&whole.data) {
        assert!(head.is_none() || head == whole, "{head:?} {whole:?}");
    }
}

fn data(source: &impl FieldSource) -> Vec<(Option<String>, String)> {
    let mut data = Vec::new();
    let _ = source.each_data(|name, value| {
        data.push((name.map(|name| name.as_str().to_owned()), value.to_string()));
        ControlFlow::Continue(())
    });
    data
}

/// The end of a text, from a little before a place.
fn tail(text: &str, at: usize) -> String {
    String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(80)..]).into_owned()
}

/// As XML and as JSON.
fn print(source: &impl FieldSource) -> [String; 2] {
    let origin = Origin {
        source: "fuzz",
        host: None,
        log: "fuzz",
        log_record: Some(RecordId(1)),
        recovered: false,
    };
    let mut xml = Vec::new();
    source.write_xml(&mut xml);
    let mut json = Vec::new();
    let mut scratch = Scratch::default();
    Printer::jsonl(None).event(source, &origin, Texts::default(), &mut scratch, &mut json);
    [xml, json].map(|text| String::from_utf8(text).expect("what is printed is UTF-8"))
}
