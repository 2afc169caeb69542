//! `GET /api/v1/events`: events that match, a page or all of them; `GET /api/v1/event`: one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, LINK};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use quarry_event::output::Document;
use serde_json::{Value, json};

use super::{Format, Request, outcome};
use crate::access::audit::{Act, Outcome};
use crate::access::{Question, Visit};
use crate::app::App;
use crate::pages::event::{Wish, find};
use crate::problem::Problem;
use crate::sources::{Part, Search, State as Answer, Wanted};
use crate::view::At;

/// How long a page's answer may take.
const LONGEST: Duration = Duration::from_secs(60);

#[utoipa::path(
    get, path = "/api/v1/events",
    params(
        super::params::Question,
        ("rows" = Option<String>, Query, description = "`all` for every event that matches, as a file"),
    ),
    responses(
        (status = 200, description = "Events; `Link` has the next page, `Quarry-Failed` the sources that are missing"),
        (status = 400, description = "A word can't be understood"),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let request = Request::parse(&query.unwrap_or_default(), &headers)?;
    match (request.format, request.is_all) {
        (Format::Evtx, _) => super::evtx::get(&app, &visit, &request).await,
        (_, true) => all(&app, &visit, &request).await,
        (_, false) => page(&app, &visit, &request).await,
    }
}

async fn page(app: &App, visit: &Visit, request: &Request) -> Result<Response, Problem> {
    let Request { view, format, .. } = request;
    let wanted = Wanted {
        counts: false,
        print: Some(format.printer(view, false)?),
        format: format.name(),
        ..Wanted::of(view)
    };
    let begun = app.begin(visit, Act::Question, view).await?;
    let search = app.sources.ask(view, visit.person(), wanted.clone())?;
    search.stops_with(&begun);
    search.wait_for_end(LONGEST).await;
    begun.sent(search.look(|state| state.rows(&wanted).0.len() as u64));
    begun.end(search.look(Answer::outcome));
    let (body, next, failed) = search.look(|state| {
        let (rows, has_more) = state.rows(&wanted);
        let next = rows.last().filter(|_| has_more && !matches!(view.at, At::Before(_)));
        let next = next.map(|row| view.at(At::After(row.place.clone())).address("/api/v1/events"));
        let printed: Vec<u8> = rows.iter().flat_map(|row| row.printed.clone()).collect();
        (body(*format, &wanted, &printed, state, next.as_deref()), next, failed(state))
    });
    let mut response = body?.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Some(next) = next
        && let Ok(link) = HeaderValue::from_str(&format!("<{next}>; rel=\"next\""))
    {
        headers.insert(LINK, link);
    }
    if let Some(failed) = failed {
        headers.insert("quarry-failed", failed);
    }
    Ok(response)
}

/// A page's events in their format.
fn body(
    format: Format,
    wanted: &Wanted,
    printed: &[u8],
    state: &Answer,
    next: Option<&str>,
) -> Result<Vec<u8>, Problem> {
    Ok(match format {
        Format::Json => {
            let lines = printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let events: Vec<Value> =
                lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
            json!({ "events": events, "next": next, "outcome": outcome(state) })
                .to_string()
                .into_bytes()
        }
        Format::Ndjson => {
            let mut body = printed.to_vec();
            body.extend_from_slice(json!({ "end": outcome(state) }).to_string().as_bytes());
            body.push(b'\n');
            body
        }
        Format::Csv | Format::Xml | Format::Evtx => {
            let mut body = Vec::new();
            if let Some(printer) = &wanted.print {
                let mut document = printer.document();
                let write = document.events(printed, &mut body);
                write.and_then(|()| document.finish(&mut body)).map_err(|_| {
                    Problem::new(
                        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                        "the events can't be written",
                        "choose another format",
                    )
                })?;
            }
            body
        }
    })
}

/// The names of sources that failed, for a header.
pub(super) fn failed(state: &Answer) -> Option<HeaderValue> {
    let mut names: Vec<&str> = state.troubles.iter().map(|trouble| &*trouble.source).collect();
    names.dedup();
    let quoted: String = form_urlencoded::byte_serialize(names.join(",").as_bytes()).collect();
    if names.is_empty() { None } else { HeaderValue::from_str(&quoted).ok() }
}

