//! The gate before all routes: who gets in, what every answer says, and when it ends.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use quarry_cred::{Account, Secret};
use quarry_fleet::inventory::Inventory;
use quarry_web::access::accounts::{Accounts, LogOnError, LoggedOn, Logon};
use quarry_web::access::audit::{Act, Audit, Outcome};
use quarry_web::access::clock::Clock;
use quarry_web::access::headers::{ALWAYS, Transport};
use quarry_web::access::rules::Rules;
use quarry_web::access::{Connection, Gate, GateError, Visit};
use quarry_web::{App, Sources, router};
use tower::ServiceExt as _;

const LOOPBACK: &str = "127.0.0.1:8080";
const PUBLIC: &str = "192.0.2.1:8443";

/// Accounts whose password is `right`, and which count what they are asked.
#[derive(Debug, Default)]
struct Known {
    asked: AtomicUsize,
    disabled: Arc<AtomicBool>,
    groups: Vec<String>,
}

#[derive(Debug)]
struct KnownLogon {
    disabled: Arc<AtomicBool>,
    groups: Vec<String>,
}

impl Accounts for Known {
    fn log_on<'a>(
        &'a self,
        account: &'a Account,
        secret: Secret,
        _: IpAddr,
    ) -> BoxFuture<'a, Result<LoggedOn, LogOnError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let result = match secret.expose() {
            "right" => {
                let logon = KnownLogon {
                    disabled: Arc::clone(&self.disabled),
                    groups: self.groups.clone(),
                };
                Ok(LoggedOn {
                    user: account.to_string(),
                    groups: self.groups.clone(),
                    is_administrator: false,
                    tickets: None,
                    logon: Arc::new(logon),
                })
            }
            "down" => Err(LogOnError::NotPossible("no PAM".to_owned())),
            _ => Err(LogOnError::Refused),
        };
        std::future::ready(result).boxed()
    }
}

impl Logon for KnownLogon {
    fn still_good(&self) -> BoxFuture<'_, Result<Vec<String>, LogOnError>> {
        let result = match self.disabled.load(Ordering::Relaxed) {
            true => Err(LogOnError::Restricted("expired".to_owned())),
            false => Ok(self.groups.clone()),
        };
        std::future::ready(result).boxed()
    }

    fn open<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, io::Result<File>> {
        std::future::ready(Err(io::ErrorKind::PermissionDenied.into())).boxed()
    }
}

/// The product's routes, and some for the test.
fn routes() -> Router {
    let rows = |visit: Visit| async move {
        let question = visit.question(Act::Question, "id:4625", &["dc01"]).await?;
        question.sent(7);
        question.end(Outcome::Complete);
        let may = visit.person().may_read("dc01", "Security", "Security");
        Ok::<_, quarry_web::Problem>(format!("{} {may}", visit.person().name()))
    };
    let endless = || async {
        let ticks = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"row\n"))]);
        Body::from_stream(ticks.chain(futures_util::stream::pending()))
    };
    let long =
        || async { Body::from_stream(futures_util::stream::iter([Ok::<_, io::Error>("whole")])) };
    router(Arc::new(App::new(Sources::new())))
        .route("/test/rows", get(rows))
        .route("/api/test/rows", get(rows))
        .route("/api/test/change", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/test/endless", get(endless))
        .route("/test/long", get(long))
        .route("/test/change", post(|body: Bytes| async move { body.len().to_string() }))
}

struct Page {
    gate: Arc<Gate>,
    routes: Router,
    host: &'static str,
    connection: Arc<Connection>,
}

impl Page {
    fn of(gate: Gate, host: &'static str) -> Self {
        let gate = Arc::new(gate);
        let routes = gate.guard(routes());
        let connection = Arc::new(Connection::new(from(7)));
        Self { gate, routes, host, connection }
    }

    fn owner(clock: &Clock) -> Self {
        let address = LOOPBACK.parse().expect("an address");
        Self::of(Gate::owner(address, "ann", clock.clone()).expect("loopback"), LOOPBACK)
    }

    fn accounts(known: Arc<Known>, rules: &str, audit: Audit, clock: &Clock) -> Self {
        let address = PUBLIC.parse().expect("an address");
        let rules = Rules::parse(rules, &Inventory::default()).expect("rules");
        let gate =
            Gate::accounts(address, &[], Transport::Untrusted, known, rules, audit, clock.clone());
        Self::of(gate.expect("randomness"), PUBLIC)
    }

