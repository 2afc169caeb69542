//! A server's logs, from the rig's independent server: thousands of events, sealed by Scapy, in
//! many fragments. Each is compared with the JSON that it was made from, and with what the rig's
//! own decoder makes of it.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use quarry_cred::{Credential, Secret};
use quarry_even::ConnectOptions;
use quarry_event::filter::{Filter, Ids, Levels, Matcher};
use quarry_event::{Event, EventTime, Field, FieldSource, RecordId};
use quarry_eventlog::{
    BatchReader, Damage, Detail, Direction, Even6Log, EventLog, LogError, Query, ReadOptions,
    Start, Subscription, Visitor,
};
use quarry_testkit::{Even6Server, even6_python};
use serde_json::Value;

const SECURITY: usize = 2000;
const SYSTEM: usize = 600;

struct Rig {
    folder: PathBuf,
    python: PathBuf,
    files: tempfile::TempDir,
    /// By log, in order.
    events: HashMap<&'static str, Vec<Made>>,
}

/// An event as the rig was told it, and the XML that the rig's decoder shows.
struct Made {
    json: Value,
    xml: String,
}

impl Rig {
    /// Made once for all tests.
    fn get() -> Option<&'static Self> {
        static RIG: OnceLock<Option<Rig>> = OnceLock::new();
        RIG.get_or_init(Rig::new).as_ref()
    }

    fn new() -> Option<Self> {
        let (folder, python) = even6_python()?;
        let files = tempfile::tempdir().unwrap();
        let mut rig = Rig { folder, python, files, events: HashMap::new() };
        for (log, count, seed) in [("Security", SECURITY, "3"), ("System", SYSTEM, "4")] {
            let count = count.to_string();
            // Templates and none, gaps in the numbers, waste after definitions.
            let arguments = [
                "make_events.py",
                &count,
                "--seed",
                seed,
                "--channel",
                log,
                "--plain",
                "--waste",
                "--gap",
                "50",
            ];
            std::fs::write(rig.file(log), in_order(&rig.script(&arguments))).unwrap();
            let text = "import json, sys, even6wire as w\n\
                for line in open(sys.argv[1], encoding='utf-8'):\n    \
                    event = json.loads(line)\n    \
                    print(json.dumps([event, w.binxml_to_xml(w.encode_event(event))]))";
            let out = rig.script(&["-c", text, rig.file(log).to_str().unwrap()]);
            let made = String::from_utf8(out)
                .unwrap()
                .lines()
                .map(|line| {
                    let (json, xml) = serde_json::from_str(line).unwrap();
                    Made { json, xml }
                })
                .collect();
            rig.events.insert(log, made);
        }
        Some(rig)
    }

    fn file(&self, log: &str) -> PathBuf {
        self.files.path().join(format!("{log}.jsonl"))
    }

    fn script(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(&self.python);
        command.current_dir(&self.folder).env("PYTHONPATH", &self.folder);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONIOENCODING", "utf-8");
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn serve(&self, arguments: &[&str]) -> Even6Server {
        let channel = |log| format!("{log}={}", self.file(log).display());
        let (security, system) = (channel("Security"), channel("System"));
        let mut all = vec!["--channel", &security, "--channel", &system];
        all.extend(arguments);
        Even6Server::start(&self.folder, &self.python, &all)
    }

    fn numbers(&self, log: &str, wanted: impl Fn(&Value) -> bool) -> Vec<u64> {
        let wanted = self.events[log].iter().filter(|made| wanted(&made.json));
        wanted.map(|made| made.json["record_id"].as_u64().unwrap()).collect()
    }

    fn all(&self, log: &str) -> Vec<u64> {
        self.numbers(log, |_| true)
    }
}

/// With times that don't go back, as the rig sorts several logs by them, where Windows merges.
fn in_order(lines: &[u8]) -> String {
    let lines = std::str::from_utf8(lines).unwrap().lines();
    let mut events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut times: Vec<String> =
        events.iter().map(|event| event["time"].as_str().unwrap().to_owned()).collect();
    times.sort();
    events.iter_mut().zip(times).for_each(|(event, time)| event["time"] = time.into());
    events.iter().map(|event| format!("{event}\n")).collect()
}

