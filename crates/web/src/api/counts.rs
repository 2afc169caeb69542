//! `GET /api/v1/count`, `/histogram` and `/facets`: how many events match, by time and by field.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::header::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{Request, outcome};
use crate::access::Visit;
use crate::access::audit::Act;
use crate::app::App;
use crate::problem::Problem;
use crate::sources::{Shown, State as Answer, USUAL, Usual, Wanted};
use crate::view::{At, View};

/// How long counting may take.
const LONGEST: Duration = Duration::from_secs(60);
/// Bars of a histogram, and values of a facet, at most.
const BARS: u64 = 400;
const VALUES: usize = 1000;

async fn counted(
    app: &App,
    visit: &Visit,
    query: Option<String>,
    headers: &HeaderMap,
    shown: Shown,
    answer: impl FnOnce(&View, &Answer) -> Value,
) -> Result<Response, Problem> {
    let Request { view, .. } = Request::parse(&query.unwrap_or_default(), headers)?;
    // Counts are of all that match, wherever a page is.
    let view = view.at(At::Start);
    let begun = app.begin(visit, Act::Question, &view).await?;
    let search = app.sources.ask(&view, visit.person(), Wanted { shown, ..Wanted::of(&view) })?;
    search.stops_with(&begun);
    search.wait_for_end(LONGEST).await;
    begun.end(search.look(Answer::outcome));
    Ok(super::json(&search.look(|state| answer(&view, state))))
}

#[utoipa::path(
    get, path = "/api/v1/count", params(super::params::Question),
    responses(
        (status = 200, description = "How many events match, and how exact that is"),
        (status = 400, description = "A word can't be understood"),
    )
)]
pub(crate) async fn count(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let count = |_: &View, state: &Answer| json!({ "events": state.counts.events, "outcome": outcome(state) });
    counted(&app, &visit, query, &headers, Shown::Events, count).await
}

#[utoipa::path(
    get, path = "/api/v1/histogram", params(super::params::Question),
    responses(
        (status = 200, description = "Events by time: the width of a bar in seconds, kinds, bars"),
        (status = 400, description = "A word can't be understood"),
    )
)]
pub(crate) async fn histogram(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let histogram = |_: &View, state: &Answer| {
        let histogram = &state.counts.histogram;
        let (seconds, bars) = histogram.bars(BARS);
        let bars: Vec<Value> = bars
            .iter()
            .filter(|(_, events)| events.iter().any(|events| *events > 0))
            .map(|(time, events)| json!({ "time": time.to_string(), "events": events }))
            .collect();
        let kinds: Vec<&str> = histogram.series.iter().map(|kind| &**kind).collect();
        json!({ "seconds": seconds, "kinds": kinds, "bars": bars, "outcome": outcome(state) })
    };
    counted(&app, &visit, query, &headers, Shown::Bars, histogram).await
}

#[utoipa::path(
    get, path = "/api/v1/facets", params(super::params::Question),
    responses(
        (status = 200, description = "How many events there are with each value of each field"),
        (status = 400, description = "A word can't be understood"),
    )
)]
pub(crate) async fn facets(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let facets = |view: &View, state: &Answer| {
        let usual = USUAL.map(|usual| match usual {
            Usual::Level => "level",
            Usual::On => "on",
            Usual::Log => "log",
            Usual::Id => "id",
            Usual::Provider => "provider",
            Usual::Computer => "computer",
            Usual::Rule => "rule",
        });
        let names = usual.into_iter().map(str::to_owned);
        let names = names.chain(view.facets.iter().map(|column| column.name().into_owned()));
        let mut facets = Map::new();
        for (name, facet) in names.zip(&state.counts.facets) {
            let top = facet.top(VALUES);
            let shown: u64 = top.iter().map(|(_, events)| events).sum();
            let values: Vec<Value> = top
                .into_iter()
                .map(|(value, events)| match facet.name(value) {
                    name if name == value => json!({ "value": value, "events": events }),
                    name => json!({ "value": value, "name": name, "events": events }),
                })
                .collect();
            let others = facet.total() - shown;
            facets.insert(name, json!({ "values": values, "others": others }));
        }
        json!({ "events": state.counts.events, "facets": facets, "outcome": outcome(state) })
    };
    counted(&app, &visit, query, &headers, Shown::Fields, facets).await
}
