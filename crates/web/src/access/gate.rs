//! The gate before all routes: hosts, changes, sessions, tokens, bounds and headers, in this order.
//! No request gets past it without a [`Person`], but for signing in, scripts and styles, and
//! `/healthz`.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Limited};
use tokio_util::sync::CancellationToken;

use super::accounts::{Accounts, LogOnError};
use super::audit::Audit;
use super::clock::Clock;
use super::headers::{self, Transport};
use super::limits::{self, Each, Place, SignInLimits};
use super::origin::{self, Arrival, Hosts, Refused};
use super::rules::Rules;
use super::running::{Hits, Running};
use super::session::{Session, Sessions, Visitor};
use super::token::{ApiTokens, OneTime};
use super::{Person, Visit, sign_in};
use crate::problem::Problem;

/// How often sessions that are over are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// Most cookies of our name that are looked at.
const MOST_COOKIES: usize = 8;

/// What stands before the routes.
#[derive(Debug)]
pub struct Gate {
    pub(super) hosts: Hosts,
    pub(super) transport: Transport,
    pub(super) door: Door,
    pub(super) sessions: Arc<Sessions>,
    pub(super) limits: SignInLimits,
    pub(super) audit: Audit,
    rules: RwLock<Arc<Rules>>,
    tokens: Arc<ApiTokens>,
    questions: Arc<Each<String>>,
    tails: Arc<Each<String>>,
    connections: Each<String>,
    pub(super) running: Arc<Running>,
    /// The name of the session's cookie.
    pub(super) cookie: String,
    is_tls: bool,
}

/// Who may come in, and how.
#[derive(Debug)]
pub(super) enum Door {
    /// Who started the program, by the token that it printed.
    Owner { person: Person, once: OneTime },
    /// Accounts of the system, by their passwords.
    Accounts(Arc<dyn Accounts>),
}

/// The page must not be served like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Without TLS and sign-in, on an address that others reach.
    #[error("{0} can be reached by others, so it needs TLS and sign-in")]
    Open(SocketAddr),
    /// The system has no randomness to give.
    #[error(transparent)]
    Random(#[from] getrandom::Error),
}

/// A connection, which one person's requests come over. [`serve`](crate::serve) puts one into each
/// request's extensions.
#[derive(Debug)]
pub struct Connection {
    from: SocketAddr,
    place: OnceLock<Option<Place<String>>>,
}

impl Connection {
    /// A connection from an address.
    pub fn new(from: SocketAddr) -> Self {
        Self { from, place: OnceLock::new() }
    }

    /// Whether it may be this person's: one of the few that a person has.
    fn is_allowed(&self, person: &Person, connections: &Each<String>) -> bool {
        self.place.get_or_init(|| connections.take(person.name().to_owned())).is_some()
    }
}

impl Gate {
    /// A gate for who started the program, on an address that nobody else's machine reaches.
    ///
    /// # Errors
    /// [`GateError::Open`] for any other address.
    pub fn owner(address: SocketAddr, name: &str, clock: Clock) -> Result<Self, GateError> {
        if !address.ip().is_loopback() {
            return Err(GateError::Open(address));
        }
        let person = Person::owner(name);
        let door = Door::Owner { person, once: OneTime::new(clock.clone()) };
        Ok(Self {
            hosts: Hosts::new(address, false, &[]),
            transport: Transport::Untrusted,
            door,
            sessions: Arc::new(Sessions::new(clock.clone())),
            limits: SignInLimits::new(clock)?,
            audit: Audit::off(),
            rules: RwLock::default(),
            tokens: Arc::default(),
            questions: Arc::new(Each::new(limits::QUESTIONS_OF_PERSON)),
            tails: Arc::new(Each::new(limits::TAILS_OF_PERSON)),
            connections: Each::new(limits::CONNECTIONS_OF_PERSON),
            running: Arc::default(),
            // Cookies know no ports: two programs of one machine would share one.
            cookie: format!("quarry-{}", address.port()),
            is_tls: false,
        })
    }

