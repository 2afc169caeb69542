//! Many servers at once, and events out of files.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use common::*;
use quarry_binxml::Decoder;
use quarry_even::Bookmark;
use quarry_event::output::xml::XmlSink;
use quarry_event::{Event, EventTime, Field, FieldSource};
use quarry_logfile::{EvtxLog, Item};
use quarry_sim::{FileLogs, ServerOptions, Sim};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_hundred_servers_has_its_own_events() {
    let names = (0..100).map(|n| ServerOptions::new(format!("server{n}")));
    let mut options = options(names.collect());
    options.events = 100;
    let sim = Arc::new(Sim::start(options).await.unwrap());
    let reads = (0..100).map(|n| {
        let sim = Arc::clone(&sim);
        tokio::spawn(async move {
            let name = format!("server{n}");
            let client = connect(&sim, &name).await;
            let all = read(&client, "System", "*", FORWARD).await;
            assert_eq!(numbers(&all), (1..=100).collect::<Vec<_>>());
            let computer = format!("{name}.sim.test");
            assert!(all.iter().all(|record| record.field(Field::Computer) == computer));
            let ids: Vec<_> = all.iter().map(|record| record.field(Field::EventId)).collect();
            ids.join(" ")
        })
    });
    let mut kinds = Vec::new();
    for read in reads.collect::<Vec<_>>() {
        kinds.push(read.await.unwrap());
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), 100);
    assert_eq!(sim.queries().len(), 100);
}

#[tokio::test]
async fn the_same_options_make_the_same_events() {
    let newest = EventTime::parse("2026-11-22T12:00:00.0000000Z").unwrap();
    let mut all = Vec::new();
    for seed in [5, 5, 6] {
        let mut options = options(vec![ServerOptions::new("fred")]);
        (options.newest, options.seed, options.first_record) = (newest, seed, 4_000_000_000);
        let sim = Sim::start(options).await.unwrap();
        all.push(read(&connect(&sim, "fred").await, "System", "*", FORWARD).await);
    }
    assert_eq!(all[0], all[1]);
    assert_ne!(all[0], all[2]);
    assert_eq!(all[0][0].number, 4_000_000_000);
    assert!(all[0][299].field(Field::TimeCreated).starts_with("2026-11-22T11:59"));
}

/// The sample logs beside the repository.
fn samples() -> Vec<PathBuf> {
    let folder = quarry_testkit::root().join("../shared/corpus/evtx-crate");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let small = |path: &PathBuf| path.metadata().is_ok_and(|meta| meta.len() < 3 << 20);
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some("evtx".as_ref()) && small(path))
        .collect();
    files.sort();
    if files.is_empty() {
        quarry_testkit::skip("sample logs", "they are not beside the repository");
    }
    files
}

/// The events of a file by their logs, in order, as they are read without a server.
fn direct(path: &PathBuf) -> BTreeMap<String, Vec<(u64, Event)>> {
    let log = EvtxLog::open(std::fs::File::open(path).unwrap()).unwrap();
    let (mut decoder, mut buffer, mut items) = (Decoder::new(), Vec::new(), Vec::new());
    let mut logs = BTreeMap::<_, Vec<_>>::new();
    for n in 0..log.chunks() {
        let Ok(chunk) = log.chunk(n, &mut buffer) else { continue };
        chunk.items(&mut items);
        let mut records = decoder.chunk(chunk.bytes());
        for item in &items {
            let Item::Record(header) = item else { continue };
            let Ok(record) = records.event(header.binxml.clone()) else { continue };
            let event = Event::from_source(&record);
            let channel = event.field(Field::Channel).to_string();
            logs.entry(channel).or_default().push((header.number, event));
        }
    }
    logs
}

#[tokio::test]
async fn events_of_files_come_as_they_are_in_the_file() {
    let mut events = 0;
    for path in samples() {
        let expected = direct(&path);
        let mut files = FileLogs::default();
        files.add(&path).unwrap();
        let count: usize = expected.values().map(Vec::len).sum();
        assert_eq!(files.records(), count as u64, "{}", path.display());
        if count == 0 {
            continue;
        }
        let mut options = options(vec![ServerOptions::new("fred")]);
        options.files = Some(Arc::new(files));
        let sim = Sim::start(options).await.unwrap();
        let client = connect(&sim, "fred").await;
        for (channel, expected) in expected.iter().filter(|(channel, _)| !channel.is_empty()) {
            let served = read(&client, channel, "*", FORWARD).await;
            assert_eq!(served.len(), expected.len(), "{}", path.display());
            let mut last = 0;
            for (got, (number, event)) in served.iter().zip(expected) {
                // Where a file's numbers don't ascend, the server's go on.
                assert_eq!(got.number, (last + 1).max(*number), "{}", path.display());
                last = got.number;
                assert_eq!(text(&got.event), text(event), "{}", path.display());
            }
            events += served.len();
            // From the middle on, over whatever gaps there are.
            let middle = &served[served.len() / 2];
            let query = client.register_log_query(Some(channel), "*", FORWARD).await.unwrap();
            let bookmark = Bookmark::single(channel.clone(), middle.number).to_xml();
            client.query_seek(query.handle, 0, Some(&bookmark), 4.into()).await.unwrap();
            let rest = rest(&client, query.handle, 100).await;
            assert_eq!(numbers(&rest), numbers(&served[served.len() / 2..]));
        }
    }
    assert!(samples().is_empty() || events > 3000, "{events} events");
}

/// An event as XML, which is what a client makes of it.
fn text(event: &Event) -> String {
    let mut out = Vec::new();
    event.walk(&mut XmlSink::new(&mut out));
    String::from_utf8(out).unwrap()
}
