//! `GET /status/audit`: who read what, for those who may read that.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
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
    let content = html! {
        nav.back aria-label="Back" { a href="/status" { "\u{2039} status" } }
        h1 { "Who read what" }
        @if lines.is_empty() { p { "Nothing is written down: on one's own machine nobody else asks." } } @else {
            div.wide tabindex="0" role="region" aria-label="Who read what" { (table(&lines)) }
        }
    };
    response(page("Who read what", "/status", person, content))
}

/// What was done, each with how it ended, which is a line of its own in the file.
fn table(lines: &[Value]) -> Markup {
    let is_end = |line: &&Value| line["act"] == "end";
    let ends: HashMap<&str, &Value> =
        lines.iter().filter(is_end).filter_map(|line| Some((line["id"].as_str()?, line))).collect();
    let acts: HashSet<&str> =
        lines.iter().filter(|line| !is_end(line)).filter_map(|line| line["id"].as_str()).collect();
    html! {
        table.audit {
            thead {
                tr {
                    th scope="col" { "time, UTC" } th scope="col" { "act" } th scope="col" { "person" }
                    th scope="col" { "address" } th scope="col" { "words" } th scope="col" { "servers" }
                    th.number scope="col" { "rows" } th.number scope="col" { "ms" } th scope="col" { "outcome" }
                }
            }
            tbody {
                @for line in lines {
                    @let id = line["id"].as_str().unwrap_or_default();
                    // How something ended that began before the first of the lines is there all the same.
                    @if !is_end(&line) || !acts.contains(id) {
                        (row(line, ends.get(id).copied().unwrap_or(line)))
                    }
                }
            }
        }
    }
}

fn row(line: &Value, end: &Value) -> Markup {
    let time = text(&line["time"]);
    // As the file has it: its digits are more than one looks at.
    let brief: String = time.chars().take(23).collect::<String>().replace('T', " ");
    html! {
        tr {
            td.time { time datetime=(time) title=(time) { (marked(&brief)) } }
            td { (marked(&text(&line["act"]))) }
            td { bdi { (marked(&text(&line["person"]))) } }
            td { (marked(&text(&line["address"]))) }
            td.wraps { bdi { (marked(&text(&line["words"]))) } }
            td.wraps { bdi { (marked(&text(&line["servers"]))) } }
            td.number { (marked(&text(&end["rows"]))) }
            td.number { (marked(&text(&end["milliseconds"]))) }
            td { (marked(&text(&end["outcome"]))) }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_done_stands_with_how_it_ended_and_nothing_is_left_out() {
        let lines = [
            json!({ "time": "2026-11-29T10:42:00Z", "id": "c", "act": "end", "rows": 3, "outcome": "complete" }),
            json!({ "time": "2026-11-29T10:41:59Z", "id": "b", "act": "question", "words": "id:1" }),
            json!({ "time": "2026-11-29T10:41:58.3Z", "id": "a", "act": "end", "rows": 812, "outcome": "partial" }),
            json!({ "time": "2026-11-29T10:41:58.123456789Z", "id": "a", "act": "question", "words": "on:@dcs <b>",
                "servers": ["dc01", "dc02"] }),
        ];
        let html = table(&lines).into_string();
        let rows: Vec<&str> = html.split("<tr>").skip(2).collect();
        // The newest ended after it began before these lines; the next goes on.
        assert_eq!(rows.len(), 3, "{html}");
        assert!(rows[0].contains("<td>end</td>") && rows[0].contains("complete"));
        assert!(rows[1].contains("id:1") && !rows[1].contains("partial"));
        assert!(rows[2].contains(">2026-11-29 10:41:58.123</time>"), "{}", rows[2]);
        assert!(rows[2].contains("on:@dcs &lt;b&gt;") && rows[2].contains("dc01, dc02"));
        assert!(rows[2].contains(">812<") && rows[2].contains("partial"));
    }
}
