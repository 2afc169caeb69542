//! The page of stored events: what it shows and counts is what SQL says of the table, and what the
//! simulated servers know of their events.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use jiff::Timestamp;
use quarry_event::{Event, Field, FieldSource as _};
use serde_json::Value as Json;

use super::*;

/// A `quarryd` with a page, and the cookie of who started it.
pub(super) struct Page {
    pub(super) daemon: Daemon,
    host: String,
    cookie: String,
}

impl Page {
    /// Starts it on a terminal, where it prints the address that lets in once.
    pub(super) fn start(fleet: &Fleet) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quarryd");
        let python = quarry_testkit::python("deltalake", &here.join("requirements.txt"));
        let log = fleet.root().join("page.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(python);
        command.arg(here.join("terminal.py")).arg(program());
        command.args(["serve", "quarryd.toml"]).current_dir(fleet.root()).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", fleet.root()).env("XDG_DATA_HOME", fleet.root());
        command.env("HOME", fleet.root());
        command.envs(fleet.storage.iter().flat_map(ObjectStorage::environment));
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let daemon = Daemon { child, log };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("{line}"));
        let (host, path) = address.split_once('/').unwrap();
        let mut page = Page { daemon, host: host.to_owned(), cookie: String::new() };
        let token = path.split_once("token=").unwrap().1;
        let form = format!("token={token}");
        let head = page.ask("POST", "/sign-in", &form).0;
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next())?
        });
        page.cookie = cookie.unwrap_or_else(|| panic!("{head}")).to_owned();
        page
    }

    /// Asks once: head and body.
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> (String, String) {
        self.ask_as(&self.cookie, method, path, body)
    }

    /// The same, with another cookie.
    pub(super) fn ask_as(
        &self,
        cookie: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (String, String) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        let host = &self.host;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        (head.to_owned(), body.to_owned())
    }

    pub(super) fn get(&self, path: &str) -> String {
        let (head, body) = self.ask("GET", path, "");
        assert!(head.contains(" 200 "), "{path}: {head}\n{body}");
        body
    }

    pub(super) fn json(&self, path: &str) -> Json {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    /// The rows that a statement gives.
    pub(super) fn sql(&self, statement: &str) -> Vec<Json> {
        let (head, body) = self.ask("POST", "/api/v1/sql", statement);
        assert!(head.contains(" 200 "), "{statement}: {head}\n{body}");
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The number that a statement gives.
    pub(super) fn number(&self, statement: &str) -> u64 {
        self.sql(statement)[0]["n"].as_u64().unwrap()
    }
}

/// The values of a facet, with their events.
pub(super) fn facet(answer: &Json, name: &str) -> BTreeMap<String, u64> {
    let values = answer["facets"][name]["values"].as_array().unwrap();
    let of = |value: &Json| {
        (value["value"].as_str().unwrap().to_owned(), value["events"].as_u64().unwrap())
    };
    values.iter().map(of).collect()
}

#[test]
fn the_page_shows_and_counts_what_is_stored() {
    let fleet = Fleet::new(3, 120);
    fleet.configure("quarryd.toml", &format!("{USUAL}[page]\nlisten = \"127.0.0.1:0\"\n"));
    let page = Page::start(&fleet);
    let all: u64 = (1..=3)
        .flat_map(|n| ["System", "Application"].map(|log| fleet.server(n).records(log).unwrap()))
        .map(|records| records.len() as u64)
        .sum();
    let stored = || page.number("SELECT count(*) AS n FROM events");
    wait(|| stored() == all, || page.daemon.said());

    let question = "from=stored";
    let expected = all;
    let answer = page.json(&format!("/api/v1/count?{question}"));
    assert_eq!(answer["events"], expected, "{answer}");
    assert_eq!(answer["outcome"]["exactness"], "exact", "{answer}");
    // Every page of it: each event once, the newest first.
    let mut address = Some(format!("/api/v1/events?{question}&n=50"));
    let mut events = Vec::new();
    while let Some(next) = address {
        let answer = page.json(&next);
        events.extend(answer["events"].as_array().unwrap().clone());
        address = answer["next"].as_str().map(str::to_owned);
    }
    let key = |event: &Json| {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (text("host"), text("log"), event["log_record"].as_u64())
    };
    let time = |event: &Json| event["time"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(events.iter().map(time).is_sorted_by(|a, b| a >= b));
    let mut keys: Vec<_> = events.iter().map(key).collect();
    keys.sort();
    let rows = page.sql("SELECT host, log, log_record FROM events ORDER BY host, log, log_record");
    assert_eq!(keys, rows.iter().map(key).collect::<Vec<_>>());
    // All of them as a file.
    let file = page.get(&format!("/api/v1/events?{question}&rows=all&format=ndjson"));
    assert_eq!(file.lines().count() as u64, expected + 1);

    let answer = page.json(&format!("/api/v1/facets?{question}"));
    for (name, column) in [
        ("on", "host"),
        ("log", "channel"),
        ("id", "cast(event_id AS varchar)"),
        ("provider", "provider"),
        ("computer", "computer"),
    ] {
        let rows =
            page.sql(&format!("SELECT {column} AS value, count(*) AS n FROM events GROUP BY 1"));
        let of =
            |row: &Json| (row["value"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap());
        assert_eq!(facet(&answer, name), rows.iter().map(of).collect(), "{name}");
    }
    let levels = facet(&answer, "level");
    assert_eq!(levels.values().sum::<u64>(), expected);
    page.daemon.stop();
}

/// Rules, by their ids: one on a service's state, as Sigma writes it, and one that no event matches.
const RULES: [(&str, &str); 2] = [
    ("3b1c7c3a-0000-4000-8000-000000000001", "EventID: 7036"),
    ("3b1c7c3a-0000-4000-8000-000000000002", "EventID: 65001"),
];

#[test]
fn what_is_collected_carries_the_rules_that_it_matches_and_is_found_by_them() {
    let fleet = Fleet::new(2, 200);
    let folder = fleet.root().join("rules");
    std::fs::create_dir(&folder).unwrap();
    for (id, search) in RULES {
        let rule = format!(
            "title: Rule {id}\nid: {id}\nlogsource: {{ product: windows, service: system }}\n\
             detection:\n  state: {{ {search} }}\n  condition: state\nlevel: medium\n"
        );
        std::fs::write(folder.join(format!("{id}.yml")), rule).unwrap();
    }
    let more = "[page]\nlisten = \"127.0.0.1:0\"\n[detect]\nrules = \"rules\"\n";
    fleet.configure("quarryd.toml", &format!("{USUAL}{more}"));
    let page = Page::start(&fleet);
    // What the servers know of their events, by the numbers that the rules look for.
    let known: usize = (1..=2)
        .map(|n| {
            let records = fleet.server(n).records("System").unwrap();
            let is_one = |event: &Event| event.field(Field::EventId).as_u64() == Some(7036);
            records.iter().filter(|(_, event)| is_one(event)).count()
        })
        .sum();
    let (matched, unmatched) = (RULES[0].0, RULES[1].0);
    let all = "SELECT count(*) AS n FROM events WHERE log = 'System' AND event_id = 7036";
    wait(|| page.number(all) == known as u64, || page.daemon.said());
    assert!(known > 5, "{known}");
    let with = |id: &str| {
        page.number(&format!("SELECT count(*) AS n FROM events WHERE array_has(rules, '{id}')"))
    };
    assert_eq!((with(matched), with(unmatched)), (known as u64, 0));
    let counted =
        |words: &str| page.json(&format!("/api/v1/count?from=stored&{words}"))["events"].clone();
    assert_eq!(counted(&format!("rule={matched}")), known);
    assert_eq!(counted(&format!("rule=Rule+{matched}")), known);
    assert_eq!(counted(&format!("rule={unmatched}")), 0);
    // Rows say what a rule is called and how bad it is, though the table has its identifier alone.
    let answer = page.json(&format!("/api/v1/events?from=stored&rule={matched}&n=50"));
    let rule = &answer["events"][0]["rules"][0];
    assert_eq!(
        (&rule["title"], &rule["level"]),
        (&format!("Rule {matched}").into(), &"medium".into())
    );
    let answer = page.json(&format!("/api/v1/facets?from=stored&rule={matched}"));
    let facet = &answer["facets"]["rule"]["values"][0];
    assert_eq!((&facet["value"], &facet["events"]), (&matched.into(), &known.into()));
    assert_eq!(facet["name"], format!("Rule {matched}"));
    assert!(page.get("/events?log=System&from=stored").contains(&format!(">Rule {matched}<")));
    let others = page.number("SELECT count(*) AS n FROM events") - known as u64;
    assert_eq!(counted(&format!("not=rule:{matched}")), others);
    page.daemon.stop();
}