/// Every event that matches, as they come: source after source, in bounded memory. A stream that
/// breaks is ended without its last chunk, so that a short file never looks whole.
async fn all(app: &App, visit: &Visit, request: &Request) -> Result<Response, Problem> {
    let Request { view, format, .. } = request;
    let printer = format.printer(view, true)?;
    let document = printer.document();
    if document.spreads() {
        return Err(Problem::new(
            axum::http::StatusCode::BAD_REQUEST,
            "data.* has no end of columns",
            "name the values that are wanted",
        ));
    }
    let wanted = Wanted {
        counts: false,
        is_stream: true,
        print: Some(printer),
        format: format.name(),
        ..Wanted::of(view)
    };
    let begun = app.begin(visit, Act::Export, view).await?;
    let search = app.sources.ask(view, visit.person(), wanted)?;
    search.stops_with(&begun);
    let parts = search.parts().ok_or_else(|| Problem::not_found("the answer has begun already"))?;
    let export =
        Export { search, parts, document: Some(document), format: *format, begun: Some(begun) };
    let parts = stream::unfold(export, |mut export| async move {
        export.next().await.map(|part| (part, export))
    });
    // It may be polled after its end.
    let body = Body::from_stream(parts.fuse());
    let name = format!("attachment; filename=\"events.{}\"", format.name());
    let headers = [
        (CONTENT_TYPE, format.media_type().to_owned()),
        (CACHE_CONTROL, "private, no-store".to_owned()),
        (CONTENT_DISPOSITION, name),
    ];
    Ok((headers, body).into_response())
}

struct Export {
    search: Arc<Search>,
    parts: tokio::sync::mpsc::Receiver<Part>,
    /// Nothing once the end was written.
    document: Option<Document>,
    format: Format,
    begun: Option<Question>,
}

impl Export {
    /// The next part. An error breaks the connection.
    async fn next(&mut self) -> Option<Result<Vec<u8>, std::io::Error>> {
        let document = self.document.as_mut()?;
        let mut out = Vec::new();
        if let Some(Part::Printed(part)) = self.parts.recv().await {
            let written = match self.format {
                // Lines are what is printed.
                Format::Ndjson => {
                    out = part;
                    Ok(())
                }
                _ => document.events(&part, &mut out),
            };
            return Some(written.map(|()| out));
        }
        let mut document = self.document.take()?;
        let (is_whole, end) =
            self.search.look(|state| (!state.is_stopped, json!({ "end": outcome(state) })));
        if let Some(begun) = self.begun.take() {
            begun.sent(self.search.look(|state| state.sources.iter().map(|s| s.events).sum()));
            begun.end(self.search.look(Answer::outcome));
        }
        if !is_whole {
            return Some(Err(std::io::Error::other("the answer was stopped, or took too long")));
        }
        Some(match self.format {
            Format::Ndjson => Ok(format!("{end}\n").into_bytes()),
            _ => document.finish(&mut out).map(|()| out),
        })
    }
}

/// One event.
#[utoipa::path(
    get, path = "/api/v1/event",
    params(
        super::params::Identity,
        ("format" = Option<String>, Query, description = "json, ndjson, csv or xml"),
    ),
    responses(
        (status = 200, description = "The event"),
        (status = 404, description = "There is no such event any more"),
    )
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let wish = Wish::parse(&query)?;
    let of_event = ["on", "log", "record", "time", "near", "minutes"];
    let rest =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !of_event.contains(&&**name));
    let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
    let Request { view, format, .. } = Request::parse(&rest, &headers)?;
    let printer = format.printer(&view, false)?;
    let begun = wish.begin(&app, &visit).await?;
    let row = find(&app, visit.person(), &wish, |wanted| {
        wanted.print = Some(printer.clone());
        wanted.format = format.name();
    })
    .await?;
    begun.sent(1);
    begun.end(Outcome::Complete);
    let kind = [(CONTENT_TYPE, format.media_type()), (CACHE_CONTROL, "private, no-store")];
    let mut body = Vec::new();
    match format {
        Format::Json | Format::Ndjson => body = row.printed,
        Format::Csv | Format::Xml | Format::Evtx => {
            let mut document = printer.document();
            let written = document.events(&row.printed, &mut body);
            if written.and_then(|()| document.finish(&mut body)).is_err() {
                return Err(Problem::not_found("the event can't be written in this format"));
            }
        }
    }
    Ok((kind, body).into_response())
}
