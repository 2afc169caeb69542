//! Everything that can be asked of an event.

use std::ops::ControlFlow;

use quarry_event::output::{Printer, Scratch};
use quarry_event::{Event, Field, FieldSource, Origin};

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
    let printed = [print(record), print(&decoded)];
    assert_eq!(printed[0], printed[1]);
}

fn data(source: &impl FieldSource) -> Vec<(Option<String>, String)> {
    let mut data = Vec::new();
    let _ = source.each_data(|name, value| {
        data.push((name.map(|name| name.as_str().to_owned()), value.to_string()));
        ControlFlow::Continue(())
    });
    data
}

/// As XML and as JSON.
fn print(source: &impl FieldSource) -> [String; 2] {
    let origin = Origin { source: "fuzz", host: None, log: "fuzz", log_record: Some(1) };
    let mut xml = Vec::new();
    source.write_xml(&mut xml);
    let mut json = Vec::new();
    Printer::jsonl(None).event(source, &origin, None, &mut Scratch::default(), &mut json);
    [xml, json].map(|text| String::from_utf8(text).expect("what is printed is UTF-8"))
}
