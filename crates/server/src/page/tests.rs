//! What rules hide from a person is in no answer of the page of stored events.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use quarry_cred::{Account, Secret};
use quarry_event::{Element, Event, Node, Origin, RecordId, RuleName, Texts};
use quarry_fleet::inventory::Inventory;
use quarry_store::{EventMeta, Move, Options};
use quarry_web::access::Gate;
use quarry_web::access::accounts::{Accounts, LogOnError, LoggedOn, Logon};
use quarry_web::access::audit::Audit;
use quarry_web::access::clock::Clock;
use quarry_web::access::headers::Transport;
use quarry_web::access::rules::Rules;
use quarry_web::{App, Sources};
use serde_json::Value as Json;

use super::*;

const SERVERS: [&str; 2] = ["dc01", "dc02"];
const RULES: &str = r#"
[sign-in]
groups = ["all", "some"]
[access.all]
groups = ["all"]
on = ["*"]
logs = ["*", "Security"]
[access.some]
groups = ["some"]
on = ["dc01"]
logs = ["System", "ForwardedEvents"]
"#;

/// Whoever signs in is in the group of their name.
#[derive(Debug)]
struct Staff;

impl Accounts for Staff {
    fn log_on<'a>(
        &'a self,
        account: &'a Account,
        _: Secret,
        _: IpAddr,
    ) -> BoxFuture<'a, Result<LoggedOn, LogOnError>> {
        let group = if account.to_string().ends_with("all") { "all" } else { "some" };
        let logged_on = LoggedOn {
            user: account.to_string(),
            groups: vec![group.to_owned()],
            is_administrator: false,
            tickets: None,
            logon: Arc::new(Staff),
        };
        std::future::ready(Ok(logged_on)).boxed()
    }
}

impl Logon for Staff {
    fn still_good(&self) -> BoxFuture<'_, Result<Vec<String>, LogOnError>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn open<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, io::Result<File>> {
        std::future::ready(Err(io::ErrorKind::PermissionDenied.into())).boxed()
    }
}

fn event(server: &str, channel: &str, number: u64) -> Event {
    let text = |name: &str, text: String| Element {
        children: vec![Node::Text(text)],
        ..Element::new(name)
    };
    let with = |name: &str, attribute: &str, value: String| Element {
        attributes: vec![(attribute.to_owned(), value)],
        ..Element::new(name)
    };
    let time = EventTime::from_filetime((13_300_000_000 + number) * EventTime::SECOND);
    let system = [
        with("Provider", "Name", format!("of {channel}")),
        text("EventID", (100 + number).to_string()),
        text("Level", "4".to_owned()),
        with("TimeCreated", "SystemTime", time.to_string()),
        text("Channel", channel.to_owned()),
        text("Computer", server.to_owned()),
    ];
    let system = Element { children: system.map(Node::Element).into(), ..Element::new("System") };
    Event { root: Element { children: vec![Node::Element(system)], ..Element::new("Event") } }
}

/// Each server has an event of each of these: the log that it stands in, and the one that it names.
const EVENTS: [(&str, &str); 5] = [
    ("System", "System"),
    ("System", "System"),
    ("Security", "Security"),
    ("ForwardedEvents", "Security"),
    ("ForwardedEvents", "System"),
];

async fn store(folder: &Path) -> Store {
    let store = Store::open(folder.to_str().unwrap(), Options::default()).await.unwrap();
    let appender = store.appender().unwrap();
    // One of them is followed no more, and no part of the page.
    for server in SERVERS.into_iter().chain(["gone"]) {
        let source = format!("even6://{server}");
        store.take(&source).await.unwrap();
        for (n, (log, channel)) in EVENTS.into_iter().enumerate() {
            let number = n as u64 + 1;
            let rule = RuleName { id: format!("rule of {channel}"), ..RuleName::default() };
            let rules = [Arc::new(rule)];
            let origin = Origin {
                source: &source,
                host: Some(server),
                log,
                log_record: Some(RecordId(number)),
                recovered: false,
            };
            let texts = Texts { rules: &rules, ..Texts::default() };
            let received = EventTime::from_filetime(14_000_000_000 * EventTime::SECOND);
            let mut rows = store.rows().unwrap();
            let meta = EventMeta { origin, received, texts };
            rows.event(&event(server, channel, number), &meta).unwrap();
            let to = Move {
                source: source.clone(),
                log: log.to_owned(),
                to: (RecordId(number), None),
                new_generation: false,
            };
            appender.push(&rows, &[to]).unwrap();
        }
    }
    appender.flush().await.unwrap();
    store
}

