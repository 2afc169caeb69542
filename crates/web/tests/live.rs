//! The page and the API over servers that speak the real protocol, and over real files.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use quarry_event::{Event, EventTime, Field, FieldSource};
use quarry_fleet::eventlog::FileLog;
use quarry_fleet::inventory::Inventory;
use quarry_fleet::{Account, Options, Secret, SecretSource, SignIn, SignInOptions, Timeouts};
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};
use quarry_web::access::Gate;
use quarry_web::access::clock::Clock;
use quarry_web::sources::{FileSpec, Files, ServerSpec, Servers, Trouble};
use quarry_web::{App, Sources, router};
use serde_json::Value;
use tokio::runtime::Handle;
use tower::ServiceExt as _;

const HOST: &str = "127.0.0.1:8420";

/// A page, and who is signed in.
struct Page {
    routes: Router,
    cookie: String,
    _sim: Option<Sim>,
}

/// An answer.
struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    text: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

impl Page {
    async fn of(sources: Sources, sim: Option<Sim>) -> Self {
        let gate = Gate::owner(HOST.parse().unwrap(), "ann", Clock::system()).unwrap();
        let gate = Arc::new(gate);
        let visit = gate.first_visit().unwrap().unwrap();
        let routes = gate.guard(router(Arc::new(App::new(sources))));
        let token = visit.split_once("token=").unwrap().1;
        let request = Request::post("/sign-in")
            .header(header::HOST, HOST)
            .header(header::ORIGIN, format!("http://{HOST}"))
            .body(Body::from(format!("token={token}")))
            .unwrap();
        let answer = routes.clone().oneshot(request).await.unwrap();
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Page { routes, cookie, _sim: sim }
    }

    /// Servers, each with what is wrong with it.
    async fn servers(servers: Vec<ServerOptions>) -> Self {
        let secret = || Secret::new("Pebbles-7".to_owned()).unwrap();
        let options = SimOptions::new(servers, r"BEDROCK\ann".parse().unwrap(), secret());
        let sim = Sim::start(options).await.unwrap();
        let inventory = Inventory::parse(&sim.inventory("ann.password")).unwrap();
        let read = |_: &Account, _: &SecretSource| {
            Secret::new("Pebbles-7".to_owned()).map_err(|e| e.to_string())
        };
        let seconds = Duration::from_secs;
        let times = Timeouts { connect: seconds(2), silence: seconds(20) };
        let mut sign_in = SignIn::new(inventory, SignInOptions::new().timeouts(times), read);
        let spec = |source| ServerSpec { source, groups: Vec::new(), texts: None, live: None };
        let all: Vec<ServerSpec> = sign_in.servers("@all").unwrap().into_iter().map(spec).collect();
        let remedy = Arc::new(|_: &quarry_fleet::Failure| Some("look after it".to_owned()));
        let servers = Servers::new(all, Options::default(), Handle::current(), remedy);
        Page::of(Sources::new().with(Arc::new(servers)), Some(sim)).await
    }

    async fn files(paths: &[PathBuf]) -> Self {
        let spec = |path: &PathBuf| {
            let (name, opened) = (path.display().to_string(), path.clone());
            let shown = name.clone();
            let open = move |_: Option<File>, _: &quarry_collect::Stop| {
                FileLog::open(&opened).map_err(|e| Trouble::new(&*shown, e.to_string(), None))
            };
            FileSpec {
                name,
                path: path.clone(),
                is_packed: false,
                texts: None,
                open: Arc::new(open),
            }
        };
        let files = Files::new(paths.iter().map(spec).collect(), Handle::current());
        Page::of(Sources::new().with(Arc::new(files)), None).await
    }

    fn sim(&self) -> &Sim {
        self._sim.as_ref().unwrap()
    }

    async fn get(&self, address: &str) -> Answer {
        self.get_with(address, &[]).await
    }

