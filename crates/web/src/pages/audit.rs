//! `GET /status/audit`: who read what, for those who may read that.

use axum::http::StatusCode;
use axum::response::Response;
use maud::html;
use serde_json::Value;

use super::{response, wrong};
use crate::access::Visit;
use crate::parts::layout::page;
use crate::parts::text::marked;
use crate::problem::Problem;

/// Lines that are shown.
const LINES: usize = 500;

pub(crate) async fn get(visit: Visit) -> Response {
    let person = visit.person();
    if !person.may_audit() {
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "not allowed",
            "who reads the audit is said by a rule with may = [\"audit\"]",
        );
        return wrong(person, &problem);
    }
    let audit = visit.audit().clone();
    let lines = tokio::task::spawn_blocking(move || audit.newest(LINES)).await;
    let lines = match lines {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return wrong(person, &Problem::new(status, "no audit", error.to_string()));
        }
        Err(_) => return wrong(person, &Problem::not_found("the audit can't be read")),
    };
    let text = |line: &Value, name: &str| match &line[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    const COLUMNS: [&str; 9] =
        ["time", "act", "person", "address", "words", "servers", "rows", "milliseconds", "outcome"];
    let content = html! {
        nav.back aria-label="Back" { a href="/status" { "\u{2039} status" } }
        h1 { "Who read what" }
        @if lines.is_empty() { p { "Nothing is written down: on one's own machine nobody else asks." } } @else {
            div.wide tabindex="0" role="region" aria-label="Who read what" {
                table.logs {
                    thead { tr { @for name in COLUMNS { th scope="col" { (name) } } } }
                    tbody {
                        @for line in &lines {
                            tr { @for name in COLUMNS { td { bdi { (marked(&text(line, name))) } } } }
                        }
                    }
                }
            }
        }
    };
    response(page("Who read what", "/status", person, content))
}
