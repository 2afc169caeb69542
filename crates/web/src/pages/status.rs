//! `GET /status`: the program itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::response;
use crate::access::Person;
use crate::app::App;
use crate::parts::layout::page;
use crate::parts::text::{grouped, span};

pub(crate) async fn get(State(app): State<Arc<App>>, person: Person) -> Response {
    let content = html! {
        h1 { "Status" }
        table.values {
            tr { th scope="row" { "version" } td { (env!("CARGO_PKG_VERSION")) } }
            tr { th scope="row" { "runs for" } td { (span(app.started.elapsed().as_secs())) } }
            tr { th scope="row" { "sources" } td { (grouped(app.sources.list().count() as u64)) } }
            tr { th scope="row" { "stored events" } td { "none: this program reads servers and files as they are now" } }
            tr { th scope="row" { "signed in" } td { bdi { (person.name()) } } }
        }
    };
    response(page("Status", "/status", &person, content))
}
