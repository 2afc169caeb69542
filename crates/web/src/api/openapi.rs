//! `GET /openapi.json`: the API described (OpenAPI 3.1).

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::{IntoParams, OpenApi};

use super::{counts, events, health, logs, metrics, neighbours, servers, views};
use crate::access::Person;
use crate::problem::Problem;
use crate::stream::{ask, tail};

/// The words of a question, each as often as wanted but for times; and how its answer is shown.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `View::parse` reads")]
pub(crate) struct Question {
    /// Servers, files, ranges, globs and @groups.
    on: Option<Vec<String>>,
    /// Logs (channels), as globs.
    log: Option<Vec<String>>,
    /// The first time: `8h`, `2026-11-29T10:00:00Z`.
    since: Option<String>,
    /// The last time.
    until: Option<String>,
    /// Event ids, lists and ranges of them: `4624,!4634`.
    id: Option<Vec<String>>,
    /// Levels and audits: `error`, `warning..error`, `audit-failure`.
    level: Option<Vec<String>>,
    /// Providers, as globs.
    provider: Option<Vec<String>>,
    /// Computers that events name, as globs.
    computer: Option<Vec<String>>,
    /// Users that events name, as globs.
    #[param(rename = "event-user")]
    event_user: Option<Vec<String>>,
    /// Values of data: `NAME=GLOB` or `NAME~=REGEX`.
    data: Option<Vec<String>>,
    /// Regular expressions that are anywhere in an event.
    grep: Option<Vec<String>>,
    /// A Windows event query.
    xpath: Option<String>,
    /// What events must not pass: `provider:Foo*`.
    not: Option<Vec<String>>,
    /// The words as they are typed into the box, in place of all of these.
    q: Option<String>,
    /// What is asked: `both`, `stored` or `live`.
    from: Option<String>,
    /// Which events come first: `newest` or `oldest`.
    order: Option<String>,
    /// The members of events that are wanted, with commas between.
    fields: Option<String>,
    /// The events of a page, 50 to 500.
    n: Option<u64>,
    /// The place that a page begins after, from the link of the page before.
    after: Option<String>,
    /// The place that a page ends before.
    before: Option<String>,
    /// What the bars of a histogram are made of: `level`, `on` or `provider`.
    hist: Option<String>,
    /// Fields of which values are counted besides the usual ones, with commas between.
    facets: Option<String>,
    /// The time zone of times without one, and that a page shows times in.
    tz: Option<String>,
    /// `json`, `ndjson`, `csv` or `xml`; else what the header `Accept` says.
    format: Option<String>,
}

/// An event by its identity.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Wish::parse` reads")]
pub(crate) struct Identity {
    /// The name of its source.
    on: String,
    /// The log where it was read.
    log: String,
    /// The number of its record there.
    record: Option<u64>,
    /// When it was created, with all its digits.
    time: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quarry",
        description = "Events of Windows servers and log files. An event is the object that \
            docs/output.md describes. Errors are problems as RFC 9457 has them, with the place in \
            the words where there is one."
    ),
    paths(
        events::get,
        events::one,
        neighbours::get,
        counts::count,
        counts::histogram,
        counts::facets,
        servers::get,
        logs::get,
        views::get,
        ask::get,
        tail::get,
        health::get,
        metrics::get,
    )
)]
struct Description;

pub(crate) async fn get(_: Person) -> Result<Response, Problem> {
    let described = Description::openapi().to_json().map_err(|error| {
        let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "no description", error.to_string())
    })?;
    Ok(([(CONTENT_TYPE, "application/json")], described).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_api_is_described_and_none_that_there_is_not() {
        let described = Description::openapi();
        let mut paths: Vec<&str> = described.paths.paths.keys().map(|path| &**path).collect();
        paths.sort_unstable();
        let mut routes: Vec<&str> = crate::app::API.to_vec();
        routes.sort_unstable();
        assert_eq!(paths, routes);
        assert!(described.to_json().unwrap().starts_with("{\"openapi\":\"3.1"));
    }
}
