//! `GET /api/v1/ask`: servers asked now, their rows in the order of time.
//!
//! | event | data |
//! |---|---|
//! | `waiting` | `place` in the queue of questions that ask servers, and that in words |
//! | `row` | a row as a page shows it, and `late`: whether it belongs before one that was sent |
//! | `sources` | `line`, in words, `awaited` and `failed`: what happened, what to do, the names |
//! | `end` | how it went |
//!
//! A row is sent once every server that is still asked has passed its time, or after
//! [`PATIENCE`]. Closing the stream ends the asking.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT, HeaderMap};
use axum::response::Response;
use jiff::tz::TimeZone;
use quarry_event::EventTime;
use serde_json::{Value, json};

use super::going::Going;
use super::{Stream, Wire, response, without};
use crate::access::audit::Act;
use crate::access::{Question, Visit};
use crate::api::{Format, Request, outcome};
use crate::app::App;
use crate::parts::row::Shown;
use crate::parts::sources::line;
use crate::problem::Problem;
use crate::sources::{Search, SourceKind, State as Answer, Status, Wanted};
use crate::view::{Place, View};

/// How long a row waits for servers that haven't passed its time.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a source is asked before it is named as one that doesn't answer.
const LONG: Duration = Duration::from_secs(3);
/// Most sources that are named as that.
const MOST_SILENT: usize = 100;
/// How often rows that wait are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How often the line of sources is sent at most.
const LINE: Duration = Duration::from_secs(1);

#[utoipa::path(
    get, path = "/api/v1/ask",
    params(
        crate::api::params::Question,
        ("going" = Option<u64>, Query, description = "The number of a page's question, with which it goes on"),
    ),
    responses((status = 200, description = "Events of servers as they answer, by time; `end` last"))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (query, number) = without(&query.unwrap_or_default(), "going");
    let Request { view, format, .. } = Request::parse(&query, &headers)?;
    let wire = wire(&headers, format);
    let zone = view.time_zone();
    let going = number.filter(|_| wire == Wire::Events);
    if let Some(going) = going.and_then(|number| app.going.take(number, visit.person())) {
        return Ok(go_on(going, view, zone));
    }
    let mut wanted = Wanted { counts: false, ..Wanted::of(&view) };
    if wire == Wire::Lines {
        wanted.print = Some(Format::Ndjson.printer(&view, false)?);
        wanted.format = "ask";
    }
    let begun = app.begin(&visit, Act::Ask, &view).await?;
    let chosen = app.sources.choose(&view.words, view.from)?;
    let asks = app.sources.servers(&chosen) > 0;
    Ok(response(wire, move |stream| async move {
        let show = |row: &crate::sources::Row| {
            Shown::of(row, wanted.columns.len(), &view, &zone).to_json()
        };
        if asks {
            let (told, mut places) = tokio::sync::mpsc::unbounded_channel();
            // Its reader is here as long as it is.
            let turn = begun.turn(|place| {
                let _ = told.send(place);
            });
            tokio::pin!(turn);
            loop {
                let place = tokio::select! {
                    () = stream.gone() => return,
                    () = begun.stopped() => return,
                    () = &mut turn => break,
                    Some(place) = places.recv() => place,
                };
                let line = format!("others are asking servers; this question is at place {place}");
                stream.send("waiting", None, &json!({ "place": place, "line": line })).await;
            }
        }
        // What could be chosen and understood before can be now.
        let Ok(search) = app.sources.ask(&view, visit.person(), wanted.clone()) else { return };
        search.stops_with(&begun);
        tokio::select! {
            () = stream.gone() => {}
            () = write(&stream, &search, Placing::new(&wanted, Vec::new()), &begun, show) => {
                begun.end(search.look(Answer::outcome));
            }
        }
    }))
}

/// Goes on with what a page has begun.
fn go_on(going: Going, view: View, zone: TimeZone) -> Response {
    response(Wire::Events, move |stream| async move {
        let Going { search, question, wanted, shown } = &going;
        let columns = wanted.columns.len();
        let show = |row: &crate::sources::Row| Shown::of(row, columns, &view, &zone).to_json();
        let placing = Placing::new(wanted, shown.clone());
        let is_over = tokio::select! {
            () = stream.gone() => false,
            () = question.stopped() => false,
            () = write(&stream, search, placing, question, show) => true,
        };
        if is_over {
            going.end();
        }
    })
}

/// Pages ask for events, programs for lines.
pub(crate) fn wire(headers: &HeaderMap, format: Format) -> Wire {
    let is_page = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/event-stream"));
    if is_page && format != Format::Ndjson { Wire::Events } else { Wire::Lines }
}