async fn open(server: &Even6Server) -> Even6Log {
    let secret = Secret::new("Passw0rd!".into()).unwrap();
    let credential = Credential::new(r"LAB\alice".parse().unwrap(), secret);
    let mut connect = ConnectOptions::new("127.0.0.1", credential);
    connect.mapper_port = server.mapper_port;
    connect.timeouts.silence = Duration::from_secs(30);
    let second = Duration::from_secs(1);
    let options = ReadOptions::default().heartbeat(second).idle_heartbeat(second);
    Even6Log::connect("even6://rig".into(), &connect, options).await.unwrap()
}

fn query(logs: &[&str], direction: Direction) -> Query {
    let logs = logs.iter().copied().map(Into::into).collect();
    Query { logs, direction, ..Query::default() }
}

#[derive(Default)]
struct Came {
    events: Vec<(String, u64, Event)>,
    damage: Vec<Damage>,
}

impl Came {
    fn of(&self, log: &str) -> Vec<u64> {
        let here = self.events.iter().filter(|(name, ..)| name == log);
        here.map(|(_, number, _)| *number).collect()
    }

    fn matching(mut self, filter: &Filter) -> Self {
        let mut matcher: Matcher = filter.matcher(EventTime::from_filetime(0));
        self.events.retain(|(.., event)| matcher.matches(event, None));
        self
    }
}

impl Visitor for Came {
    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
        self.events.push((log.to_owned(), log_record.unwrap().0, Event::from_source(event)));
    }

    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
        panic!("nobody asked for slack");
    }

    fn damage(&mut self, damage: &Damage) {
        self.damage.push(damage.clone());
    }
}

async fn read(log: &Even6Log, query: &Query) -> Result<Came, LogError> {
    let mut batches = log.query(query).await?;
    let (mut reader, mut came) = (BatchReader::default(), Came::default());
    while let Some(batch) = batches.next().await {
        reader.read(&batch?, &mut came);
    }
    batches.close().await;
    Ok(came)
}

/// Compares an event with what it was made from.
fn compare(made: &Made, event: &Event) {
    let json = &made.json;
    let what = || format!("{json}\n{}", made.xml);
    let field = |field| event.field(field).to_string();
    let number = |name: &str| json.get(name).map_or("0".to_owned(), Value::to_string);
    assert_eq!(field(Field::RecordId), number("record_id"), "{}", what());
    assert_eq!(field(Field::TimeCreated), json["time"].as_str().unwrap(), "{}", what());
    assert_eq!(field(Field::ProviderName), json["provider"]["name"].as_str().unwrap());
    let guid = json["provider"]["guid"].as_str().unwrap();
    assert!(field(Field::ProviderGuid).eq_ignore_ascii_case(guid), "{}", what());
    assert_eq!(field(Field::EventId), number("event_id"), "{}", what());
    assert_eq!(field(Field::Version), number("version"), "{}", what());
    assert_eq!(field(Field::Level), number("level"), "{}", what());
    assert_eq!(field(Field::Task), number("task"), "{}", what());
    assert_eq!(field(Field::ProcessId), number("pid"), "{}", what());
    assert_eq!(field(Field::ThreadId), number("tid"), "{}", what());
    assert_eq!(field(Field::Channel), json["channel"].as_str().unwrap());
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    assert_eq!(field(Field::UserId), text("user_sid"), "{}", what());
    assert!(field(Field::ActivityId).eq_ignore_ascii_case(&text("activity_id")), "{}", what());
    if let Some(keywords) = json.get("keywords") {
        assert_eq!(field(Field::Keywords), keywords.as_str().unwrap(), "{}", what());
    }
    let mut data = Vec::new();
    let _ = event.each_data(|name, value| {
        data.push((name.unwrap().as_str().to_owned(), value.to_string()));
        std::ops::ControlFlow::Continue(())
    });
    let expected = json.get("event_data").and_then(Value::as_array).cloned().unwrap_or_default();
    // As the text that it is, without types.
    let plain = json.get("encoding").is_some_and(|encoding| encoding == "plain");
    let mut expected: Vec<_> = expected.iter().flat_map(|item| texts(item, plain)).collect();
    // Those the rig writes without their binary.
    let binary = json.get("binary").and_then(Value::as_str).filter(|_| !plain);
    expected.extend(binary.map(|hex| ("Binary".to_owned(), hex.to_uppercase())));
    assert_eq!(data.len(), expected.len(), "{data:?}\n{}", what());
    for ((name, value), (wanted_name, wanted)) in data.iter().zip(&expected) {
        assert_eq!(name, wanted_name, "{}", what());
        let kind = json["event_data"].as_array().unwrap().iter().find(|i| i[0] == name.as_str());
        match kind.and_then(|kind| kind.get(2)).and_then(Value::as_str) {
            Some("guid") => assert!(value.eq_ignore_ascii_case(wanted), "{value} {wanted}"),
            // Milliseconds are all that a SYSTEMTIME has.
            Some("systime") => assert_eq!(value[..23], wanted[..23], "{value} {wanted}"),
            _ => assert_eq!(value, wanted, "{name}\n{}", what()),
        }
    }
    // And as a whole, against the rig's decoder.
    let mut xml = Vec::new();
    event.write_xml(&mut xml);
    let xml = String::from_utf8(xml).unwrap();
    assert!(canonical(&xml) == canonical(&made.xml), "{xml}\n{}", made.xml);
}

