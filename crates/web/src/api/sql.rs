//! `POST /api/v1/sql`: one `SELECT` on the stored events, where the program keeps some.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::access::Visit;
use crate::access::audit::{Act, Outcome};
use crate::app::App;
use crate::problem::Problem;

/// The format where none is asked for.
const USUAL: &str = "ndjson";

/// Media types and the names of their formats.
const TYPES: [(&str, &str); 5] = [
    ("application/x-ndjson", "ndjson"),
    ("application/json", "ndjson"),
    ("text/csv", "csv"),
    ("application/vnd.apache.arrow.stream", "arrow"),
    ("application/vnd.apache.parquet", "parquet"),
];

#[utoipa::path(
    post, path = "/api/v1/sql", request_body(content = String, content_type = "text/plain"),
    params(
        ("format" = Option<String>, Query, description = "ndjson, csv, arrow or parquet; else by Accept"),
    ),
    responses(
        (status = 200, description = "The rows; of an answer that fails on its way the connection breaks"),
        (status = 400, description = "It is no SELECT on the view events, or took too much"),
        (status = 404, description = "The program keeps no events"),
    )
)]
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    statement: String,
) -> Result<Response, Problem> {
    let keeper = app.keeper.as_ref();
    let keeper = keeper.ok_or_else(|| Problem::not_found("no events are stored here"))?;
    let format = format(&query.unwrap_or_default(), &headers)?;
    let begun = visit.question(Act::Sql, &statement, &[]).await?;
    let answer = keeper.query(statement, format.to_owned(), visit.person().clone()).await;
    let answer = answer.map_err(|refused| {
        let (status, title) = match refused.is_statement {
            true => (StatusCode::BAD_REQUEST, "the statement can't be answered"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "the store can't be read"),
        };
        Problem::new(status, title, refused.detail)
    })?;
    let media_type = answer.media_type;
    let parts = stream::unfold((answer.parts, Some(begun)), |(mut parts, mut begun)| async move {
        match parts.recv().await {
            Some(Ok(part)) => {
                if let Some(begun) = &begun {
                    begun.sent(1);
                }
                Some((Ok(part), (parts, begun)))
            }
            Some(Err(why)) => {
                if let Some(begun) = begun.take() {
                    begun.end(Outcome::Partial);
                }
                parts.close();
                Some((Err(io::Error::other(why)), (parts, None)))
            }
            None => {
                if let Some(begun) = begun.take() {
                    begun.end(Outcome::Complete);
                }
                None
            }
        }
    });
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "private, no-store")];
    Ok((headers, Body::from_stream(parts)).into_response())
}

/// The format that is asked for.
fn format(query: &str, headers: &HeaderMap) -> Result<&'static str, Problem> {
    if let Some((name, value)) = form_urlencoded::parse(query.as_bytes()).next() {
        let known = TYPES.iter().find(|(_, format)| *format == value);
        return match (&*name, known) {
            ("format", Some((_, format))) => Ok(format),
            _ => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "wrong parameter",
                "format is ndjson, csv, arrow or parquet",
            )),
        };
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).map(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        TYPES.iter().find(|(known, _)| *known == kind).map(|(_, format)| *format)
    });
    Ok(kinds.find_map(|format| format).unwrap_or(USUAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_the_address_before_that_of_the_head() {
        let mut headers = HeaderMap::new();
        assert_eq!(format("", &headers).unwrap(), "ndjson");
        headers.insert(ACCEPT, "text/html, text/csv;q=0.9".parse().unwrap());
        assert_eq!(format("", &headers).unwrap(), "csv");
        assert_eq!(format("format=arrow", &headers).unwrap(), "arrow");
        assert!(format("format=xlsx", &headers).is_err());
        assert!(format("sql=1", &headers).is_err());
    }
}
