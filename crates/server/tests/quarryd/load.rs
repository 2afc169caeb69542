//! The page and SQL, asked by several at once while events are written: each answer is whole, and in the
//! end each count is that of a plain scan of the files by somebody else's code.
//!
//! On what some servers have, unless `QUARRY_LOAD_TABLE` names a table that is copied first (such as
//! `cargo run -p quarry-bench -- make FOLDER 10000000` makes); for some seconds, unless
//! `QUARRY_LOAD_SECONDS` and `QUARRY_LOAD_RATE` (events a second) say more. `QUARRY_PROGRAM` is for a
//! release build.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value as Json;

use super::page::{Page, facet};
use super::*;

const SERVERS: usize = 10;
const BEFORE: u64 = 200;
const SECONDS: u64 = 10;
const RATE: u64 = 100;
const ASKERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(600);

/// What is asked in turn: addresses of the page, and statements.
const QUESTIONS: [(&str, &str); 10] = [
    ("page", "/events?from=stored"),
    ("newest", "/api/v1/events?from=stored&n=100"),
    ("newest of a server", "/api/v1/events?from=stored&n=100&on=server03"),
    ("errors", "/api/v1/count?from=stored&level=error"),
    ("facets", "/api/v1/facets?from=stored"),
    ("histogram", "/api/v1/histogram?from=stored"),
    ("sql: count", "SELECT count(*) AS n FROM events"),
    ("sql: by host", "SELECT host, count(*) AS n FROM events GROUP BY host ORDER BY n DESC"),
    (
        "sql: newest of a host",
        "SELECT time, event_id, text FROM events WHERE host = 'host07.corp.example' \
         ORDER BY time DESC LIMIT 100",
    ),
    ("sql: a word", "SELECT count(*) AS n FROM events WHERE text LIKE '%zebrafish%'"),
];

/// How long the answers took, and how many took longer than may be, by question.
type Asked = BTreeMap<&'static str, (Vec<Duration>, usize)>;

/// Asks one thing after the other until it is over.
fn ask(page: &Page, first: usize, over: &AtomicBool) -> Asked {
    let (mut asked, mut events) = (Asked::new(), 0);
    for n in first.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (name, question) = QUESTIONS[n % QUESTIONS.len()];
        let begun = Instant::now();
        let (head, body) = match question.starts_with('/') {
            true => page.ask("GET", question, ""),
            false => page.ask("POST", "/api/v1/sql", question),
        };
        // One person may have four questions answered at a time: the other askers wait for their turn.
        if head.contains(" 429 ") {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let (took, late) = asked.entry(name).or_default();
        if body.contains("the answer took longer than") {
            *late += 1;
            continue;
        }
        took.push(begun.elapsed());
        assert!(head.contains(" 200 "), "{question}: {head}\n{body}");
        if question.starts_with("/api/") {
            let answer: Json = serde_json::from_str(&body).unwrap();
            assert_eq!(answer["outcome"]["complete"], true, "{question}: {}", answer["outcome"]);
        }
        if name == "sql: count" {
            let answer: Json = serde_json::from_str(&body).unwrap();
            let now = answer["n"].as_u64().unwrap();
            assert!(now >= events, "{now} after {events}");
            events = now;
        }
    }
    asked
}

