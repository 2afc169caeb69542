//! Logs that the writer makes: read back here, and by others.
#![allow(clippy::print_stdout)] // A test that can do less says so.

mod common;
#[path = "../../binxml/tests/generate/mod.rs"]
mod generate;

use std::io::{Cursor, Write};
use std::process::Command;

use common::peer::{Peer, difference, flat_xml};
use common::read;
use evtx::ParserSettings;
use generate::{Flavour, fragment, rendered};
use proptest::prelude::*;
use quarry_binxml::write::{
    Element, Fragment, Instance, Packed, Packer, Piece, Template, TypedValue, ValueType,
    WriteError, templated,
};
use quarry_event::{Event, EventTime, Field, FieldSource, Guid};
use quarry_logfile::{CHUNK_SIZE, EvtxLog, EvtxWriteError, EvtxWriter};

fn written(fragments: &[Fragment<'_>], first: u64) -> Vec<u8> {
    let mut writer = EvtxWriter::with_first_number(Cursor::new(Vec::new()), first).unwrap();
    for (i, fragment) in fragments.iter().enumerate() {
        let number = writer.write(fragment, time(i as u64)).unwrap();
        assert_eq!(number, first + i as u64);
    }
    writer.finish().unwrap().into_inner()
}

fn time(i: u64) -> EventTime {
    EventTime::from_filetime(134_000_000_000_000_000 + i * EventTime::SECOND)
}

/// The events of a log without damage, with their record numbers and times.
fn events(bytes: &[u8]) -> Vec<(u64, EventTime, Event)> {
    let mut events = Vec::new();
    let damage = read(Cursor::new(bytes.to_vec()), |header, record| {
        events.push((header.number, header.written, Event::from_source(&record.unwrap())));
    });
    assert_eq!(damage, []);
    events
}

fn xml(source: &impl FieldSource) -> String {
    let mut out = Vec::new();
    source.write_xml(&mut out);
    String::from_utf8(out).unwrap()
}

/// A plausible event, whose text is as long as said.
fn sample(i: u64, text: &str) -> Fragment<'_> {
    let event = Element::new("Event")
        .attribute("xmlns", "http://schemas.microsoft.com/win/2004/08/events/event")
        .child(
            Element::new("System")
                .child(Element::new("Provider").attribute("Name", "Sample").closed_empty())
                .child(Element::new("EventID").piece(Piece::value(0, ValueType::UInt16)))
                .child(
                    Element::new("TimeCreated")
                        .attribute_of("SystemTime", vec![Piece::value(1, ValueType::FileTime)])
                        .closed_empty(),
                )
                .child(Element::new("EventRecordID").piece(Piece::value(2, ValueType::UInt64))),
        )
        .child(
            Element::new("EventData").child(
                Element::new("Data")
                    .attribute("Name", "Text")
                    .piece(Piece::value(3, ValueType::String)),
            ),
        );
    Fragment::Instance(Instance {
        template: Template::new(Guid::from_bytes([7; 16]), event).unwrap(),
        values: vec![
            TypedValue::UInt16(1000),
            TypedValue::FileTime(time(i)),
            TypedValue::UInt64(i),
            TypedValue::String(text.into()),
        ],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_written_log_is_read_back(
        fragments in prop::collection::vec(fragment(Flavour::Any), 0..40),
        first in prop_oneof![Just(1u64), 1..1u64 << 40],
    ) {
        let read = events(&written(&fragments, first));
        prop_assert_eq!(read.len(), fragments.len());
        for (i, (fragment, (number, at, event))) in fragments.iter().zip(&read).enumerate() {
            prop_assert_eq!(*number, first + i as u64);
            prop_assert_eq!(*at, time(i as u64));
            prop_assert_eq!(event, &rendered(fragment));
        }
    }

    #[test]
    fn the_crate_evtx_reads_the_same_from_a_written_log(
        fragments in prop::collection::vec(fragment(Flavour::Evtx), 1..40)
    ) {
        let bytes = written(&fragments, 1);
        let peer = Peer::with(&bytes, ParserSettings::new().validate_checksums(true));
        prop_assert_eq!(&peer.errors, &Vec::<String>::new());
        prop_assert_eq!(peer.records(), fragments.len());
        for (i, fragment) in fragments.iter().enumerate() {
            let ours = xml(&rendered(fragment));
            let theirs = &peer.xml[&(i as u64 + 1)][0];
            let theirs_flat = flat_xml(theirs);
            prop_assert!(theirs_flat.is_ok(), "{:?}: {}", theirs_flat, theirs);
            let found = difference(&flat_xml(&ours).unwrap(), &theirs_flat.unwrap());
            prop_assert_eq!(found, None, "{}\n{}", ours, theirs);
        }
    }

    #[test]
    fn a_decoded_event_can_be_written_to_a_log(fragment in fragment(Flavour::Any)) {
        let event = rendered(&fragment);
        let again = Fragment::from(templated(&event).unwrap());
        let literal = Fragment::Element(Element::from(&event.root));
        for (_, _, read) in events(&written(&[again.clone(), literal, again], 1)) {
            prop_assert_eq!(&read, &event);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn an_event_of_any_source_can_be_packed_and_is_the_same(
        fragments in prop::collection::vec(fragment(Flavour::Any), 1..12)
    ) {
        // Undecoded records first, whose values have types, and then decoded events.
        let mut packer = Packer::default();
        let mut packed = Vec::new();
        let mut expected = Vec::new();
        read(Cursor::new(written(&fragments, 1)), |_, record| {
            let record = record.unwrap();
            packed.push(pack(&mut packer, &record));
            expected.push(Event::from_source(&record));
        });
        for fragment in &fragments {
            let event = rendered(fragment);
            packed.push(pack(&mut packer, &event));
            expected.push(event);
        }
        // What was packed before makes no difference.
        for (event, packed) in expected.iter().zip(&packed).skip(fragments.len()) {
            prop_assert_eq!(&pack(&mut Packer::default(), event), packed);
        }
        let mut writer = EvtxWriter::new(Cursor::new(Vec::new())).unwrap();
        for (template, values) in &packed {
            writer.write_packed(Packed { template, values }, time(1)).unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        let back: Vec<Event> = events(&bytes).into_iter().map(|(.., event)| event).collect();
        prop_assert_eq!(back, expected);
        let peer = Peer::with(&bytes, ParserSettings::new().validate_checksums(true));
        prop_assert_eq!(peer.records() + peer.errors.len(), packed.len());
    }
}

fn pack(packer: &mut Packer, event: &impl FieldSource) -> (Template, Vec<u8>) {
    let mut values = Vec::new();
    (packer.pack(event, &mut values).unwrap(), values)
}

#[test]
fn a_log_of_many_chunks_is_in_order_and_others_read_it() {
    let texts: Vec<String> = (0..3000).map(|i| "a text ".repeat(1 + i % 40)).collect();
    let fragments: Vec<Fragment<'_>> =
        texts.iter().enumerate().map(|(i, text)| sample(i as u64 + 1, text)).collect();
    let bytes = written(&fragments, 1);
    assert_eq!((bytes.len() - 4096) % CHUNK_SIZE, 0);
    let log = EvtxLog::open(Cursor::new(bytes.clone())).unwrap();
    assert!(log.chunks() > 10);
    assert!(log.damage().is_empty());
    let mut expected = 1;
    let damage = read(Cursor::new(bytes.clone()), |header, record| {
        let record = record.unwrap();
        assert_eq!(header.number, expected);
        assert_eq!(record.field(Field::RecordId).as_u64(), Some(expected));
        expected += 1;
    });
    assert_eq!((expected, damage), (3001, Vec::new()));
    let peer = Peer::with(&bytes, ParserSettings::new().validate_checksums(true));
    assert_eq!((peer.records(), peer.errors), (3000, Vec::new()));
    exported_by_others(&bytes, 3000);
}

const PYTHON_DUMP: &str = "
import sys
from Evtx.Evtx import Evtx
with Evtx(sys.argv[1]) as log:
    assert log.get_file_header().verify()
    for chunk in log.chunks():
        assert chunk.verify()
        for record in chunk.records():
            print(record.xml())
";

/// libevtx and python-evtx, where they are installed, read as many records.
fn exported_by_others(bytes: &[u8], records: usize) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut readers: Vec<(&str, Command)> = Vec::new();
    let mut evtxexport = Command::new("evtxexport");
    evtxexport.args(["-f", "xml"]).arg(file.path());
    readers.push(("libevtx's evtxexport", evtxexport));
    // A Python that has python-evtx, whose own programs can't be called the same everywhere.
    if let Some(python) = std::env::var_os("QUARRY_TEST_PYTHON_EVTX") {
        let mut dump = Command::new(python);
        dump.args(["-c", PYTHON_DUMP]).arg(file.path());
        readers.push(("python-evtx", dump));
    }
    for (name, mut reader) in readers {
        let Ok(output) = reader.output() else {
            println!("{name} is not here, so it has not read the log");
            continue;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.matches("</EventRecordID>").count(), records, "{name}");
        assert!(output.status.success(), "{name}");
    }
}

#[test]
fn an_empty_log_has_one_chunk_and_no_records() {
    let bytes = written(&[], 1);
    assert_eq!(bytes.len(), 4096 + CHUNK_SIZE);
    assert_eq!(events(&bytes), []);
    let peer = Peer::with(&bytes, ParserSettings::new().validate_checksums(true));
    assert_eq!((peer.records(), peer.errors), (0, Vec::new()));
}

#[test]
fn an_event_too_large_for_a_chunk_is_refused_and_others_are_still_written() {
    let large = "x".repeat(32_600);
    let small = "x".repeat(20_000);
    let mut writer = EvtxWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.write(&sample(1, &small), time(1)).unwrap();
    let error = writer.write(&sample(2, &large), time(2)).unwrap_err();
    assert!(matches!(error, EvtxWriteError::Event(WriteError::TooLarge { .. })), "{error:?}");
    let longer = "x".repeat(32_768);
    let error = writer.write(&sample(2, &longer), time(2)).unwrap_err();
    assert!(matches!(error, EvtxWriteError::Event(WriteError::ValueTooLong(65_536))), "{error:?}");
    assert_eq!(writer.next_number(), 2);
    writer.write(&sample(2, &small), time(2)).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    let numbers: Vec<u64> = events(&bytes).iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn a_log_that_is_not_finished_says_so_and_is_read_all_the_same() {
    let text = "x".repeat(5000);
    let mut file = Cursor::new(Vec::new());
    let mut writer = EvtxWriter::new(&mut file).unwrap();
    for i in 1..20 {
        writer.write(&sample(i, &text), time(i)).unwrap();
    }
    drop(writer);
    // Dirty: the flag of a log that was not closed.
    assert_eq!(file.get_ref()[120] & 1, 1);
    let events = events(file.get_ref());
    assert!((6..19).contains(&events.len()), "{} whole chunks' records", events.len());
}