async fn write(
    stream: &Stream,
    search: &Search,
    mut placing: Placing,
    begun: &Question,
    show: impl Fn(&crate::sources::Row) -> Value,
) {
    let mut changes = search.changes();
    let mut told: Option<(Instant, Value)> = None;
    loop {
        changes.borrow_and_update();
        let now = Instant::now();
        let is_long = search.time() > LONG;
        let (ready, sources, end) = search.look(|state| {
            let ready: Vec<(bool, Value, Vec<u8>)> = placing
                .ready(state, now)
                .into_iter()
                .map(|(row, late)| (late, show(row), row.printed.clone()))
                .collect();
            (ready, sources(state, is_long), state.is_complete().then(|| outcome(state)))
        });
        for (late, mut row, printed) in ready {
            let sent = match stream.wire() {
                Wire::Events => {
                    row["late"] = late.into();
                    stream.send("row", None, &row).await
                }
                Wire::Lines => stream.send_printed(&printed).await,
            };
            if !sent {
                return;
            }
            begun.sent(1);
        }
        let is_news = told.as_ref().is_none_or(|(at, before)| {
            *before != sources && (end.is_some() || at.elapsed() >= LINE)
        });
        if is_news && stream.wire() == Wire::Events {
            if !stream.send("sources", None, &sources).await {
                return;
            }
            told = Some((now, sources));
        }
        if let Some(end) = end {
            stream.send("end", None, &end).await;
            return;
        }
        // A row that waits is due without anything changing.
        let _ = tokio::time::timeout(TICK, changes.changed()).await;
    }
}

/// How it stands with the sources. Those that have said nothing for long are named before they have
/// failed.
fn sources(state: &Answer, is_long: bool) -> Value {
    let mut failed: Vec<Value> = state
        .alike()
        .into_iter()
        .map(|(what, remedy, names)| json!({ "what": what, "remedy": remedy, "names": names }))
        .collect();
    let silent: Vec<&str> = state.with(Status::Asked).map(|source| &*source.info.name).collect();
    if is_long && (1..=MOST_SILENT).contains(&silent.len()) {
        failed.push(json!({ "what": "no answer so far", "remedy": null, "names": silent }));
    }
    json!({ "line": line(state), "awaited": state.awaited().count(), "failed": failed })
}

/// Decides when rows are sent.
#[derive(Debug)]
struct Placing {
    wanted: Wanted,
    newest_first: bool,
    /// Of each row that was seen, when; nothing once it was sent.
    seen: HashMap<Place, Option<Instant>>,
    last: Option<Place>,
}

impl Placing {
    /// After rows that were sent before, in order.
    fn new(wanted: &Wanted, sent: Vec<Place>) -> Self {
        let last = sent.last().cloned();
        let seen = sent.into_iter().map(|place| (place, None)).collect();
        Placing { wanted: wanted.clone(), newest_first: wanted.keeps_newest(), seen, last }
    }

    /// The rows to send now, in order, each with whether it belongs before one that was sent.
    fn ready<'s>(
        &mut self,
        state: &'s Answer,
        now: Instant,
    ) -> Vec<(&'s crate::sources::Row, bool)> {
        let passed = passed(state, self.newest_first);
        let mut ready = Vec::new();
        let (mut rows, _) = state.rows(&self.wanted);
        if (self.wanted.order == crate::view::Order::Newest) != self.newest_first {
            rows.reverse();
        }
        for row in rows {
            let seen = self.seen.entry(row.place.clone()).or_insert(Some(now));
            let Some(since) = *seen else { continue };
            let is_settled = match passed {
                Passed::All => true,
                Passed::None => false,
                Passed::Time(time) if self.newest_first => row.place.time >= time,
                Passed::Time(time) => row.place.time <= time,
            };
            if !is_settled && now.duration_since(since) < PATIENCE {
                // What comes after it in the list waits for it.
                break;
            }
            *seen = None;
            let is_late = self.last.as_ref().is_some_and(|last| match self.newest_first {
                true => row.place > *last,
                false => row.place < *last,
            });
            if !is_late {
                self.last = Some(row.place.clone());
            }
            ready.push((row, is_late));
        }
        ready
    }
}

/// The time that every server which is still asked has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Passed {
    All,
    None,
    Time(EventTime),
}

fn passed(state: &Answer, newest_first: bool) -> Passed {
    let mut passed = Passed::All;
    for source in state.awaited() {
        // The events of files come in no order over all files.
        let reached = source.reached.filter(|_| source.info.kind == SourceKind::Server);
        passed = match (passed, reached) {
            (_, None) => return Passed::None,
            (Passed::Time(before), Some(time)) if newest_first => Passed::Time(before.max(time)),
            (Passed::Time(before), Some(time)) => Passed::Time(before.min(time)),
            (_, Some(time)) => Passed::Time(time),
        };
    }
    passed
}