/// A document as text in which no spelling is left, and no case: the rig has capitals in GUIDs. Nor
/// digits after a SYSTEMTIME's milliseconds, which the rig doesn't write.
fn canonical(xml: &str) -> String {
    fn write(node: roxmltree::Node<'_, '_>, out: &mut String) {
        if let Some(text) = node.text().filter(|_| node.is_text()) {
            return out.push_str(text);
        }
        out.push_str(&format!("<{}", node.tag_name().name()));
        let mut attributes: Vec<_> = node.attributes().map(|a| (a.name(), a.value())).collect();
        attributes.sort_unstable();
        attributes.iter().for_each(|(name, value)| out.push_str(&format!(" {name}={value}")));
        out.push('>');
        node.children().for_each(|child| write(child, out));
        out.push_str("</>");
    }
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|e| panic!("{e}: {xml}"));
    let mut out = String::new();
    write(document.root_element(), &mut out);
    out.to_lowercase().replace("0000z", "z")
}

/// A value of event data as text, by its type; several for an array, none for what is optional and
/// missing.
fn texts(item: &Value, plain: bool) -> Vec<(String, String)> {
    let name = item[0].as_str().unwrap().to_owned();
    let kind = item.get(2).and_then(Value::as_str).unwrap_or("string");
    let is_optional = item.get(3).and_then(Value::as_bool).unwrap_or(false);
    let text = |value: &Value| match (kind, value) {
        (_, Value::String(text)) => text.clone(),
        ("hex64" | "sizet" | "hex32", value) if !plain => {
            format!("0x{:x}", value.as_u64().unwrap())
        }
        (_, Value::Null) => String::new(),
        (_, value) => value.to_string(),
    };
    match &item[1] {
        Value::Null if is_optional => Vec::new(),
        Value::Array(items) => items.iter().map(|item| (name.clone(), text(item))).collect(),
        value => vec![(name, text(value))],
    }
}

fn compare_all(rig: &Rig, came: &Came) {
    assert_eq!(came.damage, []);
    let by_number = |log: &'static str| {
        let made = rig.events[log].iter();
        made.map(move |made| ((log, made.json["record_id"].as_u64().unwrap()), made))
    };
    let made: HashMap<_, _> = by_number("Security").chain(by_number("System")).collect();
    for (log, number, event) in &came.events {
        compare(made[&(log.as_str(), *number)], event);
    }
}

