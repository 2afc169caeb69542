//! What is recovered from the slack of `.evtx` files: logs that are damaged here, and samples, of
//! which another implementation finds the same.
#![allow(clippy::print_stdout)] // The counts are what the test is for.

mod common;

use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::process::Command;

use common::{corpus, read, short_name};
use quarry_binxml::Decoder;
use quarry_binxml::write::{Element, Fragment, Instance, Piece, Template, TypedValue, ValueType};
use quarry_event::{Event, EventTime, Field, FieldSource, Guid};
use quarry_logfile::{CHUNK_SIZE, DamageKind, EvtxLog, EvtxWriter, Item, RecordHeader};

const HEADER: usize = 4096;

/// Calls `visit` with each record of slack, which it may not be possible to read.
fn slack(bytes: &[u8], mut visit: impl FnMut(&RecordHeader, Result<Event, String>)) {
    let log = EvtxLog::open(Cursor::new(bytes.to_vec())).unwrap();
    let mut decoder = Decoder::new();
    let (mut buffer, mut items, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..log.chunks() {
        let chunk = log.chunk(n, &mut buffer).unwrap();
        chunk.items(&mut items);
        chunk.slack(&items, &mut left);
        // No record twice.
        for record in &left {
            let known = items.iter().any(|item| match item {
                Item::Record(other) => {
                    record.binxml.start < other.binxml.end && other.binxml.start < record.binxml.end
                }
                Item::Damage(_) => false,
            });
            assert!(!known, "{record:?}");
        }
        assert!(left.windows(2).all(|two| two[0].binxml.end < two[1].binxml.start));
        let mut decoder = decoder.chunk(chunk.bytes());
        for record in &left {
            let event = decoder.leftover(record.binxml.clone());
            visit(record, event.map(|e| Event::from_source(&e)).map_err(|e| e.to_string()));
        }
    }
}

fn recovered(bytes: &[u8]) -> (Vec<u64>, Vec<(u64, String)>) {
    let (mut numbers, mut errors) = (Vec::new(), Vec::new());
    slack(bytes, |record, event| match event {
        Ok(event) => {
            assert_eq!(event.field(Field::RecordId).as_u64(), Some(record.number));
            numbers.push(record.number);
        }
        Err(error) => errors.push((record.number, error)),
    });
    (numbers, errors)
}

fn live(bytes: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    read(Cursor::new(bytes.to_vec()), |header, record| {
        record.unwrap();
        numbers.push(header.number);
    });
    numbers
}

fn time(i: u64) -> EventTime {
    EventTime::from_filetime(134_000_000_000_000_000 + i * EventTime::SECOND)
}

/// An event whose template is told by a number, and with a value that has a name.
fn event(template: u8, number: u64, text: &str) -> Fragment<'static> {
    let element = Element::new("Event")
        .child(
            Element::new("System")
                .child(Element::new("EventID").text(template.to_string()))
                .child(Element::new("EventRecordID").piece(Piece::value(0, ValueType::UInt64))),
        )
        .child(
            Element::new("EventData").child(
                Element::new("Data")
                    .attribute("Name", format!("Name{template}"))
                    .piece(Piece::value(1, ValueType::String)),
            ),
        );
    Fragment::Instance(Instance {
        template: Template::new(Guid::from_bytes([template; 16]), element).unwrap(),
        values: vec![TypedValue::UInt64(number), TypedValue::String(text.to_owned().into())],
    })
}

