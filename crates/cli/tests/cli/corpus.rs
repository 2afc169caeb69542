//! Every record of the corpus, where it is there: what is printed can be read again, and says the
//! same of a record and of the event decoded from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quarry_event::output::{CsvOptions, Printer, Scratch};
use quarry_event::{Event as Decoded, FieldSource, Origin, RecordId, Texts};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};

use super::*;

pub(super) fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "CI needs ../shared/corpus");
    println!("../shared/corpus is not there: nothing of it is tested");
    None
}

fn count(format: &str, read: impl Fn(&str) -> usize) {
    let Some(corpus) = corpus() else { return };
    let ran = run(&corpus, &["scan", "./", "-o", format]);
    assert_eq!(ran.status, Some(0));
    let summary = ran.stderr.lines().last().unwrap();
    let matched = summary.rsplit_once("; ").unwrap().1.split(", ").last().unwrap();
    let matched: usize = matched.replace(" matched", "").replace(',', "").parse().unwrap();
    assert!(matched > 15_000, "{summary}");
    assert_eq!(read(&ran.stdout), matched);
}

#[test]
fn every_record_is_valid_json() {
    count("jsonl", |text| text.lines().map(json).filter(|event| event["v"] == 1).count());
    count("json", |text| serde_json::from_str::<Vec<serde_json::Value>>(text).unwrap().len());
}

#[test]
fn every_record_is_valid_csv() {
    count("csv", |text| {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        reader.records().map(|record| assert_eq!(record.unwrap().len(), 29)).count()
    });
}

#[test]
fn every_record_is_valid_xml() {
    count("xml", |text| {
        let mut reader = quick_xml::Reader::from_str(text);
        let mut events = 0;
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Start(start) => {
                    start.attributes().for_each(|attribute| drop(attribute.unwrap()));
                    events += usize::from(start.name().as_ref() == "Event");
                }
                quick_xml::events::Event::Eof => return events,
                _ => {}
            }
        }
    });
}

/// Prints each event twice, undecoded and decoded.
struct Twice {
    printers: [Printer; 3],
    scratch: Scratch,
    events: u64,
}

impl Visitor for Twice {
    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, log_record: Option<RecordId>) {
        self.events += 1;
        let decoded = Decoded::from_source(event);
        let origin = Origin { source: "s", host: None, log: "l", log_record, recovered: false };
        let none = Texts::default();
        for printer in &self.printers {
            let mut print = |out: &mut Vec<u8>, decode: bool| match decode {
                true => printer.event(&decoded, &origin, none, &mut self.scratch, out),
                false => printer.event(event, &origin, none, &mut self.scratch, out),
            };
            let (mut one, mut other) = (Vec::new(), Vec::new());
            print(&mut one, false);
            print(&mut other, true);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            assert_eq!(text(&one), text(&other));
        }
    }

    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
        panic!("nobody asked for slack");
    }

    fn damage(&mut self, _: &Damage) {}
}

#[test]
fn a_record_and_the_event_decoded_from_it_are_printed_alike() {
    let Some(corpus) = corpus() else { return };
    let mut twice = Twice {
        printers: [Printer::jsonl(None), Printer::csv(CsvOptions::default()), Printer::xml()],
        scratch: Scratch::default(),
        events: 0,
    };
    for folder in ["evtx-crate", "mitre"] {
        for entry in fs::read_dir(corpus.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Ok(log) = FileLog::open(&path) else { continue };
            let mut reader = BatchReader::default();
            log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut twice));
        }
    }
    assert!(twice.events > 15_000);
}

#[test]
fn all_logs_are_every_record_those_without_a_channel_too() {
    let Some(corpus) = corpus() else { return };
    let lines = |arguments: &[&str]| {
        run(&corpus, &[&["scan", "./", "-o", "jsonl"], arguments].concat()).stdout
    };
    let all = lines(&["--fields", "source,log_record"]);
    let starred = lines(&["--fields", "source,log_record", "-l", "*"]);
    assert_eq!(all, starred);
    // There are such records, which any other glob leaves out.
    let named = lines(&["--fields", "source,log_record", "-l", "?*"]);
    assert!(named.len() < all.len());
}

#[test]
fn every_record_is_counted_as_it_is_printed() {
    let Some(corpus) = corpus() else { return };
    type Counted = BTreeMap<String, (u64, String, String)>;
    let key = |event: &serde_json::Value, fields: &str| -> String {
        // No text is nothing where it is counted by.
        let value = |field| Some(event[field].to_string()).filter(|value| value != "\"\"");
        let values = fields.split(',').map(|field| value(field).unwrap_or("null".to_owned()));
        values.collect::<Vec<_>>().join(" ")
    };
    // What a kind of event and its fields tell; what values tell; both.
    for fields in ["event_id,computer", "channel,level,provider", "event_id,data.LogonType"] {
        let printed = format!("{fields},time");
        let printed = run(&corpus, &["scan", "./", "-o", "jsonl", "--fields", &printed]);
        let mut expected = Counted::new();
        for line in printed.lines() {
            let mut event = json(line);
            // A value that is printed as a number is counted by its text.
            if let Some(value) = event.get_mut("data.LogonType").filter(|value| value.is_number()) {
                *value = value.to_string().into();
            }
            let (records, oldest, newest) = expected.entry(key(&event, fields)).or_default();
            *records += 1;
            // Some have none.
            if let Some(time) = event["time"].as_str() {
                let is_first = oldest.is_empty() || time < oldest.as_str();
                *oldest = if is_first { time.to_owned() } else { std::mem::take(oldest) };
                *newest = std::mem::take(newest).max(time.to_owned());
            }
        }
        assert!(expected.len() > 10, "{}", printed.shown());
        for threads in ["1", "3"] {
            let args = ["count", "./", "--by", fields, "-o", "jsonl", "--threads", threads];
            let counted = run(&corpus, &args);
            let row = |line: &&str| {
                let row = json(line);
                let time = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                let records = row["records"].as_u64().unwrap();
                (key(&row, fields), (records, time("oldest"), time("newest")))
            };
            let counted: Counted = counted.lines().iter().map(row).collect();
            let differ = |key: &&String| counted.get(*key) != expected.get(*key);
            let all = counted.keys().chain(expected.keys());
            let different: Vec<_> = all.filter(differ).collect();
            assert!(different.is_empty(), "{fields}: {different:?}");
        }
    }
}
