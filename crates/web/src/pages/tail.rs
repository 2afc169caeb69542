//! `GET /tail`: the last events, and new ones as they come. Without scripts the page renews itself.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::{response, wrong};
use crate::access::Visit;
use crate::access::audit::{Act, Outcome};
use crate::access::origin::Arrival;
use crate::app::App;
use crate::parts::layout::page;
use crate::parts::text::{many, marked};
use crate::parts::{pills, row};
use crate::problem::Problem;
use crate::sources::Row;
use crate::stream::Wire;
use crate::stream::hub::What;
use crate::stream::tail::hub;
use crate::view::{At, View};

const PAGE: &str = "/tail";
/// How long the page waits for the first events.
const WAIT: Duration = Duration::from_secs(2);
/// Rows that it shows at first.
const ROWS: usize = 200;

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let person = visit.person();
    let view = match View::parse(&query) {
        // What is to come has no place in a list that exists.
        Ok(view) => view.at(At::Start),
        Err(error) => return wrong(person, &Problem::of_view(&error)),
    };
    if view.query() != query {
        return (StatusCode::FOUND, [(LOCATION, view.address(PAGE))]).into_response();
    }
    let chosen = match app.sources.choose(&view.words, view.from) {
        Ok(chosen) => chosen,
        Err(problem) => return wrong(person, &problem),
    };
    let servers = app.sources.servers(&chosen);
    if servers > 0 && visit.arrival() == Arrival::Foreign {
        let content = html! {
            h1 { "Tail" }
            p.notice {
                "Another site led here. "
                a.button href=(view.address(PAGE)) { "Ask: this follows " (many(servers, "server")) }
            }
        };
        return response(page("Tail", PAGE, person, content));
    }
    let begun = match app.begin(&visit, Act::Tail, &view).await {
        Ok(begun) => begun,
        Err(problem) => return wrong(person, &problem),
    };
    let (hub, wanted) = match hub(&app, person, &view, Wire::Events) {
        Ok(found) => found,
        Err(problem) => return wrong(person, &problem),
    };
    let mut changes = hub.changes();
    let first = async {
        while hub.last() == 0 {
            if changes.changed().await.is_err() {
                return;
            }
        }
        // The first of several sources; the others are close after.
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let _ = tokio::time::timeout(WAIT, first).await;
    let since = hub.since(0);
    let last = since.items.last().map_or(0, |item| item.number);
    let mut rows: Vec<Arc<Row>> = Vec::new();
    let mut notices: Vec<String> = Vec::new();
    for item in &since.items {
        match &item.what {
            What::Row(row) => rows.push(Arc::clone(row)),
            What::Source(value) => notices.extend(value["what"].as_str().map(str::to_owned)),
            What::Skipped(value) => {
                notices.push(format!(
                    "{} events in a second, {} shown",
                    value["events"], value["shown"]
                ));
            }
        }
    }
    rows.sort_by(|a, b| b.place.cmp(&a.place));
    let shown: Vec<&Row> = rows.iter().take(ROWS).map(|row| &**row).collect();
    begun.sent(shown.len() as u64);
    begun.end(Outcome::Complete);
    let address = view.address("/api/v1/tail");
    let joint = if address.contains('?') { '&' } else { '?' };
    let content = html! {
        noscript { meta http-equiv="refresh" content="5"; }
        h1.hidden { "Tail" }
        (pills::form(&view, PAGE, None, None))
        (pills::pills(&view, PAGE))
        p #sources role="status" { "following " (many(chosen.len(), "source")) ". " a href=(view.address("/events")) { "as events" } }
        div #notices {
            @for notice in notices.iter().rev().take(10) { p.trouble { (marked(notice)) } }
        }
        section #tail data-tail={(address) (joint) "last=" (last)} aria-label="Events as they come" {
            (row::table(&view, &shown, &wanted, row::List::Main, "The newest events"))
        }
    };
    response(page("Tail", PAGE, person, content))
}