/// A log of one chunk with these events.
fn log(first: u64, events: &[(u8, usize)]) -> Vec<u8> {
    let mut writer = EvtxWriter::with_first_number(Cursor::new(Vec::new()), first).unwrap();
    for (i, (template, len)) in events.iter().enumerate() {
        let number = first + i as u64;
        writer.write(&event(*template, number, &"x".repeat(*len)), time(number)).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    assert_eq!(bytes.len(), HEADER + CHUNK_SIZE);
    bytes
}

fn end(bytes: &[u8]) -> usize {
    let at = HEADER + 48;
    HEADER + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// A chunk that was used again: behind the new records is what the old ones have left.
fn used_again(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = new.to_vec();
    let end = end(new);
    bytes[end..].copy_from_slice(&old[end..]);
    bytes
}

#[test]
fn records_behind_the_last_one_of_a_chunk_are_recovered() {
    // The templates are where they were.
    let old = log(1, &[(1, 10); 30]);
    let new = log(101, &[(1, 10); 5]);
    let both = used_again(&old, &new);
    assert_eq!(live(&both), (101..=105).collect::<Vec<_>>());
    let (numbers, errors) = recovered(&both);
    assert_eq!((numbers, errors), ((6..=30).collect(), vec![]));
    assert_eq!(recovered(&new), (vec![], vec![]));
}

#[test]
fn a_record_whose_template_was_overwritten_is_an_error_and_never_another_event() {
    // The first two bring along a template each, and the new ones two others.
    let old = log(1, &[(1, 10), (2, 30), (1, 10), (2, 10), (1, 10), (2, 10), (1, 10), (2, 10)]);
    let new = log(101, &[(3, 10), (4, 20)]);
    let both = used_again(&old, &new);
    assert_eq!(live(&both), [101, 102]);
    let (numbers, errors) = recovered(&both);
    assert_eq!(numbers, Vec::<u64>::new());
    let failed: Vec<u64> = errors.iter().map(|(number, _)| *number).collect();
    assert!(failed.ends_with(&[4, 5, 6, 7, 8]), "{errors:?}");
    assert!(errors.iter().all(|(_, error)| error.contains("was overwritten")), "{errors:?}");
}

#[test]
fn a_template_that_the_chunk_has_elsewhere_is_used() {
    let old = log(1, &[(1, 10), (1, 10), (1, 10), (1, 10), (1, 10), (1, 10), (1, 10)]);
    let new = log(101, &[(2, 40), (1, 10)]);
    let both = used_again(&old, &new);
    let (numbers, errors) = recovered(&both);
    assert_eq!((numbers, errors), (vec![6, 7], vec![]));
    slack(&both, |record, event| {
        let Ok(event) = event else { return };
        let mut xml = Vec::new();
        event.write_xml(&mut xml);
        let expected = format!("<EventRecordID>{}</EventRecordID>", record.number);
        let xml = String::from_utf8(xml).unwrap();
        assert!(xml.contains(&expected) && xml.contains("Name=\"Name1\""), "{xml}");
    });
}

#[test]
fn a_chunk_without_its_header_gives_what_was_before_only_as_slack() {
    let old = log(1, &[(1, 10); 30]);
    let new = log(101, &[(1, 10); 5]);
    for headless in [false, true] {
        let mut both = used_again(&old, &new);
        match headless {
            true => both[HEADER..HEADER + 8].fill(0x55),
            false => both[HEADER + 124] ^= 1,
        }
        assert_eq!(live(&both), (101..=105).collect::<Vec<_>>());
        assert_eq!(recovered(&both), ((6..=30).collect(), vec![]));
    }
}

#[test]
fn chunks_that_a_closed_log_does_not_use_are_slack() {
    let mut bytes = log(101, &[(1, 10); 5]);
    bytes.extend_from_slice(&log(1, &[(1, 10); 7])[HEADER..]);
    assert_eq!(live(&bytes), (101..=105).collect::<Vec<_>>());
    assert_eq!(recovered(&bytes), ((1..=7).collect(), vec![]));
    // Those of a log that is open, and those with later records, are its own.
    let mut open = bytes.clone();
    open[120] = 1;
    let checksum = crc32fast::hash(&open[..120]);
    open[124..128].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(live(&open).len(), 12);
    let mut later = log(101, &[(1, 10); 5]);
    later.extend_from_slice(&log(106, &[(1, 10); 7])[HEADER..]);
    assert_eq!(live(&later), (101..=112).collect::<Vec<_>>());
    assert_eq!(recovered(&later), (vec![], vec![]));
}

#[test]
fn a_chunk_that_is_none_gives_its_records_as_slack() {
    let mut bytes = log(1, &[(1, 10); 9]);
    bytes.extend_from_slice(&log(10, &[(1, 10); 9])[HEADER..]);
    bytes[42] = 2;
    let checksum = crc32fast::hash(&bytes[..120]);
    bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
    // Neither a header nor a first record.
    let second = HEADER + CHUNK_SIZE;
    bytes[second..second + 520].fill(0xee);
    let mut numbers = Vec::new();
    let damage = read(Cursor::new(bytes.clone()), |header, _| numbers.push(header.number));
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    assert!(damage.iter().any(|damage| damage.kind == DamageKind::NoChunk), "{damage:?}");
    let (numbers, errors) = recovered(&bytes);
    // All refer to the template that the first one brought along, behind what is gone.
    assert_eq!(numbers.len() + errors.len(), 8);
    assert_eq!(numbers, (11..=18).collect::<Vec<_>>(), "{errors:?}");
}

// --- Samples ------------------------------------------------------------------------------

/// What libevtx's program says of a record that it recovers.
#[derive(Default, Debug)]
struct Theirs {
    number: u64,
    written: String,
    computer: Option<String>,
    source: Option<String>,
    id: Option<u64>,
}

fn exported(text: &str) -> Vec<Theirs> {
    let mut records: Vec<Theirs> = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once("\t: ") else { continue };
        let name = name.trim_end_matches('\t');
        if name == "Event number" {
            records.push(Theirs { number: value.parse().unwrap_or(0), ..Theirs::default() });
        }
        let Some(record) = records.last_mut() else { continue };
        match name {
            "Written time" => record.written = value.to_owned(),
            "Computer name" => record.computer = Some(value.to_owned()),
            "Source name" => record.source = Some(value.to_owned()),
            "Event identifier" => {
                let hex = value.split(' ').next().and_then(|id| id.strip_prefix("0x"));
                record.id = hex.and_then(|id| u64::from_str_radix(id, 16).ok());
            }
            _ => {}
        }
    }
    records
}

/// Each record that libevtx recovers is recovered here with the same values, or is a record of the
/// log itself here, or is told of as one whose template is gone.
#[test]
fn what_libevtx_recovers_of_the_samples_is_recovered() {
    let (mut ours, mut theirs, mut compared) = (0, 0, 0);
    let mut unknown = Vec::new();
    for path in corpus() {
        let bytes = std::fs::read(&path).unwrap();
        if EvtxLog::open(Cursor::new(bytes.clone())).is_err() {
            continue;
        }
        let key = |record: &RecordHeader| {
            let written = record
                .written
                .to_timestamp()
                .map(|time| time.strftime("%b %d, %Y %H:%M:%S.%N").to_string() + " UTC");
            (record.number, written.unwrap_or_default())
        };
        let mut events: HashMap<(u64, String), Vec<Event>> = HashMap::new();
        let mut known = HashSet::new();
        slack(&bytes, |record, event| match event {
            Ok(event) => {
                ours += 1;
                events.entry(key(record)).or_default().push(event);
            }
            // Libevtx doesn't see that a template was overwritten by another.
            Err(_) => {
                known.insert(key(record));
            }
        });
        // What is a record of the log itself here, and isn't to it.
        read(Cursor::new(bytes), |header, _| {
            known.insert(key(header));
        });
        let Ok(output) = Command::new("evtxexport").args(["-m", "recovered"]).arg(&path).output()
        else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has evtxexport");
            println!("libevtx's evtxexport is not here, so it has recovered nothing");
            return;
        };
        for record in exported(&String::from_utf8_lossy(&output.stdout)) {
            theirs += 1;
            let Some(event) = events
                .get_mut(&(record.number, record.written.clone()))
                .filter(|events| !events.is_empty())
                .map(|events| events.remove(0))
            else {
                if !known.contains(&(record.number, record.written.clone())) {
                    unknown.push(format!("{} {record:?}", short_name(&path)));
                }
                continue;
            };
            let text = |field| event.field(field).to_string();
            let at = format!("{} {record:?}", short_name(&path));
            if let Some(computer) = &record.computer {
                assert_eq!(&text(Field::Computer), computer, "{at}");
            }
            if let Some(source) = &record.source {
                assert_eq!(&text(Field::ProviderName), source, "{at}");
            }
            if let Some(id) = record.id {
                assert_eq!(event.field(Field::EventId).as_u64(), Some(id), "{at}");
            }
            compared += 1;
        }
    }
    println!("{ours} recovered, {theirs} by libevtx, {compared} compared");
    assert_eq!(unknown, Vec::<String>::new());
    assert!(ours == 0 || compared > 800, "{compared}");
}
