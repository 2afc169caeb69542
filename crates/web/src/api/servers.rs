//! `GET /api/v1/servers`: the sources, how each is, and its logs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Person;
use crate::app::App;
use crate::sources::{Health, SourceInfo, SourceKind};

/// How long answers are waited for.
const WAIT: Duration = Duration::from_secs(10);

#[utoipa::path(
    get, path = "/api/v1/servers",
    responses((status = 200, description = "Each source, whether it can be read, and its logs"))
)]
pub(crate) async fn get(State(app): State<Arc<App>>, person: Person) -> Response {
    app.sources.survey(&person, WAIT).await;
    let sources: Vec<Value> = app.sources.health(&person).iter().map(source).collect();
    super::json(&json!({ "sources": sources }))
}

pub(super) fn source((info, health): &(SourceInfo, Health)) -> Value {
    let kind = match info.kind {
        SourceKind::Server => "server",
        SourceKind::File => "file",
        SourceKind::Stored => "stored",
    };
    let logs: Vec<Value> = health
        .logs
        .iter()
        .map(|(name, info)| match info {
            Ok(info) => json!({
                "name": name, "records": info.records,
                "oldest": info.oldest.map(|time| time.to_string()),
                "newest": info.newest.map(|time| time.to_string()), "size": info.size,
            }),
            Err(why) => json!({ "name": name, "error": why }),
        })
        .collect();
    let trouble = health.trouble.as_ref();
    json!({
        "name": info.name, "kind": kind, "groups": info.groups, "asked": health.checked.is_some(),
        "failed": trouble.map(|trouble| json!({ "what": trouble.what, "remedy": trouble.remedy })),
        "since": health.since.map(|time| time.to_string()), "logs": logs,
    })
}