/// Counts of a table's events, by column and value, by a plain scan.
fn scanned(table: &Path) -> BTreeMap<String, Json> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quarryd");
    let python = quarry_testkit::python("deltalake", &here.join("requirements.txt"));
    let output = Command::new(python).arg(here.join("scan.py")).arg(table).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn counts_are_those_of_a_plain_scan_though_eight_ask_while_events_are_written() {
    let (seconds, rate) = (given("QUARRY_LOAD_SECONDS", SECONDS), given("QUARRY_LOAD_RATE", RATE));
    let fleet = Fleet::new(SERVERS, BEFORE);
    let mut more = format!("{USUAL}[page]\nlisten = \"127.0.0.1:0\"\n");
    if let Some(table) = std::env::var_os("QUARRY_LOAD_TABLE") {
        // Its servers are none that can be reached.
        more += "[servers.\"host[00:99].corp.example\"]\naddress = \"127.0.0.[1:100]\"\nmapper-port = 1\n";
        let copied = Command::new("cp").arg("-r").arg(table).arg(fleet.table()).status().unwrap();
        assert!(copied.success());
    }
    fleet.configure("quarryd.toml", &more);
    let page = Page::start(&fleet);
    let ours = "SELECT count(*) AS n FROM events WHERE host LIKE 'server%'";
    let before = (SERVERS * 2) as u64 * BEFORE;
    wait_for(PATIENCE, || page.number(ours) == before, || page.daemon.said());
    let process = page.daemon.child.id();
    let quiet = quarry_testkit::memory(process).unwrap_or_default() >> 20;

    let over = AtomicBool::new(false);
    let (sent, asked) = std::thread::scope(|scope| {
        let (page, over) = (&page, &over);
        let askers: Vec<_> = (0..ASKERS).map(|n| scope.spawn(move || ask(page, n, over))).collect();
        let (begun, mut sent) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(seconds) {
            let due = begun.elapsed().as_millis() as u64 * rate / 1000 / SERVERS as u64;
            for server in fleet.sim.servers() {
                server.append_generated("System", due - sent).unwrap();
            }
            sent = due;
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        let mut all = Asked::new();
        for asker in askers {
            for (name, (took, late)) in asker.join().unwrap() {
                let known = all.entry(name).or_default();
                known.0.extend(took);
                known.1 += late;
            }
        }
        (sent * SERVERS as u64, all)
    });
    wait_for(PATIENCE, || page.number(ours) == before + sent, || page.daemon.said());
    for (name, (mut took, late)) in asked {
        took.sort_unstable();
        let at = |part: usize| took.get(took.len() * part / 100).map_or(0, Duration::as_millis);
        println!(
            "{name}: {} answers, {} ms, 95 % {} ms, {late} too late",
            took.len(),
            at(50),
            at(95)
        );
    }
    let peak = quarry_testkit::peak_memory(process).unwrap_or_default() >> 20;
    println!("{sent} events in {seconds} s, memory {quiet} MiB before, {peak} MiB at most");

    let sql = |column: &str| -> BTreeMap<String, u64> {
        let rows = page.sql(&format!(
            "SELECT CAST({column} AS varchar) AS value, count(*) AS n FROM events GROUP BY 1"
        ));
        let of = |row: &Json| {
            let value = row["value"].as_str().unwrap_or("None");
            (value.to_owned(), row["n"].as_u64().unwrap())
        };
        rows.iter().map(of).collect()
    };
    let columns = ["host", "channel", "event_id", "level", "provider", "computer"];
    let counted: Vec<_> = columns.iter().map(|column| (*column, sql(column))).collect();
    let mut hours = sql("date_trunc('hour', time)");
    hours.remove("None");
    let facets = page.json("/api/v1/facets?from=stored");
    let histogram = page.json("/api/v1/histogram?from=stored");
    let count = page.json("/api/v1/count?from=stored")["events"].clone();
    // What is in memory is in the files then.
    page.daemon.stop();

    let scanned = scanned(&fleet.table());
    let plain = |name: &str| -> BTreeMap<String, u64> {
        serde_json::from_value(scanned[name].clone()).unwrap()
    };
    let all = scanned["events"].as_u64().unwrap();
    println!("{all} events in the table");
    assert_eq!(count, all);
    for (column, counts) in counted {
        assert_eq!(counts, plain(column), "{column}");
    }
    let utc = |time: &str| time.get(..19).unwrap_or(time).replace(' ', "T");
    let hours: BTreeMap<String, u64> = hours.into_iter().map(|(time, n)| (utc(&time), n)).collect();
    assert_eq!(hours, plain("hour"));
    for (name, column) in
        [("on", "host"), ("log", "channel"), ("id", "event_id"), ("computer", "computer")]
    {
        assert_eq!(facet(&facets, name), plain(column), "{name}");
    }
    let bars = histogram["bars"].as_array().unwrap();
    let in_bars = |bar: &Json| -> u64 {
        bar["events"].as_array().unwrap().iter().map(|events| events.as_u64().unwrap()).sum()
    };
    assert_eq!(bars.iter().map(in_bars).sum::<u64>(), all);
}
