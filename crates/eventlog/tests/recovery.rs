//! What is recovered from files that are no logs any more: images, dumps, single records. The
//! undamaged logs say what it has to be.
#![allow(clippy::print_stdout)] // The counts are what the tests are for.

#[path = "../../logfile/tests/classic_parts/mod.rs"]
mod classic_parts;

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use classic_parts::Parts;
use quarry_binxml::write::{Element, Fragment, Instance, Piece, Template, TypedValue, ValueType};
use quarry_event::{Event, EventTime, FieldSource, Guid, RecordId};
use quarry_eventlog::{BatchReader, Damage, Direction, FileDamage, FileLog, LogName, Visitor};
use quarry_logfile::{CHUNK_SIZE, DamageKind, EvtxLog, EvtxWriter, Item, ReadAt, RecordHeader};

const HEADER: usize = 4096;

/// What reading a file has given.
#[derive(Default)]
struct Found {
    live: Vec<(u64, String)>,
    recovered: Vec<(u64, String)>,
    damage: Vec<DamageKind>,
}

impl Visitor for Found {
    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, log_record: Option<RecordId>) {
        self.live.push((log_record.unwrap_or_default().0, xml(event)));
    }

    fn recovered<S: FieldSource>(&mut self, event: &S, _log: &str, log_record: Option<RecordId>) {
        self.recovered.push((log_record.unwrap_or_default().0, xml(event)));
    }

    fn damage(&mut self, damage: &Damage) {
        if let Damage::File(FileDamage(damage)) = damage {
            self.damage.push(damage.kind);
        }
    }
}

fn xml(event: &impl FieldSource) -> String {
    let mut xml = Vec::new();
    Event::from_source(event).write_xml(&mut xml);
    String::from_utf8(xml).unwrap()
}

fn name() -> LogName {
    LogName("image".to_owned())
}

fn read(log: &FileLog, direction: Direction) -> Found {
    let mut found = Found::default();
    let mut reader = BatchReader::default();
    log.batches(direction).for_each(|batch| reader.read(&batch, &mut found));
    found
}

fn any(bytes: impl ReadAt + 'static) -> FileLog {
    FileLog::of_any("image".to_owned(), name(), bytes).unwrap()
}

/// All that is recovered from a file of any kind.
fn recovered(bytes: &[u8]) -> Found {
    read(&any(Cursor::new(bytes.to_vec())), Direction::Forward)
}

/// All that a log has, and what it has given up.
fn whole(bytes: &[u8]) -> Found {
    recovered(bytes)
}

fn counted(events: &[(u64, String)]) -> BTreeMap<&(u64, String), usize> {
    events.iter().fold(BTreeMap::new(), |mut all, event| {
        *all.entry(event).or_default() += 1;
        all
    })
}

/// Bytes without any order, which are the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, image: &mut Vec<u8>, len: usize) {
        image.extend((0..len).map(|_| self.next() as u8));
    }
}

/// The sample logs without damage, and those that the tests make. A sample of a few MiB says as
/// much as a large one.
fn logs() -> Vec<(String, Vec<u8>)> {
    const MOST: u64 = 3 << 20;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let mut paths: Vec<PathBuf> = ["mitre", "evtx-crate"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(corpus.join(folder)).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some("evtx".as_ref()))
        .filter(|path| path.metadata().is_ok_and(|metadata| metadata.len() <= MOST))
        .collect();
    paths.sort();
    if paths.is_empty() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has the sample logs");
        println!("the sample logs are not here; only logs made by the tests are read");
    }
    let mut logs = vec![("made".to_owned(), made(1..400))];
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let is_whole = EvtxLog::open(Cursor::new(bytes.clone()))
            .is_ok_and(|log| log.damage().is_empty() && whole(&bytes).damage.is_empty());
        if is_whole {
            logs.push((path.file_name().unwrap().to_string_lossy().into_owned(), bytes));
        }
    }
    logs
}

fn time(i: u64) -> EventTime {
    EventTime::from_filetime(134_000_000_000_000_000 + i * EventTime::SECOND)
}

/// An event whose data is a template of its own.
fn event(kind: u8, number: u64) -> Fragment<'static> {
    event_of(kind, number, &format!("Name{kind}"), &[TypedValue::String("text".into())])
}

