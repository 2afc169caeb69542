//! What is recovered from the slack of `.evtx` files: logs that are damaged here, and samples, of
//! which another implementation finds the same.
#![allow(clippy::print_stdout)] // The counts are what the test is for.

mod common;

use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::process::Command;

use common::{corpus, read, short_name};
use quarry_binxml::Decoder;
use quarry_binxml::write::{Element, Fragment, Instance, Piece, Template, TypedValue, ValueType};
use quarry_event::{Event, EventTime, Field, FieldSource, Guid, Value};
use quarry_logfile::{CHUNK_SIZE, Chunk, DamageKind, EvtxLog, EvtxWriter, Item, RecordHeader};

const HEADER: usize = 4096;

/// Calls `visit` with each record of slack, which it may not be possible to read.
fn slack(bytes: &[u8], mut visit: impl FnMut(&RecordHeader, Result<Event, String>)) {
    leftovers(bytes, |record, event| visit(record, event.map(|(event, _)| event)));
}

/// The same, with whether names were lost.
fn leftovers(bytes: &[u8], mut visit: impl FnMut(&RecordHeader, Result<(Event, bool), String>)) {
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
        decoder.set_generations(Chunk::generations(&items, &left));
        for record in &left {
            let event = decoder.leftover(record.binxml.clone());
            let event = event.map(|e| (Event::from_source(&e.record), e.has_lost_names));
            visit(record, event.map_err(|e| e.to_string()));
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

/// A chunk that was used again: after the new records is what the old ones have left.
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

/// A chunk that was used again by records of the same layout, the first of which now has another
/// name where the name was that the second one refers to; and the second record, with its error.
fn with_another_name(make: impl Fn(&'static str, u8) -> Fragment<'static>) -> Vec<u8> {
    let log = |first: u64, events: &[(&'static str, u8)]| {
        let mut writer = EvtxWriter::with_first_number(Cursor::new(Vec::new()), first).unwrap();
        for (i, (name, template)) in events.iter().enumerate() {
            writer.write(&make(name, *template), time(first + i as u64)).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let old = log(1, &[("NameA", 1), ("NameA", 2), ("NameA", 2)]);
    let new = log(101, &[("NameB", 3)]);
    // The record that brought the name along has exactly one in its place.
    let place = |bytes: &[u8], name: &str| {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.windows(name.len()).position(|window| window == name).unwrap()
    };
    assert_eq!(place(&old, "NameA"), place(&new, "NameB"));
    assert!(place(&old, "NameA") < end(&new));
    used_again(&old, &new)
}

fn xml(event: &Event) -> String {
    let mut xml = Vec::new();
    event.write_xml(&mut xml);
    String::from_utf8(xml).unwrap()
}

fn system() -> Element {
    Element::new("System")
        .child(Element::new("EventID").text("7"))
        .child(Element::new("EventRecordID").piece(Piece::value(0, ValueType::UInt64)))
}

#[test]
fn a_name_that_stands_where_another_one_stood_is_not_taken_for_it() {
    let made = |name: &'static str, template: u8| {
        let data = Element::new("EventData")
            .child(Element::new(name).piece(Piece::value(1, ValueType::String)));
        let element = Element::new("Event").child(system()).child(data);
        Fragment::Instance(Instance {
            template: Template::new(Guid::from_bytes([template; 16]), element).unwrap(),
            values: vec![TypedValue::UInt64(1), TypedValue::String("value".to_owned().into())],
        })
    };
    let both = with_another_name(made);
    let (numbers, errors) = recovered(&both);
    assert_eq!(numbers, Vec::<u64>::new());
    let failed: Vec<u64> = errors.iter().map(|(number, _)| *number).collect();
    assert_eq!(failed, [2, 3]);
    assert!(errors.iter().all(|(_, error)| error.contains("was overwritten")), "{errors:?}");
}

#[test]
fn elements_without_a_template_are_held_to_their_names_too() {
    let made = |name: &'static str, _: u8| {
        let data = Element::new("EventData").child(Element::new(name).text("value"));
        Fragment::Element(Element::new("Event").child(Element::new("System")).child(data))
    };
    let both = with_another_name(made);
    let (numbers, errors) = recovered(&both);
    assert_eq!(numbers, Vec::<u64>::new());
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|(_, error)| error.contains("was overwritten")), "{errors:?}");
}

#[test]
fn data_whose_names_are_lost_keep_their_values_and_say_so() {
    // The event's own names are at the same places; those of the data are others.
    let made = |name: &'static str, template: u8| {
        let data = Element::new("UserData")
            .child(Element::new(name).piece(Piece::value(0, ValueType::String)));
        let inside = Instance {
            template: Template::new(Guid::from_bytes([template; 16]), data).unwrap(),
            values: vec![TypedValue::String("value".to_owned().into())],
        };
        let element =
            Element::new("Event").child(system()).piece(Piece::value(1, ValueType::BinXml));
        Fragment::Instance(Instance {
            template: Template::new(Guid::from_bytes([9; 16]), element).unwrap(),
            values: vec![
                TypedValue::UInt64(1),
                TypedValue::BinXml(Box::new(Fragment::Instance(inside))),
            ],
        })
    };
    let both = with_another_name(made);
    let mut left = Vec::new();
    leftovers(&both, |record, event| left.push((record.number, event.unwrap())));
    let numbers: Vec<u64> = left.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [2, 3]);
    for (_, (event, has_lost_names)) in left {
        assert!(has_lost_names);
        assert!(
            xml(&event).contains("<EventData><Data>value</Data></EventData>"),
            "{}",
            xml(&event)
        );
    }
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
        let expected = format!("<EventRecordID>{}</EventRecordID>", record.number);
        let xml = xml(&event);
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

fn file_damage(bytes: &[u8]) -> Vec<DamageKind> {
    let log = EvtxLog::open(Cursor::new(bytes.to_vec())).unwrap();
    log.damage().iter().map(|damage| damage.kind).collect()
}

/// Has the second chunk count its records from another number than they have.
fn count_from(bytes: &mut [u8], first: u64, last: u64) {
    let chunk = &mut bytes[HEADER + CHUNK_SIZE..];
    chunk[8..16].copy_from_slice(&first.to_le_bytes());
    chunk[16..24].copy_from_slice(&last.to_le_bytes());
    let checksum = crc32fast::hash(&[&chunk[..120], &chunk[128..512]].concat());
    chunk[124..128].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn chunks_that_are_not_counted_are_older_by_what_their_records_say_and_are_told_of() {
    // Windows counts a file's records from 1, whatever numbers they have.
    let mut later = log(101, &[(1, 10); 5]);
    later.extend_from_slice(&log(106, &[(1, 10); 7])[HEADER..]);
    count_from(&mut later, 6, 12);
    assert_eq!(live(&later).len(), 12);
    assert_eq!((recovered(&later), file_damage(&later)), ((vec![], vec![]), vec![]));
    let mut older = log(101, &[(1, 10); 5]);
    older.extend_from_slice(&log(1, &[(1, 10); 7])[HEADER..]);
    count_from(&mut older, 1001, 1007);
    let expected = [DamageKind::UnusedChunks { chunks: 1 }];
    assert_eq!(live(&older), (101..=105).collect::<Vec<_>>());
    assert_eq!(recovered(&older), ((1..=7).collect(), vec![]));
    assert_eq!(file_damage(&older), expected);
    assert!(expected[0].to_string().starts_with("1 chunk with older records is not counted"));
    // One whose header is damaged is told by its first record.
    older[HEADER + CHUNK_SIZE + 24] ^= 0xff;
    assert_eq!(live(&older).len(), 5);
    assert_eq!(file_damage(&older), expected);
    later[HEADER + CHUNK_SIZE..][..8].fill(0);
    assert_eq!(live(&later).len(), 12);
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
    // All refer to the template that the first one brought along, after what is gone.
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
    level: Option<u64>,
    user: Option<String>,
    strings: Vec<String>,
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
            "Event level" => {
                let number = value.rsplit_once('(').and_then(|(_, n)| n.strip_suffix(')'));
                record.level = number.and_then(|number| number.parse().ok());
            }
            "User security identifier" => record.user = Some(value.to_owned()),
            name if name.starts_with("String: ") => record.strings.push(value.to_owned()),
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
/// log itself here, or is reported as one whose template is gone.
#[test]
fn what_libevtx_recovers_of_the_samples_is_recovered() {
    let (mut ours, mut theirs, mut compared, mut texts) = (0, 0, 0, 0);
    let mut refused = Vec::new();
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
            Err(error) if error.contains("was overwritten") => {
                known.insert(key(record));
            }
            Err(error) => refused.push(format!("{} {} {error}", short_name(&path), record.number)),
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
            if let Some(level) = record.level {
                assert_eq!(event.field(Field::Level).as_u64(), Some(level), "{at}");
            }
            if let Some(user) = &record.user {
                assert_eq!(&text(Field::UserId), user, "{at}");
            }
            // Text is the same in both; numbers and the like have many forms.
            let is_plain = |t: &str| !t.contains(char::is_control) && !t.starts_with("0x");
            let mut values = Vec::new();
            let _ = event.each_data(|_, value| {
                let text = matches!(value, Value::Str(_) | Value::Utf16(_));
                values.push(text.then(|| value.to_string()));
                ControlFlow::Continue(())
            });
            if values.len() == record.strings.len() {
                for (ours, theirs) in values.iter().zip(&record.strings) {
                    let Some(ours) = ours.as_ref().filter(|t| is_plain(t)) else {
                        continue;
                    };
                    assert!(ours.trim().eq_ignore_ascii_case(theirs.trim()), "{ours} {at}");
                    texts += 1;
                }
            }
            compared += 1;
        }
    }
    println!("{ours} recovered, {theirs} by libevtx, {compared} compared, {texts} texts of them");
    println!("{} refused: {refused:?}", refused.len());
    assert_eq!(unknown, Vec::<String>::new());
    assert!(ours == 0 || texts > 500, "{texts}");
    assert!(ours == 0 || compared > 800, "{compared}");
}