/// Asks once: head and body.
fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    cookie: &str,
    body: &str,
) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nSec-Fetch-Site: same-origin\r\n\
         Cookie: {cookie}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    (head.to_owned(), body.to_owned())
}

#[test]
fn what_rules_hide_is_in_no_row_and_in_no_count() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let store = runtime.block_on(store(folder.path()));
    let server = |name: &str| StoredServer {
        name: name.to_owned(),
        groups: Vec::new(),
        addresses: vec![format!("even6://{name}")],
    };
    let servers = SERVERS.map(server).into();
    let stored =
        Stored::new(store, Arc::default(), runtime.handle().clone(), servers, Titles::default());
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let gate = Gate::accounts(
        address,
        &[],
        Transport::Untrusted,
        Arc::new(Staff),
        Rules::parse(RULES, &Inventory::default()).unwrap(),
        Audit::off(),
        Clock::system(),
    );
    let gate = Arc::new(gate.unwrap());
    let app = Arc::new(App::new(Sources::new().with(Arc::new(stored))));
    let routes = gate.guard(quarry_web::router(app));
    let _serving = quarry_web::serve(listener, None, routes);
    let sign_in = |name: &str| {
        let form = format!("user={name}&password=x");
        let head = ask(address, "POST", "/sign-in", "", &form).0;
        let cookies = head.lines().filter_map(|line| line.split_once(": "));
        let mut cookies = cookies.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let cookie = cookies.next().unwrap_or_else(|| panic!("{head}")).1;
        cookie.split(';').next().unwrap().to_owned()
    };
    let (all, some) = (sign_in("all"), sign_in("some"));
    let get = |cookie: &str, path: &str| {
        let (head, body) = ask(address, "GET", path, cookie, "");
        assert!(head.contains(" 200 "), "{path}: {head}\n{body}");
        body
    };
    let json =
        |cookie: &str, path: &str| -> Json { serde_json::from_str(&get(cookie, path)).unwrap() };
    // Of dc01 what stands in System, and what was forwarded out of it.
    for (words, of_all, of_some) in [
        ("", 10, 3),
        ("on=dc02", 5, 0),
        ("log=Security", 2, 0),
        ("log=ForwardedEvents", 4, 1),
        ("provider=*System", 6, 3),
        ("rule=*Security", 4, 0),
        ("not=id%3A101", 8, 2),
        ("xpath=*%5BSystem%5BEventID%3E101%5D%5D", 8, 2),
    ] {
        for (cookie, expected) in [(&all, of_all), (&some, of_some)] {
            let count = json(cookie, &format!("/api/v1/count?{words}"));
            assert_eq!(count["events"], expected, "{words}: {count}");
            let rows = json(cookie, &format!("/api/v1/events?{words}"));
            assert_eq!(rows["events"].as_array().unwrap().len(), expected, "{words}: {rows}");
            let facets = json(cookie, &format!("/api/v1/facets?{words}"));
            for name in ["log", "on", "id", "rule", "level"] {
                let values = facets["facets"][name]["values"].as_array().unwrap();
                let sum: u64 = values.iter().filter_map(|value| value["events"].as_u64()).sum();
                assert_eq!(sum, expected as u64, "{words}: {name}: {facets}");
            }
            let histogram = json(cookie, &format!("/api/v1/histogram?{words}"));
            let bars = histogram["bars"].as_array().unwrap().iter();
            let sum: u64 = bars
                .flat_map(|bar| bar["events"].as_array().unwrap().iter().filter_map(Json::as_u64))
                .sum();
            assert_eq!(sum, expected as u64, "{words}: {histogram}");
            let file = get(cookie, &format!("/api/v1/events?{words}&rows=all&format=ndjson"));
            assert_eq!(file.lines().count(), expected + 1, "{words}");
        }
    }
    // Nothing of it is anywhere.
    for path in ["/events", "/api/v1/events", "/api/v1/facets", "/api/v1/servers", "/"] {
        let text = get(&some, path);
        for hidden in ["of Security", "dc02"] {
            assert!(!text.contains(hidden), "{path}: {hidden}\n{text}");
        }
    }
    let time = EventTime::from_filetime(13_300_000_003 * EventTime::SECOND);
    let path = format!("/api/v1/event?on=dc01&log=Security&record=3&time={time}");
    assert!(get(&all, &path).contains("of Security"));
    let (head, _) = ask(address, "GET", &path, &some, "");
    assert!(head.contains(" 404 "), "{head}");
}
