//! What the rules hide is nowhere in what a person is answered: with the hidden events and without
//! them every address answers the same, to the byte. Counts are part of that.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use quarry_cred::{Account, Secret};
use quarry_event::{Element, Event, EventTime, Node, RuleName};
use quarry_fleet::inventory::Inventory;
use quarry_web::access::accounts::{Accounts, LogOnError, LoggedOn, Logon};
use quarry_web::access::audit::Audit;
use quarry_web::access::clock::Clock;
use quarry_web::access::headers::Transport;
use quarry_web::access::rules::Rules;
use quarry_web::access::{Connection, Gate};
use quarry_web::sources::Memory;
use quarry_web::{App, Sources, router};
use tower::ServiceExt as _;

const HOST: &str = "192.0.2.1:8443";
const SERVERS: [&str; 3] = ["dc01", "dc02", "web01"];
const LOGS: [&str; 4] = ["System", "Security", "Setup", "ForwardedEvents"];
const START: u64 = 133_000_000_000_000_000;

/// Whoever signs in is in the group `staff`.
#[derive(Debug)]
struct Staff;

impl Accounts for Staff {
    fn log_on<'a>(
        &'a self,
        account: &'a Account,
        _: Secret,
        _: IpAddr,
    ) -> BoxFuture<'a, Result<LoggedOn, LogOnError>> {
        let logged_on = LoggedOn {
            user: account.to_string(),
            groups: vec!["staff".to_owned()],
            is_administrator: false,
            tickets: None,
            logon: Arc::new(Staff),
        };
        std::future::ready(Ok(logged_on)).boxed()
    }
}

impl Logon for Staff {
    fn still_good(&self) -> BoxFuture<'_, Result<Vec<String>, LogOnError>> {
        std::future::ready(Ok(vec!["staff".to_owned()])).boxed()
    }

    fn open<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, io::Result<File>> {
        std::future::ready(Err(io::ErrorKind::PermissionDenied.into())).boxed()
    }
}

/// An event, by its places in the lists above.
#[derive(Clone, Debug)]
struct Plain {
    server: usize,
    /// The log that it stands in, and the one that it says.
    log: usize,
    channel: usize,
    time: u64,
    level: u64,
}

/// What staff may read: of each server, of each log. By hand, without what is tested.
type Allowed = BTreeSet<(usize, usize)>;

impl Plain {
    fn is_visible(&self, allowed: &Allowed) -> bool {
        let has = |log| allowed.contains(&(self.server, log));
        has(self.log) && has(self.channel)
    }

    fn event(&self, number: usize) -> Event {
        let text = |name: &str, text: String| Element {
            children: vec![Node::Text(text)],
            ..Element::new(name)
        };
        let with = |name: &str, attribute: &str, value: String| Element {
            attributes: vec![(attribute.to_owned(), value)],
            ..Element::new(name)
        };
        let time = EventTime::from_filetime(START + self.time * EventTime::SECOND);
        let system = Element {
            children: [
                with("Provider", "Name", format!("provider{}", number % 3)),
                text("EventID", (4624 + number % 4).to_string()),
                text("Level", self.level.to_string()),
                with("TimeCreated", "SystemTime", time.to_string()),
                text("Channel", LOGS[self.channel].to_owned()),
                text("Computer", SERVERS[self.server].to_owned()),
            ]
            .map(Node::Element)
            .into(),
            ..Element::new("System")
        };
        let mut data = with("Data", "Name", "TargetUserName".to_owned());
        data.children.push(Node::Text(format!("mark{number}x")));
        let data = Element { children: vec![Node::Element(data)], ..Element::new("EventData") };
        let children = [system, data].map(Node::Element).into();
        Event { root: Element { children, ..Element::new("Event") } }
    }
}

/// The rules as a person would write them.
fn rules(allowed: &Allowed) -> String {
    let mut text = "[sign-in]\ngroups = [\"staff\"]\n".to_owned();
    for (n, (server, log)) in allowed.iter().enumerate() {
        text += &format!(
            "[access.rule{n}]\ngroups = [\"staff\"]\non = [\"{}\"]\nlogs = [\"{}\"]\n",
            SERVERS[*server], LOGS[*log]
        );
    }
    text
}

/// The page over some events, and the cookie of somebody of staff.
async fn page(events: &[(usize, &Plain)], rules: &str) -> (Router, String) {
    let memory = Memory::new(SERVERS.map(str::to_owned));
    for (number, plain) in events {
        let id = format!("id-{number}");
        let title = format!("rule of mark{number}x");
        let rule = RuleName { id, title, level: "high".to_owned(), ..RuleName::default() };
        let (log, event) = (LOGS[plain.log], plain.event(*number));
        memory.store_marked(plain.server, log, *number as u64 + 1, event, vec![Arc::new(rule)]);
    }
    let rules = Rules::parse(rules, &Inventory::default()).expect("rules");
    let gate = Gate::accounts(
        HOST.parse().expect("an address"),
        &[],
        Transport::Untrusted,
        Arc::new(Staff),
        rules,
        Audit::off(),
        Clock::manual(),
    );
    let gate = Arc::new(gate.expect("randomness"));
    let app = Arc::new(App::new(Sources::new().with(Arc::new(memory))));
    let routes = gate.guard(router(app));
    let request = Request::post("/sign-in")
        .header(header::HOST, HOST)
        .header("sec-fetch-site", "same-origin")
        .body(Body::from("user=bob&password=x"))
        .expect("a request");
    let response = routes.clone().oneshot(request).await.expect("an answer");
    let cookie = response.headers()[header::SET_COOKIE].to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    (routes, cookie)
}

