//! `GET /status`: the program itself, what it is doing, and for whom.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::{response, wrong};
use crate::access::Visit;
use crate::app::App;
use crate::parts::layout::page;
use crate::parts::text::{grouped, marked, span};
use crate::problem::Problem;
use crate::sources::SourceKind;

/// Sessions and questions that are shown.
const ROWS: usize = 200;
/// How long a token may be good for, in days.
const LIVES: [(u32, &str); 4] = [(1, "a day"), (7, "a week"), (30, "30 days"), (366, "a year")];

pub(crate) async fn get(State(app): State<Arc<App>>, visit: Visit) -> Response {
    let person = visit.person();
    let content = html! {
        h1 { "Status" }
        table.values {
            tr { th scope="row" { "version" } td { (env!("CARGO_PKG_VERSION")) } }
            tr { th scope="row" { "runs for" } td { (span(app.started.elapsed().as_secs())) } }
            tr { th scope="row" { "sources" } td { (grouped(app.sources.list().count() as u64)) } }
            tr {
                th scope="row" { "stored events" }
                td {
                    @if app.sources.list().any(|source| source.kind == SourceKind::Stored) { "yes" }
                    @else { "none: servers and files are read as they are now" }
                }
            }
            tr { th scope="row" { "questions so far" } td { (grouped(app.questions.load(Ordering::Relaxed))) } }
            tr { th scope="row" { "followed" } td { (grouped(app.hubs.len() as u64)) } }
            tr { th scope="row" { "signed in" } td { bdi { (person.name()) } } }
        }
        p {
            a href="/api/v1/servers" { "sources as JSON" } " " a href="/openapi.json" { "the API, described" } " "
            a href="/metrics" { "metrics" }
            @if person.may_audit() { " " a href="/status/audit" { "who read what" } }
        }
        (running(&visit))
        (sessions(&visit))
        (tokens(&visit))
        @if person.may_audit() { (limits(&visit)) }
    };
    response(page("Status", "/status", person, content))
}

/// Whether somebody's questions and sessions are shown to a person, who may then end them too: one's
/// own, and everybody's to who may read the audit, which has them as well.
fn is_shown(visit: &Visit, name: &str) -> bool {
    visit.person().name() == name || visit.person().may_audit()
}

