//! `GET /healthz`: whether the program answers, for those who restart it otherwise.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::json;

use crate::app::App;

#[utoipa::path(
    get, path = "/healthz", responses((status = 200, description = "The program answers"))
)]
pub(crate) async fn get(State(app): State<Arc<App>>) -> impl IntoResponse {
    let body = json!({ "status": "ok", "seconds": app.started.elapsed().as_secs() });
    ([(CONTENT_TYPE, "application/json")], body.to_string())
}