#[tokio::test]
async fn thousands_of_events_are_the_ones_that_the_rig_has() {
    let Some(rig) = Rig::get() else { return };
    for max_fragment in ["1432", "5840"] {
        let mut server = rig.serve(&["--max-frag", max_fragment]);
        let log = open(&server).await;
        for direction in [Direction::Forward, Direction::Backward] {
            for logs in [&["Security"][..], &["Security", "System"]] {
                let came = read(&log, &query(logs, direction)).await.unwrap();
                for log in logs {
                    let mut expected = rig.all(log);
                    if direction == Direction::Backward {
                        expected.reverse();
                    }
                    assert_eq!(came.of(log), expected);
                }
                compare_all(rig, &came);
            }
        }
        let stats = server.stats();
        assert!(stats["multi_fragment_responses"].as_u64() > Some(0), "{stats}");
        assert_eq!(stats["exceptions"], Value::Null, "{stats}");
    }
}

#[tokio::test]
async fn the_rig_sends_what_a_filter_wants_and_little_else() {
    let Some(rig) = Rig::get() else { return };
    let asked = rig.files.path().join("asked.jsonl");
    let server = rig.serve(&["--query-log", asked.to_str().unwrap()]);
    let log = open(&server).await;
    let time = |text: &str| Some(EventTime::parse(text).unwrap());
    // A time in the midst of both logs.
    let middle = rig.events["System"][SYSTEM / 2].json["time"].as_str().unwrap().to_owned();
    let id = |json: &Value| json["event_id"].as_u64().unwrap();
    let later = |json: &Value| json["time"].as_str().unwrap() >= middle.as_str();
    type Wanted<'w> = Box<dyn Fn(&Value) -> bool + 'w>;
    let cases: Vec<(Filter, Wanted<'_>)> = vec![
        (
            Filter { ids: Ids::parse("4624,4634").ok(), ..Filter::default() },
            Box::new(|json| matches!(id(json), 4624 | 4634)),
        ),
        (
            Filter { levels: Levels::parse("error").ok(), ..Filter::default() },
            // Or worse.
            Box::new(|json| matches!(json["level"].as_u64(), Some(1 | 2))),
        ),
        (Filter { since: time(&middle), ..Filter::default() }, Box::new(later)),
        (
            Filter { until: time(&middle), ids: Ids::parse("7036").ok(), ..Filter::default() },
            Box::new(|json| id(json) == 7036 && json["time"].as_str().unwrap() <= middle.as_str()),
        ),
    ];
    for (filter, wanted) in cases {
        for direction in [Direction::Forward, Direction::Backward] {
            for logs in [&["Security"][..], &["Security", "System"]] {
                let query = Query { filter: filter.clone(), ..query(logs, direction) };
                let came = read(&log, &query).await.unwrap();
                let sent = came.events.len();
                let came = came.matching(&filter);
                for log in logs {
                    let mut expected = rig.numbers(log, &wanted);
                    if direction == Direction::Backward {
                        expected.reverse();
                    }
                    assert!(!expected.is_empty());
                    assert_eq!(came.of(log), expected, "{filter:?} {log}");
                }
                compare_all(rig, &came);
                assert!(sent <= came.events.len() + 10, "{sent} for {}", came.events.len());
            }
        }
    }
    let asked = std::fs::read_to_string(asked).unwrap();
    assert!(asked.contains("EventID=4624") && asked.contains("QueryList"), "{asked}");
}

