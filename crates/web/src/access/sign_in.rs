//! Signing in and out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http_body_util::BodyExt as _;
use maud::{DOCTYPE, Markup, html};
use quarry_cred::{Account, Secret};
use zeroize::Zeroize;

use super::Person;
use super::accounts::LogOnError;
use super::audit::{Act, Entry};
use super::gate::{Door, Gate, address_of, cookies};
use super::headers::CLEAR_SITE_DATA;
use super::running::Hits;
use crate::assets;

/// What is said to who may not use the page.
const NO_GROUP: &str = "The password is right, but no group of this account may use this page.";
/// Longest address to go on to, in bytes.
const LONGEST_NEXT: usize = 8192;
/// How long a browser is known as one that has signed in, in seconds: a year.
const DEVICE_AGE: u64 = 365 * 24 * 60 * 60;

/// What the form sends. The password is wiped.
#[derive(Default)]
struct Form {
    user: String,
    password: String,
    token: String,
    next: String,
}

impl Drop for Form {
    fn drop(&mut self) {
        self.password.zeroize();
        self.token.zeroize();
    }
}

impl Form {
    fn parse(bytes: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(bytes) {
            let field = match &*name {
                "user" => &mut form.user,
                "password" => &mut form.password,
                "token" => &mut form.token,
                "next" => &mut form.next,
                _ => continue,
            };
            *field = value.into_owned();
        }
        form
    }

    /// Where to go on to: a place of ours, whatever was sent.
    fn next(&self) -> &str {
        let next = &self.next;
        let is_ours = next.starts_with('/')
            && !next.starts_with("//")
            && !next.starts_with("/\\")
            && next.len() <= LONGEST_NEXT
            && next.bytes().all(|byte| byte.is_ascii_graphic());
        if is_ours { next } else { "/" }
    }
}

/// `GET /sign-in`: the form. It changes nothing, so the token of an address isn't used up before
/// the form is sent.
pub(super) async fn form(State(gate): State<Arc<Gate>>, RawQuery(query): RawQuery) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    page(&gate, &form, None).into_response()
}

