//! `GET /api/v1/tail`: what happens from now on.
//!
//! | event | data |
//! |---|---|
//! | `row` | a row as a page shows it |
//! | `skipped` | `events` and `errors` of a second that aren't shown, `since` and `until` when |
//! | `source` | what happened to a source: `lost`, `following`, `gap` |
//! | `missed` | how many of these were sent while the reader was away and are gone |
//! | `end` | nothing more comes |
//!
//! Each has a number, and a reader who says the last one it had (`Last-Event-ID`) goes on after it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::ask::wire;
use super::hub::{Hub, What};
use super::{Stream, Wire, response, without};
use crate::access::audit::{Act, Outcome};
use crate::access::{Person, Question, Visit};
use crate::api::{Format, Request};
use crate::app::App;
use crate::parts::row::Shown;
use crate::problem::Problem;
use crate::sources::{Row, Wanted};
use crate::view::View;

/// How long nothing may be sent.
const SILENCE: Duration = Duration::from_secs(15);
/// What a program gets of an answer that it asked for by lines.
const LINES: &str = "tail";

/// What is followed for a view.
///
/// # Errors
/// What the words say can't be asked, or too much is followed already.
pub(crate) fn hub(
    app: &App,
    person: &Person,
    view: &View,
    wire: Wire,
) -> Result<(Arc<Hub>, Wanted), Problem> {
    let mut wanted = Wanted { counts: false, ..Wanted::of(view) };
    if wire == Wire::Lines {
        wanted.print = Some(Format::Ndjson.printer(view, false)?);
        wanted.format = LINES;
    }
    let hub = app.sources.follow(&app.hubs, view, person, wanted.clone())?;
    let hub = hub.ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much is followed",
            "32 questions are followed already; close one of those pages",
        )
    })?;
    Ok((hub, wanted))
}

#[utoipa::path(
    get, path = "/api/v1/tail",
    params(
        crate::api::params::Question,
        ("last" = Option<u64>, Query, description = "The number of the last item that was received"),
    ),
    responses((status = 200, description = "What happens from now on"))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    // A page says in its address what it shows already, as a browser says on its own where it was.
    let (rest, after) = without(&query, "last");
    let Request { view, format, .. } = Request::parse(&rest, &headers)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let wire = wire(&headers, format);
    let begun = app.begin(&visit, Act::Tail, &view).await?;
    let (hub, wanted) = hub(&app, visit.person(), &view, wire)?;
    let from = last.or(after).unwrap_or(0);
    let zone = view.time_zone();
    Ok(response(wire, move |stream| async move {
        let show = |row: &Row| Shown::of(row, wanted.columns.len(), &view, &zone).to_json();
        tokio::select! {
            () = stream.gone() => {}
            () = begun.stopped() => {}
            () = write(&stream, &hub, from, &begun, show) => begun.end(Outcome::Complete),
        }
    }))
}

async fn write(
    stream: &Stream,
    hub: &Hub,
    mut from: u64,
    begun: &Question,
    show: impl Fn(&Row) -> serde_json::Value,
) {
    let mut changes = hub.changes();
    if from > hub.last() {
        // It was numbered by a program that has ended.
        from = 0;
    }
    loop {
        changes.borrow_and_update();
        let since = hub.since(from);
        if since.missed > 0 && !stream.send("missed", None, &json!({ "items": since.missed })).await
        {
            return;
        }
        for item in since.items {
            let number = Some(item.number);
            let sent = match (&item.what, stream.wire()) {
                (What::Row(row), Wire::Lines) => stream.send_printed(&row.printed).await,
                (What::Row(row), Wire::Events) => stream.send("row", number, &show(row)).await,
                (What::Skipped(value), _) => stream.send("skipped", number, value).await,
                (What::Source(value), _) => stream.send("source", number, value).await,
            };
            if !sent {
                return;
            }
            from = item.number;
            begun.sent(1);
        }
        if since.is_over {
            stream.send("end", None, &json!({ "events": since.events })).await;
            return;
        }
        let waited = tokio::time::timeout(SILENCE, changes.changed()).await;
        let is_there = match waited {
            Ok(Ok(())) => true,
            Ok(Err(_)) => false,
            Err(_) => stream.keep_alive().await,
        };
        if !is_there {
            return;
        }
    }
}
