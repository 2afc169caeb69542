//! `GET /events`: rows, what they are counted by, and how it stands with each source.
//!
//! The frame is sent at once, and then each part as soon as it is there: a declarative shadow root
//! has a slot for each, so that the page's order is one and the answer's another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use maud::{Markup, PreEscaped, html};
use quarry_event::EventTime;

use super::views::LONG;
use super::{Parts, in_parts};
use crate::access::audit::Act;
use crate::access::origin::Arrival;
use crate::access::{Person, Visit};
use crate::app::App;
use crate::parts::layout::halves;
use crate::parts::row::List;
use crate::parts::text::{grouped, many, marked};
use crate::parts::{facets, histogram, pills, row, sources};
use crate::problem::Problem;
use crate::sources::{Search, State as Answer, Wanted};
use crate::stream::going::Going;
use crate::view::{At, From, Place, View, ViewError};

/// How long a page waits for servers.
const SERVERS: Duration = Duration::from_secs(2);
/// How long it waits for all of the servers before it shows the rows that are there, until all of them
/// take their place.
const EARLY: Duration = Duration::from_millis(250);
/// How long it waits for all of the files before it shows what comes first.
const FILES: Duration = Duration::from_millis(100);
/// How long it waits until files were counted.
const COUNTS: Duration = Duration::from_secs(15);

/// Words of a question without which it is counted how many events there would be.
const WORDS: usize = 8;

const PAGE: &str = "/events";

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let view = match View::parse(&query) {
        Ok(view) => view,
        Err(error) => return wrong(visit.person(), &query, &error),
    };
    let canonical = view.query();
    if canonical.len() > LONG {
        return (StatusCode::FOUND, [(LOCATION, app.views.keep(&view))]).into_response();
    }
    if canonical != query {
        return (StatusCode::FOUND, [(LOCATION, view.address(PAGE))]).into_response();
    }
    show(app, visit, view)
}

/// The page of a view.
pub(super) fn show(app: Arc<App>, visit: Visit, view: View) -> Response {
    let asks = match app.sources.choose(&view.words, view.from) {
        Ok(chosen) => app.sources.servers(&chosen),
        Err(problem) => return wrong_source(visit.person(), &view, &problem),
    };
    // Another site may not have servers asked: somebody here says so.
    let waits = asks > 0 && visit.arrival() == Arrival::Foreign;
    in_parts(StatusCode::OK, move |parts| async move {
        write(&parts, &app, &visit, &view, waits.then_some(asks)).await;
    })
}

/// Sends the page, and stops asking when its reader has gone.
async fn write(parts: &Parts, app: &App, visit: &Visit, view: &View, waits: Option<usize>) {
    let (before, after) = halves("Events", PAGE, visit.person());
    let frame = html! {
        h1.hidden { "Events" }
        (pills::form(view, PAGE, None, None))
        nav.times aria-label="Also" {
            a href=(view.at(At::Start).address("/tail")) { "Tail" }
            a href=(format!("/views?{}", view.query())) { "Save" }
        }
        (pills::pills(view, PAGE))
    };
    if !parts.send(before + &frame.into_string()).await {
        return;
    }
    if let Some(servers) = waits {
        let button = html! {
            p.notice {
                "Another site led here. "
                a.button href=(view.address(PAGE)) { "Ask: this asks " (many(servers, "server")) }
            }
        };
        parts.send(button.into_string() + &after).await;
        return;
    }
    tokio::select! {
        () = parts.gone() => {}
        () = answer(parts, app, visit, view) => { parts.send(after).await; }
    }
}