    async fn ask(&self, request: Request<Body>) -> Response {
        self.ask_over(&self.connection, request).await
    }

    async fn ask_over(&self, connection: &Arc<Connection>, mut request: Request<Body>) -> Response {
        let host = self.host.parse().expect("a host");
        request.headers_mut().entry(header::HOST).or_insert(host);
        request.extensions_mut().insert(Arc::clone(connection));
        self.routes.clone().oneshot(request).await.expect("it always answers")
    }

    async fn get(&self, path: &str, cookie: &str) -> Response {
        let request = Request::get(path).header(header::COOKIE, cookie).body(Body::empty());
        self.ask(request.expect("a request")).await
    }

    async fn post(&self, path: &str, cookie: &str, form: &str) -> Response {
        let request = Request::post(path)
            .header(header::COOKIE, cookie)
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(form.to_owned()));
        self.ask(request.expect("a request")).await
    }

    /// Signs in and returns the cookies as a browser would send them.
    async fn sign_in(&self, form: &str) -> String {
        let response = self.post("/sign-in", "", form).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{}", text(response).await);
        cookies(&response)
    }

    async fn owner_cookie(&self) -> String {
        let path = self.gate.first_visit().expect("randomness").expect("of an owner");
        self.sign_in(path.split_once('?').expect("a query").1).await
    }
}

fn from(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 50_000))
}

