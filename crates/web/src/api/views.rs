//! `GET /api/v1/views`: the views that a person has saved.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Person;
use crate::app::App;

#[utoipa::path(
    get, path = "/api/v1/views",
    responses((status = 200, description = "Each view's name, words and address"))
)]
pub(crate) async fn get(State(app): State<Arc<App>>, person: Person) -> Response {
    let view = |(name, view): &(String, crate::view::View)| json!({ "name": name, "words": view.words.to_string(), "address": view.address("/events") });
    let views: Vec<Value> = app.views.of(&person).iter().map(view).collect();
    super::json(&json!({ "views": views }))
}