/// `POST /sign-in`: a new session for the token or the password.
pub(super) async fn sign_in(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return StatusCode::BAD_REQUEST.into_response() };
    let form = Form::parse(&body.to_bytes());
    let address = address_of(&parts.extensions);
    let again = |status: StatusCode, said: String| {
        (status, page(&gate, &form, Some(&said))).into_response()
    };
    let (person, device) = match &gate.door {
        Door::Owner { person, once } => {
            if !once.take(&form.token) {
                let said = "This address was used already, or it is older than five minutes. \
                            The program prints a new one when you press Enter where it runs.";
                return again(StatusCode::FORBIDDEN, said.to_owned());
            }
            (person.clone(), None)
        }
        Door::Accounts(_) => match with_password(&gate, &form, &parts.headers, address).await {
            Ok((person, device)) => (person, Some(device)),
            Err(Denied { status, said, after }) => {
                let entry = Entry {
                    act: Act::Refusal,
                    person: &form.user,
                    session: None,
                    address: Some(address),
                    words: &said,
                    servers: &[],
                };
                if let Err(error) = gate.audit.note(entry).await {
                    return again(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
                }
                let mut response = again(status, said);
                if let Some(seconds) = after {
                    Hits::add(&gate.running.hits.sign_in);
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                return response;
            }
        },
    };
    let Ok((session, value)) = gate.sessions.begin(person.clone()) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // The rules may have changed since the password was checked.
    if !session.put_under(&gate.rules()) {
        gate.sessions.end(&value);
        return again(StatusCode::FORBIDDEN, NO_GROUP.to_owned());
    }
    let entry = Entry {
        act: Act::SignIn,
        person: person.name(),
        session: Some(session.id()),
        address: Some(address),
        words: "",
        servers: &[],
    };
    if let Err(error) = gate.audit.note(entry).await {
        gate.sessions.end(&value);
        return again(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    }
    // The old session of this browser is not left behind.
    for old in cookies(&parts.headers, &gate.cookie) {
        gate.sessions.end(old);
    }
    let mut response = Redirect::to(form.next()).into_response();
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, gate.cookie_of(&gate.cookie, &value, None));
    if let Some(device) = device {
        let name = device_cookie(&gate);
        headers.append(header::SET_COOKIE, gate.cookie_of(&name, &device, Some(DEVICE_AGE)));
    }
    response
}

fn device_cookie(gate: &Gate) -> String {
    format!("{}-device", gate.cookie)
}

/// Why somebody isn't let in.
struct Denied {
    status: StatusCode,
    said: String,
    /// Seconds to wait.
    after: Option<u64>,
}

async fn with_password(
    gate: &Gate,
    form: &Form,
    headers: &HeaderMap,
    address: std::net::IpAddr,
) -> Result<(Person, String), Denied> {
    let denied = |status, said: String| Denied { status, said, after: None };
    let refused = || denied(StatusCode::FORBIDDEN, LogOnError::Refused.to_string());
    let Door::Accounts(accounts) = &gate.door else { return Err(refused()) };
    let device = cookies(headers, &device_cookie(gate)).next().map(str::to_owned);
    let attempt =
        gate.limits.begin(address, &form.user, device.as_deref()).map_err(|limit| Denied {
            status: StatusCode::TOO_MANY_REQUESTS,
            said: limit.to_string(),
            after: Some(limit.after.as_secs().max(1)),
        })?;
    // What can't be a name or a password is as wrong as any other.
    let account: Account = form.user.trim().parse().map_err(|_| refused())?;
    let secret = Secret::new(form.password.clone()).map_err(|_| refused())?;
    let logged_on = match accounts.log_on(&account, secret, address).await {
        Ok(logged_on) => logged_on,
        Err(error @ LogOnError::Refused) => {
            return Err(denied(StatusCode::FORBIDDEN, error.to_string()));
        }
        Err(error @ LogOnError::Restricted(_)) => {
            attempt.succeeded();
            return Err(denied(StatusCode::FORBIDDEN, error.to_string()));
        }
        Err(error) => {
            attempt.never_made();
            if let LogOnError::NotPossible(why) = &error {
                tracing::error!(why, "a password can't be checked");
            }
            return Err(denied(StatusCode::SERVICE_UNAVAILABLE, error.to_string()));
        }
    };
    attempt.succeeded();
    let person = Person::of_logon(logged_on, &gate.rules())
        .ok_or_else(|| denied(StatusCode::FORBIDDEN, NO_GROUP.to_owned()))?;
    let device = gate
        .limits
        .device(&form.user)
        .map_err(|error| denied(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok((person, device))
}

/// `POST /sign-out`: the session and its streams end, and the browser forgets what it keeps.
pub(super) async fn sign_out(State(gate): State<Arc<Gate>>, headers: HeaderMap) -> Response {
    let session = gate.session_of(&headers, false);
    for value in cookies(&headers, &gate.cookie) {
        gate.sessions.end(value);
    }
    if let Some(session) = session {
        let person = session.person();
        let entry = Entry {
            act: Act::SignOut,
            person: person.name(),
            session: Some(session.id()),
            address: None,
            words: "",
            servers: &[],
        };
        if let Err(error) = gate.audit.note(entry).await {
            tracing::error!(%error, "a sign-out isn't in the audit");
        }
    }
    let mut response = Redirect::to("/sign-in").into_response();
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, gate.cookie_of(&gate.cookie, "", Some(0)));
    headers.insert("clear-site-data", HeaderValue::from_static(CLEAR_SITE_DATA));
    response
}

/// `GET /session`: 204 while the session lives, 401 after. A page out of the browser's cache asks
/// before it shows its rows.
pub(super) async fn session(State(gate): State<Arc<Gate>>, headers: HeaderMap) -> Response {
    let status = match gate.session_of(&headers, false) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::UNAUTHORIZED,
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Bytes::new()).into_response()
}

fn page(gate: &Gate, form: &Form, said: Option<&str>) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Sign in - Quarry" }
                link rel="icon" href=(assets::address("icon.svg"));
                link rel="stylesheet" href=(assets::address("style.css"));
                script type="module" src=(assets::address("sign-in.js")) {}
            }
            body.sign-in {
                main #main {
                    h1 { "Sign in to Quarry" }
                    @if let Some(said) = said { p.error role="alert" { (said) } }
                    (fields(gate, form, said.is_some()))
                }
            }
        }
    };
    ([(header::CACHE_CONTROL, "no-store")], Html(markup.into_string())).into_response()
}

fn fields(gate: &Gate, form: &Form, is_again: bool) -> Markup {
    html! {
        form method="post" action="/sign-in" data-at-once[!form.token.is_empty() && !is_again] {
            @if form.next() != "/" { input type="hidden" name="next" value=(form.next()); }
            @match &gate.door {
                Door::Owner { person, .. } => {
                    @if is_again || form.token.is_empty() {
                        p { "Open the address that the program printed when it was started." }
                    } @else {
                        p { "As " strong { (person.name()) } ", who started the program." }
                        input type="hidden" name="token" value=(form.token);
                        button type="submit" { "Go on" }
                    }
                }
                Door::Accounts(_) => {
                    p {
                        label for="user" { "Account" }
                        input #user name="user" value=(form.user) autocomplete="username"
                            autocapitalize="none" spellcheck="false" required autofocus;
                    }
                    p {
                        label for="password" { "Password" }
                        input #password name="password" type="password"
                            autocomplete="current-password" required;
                    }
                    button type="submit" { "Sign in" }
                }
            }
        }
    }
}