async fn ask((routes, cookie): &(Router, String), path: &str) -> (StatusCode, String) {
    let from = SocketAddr::from(([192, 0, 2, 7], 50_000));
    let mut request = Request::get(path)
        .header(header::HOST, HOST)
        .header(header::COOKIE, cookie)
        .header("sec-fetch-site", "same-origin")
        .body(Body::empty())
        .expect("a request");
    request.extensions_mut().insert(Arc::new(Connection::new(from)));
    let response = routes.clone().oneshot(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// An answer without the session's name, which is chance.
fn without_ids((status, body): (StatusCode, String)) -> (StatusCode, String) {
    let mut parts = body.split("name=\"end\" value=\"");
    let first = parts.next().unwrap_or_default().to_owned();
    (status, parts.fold(first, |text, part| text + part.get(16..).unwrap_or_default()))
}

fn addresses(events: &[Plain]) -> Vec<String> {
    let words = [
        "",
        "on=dc01",
        "log=Security",
        "id=4625",
        "grep=mark",
        "data=TargetUserName%3Dmark*",
        "not=id%3A4625",
        "rule=*mark*",
        "not=rule%3Aid-1",
    ];
    let mut addresses = Vec::new();
    for words in words {
        let joint = if words.is_empty() { "" } else { "&" };
        for format in ["json", "ndjson", "csv", "xml"] {
            addresses.push(format!("/api/v1/events?{words}{joint}rows=all&format={format}"));
        }
        addresses.push(format!("/api/v1/events?{words}{joint}format=evtx"));
        for kind in ["events", "count", "histogram", "facets", "ask"] {
            addresses.push(format!("/api/v1/{kind}?{words}"));
        }
        addresses.push(format!("/events?{words}"));
        addresses.push(format!("/events?{words}{joint}facets=data.TargetUserName"));
    }
    addresses.extend(["/status", "/views"].map(str::to_owned));
    // What a log says of itself, how many records it has, can't tell forwarded events apart.
    if events.iter().all(|plain| plain.log == plain.channel) {
        addresses.extend(["/", "/api/v1/servers", "/api/v1/logs"].map(str::to_owned));
        addresses.extend(SERVERS.map(|server| format!("/server/{server}")));
    }
    // Addresses of events, as somebody might guess them.
    for (number, plain) in events.iter().enumerate() {
        let time = EventTime::from_filetime(START + plain.time * EventTime::SECOND);
        let query = format!(
            "on={}&log={}&record={}&time={time}",
            SERVERS[plain.server],
            LOGS[plain.log],
            number + 1
        );
        addresses.push(format!("/event?{query}"));
        addresses.push(format!("/api/v1/event?{query}"));
    }
    addresses
}

fn events() -> impl Strategy<Value = Vec<Plain>> {
    let one = (0..SERVERS.len(), 0..LOGS.len(), 0..LOGS.len(), any::<bool>(), 0_u64..500, 1_u64..5);
    let one = one.prop_map(|(server, log, other, is_forwarded, time, level)| {
        let channel = if is_forwarded { other } else { log };
        Plain { server, log, channel, time, level }
    });
    prop::collection::vec(one, 0..12)
}

fn allowed() -> impl Strategy<Value = Allowed> {
    prop::collection::btree_set((0..SERVERS.len(), 0..LOGS.len()), 0..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn with_what_the_rules_hide_and_without_it_every_answer_is_the_same(
        events in events(),
        allowed in allowed(),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let all: Vec<_> = events.iter().enumerate().collect();
            let visible: Vec<_> =
                all.iter().copied().filter(|(_, plain)| plain.is_visible(&allowed)).collect();
            let rules = rules(&allowed);
            let (with, without) = (page(&all, &rules).await, page(&visible, &rules).await);
            for address in addresses(&events) {
                let (one, other) = (ask(&with, &address).await, ask(&without, &address).await);
                prop_assert_eq!(without_ids(one), without_ids(other), "{}", address);
            }
            // And what may be read is there.
            let (status, body) = ask(&with, "/api/v1/events?rows=all&format=ndjson").await;
            prop_assert_eq!(status, StatusCode::OK);
            for (number, plain) in all {
                let is_there = body.contains(&format!("mark{number}x"));
                prop_assert_eq!(is_there, plain.is_visible(&allowed), "{} {:?}", number, plain);
            }
            Ok(())
        })?;
    }
}