fn event_of(
    kind: u8,
    number: u64,
    name: &str,
    values: &[TypedValue<'static>],
) -> Fragment<'static> {
    let types = values.iter().map(|value| match value {
        TypedValue::String(_) => ValueType::String,
        TypedValue::UInt64(_) => ValueType::UInt64,
        other => panic!("the tests have no {other:?}"),
    });
    let mut data = Element::new("EventData");
    for (n, of) in types.enumerate() {
        let value = Element::new("Data").attribute("Name", format!("{name}{n}"));
        data = data.child(value.piece(Piece::value(n as u16, of)));
    }
    let inside = Instance {
        template: Template::new(Guid::from_bytes([kind; 16]), data).unwrap(),
        values: values.to_vec(),
    };
    let element = Element::new("Event")
        .child(
            Element::new("System")
                .child(Element::new("Provider").attribute("Name", "Tests"))
                .child(Element::new("EventID").text(kind.to_string()))
                .child(Element::new("EventRecordID").piece(Piece::value(0, ValueType::UInt64))),
        )
        .piece(Piece::value(1, ValueType::BinXml));
    Fragment::Instance(Instance {
        template: Template::new(Guid::from_bytes([100 + kind; 16]), element).unwrap(),
        values: vec![
            TypedValue::UInt64(number),
            TypedValue::BinXml(Box::new(Fragment::Instance(inside))),
        ],
    })
}

