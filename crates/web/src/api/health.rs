//! `GET /healthz`: whether the program answers, for those who restart it otherwise.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::json;

use crate::app::App;

#[utoipa::path(
    get, path = "/healthz",
    responses(
        (status = 200, description = "The program does what it is there for"),
        (status = 503, description = "It answers, and can't store what it follows; `problems` says why"),
    )
)]
pub(crate) async fn get(State(app): State<Arc<App>>) -> impl IntoResponse {
    let seconds = app.started.elapsed().as_secs();
    let (status, body) = match &app.keeper {
        None => (StatusCode::OK, json!({ "status": "ok", "seconds": seconds })),
        Some(keeper) => {
            let health = keeper.health();
            let is_well = health.is_well;
            let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, health.about)
        }
    };
    (status, [(CONTENT_TYPE, "application/json")], body.to_string())
}