async fn answer(parts: &Parts, app: &App, visit: &Visit, view: &View) {
    let person = visit.person();
    let problem = |problem: &Problem| {
        html! { div.problem role="alert" { p { (marked(&problem.detail)) } } }.into_string()
    };
    let mut wanted = Wanted::of(view);
    let is_start = view.at == At::Start;
    let chosen = app.sources.choose(&view.words, view.from).unwrap_or_default();
    let servers = app.sources.servers(&chosen);
    let has_files = servers < chosen.len();
    // What is counted doesn't depend on the page: what was counted for the first one is kept.
    wanted.counts = is_start || !has_files;
    app.going.leave(person);
    let begun = app.begin_within(visit, Act::Question, view, SERVERS).await;
    let asked = match begun {
        Ok(question) => app.sources.ask(view, person, wanted.clone()).map(|search| {
            search.stops_with(&question);
            (question, search)
        }),
        Err(problem) => Err(problem),
    };
    let (question, search) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            // Where others ask just now, a script goes on waiting.
            let busy = error.status == StatusCode::TOO_MANY_REQUESTS && servers > 0 && is_start;
            let later = busy.then(|| later(view, &wanted).into_string());
            parts.send(problem(&error) + &later.unwrap_or_default()).await;
            return;
        }
    };
    let all = match is_start || !has_files {
        true => None,
        false => {
            let first = view.at(At::Start);
            app.sources.ask(&first, person, Wanted::of(&first)).ok()
        }
    };
    let all = all.as_ref().unwrap_or(&search);
    let shadow = r#"<div class="explore"><template shadowrootmode="open"><slot name="summary"></slot><slot name="histogram"></slot><slot name="facets"></slot><slot name="rows"></slot></template>"#;
    if !parts.send(shadow).await {
        return;
    }
    if servers > 0 && !wait_for_servers(parts, view, &wanted, &search).await {
        return;
    }
    if servers == 0 {
        search.wait_for_end(FILES).await;
    }
    let is_complete = search.look(Answer::is_complete);
    let quick = if is_complete || servers > 0 {
        None
    } else {
        let first = Wanted { is_quick: true, counts: false, ..wanted.clone() };
        let quick = app.sources.ask(view, person, first).ok();
        if let Some(quick) = &quick {
            quick.wait_for_end(COUNTS).await;
        }
        quick
    };
    let shown = quick.as_ref().unwrap_or(&search);
    let is_empty = shown.look(|state| state.is_complete() && state.rows(&wanted).0.is_empty());
    let without = match is_empty && servers == 0 && is_start {
        true => without_each(app, person, view).await,
        false => Vec::new(),
    };
    // Where servers are still asked, a script goes on with the same question.
    let going = (servers > 0 && is_start && !is_complete).then(|| app.going.number());
    let (list, places) = rows(view, &wanted, shown, going, &without);
    if !parts.send(list.into_string()).await {
        return;
    }
    if servers == 0 {
        all.wait_for_end(COUNTS).await;
    }
    let stored_to = app.sources.stored_to(&chosen, person);
    let counted = all.look(|state| counted(view, state, stored_to));
    if parts.send(counted.into_string() + "</div>").await {
        question.sent(places.len() as u64);
        match going {
            Some(number) => {
                app.going.keep(number, person, Going { search, question, wanted, shown: places });
            }
            None => question.end(all.look(Answer::outcome)),
        }
    }
}

/// Waits for servers as long as a page does. Rows that are there early are shown until all take their
/// place. Whether the reader is still there.
async fn wait_for_servers(parts: &Parts, view: &View, wanted: &Wanted, search: &Search) -> bool {
    let began = Instant::now();
    search.wait_for_end(EARLY).await;
    search.wait(SERVERS - EARLY, |state| !state.rows(wanted).0.is_empty()).await;
    let early = search.look(|state| {
        let (rows, _) = state.rows(wanted);
        (!state.is_complete() && !rows.is_empty()).then(|| {
            html! {
                section.early slot="rows" aria-label="The first events" {
                    (row::table(view, &rows, wanted, List::Aside(None), "The first events"))
                }
            }
        })
    });
    if let Some(early) = early
        && !parts.send(early.into_string()).await
    {
        return false;
    }
    search.wait_for_end(SERVERS.saturating_sub(began.elapsed())).await;
    true
}

/// How many events there would be without each of the first words, in their order.
async fn without_each(app: &App, person: &Person, view: &View) -> Vec<String> {
    let ask = |word| {
        let view = view.without(word);
        // No server is asked for a number that nobody has asked for.
        let chosen = app.sources.choose(&view.words, view.from).ok()?;
        if app.sources.servers(&chosen) > 0 {
            return None;
        }
        let wanted = Wanted { rows: 0, ..Wanted::of(&view) };
        app.sources.ask(&view, person, wanted).ok()
    };
    let searches: Vec<_> = view.words.iter().take(WORDS).map(ask).collect();
    let all = searches.iter().flatten().map(|search| search.wait_for_end(COUNTS));
    futures_util::future::join_all(all).await;
    let text = |search: Option<Arc<Search>>| {
        search.map_or_else(String::new, |search| search.look(sources::counted))
    };
    searches.into_iter().map(text).collect()
}

/// A list that rows come into when servers answer.
fn later(view: &View, wanted: &Wanted) -> Markup {
    html! {
        section.list aria-label="Events" data-ask=(view.address("/api/v1/ask")) {
            p #sources { "waiting" }
            div.later hidden { (row::table(view, &[], wanted, List::Main, "Events")) }
        }
    }
}