fn cookies(response: &Response) -> String {
    let set = response.headers().get_all(header::SET_COOKIE).iter();
    let pairs = set.map(|cookie| cookie.to_str().expect("text").split(';').next().expect("a pair"));
    pairs.collect::<Vec<_>>().join("; ")
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.expect("whole").to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let page = Page::owner(&Clock::manual());
    let cookie = page.owner_cookie().await;
    let mut seen = Vec::new();
    for (method, path, cookie, host) in [
        // Let in, of the product: pages, what programs ask, scripts; and what there isn't.
        (Method::GET, "/help", &*cookie, LOOPBACK),
        (Method::HEAD, "/help", &cookie, LOOPBACK),
        (Method::GET, "/healthz", "", LOOPBACK),
        (Method::GET, "/sign-in", "", LOOPBACK),
        (Method::GET, "/session", "", LOOPBACK),
        (Method::GET, "/session", &cookie, LOOPBACK),
        (Method::GET, "/test/endless", &cookie, LOOPBACK),
        (Method::GET, "/no/such/page", &cookie, LOOPBACK),
        (Method::GET, "/assets/none.css", "", LOOPBACK),
        // Refused by a route, and by each step of the gate.
        (Method::DELETE, "/help", &cookie, LOOPBACK),
        (Method::POST, "/sign-out", &cookie, LOOPBACK),
        (Method::GET, "/help", "", LOOPBACK),
        (Method::GET, "/help", &cookie, "evil.example:8080"),
        (Method::OPTIONS, "/help", &cookie, LOOPBACK),
    ] {
        let request = Request::builder().method(&method).uri(path);
        let request = request.header(header::COOKIE, cookie).header(header::HOST, host);
        let response = page.ask(request.body(Body::empty()).expect("a request")).await;
        for (name, value) in ALWAYS {
            let all: Vec<_> = response.headers().get_all(&name).iter().collect();
            assert_eq!(all, [value], "{name} of {method} {path}");
        }
        assert!(response.headers().contains_key(header::CACHE_CONTROL), "{method} {path}");
        assert!(!response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        seen.push(response.status().as_u16());
    }
    assert_eq!(seen, [200, 200, 200, 200, 401, 204, 200, 404, 404, 403, 403, 401, 421, 403]);
}

#[tokio::test]
async fn the_address_that_was_printed_signs_in_once_and_looking_at_it_does_not() {
    let page = Page::owner(&Clock::manual());
    let path = page.gate.first_visit().expect("randomness").expect("of an owner");
    for _ in 0..3 {
        // A browser that looks ahead, or a program that follows links, uses nothing up.
        let body = text(page.get(&path, "").await).await;
        assert!(body.contains("name=\"token\"") && body.contains("method=\"post\""), "{body}");
    }
    let form = path.split_once('?').expect("a query").1;
    let response = page.post("/sign-in", "", &format!("{form}&next=/help%3Fx=1")).await;
    assert_eq!(response.headers()[header::LOCATION], "/help?x=1");
    let cookie = response.headers()[header::SET_COOKIE].to_str().expect("text").to_owned();
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    // Plain HTTP on the loopback: no prefix, which needs Secure; one cookie for each port.
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    assert!(pair.starts_with("quarry-8080=") && pair.len() == "quarry-8080=".len() + 64);
    assert_eq!(text(page.get("/test/rows", pair).await).await, "ann true");

    let again = page.post("/sign-in", "", form).await;
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(!again.headers().contains_key(header::SET_COOKIE));
    assert!(text(again).await.contains("was used already"));
}

#[tokio::test]
async fn without_a_session_nothing_is_shown_and_a_page_leads_to_sign_in() {
    let page = Page::owner(&Clock::manual());
    for cookie in ["", "quarry-8080=", "quarry-8080=0", "other=1; quarry-8080", "__Host-quarry=1"] {
        let response = page.get("/test/rows", cookie).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{cookie}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    let request = Request::get("/help?a=b&c").header(header::ACCEPT, "text/html,*/*;q=0.8");
    let response = page.ask(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[header::LOCATION], "/sign-in?next=%2Fhelp%3Fa%3Db%26c");
    // Another program's cookie of that name hides no session.
    let cookie = page.owner_cookie().await;
    let response = page.get("/test/rows", &format!("quarry-8080=stale; {cookie}")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_led_elsewhere_after_signing_in() {
    let page = Page::owner(&Clock::manual());
    for next in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "evil",
        "/a%0d%0aSet-Cookie:x=1",
        "/%09/evil.example",
    ] {
        let path = page.gate.first_visit().expect("randomness").expect("of an owner");
        let form = format!("{}&next={next}", path.split_once('?').expect("a query").1);
        let response = page.post("/sign-in", "", &form).await;
        assert_eq!(response.headers()[header::LOCATION], "/", "{next}");
    }
}

#[tokio::test]
async fn a_foreign_page_changes_nothing_and_reads_nothing_compressed() {
    let page = Page::owner(&Clock::manual());
    let cookie = page.owner_cookie().await;
    let ask = |method: Method, path: &'static str, site: &'static str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::COOKIE, &cookie).header("sec-fetch-site", site);
        let request = request.header(header::ACCEPT_ENCODING, "gzip");
        page.ask(request.body(Body::empty()).expect("a request"))
    };
    for site in ["cross-site", "same-site", "none"] {
        let response = ask(Method::POST, "/test/change", site).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{site}");
        ask(Method::POST, "/sign-out", site).await;
        assert_eq!(page.get("/session", &cookie).await.status(), StatusCode::NO_CONTENT);
    }
    let foreign = ask(Method::GET, "/help", "cross-site").await;
    assert!(!foreign.headers().contains_key(header::CONTENT_ENCODING));
    let own = ask(Method::GET, "/help", "same-origin").await;
    assert_eq!(own.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(ask(Method::POST, "/test/change", "same-origin").await.status(), StatusCode::OK);
    // A link leads to a page, never to data; and no part of a foreign page is ours.
    for (path, mode, dest, status) in [
        ("/help", "navigate", "document", StatusCode::OK),
        ("/api/v1/events", "navigate", "document", StatusCode::FORBIDDEN),
        ("/help", "navigate", "iframe", StatusCode::FORBIDDEN),
        ("/help", "no-cors", "image", StatusCode::FORBIDDEN),
        ("/help", "no-cors", "script", StatusCode::FORBIDDEN),
        ("/assets/none.js", "no-cors", "script", StatusCode::FORBIDDEN),
    ] {
        let request = Request::get(path).header(header::COOKIE, &cookie);
        let request = request.header("sec-fetch-site", "same-site");
        let request = request.header("sec-fetch-mode", mode).header("sec-fetch-dest", dest);
        let response = page.ask(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(response.status(), status, "{path} {mode} {dest}");
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_and_the_browser_forgets() {
    let page = Page::owner(&Clock::manual());
    let cookie = page.owner_cookie().await;
    let response = page.post("/sign-out", &cookie, "").await;
    assert_eq!(response.headers()[header::LOCATION], "/sign-in");
    assert_eq!(response.headers()["clear-site-data"], "\"cache\"");
    let set = response.headers()[header::SET_COOKIE].to_str().expect("text");
    assert!(set.starts_with("quarry-8080=;") && set.contains("Max-Age=0"), "{set}");
    assert_eq!(page.get("/test/rows", &cookie).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(page.get("/session", &cookie).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_never_looks_whole() {
    let clock = Clock::manual();
    let page = Page::owner(&clock);
    let cookie = page.owner_cookie().await;
    let mut stream = page.get("/test/endless", &cookie).await.into_body();
    let first = stream.frame().await.expect("a row").expect("no error");
    assert_eq!(first.into_data().expect("data"), "row\n");
    assert!(stream.frame().now_or_never().is_none());
    // A stream is no use of its session.
    for _ in 0..4 {
        clock.advance(Duration::from_secs(15 * 60));
        page.gate.sessions().sweep();
    }
    stream.frame().await.expect("not the end").expect_err("broken off");
    // One that ends by itself is whole.
    let cookie = page.owner_cookie().await;
    assert_eq!(text(page.get("/test/long", &cookie).await).await, "whole");
    // Another tab's sign-out is heard too.
    let mut stream = page.get("/test/endless", &cookie).await.into_body();
    stream.frame().await.expect("a row").expect("no error");
    page.post("/sign-out", &cookie, "").await;
    stream.frame().await.expect("not the end").expect_err("broken off");
}

#[tokio::test]
async fn what_renews_itself_keeps_no_session_alive() {
    let clock = Clock::manual();
    let page = Page::owner(&clock);
    let cookie = page.owner_cookie().await;
    for minute in 0..61 {
        let request = Request::get("/test/rows").header(header::COOKIE, &cookie);
        let request = request.header("quarry-renew", "1").body(Body::empty());
        let status = page.ask(request.expect("a request")).await.status();
        assert_eq!(status.is_success(), minute < 60, "{minute}");
        clock.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn bodies_are_bounded_in_size_and_time() {
    tokio::time::pause();
    let page = Page::owner(&Clock::manual());
    let cookie = page.owner_cookie().await;
    let whole = page.post("/test/change", &cookie, &"x".repeat(64 << 10)).await;
    assert_eq!(text(whole).await, "65536");
    let large = page.post("/test/change", &cookie, &"x".repeat((64 << 10) + 1)).await;
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let slow = Body::from_stream(futures_util::stream::pending::<Result<Bytes, io::Error>>());
    let request = Request::post("/test/change")
        .header(header::COOKIE, &cookie)
        .header("sec-fetch-site", "same-origin");
    let slow = page.ask(request.body(slow).expect("a request")).await;
    assert_eq!(slow.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn a_person_has_eight_connections_and_four_questions() {
    let page = Page::owner(&Clock::manual());
    let cookie = page.owner_cookie().await;
    let request =
        || Request::get("/test/rows").header(header::COOKIE, &cookie).body(Body::empty()).unwrap();
    let connections: Vec<_> = (0..8).map(|n| Arc::new(Connection::new(from(n)))).collect();
    // Signing in wasn't counted: nobody was signed in yet.
    for connection in &connections {
        for _ in 0..3 {
            assert_eq!(page.ask_over(connection, request()).await.status(), StatusCode::OK);
        }
    }
    let ninth = Arc::new(Connection::new(from(9)));
    let response = page.ask_over(&ninth, request()).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::CONNECTION], "close");
    drop(connections);
    let tenth = Arc::new(Connection::new(from(10)));
    assert_eq!(page.ask_over(&tenth, request()).await.status(), StatusCode::OK);

    let held: Arc<Mutex<Vec<quarry_web::access::Question>>> = Arc::default();
    let of_route = Arc::clone(&held);
    let hold = move |visit: Visit| async move {
        let question = visit.question(Act::Question, "", &[]).await?;
        of_route.lock().expect("nobody panicked").push(question);
        Ok::<_, quarry_web::Problem>(())
    };
    let gate = Gate::owner(LOOPBACK.parse().unwrap(), "ann", Clock::manual()).expect("loopback");
    let mut page = Page::of(gate, LOOPBACK);
    page.routes = page.gate.guard(Router::new().route("/hold", get(hold)));
    let cookie = page.owner_cookie().await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(page.get("/hold", &cookie).await.status().as_u16());
    }
    assert_eq!(seen, [200, 200, 200, 200, 429, 429]);
    held.lock().expect("nobody panicked").clear();
    assert_eq!(page.get("/hold", &cookie).await.status(), StatusCode::OK);
}

/// A request of a program.
fn with_token(method: Method, path: &str, authorization: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.header(header::AUTHORIZATION, authorization).body(Body::empty()).expect("a request")
}

/// What a form on the status page makes: the token that its answer shows.
async fn make_token(page: &Page, cookie: &str) -> String {
    let response = page.post("/status", cookie, "token=nightly&days=7").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let shown = text(response).await;
    let token = shown.split_once("<pre id=\"made\">").expect(&shown).1.split('<').next();
    let token = token.expect("a token").to_owned();
    assert!(shown.contains(&format!("Bearer {token}")) && shown.contains(page.host), "{shown}");
    token
}

#[tokio::test]
async fn a_program_with_a_token_needs_no_page_of_ours() {
    let page = Page::owner(&Clock::manual());
    let cookie = page.owner_cookie().await;
    let token = make_token(&page, &cookie).await;
    let bearer = format!("Bearer {token}");
    let rows = page.ask(with_token(Method::GET, "/api/test/rows", &bearer)).await;
    assert_eq!(text(rows).await, "ann true");
    let change = page.ask(with_token(Method::POST, "/api/test/change", &bearer)).await;
    assert_eq!(change.status(), StatusCode::OK);
    for wrong in ["Bearer ", "Bearer quarry_0", "Basic YW5uOng=", "", &token] {
        let response = page.ask(with_token(Method::POST, "/api/test/change", wrong)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    // With a wrong token the cookie doesn't count either.
    let request = Request::post("/api/test/change").header(header::COOKIE, &cookie);
    let request = request.header(header::AUTHORIZATION, "Bearer x").body(Body::empty());
    let response = page.ask(request.expect("a request")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    // Who has a token can't make others with it, or end sessions.
    for path in ["/status", "/sign-out", "/test/change"] {
        let response = page.ask(with_token(Method::POST, path, &bearer)).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
    }
    // Revoked on the page, it is worth nothing.
    let status = text(page.get("/status", &cookie).await).await;
    assert!(status.contains("nightly") && !status.contains(&token[7..]), "{status}");
    let hash = status.split_once("name=\"revoke\" value=\"").expect(&status).1;
    let form = format!("revoke={}", &hash[..64]);
    assert_eq!(page.post("/status", &cookie, &form).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(page.post("/status", &cookie, &form).await.status(), StatusCode::NOT_FOUND);
    let rows = page.ask(with_token(Method::GET, "/api/test/rows", &bearer)).await;
    assert_eq!(rows.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_of_an_account_reads_by_its_rules_and_ends_with_its_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::open(&path).expect("it can be made");
    let clock = Clock::manual();
    let page = Page::accounts(known(&["staff"]), RULES, audit, &clock);
    let cookie = page.sign_in("user=bob&password=right").await;
    let bearer = format!("Bearer {}", make_token(&page, &cookie).await);
    let rows = || page.ask(with_token(Method::GET, "/api/test/rows", &bearer));
    assert_eq!(text(rows().await).await, "bob false");
    // It is no use of the session, which ends an hour after the last.
    for _ in 0..59 {
        clock.advance(Duration::from_secs(60));
        assert_eq!(rows().await.status(), StatusCode::OK);
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(rows().await.status(), StatusCode::UNAUTHORIZED);
    // Another session of theirs isn't its.
    page.sign_in("user=bob&password=right").await;
    assert_eq!(rows().await.status(), StatusCode::UNAUTHORIZED);
    drop(page);
    let audit = std::fs::read_to_string(&path).expect("the audit");
    assert!(audit.contains("\"act\":\"token\"") && audit.contains("make nightly"), "{audit}");
}

const RULES: &str = r#"
    [sign-in]
    groups = ["staff"]
    [access.staff]
    groups = ["staff"]
    on = ["*"]
    logs = ["*"]
"#;

fn known(groups: &[&str]) -> Arc<Known> {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    Arc::new(Known { groups, ..Known::default() })
}

#[tokio::test]
async fn an_account_signs_in_over_tls_and_reads_what_its_rules_allow() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::open(&path).expect("it can be made");
    let page = Page::accounts(known(&["staff"]), RULES, audit, &Clock::manual());
    let response = page.post("/sign-in", "", "user=bob&password=right").await;
    let set: Vec<_> = response.headers().get_all(header::SET_COOKIE).iter().collect();
    let (session, device) = (set[0].to_str().expect("text"), set[1].to_str().expect("text"));
    assert!(session.starts_with("__Host-quarry="), "{session}");
    assert!(session.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{session}");
    assert!(device.starts_with("__Host-quarry-device="), "{device}");
    let cookie = cookies(&response);
    // Security is never meant by `*` alone.
    assert_eq!(text(page.get("/test/rows", &cookie).await).await, "bob false");
    page.post("/sign-in", "", "user=eve&password=wrong").await;
    page.post("/sign-out", &cookie, "").await;
    drop(page);
    let text = std::fs::read_to_string(&path).expect("the audit");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let acts: Vec<_> = lines.iter().map(|line| line["act"].as_str().expect("text")).collect();
    assert_eq!(acts, ["sign-in", "question", "end", "refusal", "sign-out"]);
    assert_eq!((&lines[1]["words"], &lines[2]["rows"]), (&"id:4625".into(), &7.into()));
    assert_eq!((&lines[3]["person"], &lines[3]["address"]), (&"eve".into(), &"192.0.2.7".into()));
    assert!(!text.contains("right") && !text.contains("\"wrong\""), "{text}");
}

#[tokio::test]
async fn who_is_in_no_group_that_may_come_in_is_told_so_and_stays_out() {
    for (groups, rules) in [(&["users"][..], RULES), (&[][..], RULES), (&["staff"][..], "")] {
        let page = Page::accounts(known(groups), rules, Audit::off(), &Clock::manual());
        let response = page.post("/sign-in", "", "user=bob&password=right").await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(!response.headers().contains_key(header::SET_COOKIE));
        assert!(text(response).await.contains("no group of this account"));
    }
}

#[tokio::test]
async fn of_fifty_wrong_passwords_three_are_tried_and_a_known_browser_still_gets_in() {
    let accounts = known(&["staff"]);
    let page = Page::accounts(Arc::clone(&accounts), RULES, Audit::off(), &Clock::manual());
    let device = page.sign_in("user=ann&password=right").await;
    accounts.asked.store(0, Ordering::Relaxed);
    let mut limited = 0;
    for number in 0..50 {
        let connection = Arc::new(Connection::new(from(100 + number)));
        let request = Request::post("/sign-in").header("sec-fetch-site", "same-origin");
        let form = Body::from(format!("user=CORP%5Cann&password=guess{number}"));
        let response = page.ask_over(&connection, request.body(form).expect("a request")).await;
        let is_limited = response.status() == StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(is_limited, response.headers().contains_key(header::RETRY_AFTER));
        limited += u32::from(is_limited);
    }
    assert_eq!((accounts.asked.load(Ordering::Relaxed), limited), (3, 47));
    // The right password of an unknown browser has to wait; ann's own needn't.
    let unknown = page.post("/sign-in", "", "user=ann&password=right").await;
    assert_eq!(unknown.status(), StatusCode::TOO_MANY_REQUESTS);
    let own = page.post("/sign-in", &device, "user=ann&password=right").await;
    assert_eq!(own.status(), StatusCode::SEE_OTHER);
    // A check that can't be made counts against nobody, and isn't a wrong password.
    for _ in 0..10 {
        let down = page.post("/sign-in", "", "user=carl&password=down").await;
        assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!text(down).await.contains("no PAM"));
    }
}

#[tokio::test]
async fn refusals_look_alike() {
    let page = Page::accounts(known(&["staff"]), RULES, Audit::off(), &Clock::manual());
    let mut seen = Vec::new();
    for form in
        ["user=ann&password=wrong", "user=%00&password=x", "user=bob&password=", "", "user="]
    {
        let response = page.post("/sign-in", "", form).await;
        let status = response.status();
        let body = text(response).await;
        let said = body.split("role=\"alert\">").nth(1).expect(&body).split('<').next();
        seen.push((status, said.map(str::to_owned)));
    }
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:?}");
}

#[tokio::test]
async fn nothing_is_done_that_the_audit_cannot_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::open(&path).expect("it can be made");
    let page = Page::accounts(known(&["staff"]), RULES, audit, &Clock::manual());
    let cookie = page.sign_in("user=bob&password=right").await;
    std::fs::remove_file(&path).expect("it is there");
    std::fs::create_dir(&path).expect("a folder in its place");
    let response = page.get("/test/rows", &cookie).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(response).await.contains("audit"));
    let response = page.post("/sign-in", "", "user=bob&password=right").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!response.headers().contains_key(header::SET_COOKIE));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_disabled_loses_its_sessions_and_streams() {
    let (accounts, clock) = (known(&["staff"]), Clock::manual());
    let page = Page::accounts(Arc::clone(&accounts), RULES, Audit::off(), &clock);
    let cookie = page.sign_in("user=bob&password=right").await;
    let mut stream = page.get("/test/endless", &cookie).await.into_body();
    stream.frame().await.expect("a row").expect("no error");
    let gate = Arc::clone(&page.gate);
    let tending = tokio::spawn(async move { gate.tend().await });
    accounts.disabled.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(page.get("/session", &cookie).await.status(), StatusCode::NO_CONTENT);
    clock.advance(Duration::from_secs(15 * 60));
    // Within 30 s of that.
    tokio::time::timeout(Duration::from_secs(30), stream.frame())
        .await
        .expect("in time")
        .expect("not the end")
        .expect_err("broken off");
    assert_eq!(page.get("/session", &cookie).await.status(), StatusCode::UNAUTHORIZED);
    tending.abort();
}

#[test]
fn another_address_than_the_loopback_has_tls_and_sign_in() {
    for address in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80", "[2001:db8::1]:80"] {
        let refused = Gate::owner(address.parse().expect("an address"), "ann", Clock::manual());
        assert!(matches!(refused, Err(GateError::Open(_))), "{address}");
    }
    for address in ["127.0.0.1:80", "127.8.9.1:80", "[::1]:80"] {
        Gate::owner(address.parse().expect("an address"), "ann", Clock::manual()).expect(address);
    }
}

#[test]
fn names_of_headers_are_spelled_as_the_standards_have_them() {
    let mut map = HeaderMap::new();
    quarry_web::access::headers::secure(&mut map, Transport::Untrusted);
    // The OWASP Secure Headers project's list, without what is out of use.
    for name in [
        "content-security-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "permissions-policy",
        "referrer-policy",
        "x-content-type-options",
        "x-frame-options",
        "cache-control",
    ] {
        assert!(map.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_session_that_is_open_goes_on_under_new_rules_and_what_ran_under_the_old_ones_ends() {
    let rules = |logs: &str, sign_in: &str| {
        format!(
            "[sign-in]\ngroups = [{sign_in}]\n\
             [access.a]\ngroups = ['ops']\non = ['dc01']\nlogs = [{logs}]\n"
        )
    };
    let known = Arc::new(Known { groups: vec!["ops".to_owned()], ..Known::default() });
    let clock = Clock::manual();
    let page = Page::accounts(known, &rules("'System'", "'ops'"), Audit::off(), &clock);
    let take_up =
        |text: &str| page.gate.take_up(Rules::parse(text, &Inventory::default()).expect("rules"));
    let cookie = page.sign_in("user=ann&password=right").await;
    assert_eq!(text(page.get("/test/rows", &cookie).await).await, "ann false");
    let mut stream = page.get("/test/endless", &cookie).await.into_body();
    assert!(stream.frame().await.expect("a row").is_ok());

    take_up(&rules("'System', 'Security'", "'ops'"));
    assert!(stream.frame().await.expect("an end").is_err(), "what was cut never looks whole");
    assert_eq!(text(page.get("/test/rows", &cookie).await).await, "ann true");
    // Under the new ones it streams again.
    let mut stream = page.get("/test/endless", &cookie).await.into_body();
    assert!(stream.frame().await.expect("a row").is_ok());
    take_up(&rules("'System'", "'ops'"));
    assert!(stream.frame().await.expect("an end").is_err());
    assert_eq!(text(page.get("/test/rows", &cookie).await).await, "ann false");

    // Who may not use the page any more has no session any more.
    let mut stream = page.get("/test/endless", &cookie).await.into_body();
    assert!(stream.frame().await.expect("a row").is_ok());
    take_up(&rules("'System'", "'others'"));
    assert!(stream.frame().await.expect("an end").is_err());
    assert_eq!(page.get("/test/rows", &cookie).await.status(), StatusCode::UNAUTHORIZED);
    let response = page.post("/sign-in", "", "user=ann&password=right").await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}