    /// A gate for the accounts of this system, over TLS. `names` are the page's other names.
    ///
    /// # Errors
    /// [`GateError::Random`].
    pub fn accounts(
        address: SocketAddr,
        names: &[String],
        transport: Transport,
        accounts: Arc<dyn Accounts>,
        rules: Rules,
        audit: Audit,
        clock: Clock,
    ) -> Result<Self, GateError> {
        Ok(Self {
            hosts: Hosts::new(address, true, names),
            transport,
            door: Door::Accounts(accounts),
            sessions: Arc::new(Sessions::new(clock.clone())),
            limits: SignInLimits::new(clock)?,
            audit,
            rules: RwLock::new(Arc::new(rules)),
            tokens: Arc::default(),
            questions: Arc::new(Each::new(limits::QUESTIONS_OF_PERSON)),
            tails: Arc::new(Each::new(limits::TAILS_OF_PERSON)),
            connections: Each::new(limits::CONNECTIONS_OF_PERSON),
            running: Arc::default(),
            cookie: "__Host-quarry".to_owned(),
            is_tls: true,
        })
    }

    /// A new path of the first visit, with a token that is good once and for five minutes. `None`
    /// where accounts sign in.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn first_visit(&self) -> Result<Option<String>, getrandom::Error> {
        match &self.door {
            Door::Owner { once, .. } => Ok(Some(format!("/sign-in?token={}", &*once.make()?))),
            Door::Accounts(_) => Ok(None),
        }
    }

    /// The sessions there are, for the status page.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The rules of now.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes up other rules. Sessions that are open go on under them: streams that are being answered
    /// under the old ones end, as do the sessions of people who may not use the page any more.
    pub fn take_up(&self, rules: Rules) {
        let rules = {
            let mut current = self.rules.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(rules.after(&current));
            Arc::clone(&current)
        };
        self.sessions.put_under(&rules);
    }

    /// The tokens of programs.
    pub fn tokens(&self) -> &ApiTokens {
        &self.tokens
    }

    /// Puts the gate before routes.
    pub fn guard(self: &Arc<Self>, routes: Router) -> Router {
        let own = Router::new()
            .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
            .route("/sign-out", axum::routing::post(sign_in::sign_out))
            .route("/session", get(sign_in::session))
            .with_state(Arc::clone(self));
        routes.merge(own).layer(from_fn_with_state(Arc::clone(self), admit))
    }

    /// Ends sessions that are over, and those of accounts that may not be used any more. Runs until
    /// it is dropped.
    pub async fn tend(&self) {
        let mut every = tokio::time::interval(SWEEP);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.sessions.sweep();
            self.tokens.sweep(|session| self.sessions.by_id(session).is_some());
            self.check_accounts().await;
        }
    }

    /// Asks about the accounts whose turn it is, all at once.
    pub(super) async fn check_accounts(&self) {
        let due = self.sessions.due_for_check();
        let check = |session: Arc<Session>| async move {
            let person = session.person();
            let Some(logon) = person.logon() else { return };
            let is_good = match logon.still_good().await {
                // Other groups may read other things: a new session has them.
                Ok(groups) => groups == person.groups(),
                Err(LogOnError::Refused | LogOnError::Restricted(_)) => false,
                Err(error) => {
                    // Nobody could say; the session's own limits hold.
                    tracing::warn!(person = person.name(), %error, "an account can't be checked");
                    true
                }
            };
            if !is_good {
                tracing::info!(person = person.name(), "the account has changed; its session ends");
                self.sessions.end_by_id(session.id());
            }
        };
        futures_util::future::join_all(due.into_iter().map(check)).await;
    }

    /// The attributes of a cookie of ours.
    pub(super) fn cookie_of(&self, name: &str, value: &str, age: Option<u64>) -> HeaderValue {
        let secure = if self.is_tls { "; Secure" } else { "" };
        let age = age.map_or(String::new(), |seconds| format!("; Max-Age={seconds}"));
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
        HeaderValue::from_str(&text).expect("names and values of ours are plain")
    }

    /// The session of a request's cookie. A value of another program's doesn't hide ours.
    pub(super) fn session_of(&self, headers: &HeaderMap, is_use: bool) -> Option<Arc<Session>> {
        let find = |value: &str| match is_use {
            true => self.sessions.find(value),
            false => self.sessions.peek(value),
        };
        cookies(headers, &self.cookie).take(MOST_COOKIES).find_map(find)
    }

    /// Who makes a request, if anybody.
    fn visitor(&self, headers: &HeaderMap) -> Option<(Person, Option<Held>)> {
        let bearer = headers.get(header::AUTHORIZATION).map(|value| {
            let value = value.to_str().ok()?.strip_prefix("Bearer ")?;
            let token = self.tokens.find(value.trim(), jiff::Timestamp::now())?;
            match &self.door {
                Door::Owner { person, .. } => Some((person.clone(), None)),
                Door::Accounts(_) => {
                    let session = self.sessions.by_id(token.session.as_deref()?)?;
                    let Visitor { person, changed } = session.visitor();
                    Some((person, Some((session, changed))))
                }
            }
        });
        if let Some(visitor) = bearer {
            return visitor;
        }
        // What renews itself is no use of a session, or none would ever end.
        let is_use = !headers.contains_key("quarry-renew");
        let session = self.session_of(headers, is_use)?;
        let Visitor { person, changed } = session.visitor();
        Some((person, Some((session, changed))))
    }
}

