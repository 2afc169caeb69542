//! `GET /metrics`: numbers about the program, as Prometheus reads them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::access::Person;
use crate::app::App;

#[utoipa::path(
    get, path = "/metrics",
    responses((status = 200, description = "Numbers in the text format of Prometheus"))
)]
pub(crate) async fn get(State(app): State<Arc<App>>, person: Person) -> Response {
    let health = app.sources.health(&person);
    let failed = health.iter().filter(|(_, health)| health.trouble.is_some()).count();
    let asked = health.iter().filter(|(_, health)| health.checked.is_some()).count();
    let numbers = [
        ("quarry_up_seconds", "gauge", "Seconds since the start.", app.started.elapsed().as_secs()),
        ("quarry_sources", "gauge", "Servers, files and stored sources.", health.len() as u64),
        ("quarry_sources_asked", "gauge", "Those that were asked how they are.", asked as u64),
        ("quarry_sources_failed", "gauge", "Those that could not be read then.", failed as u64),
        (
            "quarry_questions_total",
            "counter",
            "Questions that were begun.",
            app.questions.load(Ordering::Relaxed),
        ),
        ("quarry_followed", "gauge", "Questions that are followed.", app.hubs.len() as u64),
    ];
    let mut text = String::new();
    for (name, kind, help, number) in numbers {
        // Writing to a string can't fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {number}\n");
    }
    if let Some(keeper) = &app.keeper {
        keeper.metrics(&|server| person.scope().has_server(server), &mut text);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
