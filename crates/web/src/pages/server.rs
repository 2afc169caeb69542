//! `GET /server/NAME`: a source, its logs, and its newest events.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::response::Response;
use jiff::tz::TimeZone;
use maud::html;
use quarry_event::words::{Key, Word};

use super::fleet::events;
use super::{response, wrong};
use crate::access::Visit;
use crate::access::audit::Act;
use crate::app::App;
use crate::parts::layout::page;
use crate::parts::row::{List, table};
use crate::parts::sources;
use crate::parts::text::{clock, grouped, marked};
use crate::problem::Problem;
use crate::sources::{SourceKind, State, Wanted, literal_text};
use crate::view::View;

/// How long the page waits for its logs and for its newest events.
const WAIT: Duration = Duration::from_secs(2);
/// Events that are shown.
const ROWS: usize = 20;

pub(crate) async fn get(
    axum::extract::State(app): axum::extract::State<Arc<App>>,
    visit: Visit,
    Path(name): Path<String>,
) -> Response {
    app.sources.survey(visit.person(), WAIT).await;
    let found =
        app.sources.health(visit.person()).into_iter().find(|(source, _)| source.name == name);
    let Some((source, health)) = found else {
        let brief: String = name.chars().take(60).collect();
        return wrong(visit.person(), &Problem::not_found(format!("no source is called {brief}")));
    };
    let on = |log: Option<&str>| {
        let view = View::default().and(Word::new(Key::On, literal_text(&name)));
        match log.filter(|_| source.kind == SourceKind::Server) {
            Some(log) => view.and(Word::new(Key::Log, literal_text(log))),
            None => view,
        }
    };
    let wanted = Wanted { rows: ROWS, counts: false, is_quick: true, ..Wanted::of(&on(None)) };
    let begun = app.begin(&visit, Act::Question, &on(None)).await;
    let asked = begun.and_then(|begun| {
        app.sources.ask(&on(None), visit.person(), wanted.clone()).map(|search| (begun, search))
    });
    let newest = match asked {
        Ok((begun, search)) => {
            search.stops_with(&begun);
            search.wait_for_end(WAIT).await;
            begun.sent(search.look(|state| state.rows(&wanted).0.len() as u64));
            begun.end(search.look(State::outcome));
            search.look(|state| {
                html! {
                    p { (sources::line(state)) "." }
                    (sources::troubles(state))
                    (table(&on(None), &state.rows(&wanted).0, &wanted, List::Main, "Newest events"))
                }
            })
        }
        Err(problem) => html! { div.problem { p { (marked(&problem.detail)) } } },
    };
    let content = html! {
        nav.back aria-label="Back" { a href="/" { "\u{2039} fleet" } }
        h1 { bdi { (marked(&source.name)) } }
        @if !source.groups.is_empty() { p { "in " (source.groups.iter().map(|g| format!("@{g}")).collect::<Vec<_>>().join(", ")) } }
        @if let Some(trouble) = &health.trouble {
            div.troubles { div.trouble {
                p { strong { (marked(&trouble.what)) } }
                @if let Some(remedy) = &trouble.remedy { p.remedy { (marked(remedy)) } }
            } }
        }
        h2 { "Logs" }
        div.wide tabindex="0" role="region" aria-label="Logs" {
            table.logs {
                caption.hidden { "Logs" }
                thead { tr {
                    th scope="col" { "log" } th.number scope="col" { "records" } th scope="col" { "oldest, UTC" }
                    th scope="col" { "newest, UTC" } th.number scope="col" { "size" }
                } }
                tbody {
                    @for (log, info) in &health.logs {
                        tr {
                            th scope="row" { a href=(on(Some(log)).address("/events")) { bdi { (marked(log)) } } }
                            @match info {
                                Ok(info) => {
                                    td.number { (grouped(info.records)) }
                                    td { @if let Some(time) = info.oldest { (clock(time, &TimeZone::UTC)) } }
                                    td { @if let Some(time) = info.newest { (clock(time, &TimeZone::UTC)) } }
                                    td.number { @if let Some(size) = info.size { (grouped(size)) } }
                                }
                                Err(why) => td colspan="4" { (marked(why)) },
                            }
                        }
                    }
                }
            }
        }
        h2 { "Newest events" }
        p { a href=(events(&name, None)) { "all events" } " " a href=(events(&name, Some("error"))) { "errors" } }
        (newest)
    };
    response(page(&marked(&source.name), "/", visit.person(), content))
}