/// The values of the cookies of a name.
pub(super) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let values =
        headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).filter_map(move |pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// What anybody may ask for.
fn is_public(path: &str) -> bool {
    matches!(path, "/sign-in" | "/session" | "/healthz") || path.starts_with("/assets/")
}

/// What a program may ask for with a token, which ends no session and makes no other token.
fn is_for_programs(path: &str) -> bool {
    path.starts_with("/api/") || matches!(path, "/openapi.json" | "/metrics" | "/healthz")
}

/// Streams that live as long as their page: no use of a session.
fn is_stream(path: &str) -> bool {
    matches!(path, "/api/v1/tail" | "/api/v1/ask" | "/session")
}

async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let mut response = match gate.check(request).await {
        Ok((request, changed)) => until_end(next.run(request).await, changed),
        Err(response) => *response,
    };
    headers::secure(response.headers_mut(), gate.transport);
    response
}

/// A session, and what is cancelled when a request of it may not be answered any longer.
type Held = (Arc<Session>, CancellationToken);
type Checked = Result<(Request, Option<CancellationToken>), Box<Response>>;

impl Gate {
    async fn check(&self, request: Request) -> Checked {
        let refuse = |problem: Problem| Box::new(problem.into_response());
        let (mut parts, body) = request.into_parts();
        let host = self.hosts.check_host(&parts.uri, &parts.headers).map_err(refused)?.to_owned();
        // A browser sends no such header of itself, so no other site can make it.
        let is_program = parts.headers.contains_key(header::AUTHORIZATION);
        if !is_program {
            let checked = self.hosts.check_change(&parts.method, &host, &parts.headers);
            checked.map_err(refused)?;
        }
        let arrival = origin::arrival(&host, &parts.headers);
        if arrival == Arrival::Foreign {
            let is_read = parts.uri.path().starts_with("/api/");
            if is_read || !origin::is_visit(&parts.headers) {
                return Err(refused(Refused::Origin));
            }
            // What a foreign site chose next to what is secret isn't compressed together.
            parts.headers.remove(header::ACCEPT_ENCODING);
        }
        let body = whole(&parts.method, body).await.map_err(refuse)?;
        let path = parts.uri.path();
        if is_stream(path) {
            parts.headers.insert("quarry-renew", HeaderValue::from_static("1"));
        }
        let connection = parts.extensions.get::<Arc<Connection>>().cloned();
        let address = connection.as_ref().map(|connection| connection.from.ip());
        let Some((person, held)) = self.visitor(&parts.headers) else {
            if is_public(path) {
                return Ok((Request::from_parts(parts, body), None));
            }
            return Err(Box::new(not_signed_in(&parts.method, &parts.uri, &parts.headers)));
        };
        if is_program && !is_for_programs(path) {
            let what =
                "a token is for /api/v1, which /openapi.json describes; pages are for browsers";
            return Err(refuse(Problem::new(StatusCode::FORBIDDEN, "not for programs", what)));
        }
        if connection.is_some_and(|c| !c.is_allowed(&person, &self.connections)) {
            Hits::add(&self.running.hits.connections);
            let detail = format!(
                "you have {} connections open already; close a page of this server",
                limits::CONNECTIONS_OF_PERSON
            );
            let title = "too many connections";
            let mut response =
                Problem::new(StatusCode::TOO_MANY_REQUESTS, title, detail).into_response();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return Err(Box::new(response));
        }
        let (session, changed) = held.unzip();
        let visit = Visit {
            person: person.clone(),
            session,
            address,
            arrival,
            audit: self.audit.clone(),
            questions: Arc::clone(&self.questions),
            tails: Arc::clone(&self.tails),
            running: Arc::clone(&self.running),
            sessions: Arc::clone(&self.sessions),
            tokens: Arc::clone(&self.tokens),
            origin: format!("http{}://{host}", if self.is_tls { "s" } else { "" }),
        };
        parts.extensions.insert(person);
        parts.extensions.insert(visit);
        Ok((Request::from_parts(parts, body), changed))
    }
}