/// The rows, with what is before and after them, and their places. `going` is the number of the question
/// where it goes on.
fn rows(
    view: &View,
    wanted: &Wanted,
    search: &Search,
    going: Option<u64>,
    without: &[String],
) -> (Markup, Vec<Place>) {
    search.look(|state| {
        let (rows, has_more) = state.rows(wanted);
        // The page before the place is full of what is nearest to it.
        let is_before = matches!(view.at, At::Before(_));
        let (newer, older) = (
            rows.first().map(|row| view.at(At::Before(row.place.clone()))),
            rows.last().map(|row| view.at(At::After(row.place.clone()))),
        );
        let newer = newer.filter(|_| if is_before { has_more } else { view.at != At::Start });
        let older = older.filter(|_| has_more || is_before);
        let awaited = state.awaited().count();
        let places = rows.iter().map(|row| row.place.clone()).collect();
        let list = html! {
            section.list slot="rows" aria-label="Events" data-ask=[going.map(|number| ask(view, number))] {
                @if rows.is_empty() {
                    (nothing(view, state, without))
                    @if going.is_some() {
                        div.later hidden { (row::table(view, &rows, wanted, List::Main, "Events")) }
                    }
                } @else {
                    (row::table(view, &rows, wanted, List::Main, "Events"))
                }
                nav.pages aria-label="Rows" {
                    @if let Some(newer) = newer { a rel="prev" href=(newer.address(PAGE)) { "\u{2039} newer" } }
                    span { (many(rows.len(), "row")) }
                    @if let Some(older) = older { a rel="next" href=(older.address(PAGE)) { "older \u{203a}" } }
                    span.export {
                        "export: "
                        @for format in ["csv", "ndjson", "json", "xml", "evtx"] {
                            a download href=(export(view, format)) { (format) } " "
                        }
                    }
                    @if awaited > 0 {
                        a href=(view.address(PAGE)) { "ask again" }
                    }
                }
                details.copy {
                    summary { "copy as" }
                    @let words = &view.words;
                    p { "sh " code { (marked(&words.to_command("scan", quarry_event::words::Shell::Sh))) } }
                    p { "PowerShell " code { (marked(&words.to_command("scan", quarry_event::words::Shell::PowerShell))) } }
                    p { "link " code { (view.address(PAGE)) } }
                    p { "these events " code { (absolute(view).address(PAGE)) } }
                    p { "API " code { (view.address("/api/v1/events")) } }
                }
            }
        };
        (list, places)
    })
}

/// Where a script goes on with a question.
fn ask(view: &View, number: u64) -> String {
    let address = view.address("/api/v1/ask");
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}going={number}")
}

/// The address of an export, of every event that matches.
fn export(view: &View, format: &str) -> String {
    let plain = View { at: At::Start, ..view.clone() };
    let address = plain.address("/api/v1/events");
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}rows=all&format={format}")
}

/// The view with its relative times made absolute.
fn absolute(view: &View) -> View {
    use quarry_event::words::{Key, Word};
    let Ok(filter) = view.words.filter(|| view.now()) else { return view.clone() };
    let times = [(Key::Since, filter.since), (Key::Until, filter.until)];
    times.into_iter().fold(view.clone(), |view, (key, time)| match time {
        Some(time) => View { at: view.at.clone(), ..view.and(Word::new(key, time.to_string())) },
        None => view,
    })
}

/// What stands there where no event matches.
fn nothing(view: &View, state: &Answer, without: &[String]) -> Markup {
    html! {
        div.nothing {
            p { strong { @if state.is_complete() { "No event matches." } @else { "No event came yet." } } " " (sources::line(state)) "." }
            @if !view.words.is_empty() {
                p { "Without one of its words:" }
                ul {
                    @for (n, word) in view.words.iter().enumerate() {
                        li {
                            a href=(view.without(word).address(PAGE)) { "without " bdi { (marked(&word.to_string())) } }
                            @if let Some(counted) = without.get(n).filter(|text| !text.is_empty()) { ": " (counted) }
                        }
                    }
                }
            }
        }
    }
}

/// What was counted, and how it stands with the sources.
fn counted(view: &View, state: &Answer, stored_to: Option<EventTime>) -> Markup {
    let is_counted = state.counts.events > 0 || state.is_complete();
    let from = |from| View { from, at: At::Start, ..view.clone() }.address(PAGE);
    html! {
        section.summary slot="summary" aria-label="Answer" {
            p #summary {
                @if is_counted { strong { (sources::counted(state)) } ". " }
                @if let Some(time) = stored_to {
                    "stored to " time { (time) } ". from: "
                    a href=(from(From::Stored)) { "stored" } " | "
                    a href=(from(From::Live)) { "live" } " | "
                    a href=(from(From::Both)) { "both" } ". "
                }
                span #sources { (sources::line(state)) } ". "
                @if let Some(records) = state.records { span.read { (grouped(records)) " records read" } }
            }
            (sources::troubles(state))
        }
        section slot="histogram" aria-label="Histogram" { (histogram::histogram(view, &state.counts.histogram)) }
        aside slot="facets" aria-label="Facets" {
            details.fold { summary { "count by field" } (facets::facets(view, state)) }
        }
    }
}

/// The page with a box as it was typed, and what is wrong with it.
fn wrong(person: &Person, query: &str, error: &ViewError) -> Response {
    let typed = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "q");
    let typed = typed.map_or_else(String::new, |(_, text)| text.into_owned());
    let content = html! {
        h1.hidden { "Events" }
        (pills::form(&View::default(), PAGE, Some(&typed), Some(error)))
    };
    page_of(person, StatusCode::BAD_REQUEST, content)
}

fn wrong_source(person: &Person, view: &View, problem: &Problem) -> Response {
    let content = html! {
        h1.hidden { "Events" }
        (pills::form(view, PAGE, None, None))
        (pills::pills(view, PAGE))
        div.problem role="alert" { p { (marked(&problem.detail)) } }
    };
    page_of(person, problem.status, content)
}

fn page_of(person: &Person, status: StatusCode, content: Markup) -> Response {
    let (before, after) = halves("Events", PAGE, person);
    let page = PreEscaped(before + &content.into_string() + &after);
    let mut response = super::response(page);
    *response.status_mut() = status;
    response
}
