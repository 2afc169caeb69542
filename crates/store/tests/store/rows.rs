//! What events are as rows.

use deltalake::arrow::array::{Array, AsArray};
use deltalake::arrow::datatypes::{
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use proptest::prelude::*;
use quarry_binxml::Decoder;
use quarry_binxml::write::wire;
use quarry_event::output::{Printer, Scratch};
use quarry_event::testing::{event, events};
use quarry_event::{
    Event, EventTime, FieldSource, Message, MessageBy, Origin, RecordId, RuleName, Texts,
};
use quarry_store::{EventMeta, RecordBatch, Rows};
use serde_json::{Map, Value};

use crate::generate::{Flavour, fragment, rendered, replace_values, value};
use crate::support::{at, logon, meta};

/// The row of an event.
fn row(event: &Event, chosen: &[&str]) -> RecordBatch {
    let chosen: Vec<String> = chosen.iter().map(|&name| name.to_owned()).collect();
    let mut rows = Rows::new(&chosen).unwrap();
    rows.event(event, &meta("even6://srv", "Security", 7, at(10))).unwrap();
    rows.finish().unwrap()
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

/// A number of any of the table's types.
fn number(batch: &RecordBatch, name: &str) -> Option<i64> {
    let column = batch.column_by_name(name).unwrap();
    if column.is_null(0) {
        return None;
    }
    None.or_else(|| Some(column.as_primitive_opt::<Int64Type>()?.value(0)))
        .or_else(|| Some(column.as_primitive_opt::<Int32Type>()?.value(0).into()))
        .or_else(|| Some(column.as_primitive_opt::<Int16Type>()?.value(0).into()))
        .or_else(|| Some(column.as_primitive_opt::<Int8Type>()?.value(0).into()))
        .or_else(|| Some(column.as_primitive_opt::<TimestampMicrosecondType>()?.value(0)))
}

fn data(batch: &RecordBatch) -> Vec<(String, String)> {
    let entries = batch.column_by_name("data").unwrap().as_map().value(0);
    let text = |column: usize, row| entries.column(column).as_string::<i32>().value(row).to_owned();
    (0..entries.len()).map(|row| (text(0, row), text(1, row))).collect()
}

#[test]
fn an_event_is_a_row_with_its_time_to_the_seventh_digit() {
    let time = EventTime::parse("2026-11-29T22:25:54.1234567Z").unwrap();
    let row = row(&logon(42, time, "srv", "alice"), &["IpAddress"]);
    // date -u -d 2026-11-29T22:25:54 +%s
    assert_eq!(number(&row, "time"), Some(1_795_991_154_123_456));
    assert_eq!(number(&row, "tick"), Some(7));
    assert_eq!(number(&row, "filetime"), None);
    for (name, value) in [
        ("log_record", 7),
        ("record_id", 42),
        ("event_id", 4624),
        ("version", 2),
        ("level", 0),
        ("task", 12544),
        ("process_id", 716),
        ("keywords", i64::MIN | 0x0020_0000_0000_0000),
    ] {
        assert_eq!(number(&row, name), Some(value), "{name}");
    }
    for (name, value) in [
        ("source", "even6://srv"),
        ("host", "srv"),
        ("log", "Security"),
        ("channel", "Security"),
        ("provider_guid", "{54849625-5478-4994-a5ba-3e3b0328c30d}"),
        ("data_IpAddress", "10.0.0.42"),
        ("text", "alice\n3\n10.0.0.42"),
        ("kind", "event"),
    ] {
        assert_eq!(text(&row, name, 0).as_deref(), Some(value), "{name}");
    }
    for name in ["user_sid", "user_data", "other", "message", "message_source", "activity_id"] {
        assert_eq!(text(&row, name, 0), None, "{name}");
    }
    let pairs = [("TargetUserName", "alice"), ("LogonType", "3"), ("IpAddress", "10.0.0.42")];
    assert_eq!(data(&row), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_time_that_no_engine_shows_is_kept_beside() {
    for (text, time, tick, filetime) in [
        // MS-DTYP 2.3.3: the first FILETIME.
        ("1601-01-01T00:00:00.0000001Z", Some(-11_644_473_600_000_000), Some(1), None),
        ("9999-12-31T23:59:59.9999999Z", Some(253_402_300_799_999_999), Some(9), None),
        ("10000-01-01T00:00:00.0000000Z", None, None, Some(2_650_467_744_000_000_000)),
    ] {
        let row = row(&logon(1, EventTime::parse(text).unwrap(), "srv", "x"), &[]);
        assert_eq!(number(&row, "time"), time, "{text}");
        assert_eq!(number(&row, "tick"), tick, "{text}");
        assert_eq!(number(&row, "filetime"), filetime, "{text}");
    }
}

fn with_data(inside: &str) -> Event {
    event(&format!(
        "<Event><System><EventID>1</EventID></System><EventData>{inside}</EventData></Event>"
    ))
}

#[test]
fn values_without_a_name_or_with_the_same_one_are_told_apart() {
    let row = row(
        &with_data(
            "<Data>a</Data><Data Name='N'>b</Data><Data Name='N'>c</Data><Data>d</Data>\
             <Data Name='N'>e</Data><Data Name='N#2'>f</Data>",
        ),
        &["n"],
    );
    let pairs = [("#1", "a"), ("N", "b"), ("N#2", "c"), ("#4", "d"), ("N#3", "e"), ("N#2#2", "f")];
    assert_eq!(data(&row), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(text(&row, "data_n", 0).as_deref(), Some("b"), "the first of a name");
}

#[test]
fn what_a_column_can_not_hold_is_in_other() {
    let odd = event(
        "<Event><System><EventID>5000000000</EventID><Level>255</Level><Task>nonsense</Task>\
         <TimeCreated SystemTime='yesterday'/></System></Event>",
    );
    let row = row(&odd, &[]);
    assert_eq!(number(&row, "event_id"), None);
    assert_eq!(number(&row, "level"), Some(255));
    let other: Value = serde_json::from_str(&text(&row, "other", 0).unwrap()).unwrap();
    assert_eq!(other["not_in_columns"]["event_id"], "5000000000");
    assert_eq!(other["not_in_columns"]["time"], "yesterday");
    assert_eq!(other["System"]["Task"], "nonsense", "as in the event's JSON");
}

#[test]
fn message_text_and_rules_are_kept_as_they_were_known() {
    let rule = RuleName { id: "1-2-3".into(), title: "A rule".into(), ..RuleName::default() };
    let rules =
        [std::sync::Arc::new(rule), RuleName { title: "B".into(), ..Default::default() }.into()];
    let mut rows = Rows::new(&[]).unwrap();
    let event = logon(1, at(1), "srv", "alice");
    let mut meta = meta("even6://srv", "Security", 1, at(2));
    meta.texts = Texts { rules: &rules, ..Texts::default() };
    meta.texts.message = Some(Message { text: "An account was logged on.", by: MessageBy::Server });
    rows.event(&event, &meta).unwrap();
    let row = rows.finish().unwrap();
    assert_eq!(text(&row, "message", 0).as_deref(), Some("An account was logged on."));
    assert_eq!(text(&row, "message_source", 0).as_deref(), Some("server"));
    let rules = row.column_by_name("rules").unwrap().as_list::<i32>().value(0);
    let rules: Vec<_> = rules.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
    assert_eq!(rules, ["1-2-3", "B"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The printer of JSON is the second source: what it says of an event is what the row says.
    #[test]
    fn a_row_says_what_the_events_json_says(event in events()) {
        let row = row(&event, &[]);
        let origin = Origin {
            source: "even6://srv",
            host: Some("srv"),
            log: "Security",
            log_record: Some(RecordId(7)),
            recovered: false,
        };
        let mut out = Vec::new();
        let texts = Texts::default();
        Printer::jsonl(None).event(&event, &origin, texts, &mut Scratch::default(), &mut out);
        let json: Map<String, Value> = serde_json::from_slice(&out).unwrap();
        for name in ["source", "host", "log", "computer", "channel", "provider", "provider_guid",
            "user_sid", "activity_id", "related_activity_id", "message", "message_source"] {
            let shown = json[name].as_str().map(str::to_owned);
            prop_assert_eq!(text(&row, name, 0), shown, "{}", name);
        }
        for name in ["log_record", "record_id", "event_id", "qualifiers", "version", "level", "task",
            "opcode", "process_id", "thread_id"] {
            let shown = json[name].as_u64();
            match number(&row, name) {
                Some(value) => prop_assert_eq!(Some(value as u64), shown, "{}", name),
                None => prop_assert!(shown.is_none_or(|n| i16::try_from(n).is_err()), "{}", name),
            }
        }
        let object = |name: &str| -> Value {
            text(&row, name, 0).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
        };
        prop_assert_eq!(&object("user_data"), &json["user_data"]);
        let mut other = object("other");
        if let Some(members) = other.as_object_mut() {
            members.remove("not_in_columns");
            if members.is_empty() {
                other = Value::Null;
            }
        }
        prop_assert_eq!(&other, json.get("other").unwrap_or(&Value::Null));
        let values: usize = json["data"].as_object().unwrap().values()
            .map(|value| value.as_array().map_or(1, Vec::len)).sum();
        let pairs = data(&row);
        prop_assert_eq!(pairs.len(), values);
        let names: std::collections::HashSet<_> = pairs.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(names.len(), pairs.len(), "names differ");
    }

    #[test]
    fn rows_that_are_cut_are_as_if_the_others_had_never_been(
        kept in prop::collection::vec(events(), 0..4), cut in prop::collection::vec(events(), 0..4)
    ) {
        let chosen = vec!["SubjectUserName".to_owned()];
        let (mut one, mut two) = (Rows::new(&chosen).unwrap(), Rows::new(&chosen).unwrap());
        let meta = EventMeta { ..meta("even6://srv", "Security", 7, at(10)) };
        for event in &kept {
            one.event(event, &meta).unwrap();
            two.event(event, &meta).unwrap();
        }
        for event in &cut {
            two.event(event, &meta).unwrap();
        }
        prop_assert_eq!(two.len(), kept.len() + cut.len());
        two.truncate(kept.len());
        prop_assert_eq!(one.bytes(), two.bytes());
        for event in &kept {
            one.event(event, &meta).unwrap();
            two.event(event, &meta).unwrap();
        }
        prop_assert_eq!(one.finish().unwrap(), two.finish().unwrap());
        prop_assert!(one.is_empty() && two.is_empty());
    }

    #[test]
    fn rows_that_are_put_together_are_as_if_made_at_once(
        parts in prop::collection::vec(prop::collection::vec(events(), 0..4), 0..4)
    ) {
        let chosen = vec!["SubjectUserName".to_owned()];
        let rule = RuleName { id: "1-2-3".into(), title: "A".into(), ..RuleName::default() };
        let rules = [std::sync::Arc::new(rule)];
        let new = || Rows::new(&chosen).unwrap();
        let (mut all, mut whole, mut again) = (new(), new(), new());
        for (n, part) in parts.iter().enumerate() {
            let texts = Texts { rules: &rules[..n % 2], ..Texts::default() };
            let meta = EventMeta { texts, ..meta("even6://srv", "Security", 7, at(10)) };
            for event in part {
                all.event(event, &meta).unwrap();
                again.event(event, &meta).unwrap();
            }
            whole.append(&again).unwrap();
            // Its memory is used again.
            again.clear();
        }
        prop_assert_eq!((all.len(), all.bytes()), (whole.len(), whole.bytes()));
        prop_assert_eq!(all.finish().unwrap(), whole.finish().unwrap());
        let others = Rows::new(&[]).unwrap();
        let refused = new().append(&others).unwrap_err().to_string();
        prop_assert!(refused.contains("columns"), "{}", refused);
    }
}

/// The row of a record, by what is kept in `rows` of the records before it.
fn row_of(record: &impl FieldSource, rows: &mut Rows) -> RecordBatch {
    rows.event(record, &meta("even6://srv", "Security", 7, at(10))).unwrap();
    rows.finish().unwrap()
}

proptest! {
    /// What is kept of a layout makes no difference: the row is that of the event as a tree.
    #[test]
    fn records_of_one_template_are_the_rows_that_their_trees_are(
        fragment in fragment(Flavour::Any),
        others in prop::collection::vec(prop::collection::vec(value(Flavour::Any), 14), 1..6)
    ) {
        let (mut decoder, mut rows) = (Decoder::new(), Rows::new(&[]).unwrap());
        for values in std::iter::once(None).chain(others.into_iter().map(Some)) {
            let mut fragment = fragment.clone();
            if let Some(values) = values {
                replace_values(&mut fragment, &mut values.into_iter());
            }
            let mut bytes = Vec::new();
            wire(&fragment, &mut bytes).unwrap();
            let of_record = row_of(&decoder.event(&bytes).unwrap(), &mut rows);
            let mut xml = Vec::new();
            rendered(&fragment).write_xml(&mut xml);
            let xml = String::from_utf8_lossy(&xml);
            let of_tree = row(&rendered(&fragment), &[]);
            for name in ["shape", "tree", "odd", "data", "text"] {
                let column = |row: &RecordBatch| row.column_by_name(name).unwrap().clone();
                prop_assert_eq!(&column(&of_record), &column(&of_tree), "{}: {}", name, xml);
            }
        }
    }
}
