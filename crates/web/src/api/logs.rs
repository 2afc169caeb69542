//! `GET /api/v1/logs`: the logs of the sources that `on` names.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::header::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::Request;
use super::servers::source;
use crate::access::Person;
use crate::app::App;
use crate::problem::Problem;

/// How long answers are waited for.
const WAIT: Duration = Duration::from_secs(10);

#[utoipa::path(
    get, path = "/api/v1/logs", params(super::params::Question),
    responses((status = 200, description = "Each log with how many records it has, from when to when"))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    person: Person,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Request { view, .. } = Request::parse(&query.unwrap_or_default(), &headers)?;
    let chosen = app.sources.choose(&view.words, view.from)?;
    let names = app.sources.names(&chosen);
    app.sources.survey(&person, WAIT).await;
    let mut logs: Vec<Value> = Vec::new();
    for one in app.sources.health(&person).iter().filter(|(info, _)| names.contains(&&*info.name)) {
        let described = source(one);
        for log in described["logs"].as_array().into_iter().flatten() {
            let mut log = log.clone();
            log["on"] = json!(one.0.name);
            logs.push(log);
        }
    }
    Ok(super::json(&json!({ "logs": logs })))
}
