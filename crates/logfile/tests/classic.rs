//! Classic records, from bytes put together by MS-EVEN 2.2.3's table.

mod classic_parts;

use std::ops::ControlFlow;

use classic_parts::{Parts, parts};
use proptest::prelude::*;
use quarry_event::{Event, Field, FieldSource, LevelName};
use quarry_logfile::classic::{ClassicError, ClassicEvent, ClassicRecord, EventType};

#[test]
fn a_record_is_the_event_that_windows_shows() {
    let parts = Parts {
        number: 812,
        // 2022-02-22T22:22:22Z.
        generated: 1_645_568_542,
        written: 1_645_568_543,
        id: 0xc000_1b7c,
        kind: 1,
        category: 3,
        source: "Service Control Manager".into(),
        computer: "DC01".into(),
        sid: vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0],
        strings: vec!["Spooler".into(), "".into(), "a<b".into()],
        data: vec![0, 0xab],
    };
    let bytes = parts.encode();
    let (record, rest) = ClassicRecord::split(&bytes).unwrap();
    assert!(rest.is_empty());
    let mut xml = Vec::new();
    ClassicEvent { record, log: "System" }.write_xml(&mut xml);
    assert_eq!(
        String::from_utf8(xml).unwrap(),
        "<Event xmlns=\"http://schemas.microsoft.com/win/2004/08/events/event\"><System>\
         <Provider Name=\"Service Control Manager\"/><EventID Qualifiers=\"49152\">7036</EventID>\
         <Level>2</Level><Task>3</Task><Keywords>0x80000000000000</Keywords>\
         <TimeCreated SystemTime=\"2022-02-22T22:22:22.0000000Z\"/>\
         <EventRecordID>812</EventRecordID><Channel>System</Channel><Computer>DC01</Computer>\
         <Security UserID=\"S-1-5-18\"/></System><EventData><Data>Spooler</Data><Data></Data>\
         <Data>a&lt;b</Data><Binary>00AB</Binary></EventData></Event>"
    );
}

#[test]
fn types_are_levels_and_results_of_audits() {
    let name = |kind: u16| {
        let kind = EventType(kind);
        LevelName::of(quarry_event::Level(kind.level()), kind.keywords()).as_str()
    };
    assert_eq!(
        [0, 1, 2, 4, 8, 16].map(name),
        ["Information", "Error", "Warning", "Information", "Audit Success", "Audit Failure"]
    );
}

#[test]
fn what_is_no_record_is_an_error_that_says_why() {
    let good = Parts { strings: vec!["x".into()], ..Parts::default() }.encode();
    let changed = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        ClassicRecord::split(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(changed(4, 0x654c_664d), ClassicError::Signature);
    assert_eq!(changed(0, 8), ClassicError::Length(8));
    assert_eq!(changed(0, 0xffff_fff0), ClassicError::Truncated("content"));
    assert_eq!(changed(good.len() - 4, 1), ClassicError::Length(1));
    assert_eq!(changed(36, 0xffff_ffff), ClassicError::Outside("strings"));
    assert_eq!(changed(36, 12), ClassicError::Outside("strings"));
    assert_eq!(changed(40, 0xffff_ffff), ClassicError::Outside("user"));
    assert_eq!(changed(48, 99), ClassicError::Outside("data"));
    assert_eq!(ClassicRecord::split(&[]), Err(ClassicError::Truncated("header")));
}

#[test]
fn strings_that_are_missing_are_left_out() {
    let mut bytes = Parts { strings: vec!["one".into()], ..Parts::default() }.encode();
    bytes[26..28].copy_from_slice(&99u16.to_le_bytes());
    let (record, _) = ClassicRecord::split(&bytes).unwrap();
    assert!(record.strings().count() <= 2);
    assert_eq!(record.strings().next().unwrap().to_string(), "one");
}

proptest! {
    #[test]
    fn every_part_of_a_record_is_read_back(parts in parts()) {
        let bytes = [parts.encode(), parts.encode()].concat();
        let (record, rest) = ClassicRecord::split(&bytes).unwrap();
        prop_assert_eq!(ClassicRecord::split(rest).unwrap().1, b"");
        let event = ClassicEvent { record, log: "Log" };
        let text = |field| event.field(field).to_string();
        prop_assert_eq!(record.number(), parts.number);
        prop_assert_eq!(text(Field::RecordId), parts.number.to_string());
        prop_assert_eq!(text(Field::EventId), (parts.id % 0x1_0000).to_string());
        prop_assert_eq!(text(Field::Qualifiers), (parts.id / 0x1_0000).to_string());
        prop_assert_eq!(text(Field::Task), parts.category.to_string());
        prop_assert_eq!(text(Field::ProviderName), parts.source.clone());
        prop_assert_eq!(text(Field::Computer), parts.computer.clone());
        let unix = record.time_generated().to_timestamp().unwrap().as_second();
        prop_assert_eq!(unix, i64::from(parts.generated));
        prop_assert_eq!(event.field(Field::UserId).is_null(), parts.sid.is_empty());
        let mut values = Vec::new();
        let _ = event.each_data(|name, value| {
            values.push((name.map(|name| name.as_str().to_owned()), value.to_string()));
            ControlFlow::Continue(())
        });
        let mut expected: Vec<_> = parts.strings.iter().map(|s| (None, s.clone())).collect();
        if !parts.data.is_empty() {
            let hex = parts.data.iter().map(|byte| format!("{byte:02X}")).collect();
            expected.push((Some("Binary".to_owned()), hex));
        }
        prop_assert_eq!(values, expected);
        // A decoded event is the same.
        let decoded = Event::from_source(&event);
        for field in Field::all() {
            prop_assert_eq!(decoded.field(field).to_string(), text(field), "{:?}", field);
            prop_assert_eq!(decoded.field(field).is_null(), event.field(field).is_null());
        }
    }

    #[test]
    fn changed_bytes_are_a_record_or_an_error(
        parts in parts(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = parts.encode();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok((record, _)) = ClassicRecord::split(&bytes) {
            let event = ClassicEvent { record, log: "Log" };
            let mut xml = Vec::new();
            event.write_xml(&mut xml);
            prop_assert!(String::from_utf8(xml).is_ok());
        }
    }
}

/// Writes the seeds of the fuzz target `classic`.
#[test]
#[ignore = "writes into fuzz/seeds; run it when the builder changes"]
fn write_the_seeds_of_the_fuzz_target() {
    use proptest::strategy::ValueTree;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/classic");
    std::fs::create_dir_all(&folder).unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for n in 0..8 {
        let one = || parts().new_tree(&mut runner).unwrap().current().encode();
        let bytes: Vec<u8> = std::iter::repeat_with(one).take(1 + n % 3).flatten().collect();
        std::fs::write(folder.join(format!("generated-{n}")), bytes).unwrap();
    }
}