fn refused(refused: Refused) -> Box<Response> {
    let (status, title) = match refused {
        Refused::Host => (StatusCode::MISDIRECTED_REQUEST, "not a name of this server"),
        Refused::Origin => (StatusCode::FORBIDDEN, "not asked for here"),
    };
    Box::new(Problem::new(status, title, refused.to_string()).into_response())
}

/// A request's body, within its bounds of size and time.
async fn whole(method: &Method, body: Body) -> Result<Body, Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(Body::empty());
    }
    let body = Limited::new(body, limits::BODY_BYTES).collect();
    match tokio::time::timeout(limits::HEAD_TIME, body).await {
        Ok(Ok(body)) => Ok(Body::from(body.to_bytes())),
        Ok(Err(_)) => {
            let detail = format!("a request has at most {} bytes", limits::BODY_BYTES);
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", detail))
        }
        Err(_) => {
            let detail = "the request wasn't complete in time";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too slow", detail))
        }
    }
}

/// A page leads to sign-in and back; a program is told.
fn not_signed_in(method: &Method, uri: &axum::http::Uri, headers: &HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_page =
        *method == Method::GET && accepts.is_some_and(|types| types.contains("text/html"));
    if !is_page {
        return Problem::not_signed_in().into_response();
    }
    let next = uri.path_and_query().map_or("/", |path| path.as_str());
    if next == "/" {
        return Redirect::to("/sign-in").into_response();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    Redirect::to(&format!("/sign-in?{}", query.append_pair("next", next).finish())).into_response()
}

/// An answer without an end of its own ends with its session, and when the person may read something
/// else, by an error: what was cut never looks whole.
fn until_end(response: Response, changed: Option<CancellationToken>) -> Response {
    use http_body::Body as _;
    let Some(changed) = changed else { return response };
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let over = futures_util::stream::once(changed.cancelled_owned())
        .map(|()| Err::<Bytes, _>(axum::Error::new(std::io::Error::other("the session is over"))));
    // The end of either is the end of both.
    let rows = body.into_data_stream().map(Some).chain(futures_util::stream::iter([None]));
    let both = futures_util::stream::select(rows, over.map(Some));
    let until = both.scan(false, |is_over, item| {
        let item = if *is_over { None } else { item };
        *is_over |= matches!(item, Some(Err(_)));
        std::future::ready(item)
    });
    Response::from_parts(parts, Body::from_stream(until))
}

/// Where a request comes from.
pub(super) fn address_of(extensions: &axum::http::Extensions) -> IpAddr {
    let unknown = IpAddr::from([0, 0, 0, 0]);
    extensions.get::<Arc<Connection>>().map_or(unknown, |connection| connection.from.ip())
}
