//! An exported log, its display strings, and the same events as Event Viewer exported them.

use std::fs::File;
use std::sync::Arc;

use quarry_binxml::{Decoder, Record};
use quarry_event::{Field, FieldSource, MessageSource, NameOf};
use quarry_logfile::{EvtxLog, Item};
use quarry_message::{Mta, Sources, standard};

#[test]
fn the_default_names_of_an_mta_file_are_the_standard_s() {
    let Some(mta) = mta() else { return };
    for opcode in (0..=9).chain([240]) {
        assert_eq!(mta.opcode("", 0, opcode).as_deref(), standard::opcode(opcode));
    }
    for level in 1..=5 {
        assert_eq!(mta.level("", level).as_deref(), standard::level(level));
    }
    // Event Viewer's own list shows what is always logged as information.
    assert_eq!(mta.level("", 0).as_deref(), Some("Log Always"));
    for bit in [48, 50, 51, 52, 53, 54, 55] {
        let names = mta.keywords("", 1 << bit);
        assert_eq!(names.first().map(|name| &**name), standard::keyword(1 << bit));
    }
    assert_eq!(mta.task("", 0).as_deref(), standard::task(0));
}

/// An event as Event Viewer shows it in a list.
#[derive(PartialEq, Eq, Debug)]
struct Row {
    level: String,
    source: String,
    id: String,
    task: String,
    text: String,
}

#[test]
fn every_event_reads_as_event_viewer_exported_it() {
    let (Some(mta), Some(log), Some(exported)) = (
        mta(),
        quarry_testkit::corpus_file("messages/viewer.evtx"),
        quarry_testkit::corpus_file("messages/viewer.csv"),
    ) else {
        return;
    };
    let sources = Sources::new().with_mta(Arc::new(self::mta().unwrap()));
    let mut rows = Vec::new();
    let log = EvtxLog::open(File::open(log).unwrap()).unwrap();
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::new();
    for n in 0..log.chunks() {
        let chunk = log.chunk(n, &mut buffer).unwrap();
        chunk.items(&mut items);
        let mut decoder = decoder.chunk(chunk.bytes());
        for item in &items {
            let Item::Record(header) = item else { panic!("damage") };
            rows.push(row(&decoder.event(header.binxml.clone()).unwrap(), &mta, &sources));
        }
    }
    // The newest event is the first of the list.
    rows.reverse();
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_path(exported).expect("the list can be read");
    let expected: Vec<Row> = reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            Row {
                level: record[0].to_owned(),
                source: record[2].to_owned(),
                id: record[3].to_owned(),
                task: record[4].to_owned(),
                text: record[5].to_owned(),
            }
        })
        .collect();
    assert_eq!(expected.len(), 239);
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len());
}

fn row(record: &Record<'_>, mta: &Mta, sources: &Sources) -> Row {
    let number = |field: Field| record.field(field).as_u64().expect("a number");
    let provider = record.field(Field::ProviderName).to_string();
    let level = number(Field::Level) as u8;
    let mut task = Vec::new();
    assert!(sources.name(record, NameOf::Task, &mut task));
    let task = String::from_utf8(task).unwrap();
    Row {
        // A list shows the standard's name, "Information", where the provider has its own.
        level: standard::level(level).unwrap_or_default().to_owned(),
        id: number(Field::EventId).to_string(),
        task,
        text: mta.message(number(Field::RecordId)).expect("a message"),
        source: provider,
    }
}

fn mta() -> Option<Mta> {
    let path = quarry_testkit::corpus_file("messages/viewer_1033.MTA")?;
    Some(Mta::read(std::fs::read(path).unwrap()).unwrap())
}