    async fn get_with(&self, address: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            Request::get(address).header(header::HOST, HOST).header(header::COOKIE, &self.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        Answer { status: parts.status, headers: parts.headers, text, body: body.to_vec() }
    }
}

/// Time and number of each event, as the API has them.
fn places(events: &Value) -> Vec<(String, String, u64)> {
    let place = |event: &Value| {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        (text("time"), text("host"), event["log_record"].as_u64().unwrap())
    };
    events.as_array().unwrap().iter().map(place).collect()
}

/// The same of what servers have in their log System, the newest first, as they know it themselves.
fn known(sim: &Sim, names: &[&str]) -> Vec<(String, String, u64)> {
    let time = |event: &Event| event.field(Field::TimeCreated).as_time().unwrap().to_string();
    let mut all = Vec::new();
    for name in names {
        let records = sim.server(name).unwrap().records("System").unwrap();
        all.extend(records.iter().map(|(n, event)| (time(event), (*name).to_owned(), *n)));
    }
    all.sort();
    all.reverse();
    all
}

fn fleet() -> Vec<ServerOptions> {
    vec![
        ServerOptions::new("fred"),
        ServerOptions::new("barney"),
        ServerOptions::new("betty").with(Fault::Slow(Duration::from_millis(300))),
        ServerOptions::new("wilma").with(Fault::PortClosed),
        ServerOptions::new("dino").with(Fault::RefuseAccess(None)),
    ]
}

const LIVING: [&str; 3] = ["fred", "barney", "betty"];

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_many_servers_are_in_one_order_of_time_and_those_that_fail_are_named() {
    let page = Page::servers(fleet()).await;
    let expected = known(page.sim(), &LIVING);
    let (mut found, mut address) = (Vec::new(), "/api/v1/events?n=50".to_owned());
    for _ in 0..4 {
        let answer = page.get(&address).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let body = answer.json();
        found.extend(places(&body["events"]));
        let failed: BTreeSet<&str> = body["outcome"]["failed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|failed| {
                assert_eq!(failed["remedy"], "look after it");
                failed["source"].as_str().unwrap()
            })
            .collect();
        assert_eq!(failed, ["dino", "wilma"].into());
        assert!(answer.headers["quarry-failed"].to_str().unwrap().contains("wilma"));
        address = body["next"].as_str().unwrap().to_owned();
        let link = answer.headers[header::LINK].to_str().unwrap();
        assert_eq!(link, format!("<{address}>; rel=\"next\""));
    }
    let times = |places: &[(String, String, u64)]| -> Vec<String> {
        places.iter().map(|place| place.0.clone()).collect()
    };
    assert_eq!(found.len(), 200);
    assert_eq!(times(&found), times(&expected[..200]));
    let found: BTreeSet<_> = found.into_iter().collect();
    assert_eq!(found.len(), 200, "each once");
    assert!(found.is_subset(&expected.into_iter().collect()));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_asked_for_what_the_words_say_and_counted_exactly_where_all_of_it_came() {
    let page = Page::servers(fleet()).await;
    let records = page.sim().server("fred").unwrap().records("System").unwrap();
    let critical =
        records.iter().filter(|(_, event)| event.field(Field::Level).as_u64() == Some(1));
    let body = page.get("/api/v1/count?on=fred&level=critical").await.json();
    assert_eq!(body["events"], critical.count());
    assert_eq!(body["outcome"]["exactness"], "exact");
    // More than are asked for.
    let body = page.get("/api/v1/count?on=fred").await.json();
    assert_eq!((&body["events"], &body["outcome"]["exactness"]), (&200.into(), &"fetched".into()));
    let queries = page.sim().queries();
    assert!(queries.iter().any(|query| query.query.contains("Level=1")), "{queries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_servers_is_in_order_but_for_what_is_late_and_ends_with_how_it_went() {
    let page = Page::servers(fleet()).await;
    let answer = page.get_with("/api/v1/ask?n=100", &[("accept", "text/event-stream")]).await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/event-stream");
    let mut rows = Vec::new();
    let mut last = String::new();
    for event in answer.text.split("\n\n").filter(|event| !event.is_empty()) {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        last = name.to_owned();
        if name == "event: row" {
            rows.push(data);
        } else if name == "event: end" {
            assert_eq!(data["sources"]["failed"], 2, "{data}");
        }
    }
    assert_eq!(last, "event: end");
    let time = |row: &Value| row["utc"].as_str().unwrap().to_owned();
    let in_order: Vec<String> = rows.iter().filter(|row| row["late"] == false).map(time).collect();
    assert!(in_order.is_sorted_by(|a, b| a >= b), "{in_order:?}");
    // A row that was the 100th newest once may have given way to one that came later.
    let found: BTreeSet<String> = rows.iter().map(time).collect();
    let expected: BTreeSet<String> =
        known(page.sim(), &LIVING).into_iter().take(100).map(|place| place.0).collect();
    assert!(found.is_superset(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_the_rows_of_the_others_and_names_who_failed() {
    let page = Page::servers(fleet()).await;
    let answer = page.get("/events").await;
    assert_eq!(answer.status, StatusCode::OK);
    let html = &answer.text;
    // Those that were there early give way to these.
    let list = &html[html.find("<section class=\"list\"").unwrap()..];
    assert_eq!(list.matches("<tr class=\"row\"").count(), 201, "200 rows and the template");
    assert!(html.contains("of 5 servers answered"), "{html}");
    assert!(html.contains("wilma"));
    // Nothing runs that isn't of our own files, and nothing comes from elsewhere.
    for inline in ["<script>", " style=", " onclick=", "javascript:", "src=\"http"] {
        assert!(!html.contains(inline), "{inline}");
    }
    // Another address of the same question leads to the canonical one.
    let other = page.get("/events?level=error&on=fred").await;
    assert_eq!(other.status, StatusCode::FOUND);
    assert_eq!(other.headers[header::LOCATION], "/events?on=fred&level=error");
    let pasted = page.get("/events?q=quarry+scan+fred+-i+7036").await;
    assert_eq!(pasted.headers[header::LOCATION], "/events?on=fred&id=7036");
    let wrong = page.get("/events?q=on:fred+provder:x").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(
        wrong.text.contains("but provider") && wrong.text.contains("value=\"on:fred provder:x\"")
    );
    let unknown = page.get("/events?on=fredd").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.text.contains("did you mean fred?"), "{}", unknown.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_and_its_stream_ask_each_server_once_and_show_each_row_once() {
    let page = Page::servers(vec![
        ServerOptions::new("fred"),
        // It comes after the page has waited, and before a question ends.
        ServerOptions::new("betty").with(Fault::Slow(Duration::from_millis(3500))),
    ])
    .await;
    let answer = page.get("/events").await;
    let html = &answer.text;
    // The rows of who is quick are there early, and then whole.
    let early = html.find("<section class=\"early\"").expect("rows that came early");
    let list = html.find("<section class=\"list\"").expect("all rows");
    assert!(early < list && html[early..list].contains("<bdi>fred</bdi>"));
    let shown: BTreeSet<&str> = html[list..]
        .split("data-id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let ask = html[list..].split("data-ask=\"").nth(1).and_then(|rest| rest.split('"').next());
    let ask = ask.expect("a server is still asked").replace("&amp;", "&");
    let events = [("accept", "text/event-stream")];
    let stream = page.get_with(&ask, &events).await.text;
    let mut rows = 0;
    for event in stream.split("\n\n") {
        if let Some(data) = event.strip_prefix("event: row\ndata: ") {
            let row: Value = serde_json::from_str(data).unwrap();
            assert_eq!(row["on"], "betty");
            assert!(!shown.contains(row["identity"].as_str().unwrap()), "{row}");
            rows += 1;
        }
    }
    assert!(rows > 0 && stream.contains("event: end\n"), "{stream}");
    let queries = page.sim().queries();
    for name in ["fred", "betty"] {
        assert_eq!(queries.iter().filter(|query| query.server == name).count(), 1, "{name}");
    }
    // It is nobody's any more: whoever asks so again asks anew.
    let again = page.get_with(&ask, &events).await.text;
    assert!(again.contains("\"on\":\"fred\""), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_has_no_server_asked() {
    let page = Page::servers(vec![ServerOptions::new("fred")]).await;
    let foreign = [("sec-fetch-site", "cross-site")];
    for address in ["/events?on=fred", "/tail?on=fred"] {
        let answer = page.get_with(address, &foreign).await;
        assert!(answer.text.contains("1 server"), "{}", answer.text);
    }
    assert_eq!(page.sim().queries().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_a_page_with_what_happened_around_it_in_its_log() {
    let page = Page::servers(fleet()).await;
    let all = known(page.sim(), &["fred"]);
    let (time, _, record) = &all[500];
    let identity = format!("on=fred&log=System&record={record}&time={time}");
    let answer = page.get(&format!("/event?{identity}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(answer.text.contains(&format!("record {record}")));
    assert!(answer.text.contains(time));
    let body = page.get(&format!("/api/v1/neighbours?{identity}")).await.json();
    let numbers = |side: &str| -> Vec<u64> { places(&body[side]).iter().map(|p| p.2).collect() };
    let expected = |range: std::ops::Range<usize>| -> Vec<u64> {
        all[range].iter().map(|place| place.2).collect()
    };
    assert_eq!(numbers("newer"), expected(490..500));
    assert_eq!(numbers("older"), expected(501..511));
    assert_eq!(body["event"]["log_record"], *record);
    let gone = page.get(&format!("/event?on=fred&log=System&record=999999&time={time}")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(gone.text.contains("cleared"), "{}", gone.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_where_its_reader_was() {
    let page = Page::servers(vec![ServerOptions::new("fred")]).await;
    let read = async |last: u64, wanted: usize| {
        let address = format!("/api/v1/tail?on=fred&last={last}");
        let request = Request::get(&address)
            .header(header::HOST, HOST)
            .header(header::COOKIE, &page.cookie)
            .header(header::ACCEPT, "text/event-stream")
            .body(Body::empty())
            .unwrap();
        let answer = page.routes.clone().oneshot(request).await.unwrap();
        let mut body = answer.into_body();
        let (mut text, mut items) = (String::new(), Vec::new());
        while items.len() < wanted {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                let event = event.to_owned();
                text = rest.to_owned();
                if let Some(id) = event.strip_prefix("id: ") {
                    let (id, rest) = id.split_once('\n').unwrap();
                    let data = rest.split_once("data: ").unwrap().1;
                    let row: Value = serde_json::from_str(data).unwrap();
                    items.push((id.parse::<u64>().unwrap(), row["identity"].clone()));
                }
            }
        }
        items
    };
    // Those that were there, and then those that come while nobody reads.
    let first = tokio::time::timeout(Duration::from_secs(60), read(0, 20)).await.unwrap();
    page.sim().server("fred").unwrap().append_generated("System", 7).unwrap();
    let last = first.last().unwrap().0;
    let then = tokio::time::timeout(Duration::from_secs(60), read(last, 7)).await.unwrap();
    let all: Vec<&(u64, Value)> = first.iter().chain(&then).collect();
    assert!(all.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "{all:?}");
    let identities: BTreeSet<String> = all.iter().map(|item| item.1.to_string()).collect();
    assert_eq!(identities.len(), 27, "each once");
    for number in 1001..=1007 {
        assert!(identities.iter().any(|id| id.ends_with(&format!(" {number}\""))), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_of_more_than_it_shows_counts_the_rest_exactly() {
    const EVENTS: usize = 3000;
    let page = Page::servers(vec![ServerOptions::new("fred"), ServerOptions::new("barney")]).await;
    let request = Request::get("/api/v1/tail")
        .header(header::HOST, HOST)
        .header(header::COOKIE, &page.cookie)
        .header(header::ACCEPT, "text/event-stream")
        .body(Body::empty())
        .unwrap();
    let mut body = page.routes.clone().oneshot(request).await.unwrap().into_body();
    let (mut text, mut rows, mut skipped, mut errors) = (String::new(), 0, 0, (0, 0));
    let mut is_begun = false;
    let all = async {
        // Those that were there, 20 of each, and those that come.
        while rows + skipped < 40 + EVENTS {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.split_once("data: ").map(|(_, data)| data.to_owned());
                let is_row = event.contains("event: row");
                let is_skipped = event.contains("event: skipped");
                text = rest.to_owned();
                let Some(data) = data else { continue };
                let data: Value = serde_json::from_str(&data).unwrap();
                if is_row {
                    rows += 1;
                    errors.0 += usize::from(
                        ["error", "critical"].contains(&data["level"].as_str().unwrap()),
                    );
                } else if is_skipped {
                    skipped += usize::try_from(data["events"].as_u64().unwrap()).unwrap();
                    errors.1 += usize::try_from(data["errors"].as_u64().unwrap()).unwrap();
                    assert!(data["shown"].as_u64().unwrap() <= 250, "{data}");
                    assert!(data["since"].as_str().unwrap() <= data["until"].as_str().unwrap());
                }
            }
            if rows == 40 && !is_begun {
                is_begun = true;
                for name in ["fred", "barney"] {
                    page.sim()
                        .server(name)
                        .unwrap()
                        .append_generated("System", EVENTS as u64 / 2)
                        .unwrap();
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    assert_eq!(rows + skipped, 40 + EVENTS);
    assert!(skipped > 0, "more came in a second than are shown");
    // As the servers know it themselves.
    let is_bad =
        |(_, event): &&(u64, Event)| matches!(event.field(Field::Level).as_u64(), Some(1 | 2));
    let mut expected = 0;
    for name in ["fred", "barney"] {
        let records = page.sim().server(name).unwrap().records("System").unwrap();
        expected += records.iter().rev().take(20 + EVENTS / 2).filter(is_bad).count();
    }
    assert_eq!(errors.0 + errors.1, expected);
}

/// The records of a file as another implementation reads them: number and time.
fn of_evtx(path: &Path) -> Vec<(u64, String)> {
    let mut parser = evtx_crate::EvtxParser::from_path(path).unwrap();
    let record = |record: evtx_crate::SerializedEvtxRecord<Value>| {
        let time = &record.data["Event"]["System"]["TimeCreated"]["#attributes"]["SystemTime"];
        let time = EventTime::parse(time.as_str().unwrap()).unwrap();
        // It keeps six digits.
        (record.event_record_id, time.to_string()[..26].to_owned())
    };
    parser.records_json_value().map(|result| record(result.unwrap())).collect()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn files_are_counted_exactly_and_paged_as_another_implementation_reads_them() {
    let Some(path) = quarry_testkit::corpus_file("evtx-crate/security.evtx") else { return };
    let mut expected = of_evtx(&path);
    let page = Page::files(&[path]).await;
    let body = page.get("/api/v1/count").await.json();
    assert_eq!(body["events"], expected.len());
    assert_eq!(body["outcome"]["exactness"], "exact");
    let mut found = Vec::new();
    let mut address = Some("/api/v1/events?n=500".to_owned());
    while let Some(next) = address {
        let body = page.get(&next).await.json();
        for (time, _, number) in places(&body["events"]) {
            found.push((number, time[..26].to_owned()));
        }
        address = body["next"].as_str().map(str::to_owned);
    }
    let times: Vec<&String> = found.iter().map(|record| &record.1).collect();
    assert!(times.is_sorted_by(|a, b| a >= b));
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // And in one go, in each format, with an end.
    let lines = page.get("/api/v1/events?rows=all&format=ndjson").await.text;
    assert_eq!(lines.lines().count(), expected.len() + 1);
    assert!(lines.lines().last().unwrap().starts_with("{\"end\":"));
    let csv = page.get("/api/v1/events?rows=all&format=csv&fields=time,event_id").await.text;
    assert_eq!(csv.lines().count(), expected.len() + 1);
    let xml = page.get("/api/v1/events?rows=all&format=xml").await.text;
    assert!(xml.trim_end().ends_with("</Events>"));
    assert_eq!(xml.matches("</Event>").count(), expected.len());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_has_the_events_and_its_name_says_which_servers_are_missing() {
    let Some(path) = quarry_testkit::corpus_file("evtx-crate/security.evtx") else { return };
    let gone = path.with_extension("gone");
    let page = Page::files(&[path.clone(), gone]).await;
    let answer = page.get("/api/v1/events?format=evtx&id=4624").await;
    assert_eq!(answer.status, StatusCode::OK);
    let name = answer.headers[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert!(name.contains("events-without-security.gone.evtx"), "{name}");
    assert!(answer.headers["quarry-failed"].to_str().unwrap().contains("security.gone"));
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.evtx");
    std::fs::write(&saved, &answer.body).unwrap();
    // Another implementation reads the same out of it as out of the log.
    let of = |path: &Path| {
        let mut parser = evtx_crate::EvtxParser::from_path(path).unwrap();
        let records = parser.records_json_value().map(|record| record.unwrap().data);
        let is_logon = |event: &Value| {
            let id = &event["Event"]["System"]["EventID"];
            *id == 4624 || id["#text"] == 4624
        };
        let mut data: Vec<String> =
            records.filter(is_logon).map(|event| event["Event"]["EventData"].to_string()).collect();
        data.sort();
        data
    };
    let expected = of(&path);
    assert!(expected.len() > 10);
    assert_eq!(of(&saved), expected);
}