#[tokio::test]
async fn a_query_goes_on_behind_its_bookmark_on_another_connection() {
    let Some(rig) = Rig::get() else { return };
    let server = rig.serve(&[]);
    for direction in [Direction::Forward, Direction::Backward] {
        let mut query = query(&["Security", "System"], direction);
        let mut came = Came::default();
        let mut reader = BatchReader::default();
        loop {
            let mut batches = open(&server).await.query(&query).await.unwrap();
            let before = came.events.len();
            for _ in 0..4 {
                let Some(batch) = batches.next().await else { break };
                reader.read(&batch.unwrap(), &mut came);
            }
            query.after = batches.bookmark().cloned();
            if came.events.len() == before {
                break;
            }
        }
        for log in ["Security", "System"] {
            let mut expected = rig.all(log);
            if direction == Direction::Backward {
                expected.reverse();
            }
            assert_eq!(came.of(log), expected);
        }
        compare_all(rig, &came);
    }
}

#[tokio::test]
async fn the_rig_tells_of_its_logs_and_refuses_what_is_not_there() {
    let Some(rig) = Rig::get() else { return };
    let server = rig.serve(&["--deny", "Secret"]);
    let log = open(&server).await;
    let names: Vec<String> = log.logs().await.unwrap().into_iter().map(|log| log.0).collect();
    assert_eq!(names, ["Security", "System", "Secret"]);
    let info = log.info(&"System".into(), Detail::Records).await.unwrap();
    let made = &rig.events["System"];
    let time = |made: &Made| EventTime::parse(made.json["time"].as_str().unwrap());
    assert_eq!(info.records, SYSTEM as u64);
    assert_eq!((info.oldest, info.newest), (time(&made[0]), time(&made[SYSTEM - 1])));
    let error = read(&log, &query(&["Secret"], Direction::Forward)).await.map(drop).unwrap_err();
    assert!(matches!(&error, LogError::AccessDenied(log) if log.0 == "Secret"), "{error:?}");
    let error = read(&log, &query(&["None"], Direction::Forward)).await.map(drop).unwrap_err();
    assert!(matches!(&error, LogError::NoSuchLog(log) if log.0 == "None"), "{error:?}");
}

#[tokio::test]
async fn a_subscription_has_what_is_there_and_what_is_written_meanwhile() {
    let Some(rig) = Rig::get() else { return };
    // One of its own, which grows.
    let own = tempfile::tempdir().unwrap();
    let growing = own.path().join("growing.jsonl");
    std::fs::copy(rig.file("System"), &growing).unwrap();
    let channel = format!("System={}", growing.display());
    let server = Even6Server::start(&rig.folder, &rig.python, &["--channel", &channel]);
    let log = open(&server).await;
    let subscribe = async |start| {
        let logs = vec!["System".into()];
        let subscription = Subscription { logs, start, ..Subscription::default() };
        log.subscribe(&subscription).await.unwrap()
    };
    let take = async |batches: &mut Box<dyn quarry_eventlog::Batches>, wanted: usize| {
        let (mut reader, mut came) = (BatchReader::default(), Came::default());
        while came.events.len() < wanted {
            reader.read(&batches.next().await.unwrap().unwrap(), &mut came);
        }
        came
    };
    let mut oldest = subscribe(Start::Oldest).await;
    let mut now = subscribe(Start::Now).await;
    let came = take(&mut oldest, SYSTEM).await;
    assert_eq!(came.of("System"), rig.all("System"));
    compare_all(rig, &came);
    // A sign of life.
    assert!(now.next().await.unwrap().unwrap().is_empty());
    let bookmark = oldest.bookmark().unwrap().clone();

    let last = *rig.all("System").last().unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&growing).unwrap();
    let mut event = rig.events["System"][0].json.clone();
    event["record_id"] = (last + 7).into();
    writeln!(file, "{event}").unwrap();
    for batches in [&mut oldest, &mut now] {
        let came = take(batches, 1).await;
        assert_eq!(came.of("System"), [last + 7]);
        let mut xml = Vec::new();
        came.events[0].2.write_xml(&mut xml);
        assert!(String::from_utf8(xml).unwrap().contains(event["time"].as_str().unwrap()));
    }
    let mut after = subscribe(Start::After(bookmark)).await;
    assert_eq!(take(&mut after, 1).await.of("System"), [last + 7]);
}
