//! `GET /api/v1/neighbours`: what else happened around an event.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::Format;
use crate::access::Visit;
use crate::access::audit::Outcome;
use crate::app::App;
use crate::pages::event::{Wish, around, find};
use crate::problem::Problem;
use crate::sources::Row;
use crate::view::View;

#[utoipa::path(
    get, path = "/api/v1/neighbours",
    params(
        super::params::Identity,
        ("near" = Option<String>, Query, description = "What they have in common with it: log, server, logon, activity or process"),
        ("minutes" = Option<u64>, Query, description = "How far they are from it, but for those of its log: 1, 5 or 30"),
    ),
    responses(
        (status = 200, description = "The events before and after it, the newest first"),
        (status = 404, description = "There is no such event, or it has nothing of that kind"),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let wish = Wish::parse(&query.unwrap_or_default())?;
    let begun = wish.begin(&app, &visit).await?;
    let printer = Format::Ndjson.printer(&View::default(), false)?;
    let print = |wanted: &mut crate::sources::Wanted| {
        wanted.print = Some(printer.clone());
        wanted.format = "ndjson";
    };
    let row = find(&app, visit.person(), &wish, |wanted| {
        wanted.detail = true;
        print(wanted);
    })
    .await?;
    let found = around(&app, visit.person(), &wish, &row, print).await?;
    let found = found.ok_or_else(|| Problem::not_found("the event has nothing of that kind"))?;
    let object = |row: &Row| serde_json::from_slice::<Value>(&row.printed).unwrap_or_default();
    let objects = |rows: &[Row]| rows.iter().map(object).collect::<Vec<Value>>();
    let body = json!({
        "newer": objects(&found.newer), "event": object(&row), "older": objects(&found.older),
        "events": found.view.address("/api/v1/events"),
    });
    begun.sent((found.newer.len() + found.older.len() + 1) as u64);
    begun.end(Outcome::Complete);
    Ok(super::json(&body))
}