fn running(visit: &Visit) -> Markup {
    let all = visit.running().list(|name| is_shown(visit, name));
    html! {
        h2 { "Questions that are being answered" }
        @if all.is_empty() { p { "None." } } @else {
            div.wide tabindex="0" role="region" aria-label="Questions" {
                table.logs {
                    thead { tr {
                        th scope="col" { "person" } th scope="col" { "what" } th scope="col" { "words" }
                        th.number scope="col" { "for" } th scope="col" { "" }
                    } }
                    tbody {
                        @for listed in all.iter().take(ROWS) {
                            tr {
                                td { bdi { (marked(&listed.person)) } }
                                td { (listed.act.name()) }
                                td { code { (marked(&listed.words)) } }
                                td.number {
                                    (span(listed.time.as_secs()))
                                    @if let Some(place) = listed.place { ", waits at place " (place) }
                                }
                                td {
                                    form method="post" action="/status" {
                                        input type="hidden" name="stop" value=(listed.number);
                                        button type="submit" aria-label={"stop " (marked(&listed.words))} { "Stop" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sessions(visit: &Visit) -> Markup {
    let mut all = visit.sessions().list();
    all.retain(|(session, _, _)| is_shown(visit, session.person().name()));
    let mine = visit.session().map(|session| session.id());
    html! {
        h2 { "Sessions" }
        @if all.is_empty() { p { "None." } } @else {
            div.wide tabindex="0" role="region" aria-label="Sessions" {
                table.logs {
                    thead { tr {
                        th scope="col" { "person" } th.number scope="col" { "for" } th.number scope="col" { "last used" }
                        th scope="col" { "" }
                    } }
                    tbody {
                        @for (session, began, used) in all.iter().take(ROWS) {
                            tr {
                                td {
                                    bdi { (marked(session.person().name())) }
                                    @if mine == Some(session.id()) { " (this one)" }
                                }
                                td.number { (span(began.as_secs())) }
                                td.number { (span(used.as_secs())) " ago" }
                                td {
                                    form method="post" action="/status" {
                                        input type="hidden" name="end" value=(session.id());
                                        button type="submit"
                                            aria-label={"end a session of " (marked(session.person().name()))} { "End" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tokens(visit: &Visit) -> Markup {
    let all = visit.tokens();
    let is_bound = visit.person().scope().is_everything();
    html! {
        h2 #tokens { "Tokens for programs" }
        p {
            "A token lets a program ask " code { "/api/v1" } " as you, and read what you may read. "
            @if is_bound { "It ends with this program at the latest." }
            @else { "It ends with the session that made it at the latest." }
        }
        @if !all.is_empty() {
            div.wide tabindex="0" role="region" aria-label="Tokens" {
                table.logs {
                    thead { tr {
                        th scope="col" { "name" } th scope="col" { "ends" } th scope="col" { "" }
                    } }
                    tbody {
                        @for (hash, token) in &all {
                            tr {
                                td { bdi { (marked(&token.name)) } }
                                td { (token.ends.strftime("%Y-%m-%d %H:%MZ")) }
                                td {
                                    form method="post" action="/status" {
                                        input type="hidden" name="revoke" value=(hash);
                                        button type="submit" aria-label={"revoke " (marked(&token.name))} { "Revoke" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        form.save method="post" action="/status" {
            label for="token" { "name" }
            input #token name="token" required maxlength="100" placeholder="nightly report";
            label for="days" { "good for" }
            select #days name="days" {
                @for (days, words) in LIVES { option value=(days) { (words) } }
            }
            button type="submit" { "Make a token" }
        }
    }
}

/// The page that shows a token, once.
fn made(visit: &Visit, name: &str, token: &str) -> Response {
    let origin = visit.origin();
    let content = html! {
        h1 { "A token for " bdi { (marked(name)) } }
        p { "This is shown once. Who has it reads what you may read; keep it as you keep a password." }
        pre #made { (token) }
        p { "A program sends it with each request:" }
        pre { "curl -H 'Authorization: Bearer " (token) "' '" (origin) "/api/v1/events?since=1h&n=100'" }
        p { a href="/openapi.json" { "the API, described" } " " a href="/status#tokens" { "all tokens" } }
    };
    let page = page("A token", "/status", visit.person(), content);
    ([(CACHE_CONTROL, "no-store")], response(page)).into_response()
}

fn limits(visit: &Visit) -> Markup {
    html! {
        h2 { "Limits that were reached" }
        table.values {
            @for (what, times) in visit.running().hits().list() {
                tr { th scope="row" { (what) } td { (grouped(times)) } }
            }
        }
    }
}

/// `POST /status`: stops a question, ends a session, makes or revokes a token.
pub(crate) async fn post(visit: Visit, body: Bytes) -> Response {
    let pairs = || form_urlencoded::parse(&body);
    let value = |wanted: &str| pairs().find(|(name, _)| name == wanted).map(|(_, value)| value);
    if let Some(name) = value("token") {
        let days = value("days").and_then(|days| days.parse().ok()).unwrap_or(1);
        return match visit.make_token(name.trim(), days).await {
            Ok(token) => made(&visit, name.trim(), &token),
            Err(problem) => wrong(visit.person(), &problem),
        };
    }
    let mut is_done = false;
    for (name, value) in pairs() {
        is_done |= match &*name {
            "stop" => value
                .parse()
                .is_ok_and(|number| visit.running().stop(number, |name| is_shown(&visit, name))),
            "end" => {
                let sessions = visit.sessions();
                let is_one = sessions.list().iter().any(|(session, _, _)| {
                    session.id() == value && is_shown(&visit, session.person().name())
                });
                is_one && sessions.end_by_id(&value)
            }
            "revoke" => match visit.revoke_token(&value).await {
                Ok(is_done) => is_done,
                Err(problem) => return wrong(visit.person(), &problem),
            },
            _ => false,
        };
    }
    match is_done {
        true => (StatusCode::SEE_OTHER, [(LOCATION, "/status")]).into_response(),
        // It is over already, or somebody else's, which isn't told apart.
        false => wrong(visit.person(), &Problem::not_found("it is over already")),
    }
}