fn log_of(first: u64, events: &[Fragment<'_>]) -> Vec<u8> {
    let mut writer = EvtxWriter::with_first_number(Cursor::new(Vec::new()), first).unwrap();
    for (i, event) in events.iter().enumerate() {
        writer.write(event, time(first + i as u64)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A log of events of five kinds.
fn made(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let events: Vec<_> = numbers.clone().map(|n| event((n % 5) as u8 + 1, n)).collect();
    log_of(numbers.start, &events)
}

/// The records of a log with their bytes.
fn records(bytes: &[u8]) -> Vec<(RecordHeader, Vec<u8>)> {
    let log = EvtxLog::open(Cursor::new(bytes.to_vec())).unwrap();
    let (mut buffer, mut items, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..log.chunks() {
        let chunk = log.chunk(n, &mut buffer).unwrap();
        chunk.items(&mut items);
        for item in &items {
            if let Item::Record(record) = item {
                let whole = record.binxml.start - 24..record.binxml.end + 4;
                records.push((record.clone(), chunk.bytes()[whole].to_vec()));
            }
        }
    }
    records
}

#[test]
fn chunks_anywhere_in_an_image_give_each_record_once_and_as_it_was() {
    let (mut files, mut all) = (0, 0);
    for (name, bytes) in logs() {
        let original = whole(&bytes);
        let mut noise = Noise(bytes.len() as u64);
        let mut image = Vec::new();
        for chunk in bytes[HEADER..].chunks(CHUNK_SIZE) {
            let len = 1 + (noise.next() % 9_000) as usize;
            noise.fill(&mut image, len);
            image.extend_from_slice(chunk);
        }
        let found = recovered(&image);
        assert_eq!(found.live, [], "{name}: an image has no log");
        let (ours, expected) = (counted(&found.recovered), counted(&original.live));
        for (event, count) in &expected {
            // A log may have one in its slack that it also has.
            let slack = original.recovered.iter().filter(|other| other == event).count();
            assert_eq!(ours.get(event), Some(&(count + slack)), "{name}: record {}", event.0);
        }
        (files, all) = (files + 1, all + expected.len());
    }
    println!("{all} records of {files} logs");
}

#[test]
fn chunks_without_their_headers_give_each_record_as_it_was() {
    for (name, bytes) in logs() {
        let original = whole(&bytes);
        let mut damaged = bytes.clone();
        damaged[..HEADER].fill(0);
        for chunk in damaged[HEADER..].chunks_mut(CHUNK_SIZE) {
            chunk[..512].fill(0);
        }
        let found = recovered(&damaged);
        let all: Vec<_> = found.live.iter().chain(&found.recovered).cloned().collect();
        let ours = counted(&all);
        for event in &original.live {
            assert!(ours.contains_key(event), "{name}: record {}: {:?}", event.0, found.damage);
        }
    }
}

#[test]
fn single_records_are_completed_by_templates_that_stand_anywhere_in_the_file() {
    let (mut singles, mut complete) = (0, 0);
    for (name, bytes) in logs() {
        let original = whole(&bytes);
        let by_number: BTreeMap<u64, &String> =
            original.live.iter().map(|(number, xml)| (*number, xml)).collect();
        let mut noise = Noise(7);
        let mut image = Vec::new();
        // The records come before the chunks that have their templates, the last first.
        let records = records(&bytes);
        for (_, record) in records.iter().rev() {
            let len = 1 + (noise.next() % 300) as usize;
            noise.fill(&mut image, len);
            image.extend_from_slice(record);
        }
        let alone = image.len();
        image.extend_from_slice(&bytes[HEADER..]);
        let found = recovered(&image);
        singles += records.len();
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, xml) in &found.recovered {
            let Some(expected) = by_number.get(number) else { continue };
            // What is given without its names says so, and everything else is as it was.
            if xml == *expected {
                *seen.entry(*number).or_default() += 1;
            } else {
                let unnamed = found.damage.contains(&DamageKind::LostNames);
                let slack = original.recovered.iter().any(|other| other == &(*number, xml.clone()));
                assert!(unnamed || slack, "{name}: record {number}: {xml}\n{expected}");
            }
        }
        let before = complete;
        complete += seen.values().filter(|count| **count >= 2).count();
        assert!(alone > 0);
        println!("{name}: {} of {}", complete - before, records.len());
    }
    println!("{complete} of {singles} single records are as they were");
    // The rest have two templates of one identifier that both fit, or names of their own.
    assert!(complete * 100 >= singles * 97, "{complete} of {singles}");
}

#[test]
fn templates_of_another_file_serve_and_are_told_of() {
    let bytes = made(1..100);
    let mut image = vec![0xee; 777];
    for (_, record) in records(&bytes) {
        image.extend_from_slice(&record);
        image.extend_from_slice(&[0xee; 33]);
    }
    let alone = recovered(&image);
    // The first record of all brought the names along that the other kinds' templates refer to.
    assert_eq!(alone.recovered.len(), 20);
    let other = any(Cursor::new(made(500..600)));
    let definitions = other.definitions(|| true).unwrap();
    assert_eq!(definitions.len(), 10);
    let mut log = any(Cursor::new(image));
    log.set_other_definitions(Arc::new(definitions));
    let found = read(&log, Direction::Forward);
    assert!(found.recovered == whole(&bytes).live, "{:?}", found.damage);
    let borrowed = |kind: &&DamageKind| **kind == DamageKind::BorrowedTemplate;
    let expected = found.recovered.len() - alone.recovered.len();
    assert_eq!(found.damage.iter().filter(borrowed).count(), expected);
}

#[test]
fn a_template_that_the_values_do_not_fit_is_not_used() {
    // The event's own template is the same; that of the data has another type, fewer values, or
    // other names.
    let text = TypedValue::String("text".into());
    let record = |values: &[TypedValue<'static>]| {
        let bytes = log_of(1, &[event_of(7, 1, "Old", values), event_of(7, 2, "Old", values)]);
        // The second refers to what the first has brought along.
        records(&bytes)[1].1.clone()
    };
    let lone = [&[1; 100], &*record(std::slice::from_ref(&text)), &[1; 100]].concat();
    let with = |others: &[&[TypedValue<'static>]]| {
        let mut image = lone.clone();
        for (n, values) in others.iter().enumerate() {
            let log = log_of(50, &[event_of(7, 50, &format!("New{n}"), values)]);
            image.extend_from_slice(&log[HEADER..]);
        }
        let found = recovered(&image);
        let of_it = found.recovered.into_iter().find(|(number, _)| *number == 2);
        (of_it.map(|(_, xml)| xml).unwrap_or_default(), found.damage)
    };
    let number = TypedValue::UInt64(1);
    for misfit in [&[number.clone()][..], &[text.clone(), text.clone()]] {
        let (xml, damage) = with(&[misfit]);
        assert!(xml.contains("<Data>text</Data>"), "{xml}");
        assert!(damage.contains(&DamageKind::LostNames), "{damage:?}");
    }
    // One that fits serves; of two that fit and differ, none.
    let fits = std::slice::from_ref(&text);
    let (xml, damage) = with(&[fits]);
    assert!(xml.contains("Name=\"New00\">text<"), "{xml}");
    assert_eq!(damage, []);
    let (xml, damage) = with(&[fits, fits]);
    assert!(xml.contains("<Data>text</Data>"), "{xml}");
    assert!(damage.contains(&DamageKind::LostNames), "{damage:?}");
}

#[test]
fn records_of_both_formats_are_found_in_one_file() {
    let bytes = made(1..30);
    let classic = |number| {
        Parts {
            number,
            source: "Service Control Manager".into(),
            computer: "WINXP".into(),
            ..Parts::default()
        }
        .encode()
    };
    let mut noise = Noise(3);
    let mut image = Vec::new();
    noise.fill(&mut image, 300_001);
    image.extend_from_slice(&classic(1));
    image.extend_from_slice(&classic(2));
    noise.fill(&mut image, 5);
    image.extend_from_slice(&bytes[HEADER..]);
    noise.fill(&mut image, 1_001);
    image.extend_from_slice(&classic(9));
    let forward = recovered(&image);
    let numbers: Vec<u64> = forward.recovered.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2].into_iter().chain(1..30).chain([9]).collect::<Vec<_>>());
    assert!(forward.recovered[0].1.contains("<Computer>WINXP</Computer>"));
    assert_eq!(forward.damage, []);
    let mut backward = read(&any(Cursor::new(image.clone())), Direction::Backward).recovered;
    backward.reverse();
    assert_eq!(backward, forward.recovered);
    // Also where the first one is so near the beginning that it might be an old log.
    image.drain(..200_000);
    let near = recovered(&image);
    let mut all = near.live.clone();
    all.extend(near.recovered);
    assert_eq!(all.len(), 32);
}

#[test]
fn chunks_of_a_log_that_are_out_of_place_are_found() {
    let bytes = made(1..2_000);
    let chunks: Vec<&[u8]> = bytes[HEADER..].chunks(CHUNK_SIZE).collect();
    assert!(chunks.len() >= 3);
    // Some bytes are missing after the first chunk, so that all others begin too soon.
    let mut shifted = bytes[..HEADER + CHUNK_SIZE].to_vec();
    shifted.extend_from_slice(&bytes[HEADER + CHUNK_SIZE + 1000..]);
    let found = recovered(&shifted);
    let all: Vec<u64> = found.live.iter().chain(&found.recovered).map(|(n, _)| *n).collect();
    let lost = records(&bytes)
        .iter()
        .filter(|(header, _)| {
            let at = header.offset as usize;
            (HEADER + CHUNK_SIZE..HEADER + CHUNK_SIZE + 1000).contains(&at)
        })
        .count();
    let mut unique = all.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), all.len(), "each once");
    assert!(all.len() >= 1_999 - lost - 1, "{} of 1999, {lost} lost", all.len());
}

#[test]
fn what_has_no_records_gives_nothing_and_no_warning() {
    let mut noise = Noise(11);
    let mut bytes = Vec::new();
    noise.fill(&mut bytes, 3 << 20);
    // Signatures without records, and records whose size doesn't stand after them.
    for at in (0..bytes.len() - 1100).step_by(997) {
        bytes[at..at + 4].copy_from_slice(b"**\0\0");
        bytes[at + 4..at + 8].copy_from_slice(&48u32.to_le_bytes());
        bytes[at + 500..at + 504].copy_from_slice(b"LfLe");
        bytes[at + 496..at + 500].copy_from_slice(&80u32.to_le_bytes());
    }
    let found = recovered(&bytes);
    assert_eq!((found.recovered, found.damage), (vec![], vec![]));
}

/// A file that counts the bytes that are read of it.
struct Counted {
    bytes: Vec<u8>,
    read: Arc<AtomicU64>,
    largest: Arc<AtomicU64>,
}

impl ReadAt for Counted {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = Cursor::new(&self.bytes).read_at(buffer, offset)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        self.largest.fetch_max(buffer.len() as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[test]
fn a_file_is_searched_once_from_one_end_to_the_other_in_bounded_memory() {
    let mut noise = Noise(5);
    let mut bytes = Vec::new();
    noise.fill(&mut bytes, 40 << 20);
    // Hostile: a signature at each place where one can be.
    for at in (0..8 << 20).step_by(4) {
        bytes[at..at + 4].copy_from_slice(b"**\0\0");
    }
    let chunk = &made(1..20)[HEADER..];
    let at = (20 << 20) + 13;
    bytes[at..at + chunk.len()].copy_from_slice(chunk);
    let (read_bytes, largest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let size = bytes.len() as u64;
    let file = Counted { bytes, read: Arc::clone(&read_bytes), largest: Arc::clone(&largest) };
    let found = read(&any(file), Direction::Forward);
    assert_eq!(found.recovered.len(), 19);
    // Once for the search; the rest is what tells that it is no log, and the records themselves.
    let read_bytes = read_bytes.load(Ordering::Relaxed);
    assert!(read_bytes < size + (1 << 20), "{read_bytes} of {size}");
    assert!(largest.load(Ordering::Relaxed) <= 6 << 20);
}

#[test]
fn a_record_across_two_steps_of_the_search_is_found_once() {
    let (_, record) = records(&made(1..3)).remove(0);
    let chunk = &made(1..3)[HEADER..];
    // About where a step ends.
    for shift in [0usize, 1, 3, 20, record.len() - 1, record.len(), record.len() + 7] {
        let mut image = vec![0xaa; (4 << 20) + 512 - shift];
        image.extend_from_slice(&record);
        image.resize(9 << 20, 0xaa);
        image.extend_from_slice(chunk);
        let found = recovered(&image);
        let numbers: Vec<u64> = found.recovered.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 1, 2], "{shift}");
    }
}

#[test]
fn a_live_record_whose_template_is_damaged_is_read_with_another_one() {
    let mut bytes = made(1..3_000);
    assert!(bytes.len() > HEADER + 2 * CHUNK_SIZE);
    let original = whole(&bytes).live;
    // In the second chunk, the definition of one kind's data.
    let chunk = &mut bytes[HEADER + CHUNK_SIZE..HEADER + 2 * CHUNK_SIZE];
    let at = chunk.windows(16).position(|guid| guid == [3; 16]).unwrap();
    chunk[at + 20..at + 30].fill(0xff);
    let plain = FileLog::new("a".into(), name(), Cursor::new(bytes.clone())).unwrap();
    let lost = read(&plain, Direction::Forward);
    assert!(lost.live.len() < original.len());
    let found = recovered(&bytes);
    assert!(!found.recovered.is_empty());
    let mut all: Vec<_> = found.live.into_iter().chain(found.recovered).collect();
    all.sort();
    let mut expected = original;
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn an_empty_file_is_none_even_where_any_kind_is_taken() {
    assert!(FileLog::of_any("a".into(), name(), Cursor::new(Vec::new())).is_err());
}

/// What an event is told by in EVTXtract's XML and in ours: its record's number, its id, its time to
/// the second, and the names of its data, if it has any that are no arrays there.
fn told(xml: &str) -> Option<(String, Option<Vec<String>>)> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let find = |name: &str| document.descendants().find(|node| node.tag_name().name() == name);
    let text = |name: &str| find(name).and_then(|node| node.text()).unwrap_or_default().to_owned();
    let time = find("TimeCreated")?.attribute("SystemTime")?.get(..19)?.replace(' ', "T");
    let key = format!("{} {} {time}", text("EventRecordID"), text("EventID"));
    let names = document.descendants().filter(|node| node.tag_name().name() == "Data");
    let names = names.map(|node| node.attribute("Name").map(str::to_owned));
    let names: Option<Vec<String>> = names.collect();
    Some((key, names.filter(|names| !names.is_empty())))
}

#[test]
fn what_evtxtract_completes_is_completed_with_the_same_names() {
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recovery_peers.txt");
    if !quarry_testkit::has_program("python3", "python3-venv") {
        return;
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/evtx-crate");
    if !corpus.is_dir() {
        return quarry_testkit::skip("EVTXtract", "the sample logs are not here");
    }
    let python = quarry_testkit::python("evtxtract", Path::new(requirements));
    let (mut theirs, mut named) = (0, 0);
    for name in ["security.evtx", "sysmon.evtx"] {
        let mut bytes = std::fs::read(corpus.join(name)).unwrap();
        // Every second chunk without its header, and no header of the file: it takes all its
        // templates from chunks that have one.
        bytes[..HEADER].fill(0);
        for chunk in bytes[HEADER..].chunks_mut(CHUNK_SIZE).skip(1).step_by(2) {
            let header = chunk.len().min(512);
            chunk[..header].fill(0);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged");
        std::fs::write(&path, &bytes).unwrap();
        let program = python.with_file_name("evtxtract");
        let output = std::process::Command::new(program).arg("-q").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = recovered(&bytes);
        let mut ours: BTreeMap<String, Vec<Option<Vec<String>>>> = BTreeMap::new();
        for (_, xml) in found.live.iter().chain(&found.recovered) {
            let (key, names) = told(xml).unwrap();
            ours.entry(key).or_default().push(names);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        for event in text.split("<Event ").skip(1) {
            let event = event.split("</Event>").next().unwrap_or_default();
            // Some of its XML is none.
            let Some((key, names)) = told(&format!("<Event {event}</Event>")) else { continue };
            let same = ours.get(&key).unwrap_or_else(|| panic!("{name}: {key} is not recovered"));
            theirs += 1;
            if names.is_some() {
                assert!(same.contains(&names), "{name}: {key}: {names:?} {same:?}");
                named += 1;
            }
        }
    }
    println!("{theirs} events of EVTXtract, {named} with names");
    assert!(theirs > 2_000 && named > 1_900, "{theirs} {named}");
}
