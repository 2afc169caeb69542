//! Keeps three events in a table and says how far each log has been read.
//!
//!     cargo run -p quarry-store --example keep -- /tmp/events
#![expect(clippy::print_stdout, reason = "it is an example")]

use quarry_event::{Event, EventTime, Origin, RecordId, Texts};
use quarry_store::{EventMeta, Move, Options, Policy, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "events".into());
    let columns = ["TargetUserName".to_owned()];
    let store = Store::open(&folder, Options::default().columns(columns)).await?;
    let appender = store.appender()?;

    // Reading goes on where the table says.
    let source = "even6://srv1";
    let bookmarks = store.take(source).await?;
    let first = bookmarks.first().map_or(1, |bookmark| bookmark.record.0 + 1);
    let time = EventTime::parse("2026-11-29T12:00:00.1234567Z").ok_or("a time")?;

    let mut rows = store.rows()?;
    for record in first..first + 3 {
        let origin = Origin {
            source,
            host: Some("srv1"),
            log: "Security",
            log_record: Some(RecordId(record)),
            recovered: false,
        };
        let meta = EventMeta { origin, received: time, texts: Texts::default() };
        rows.event(&logon(record, time), &meta)?;
    }
    let last = first + 2;
    let moved = Move {
        source: source.into(),
        log: "Security".into(),
        to: (RecordId(last), Some(time)),
        new_generation: false,
    };
    appender.push(&rows, &[moved])?;
    appender.sync()?; // Durable from here on: what has sent the records may forget them.
    let flushed = appender.flush().await?; // In the table, for every engine.
    println!("version {}: {} rows", flushed.version, flushed.rows);
    for bookmark in store.bookmarks() {
        println!("{} {}: read to record {}", bookmark.source, bookmark.log, bookmark.record);
    }
    let report = store.maintain(&Policy::default()).await?;
    println!("{} small files put together, {} deleted", report.merged, report.vacuumed);
    Ok(())
}

/// An event; a program has them from `quarry-logfile` or `quarry-even`.
fn logon(record: u64, time: EventTime) -> Event {
    use quarry_event::{Element, Node};
    let text = |name: &str, text: String| Element {
        children: vec![Node::Text(text)],
        ..Element::new(name)
    };
    let mut created = Element::new("TimeCreated");
    created.attributes.push(("SystemTime".into(), time.to_string()));
    let mut user = text("Data", "alice".into());
    user.attributes.push(("Name".into(), "TargetUserName".into()));
    let inside = |name: &str, elements: Vec<Element>| Element {
        children: elements.into_iter().map(Node::Element).collect(),
        ..Element::new(name)
    };
    let system = inside(
        "System",
        vec![
            text("EventID", "4624".into()),
            text("Level", "0".into()),
            created,
            text("EventRecordID", record.to_string()),
            text("Channel", "Security".into()),
            text("Computer", "srv1".into()),
        ],
    );
    let data = inside("EventData", vec![user]);
    Event { root: inside("Event", vec![system, data]) }
}
