//! `GET /status`: the program itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::response;
use crate::access::Person;
use crate::app::App;
use crate::parts::layout::page;
use crate::parts::text::{grouped, span};
use crate::sources::SourceKind;

pub(crate) async fn get(State(app): State<Arc<App>>, person: Person) -> Response {
    let content = html! {
        h1 { "Status" }
        table.values {
            tr { th scope="row" { "version" } td { (env!("CARGO_PKG_VERSION")) } }
            tr { th scope="row" { "runs for" } td { (span(app.started.elapsed().as_secs())) } }
            tr { th scope="row" { "sources" } td { (grouped(app.sources.list().count() as u64)) } }
            tr {
                th scope="row" { "stored events" }
                td {
                    @if app.sources.list().any(|source| source.kind == SourceKind::Stored) { "yes" }
                    @else { "none: servers and files are read as they are now" }
                }
            }
            tr { th scope="row" { "questions so far" } td { (grouped(app.questions.load(Ordering::Relaxed))) } }
            tr { th scope="row" { "followed" } td { (grouped(app.hubs.len() as u64)) } }
            tr { th scope="row" { "signed in" } td { bdi { (person.name()) } } }
        }
    };
    let content = html! {
        (content)
        p {
            a href="/api/v1/servers" { "sources as JSON" } " " a href="/openapi.json" { "the API, described" } " "
            a href="/metrics" { "metrics" }
            @if person.may_audit() { " " a href="/status/audit" { "who read what" } }
        }
    };
    response(page("Status", "/status", &person, content))
}
