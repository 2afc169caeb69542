//! `GET /openapi.json`: the API described (OpenAPI 3.1).

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::{Content, ResponseBuilder};

use super::{counts, events, health, logs, metrics, neighbours, servers, sql, views};
use crate::access::Person;
use crate::problem::Problem;
use crate::stream::{ask, tail};

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
        sql::post,
    )
)]
struct Description;

/// The description. Whatever is asked may be answered by a problem, whose status says of which kind.
fn describe() -> utoipa::openapi::OpenApi {
    let mut described = Description::openapi();
    for item in described.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            let problem = ResponseBuilder::new()
                .description("A problem (RFC 9457)")
                .content("application/problem+json", Content::default())
                .build();
            operation.responses.responses.insert("default".to_owned(), problem.into());
        }
    }
    described
}

pub(crate) async fn get(_: Person) -> Result<Response, Problem> {
    let described = describe().to_json().map_err(|error| {
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
        let described = describe();
        let mut paths: Vec<&str> = described.paths.paths.keys().map(|path| &**path).collect();
        paths.sort_unstable();
        let mut routes: Vec<&str> = crate::app::API.to_vec();
        routes.sort_unstable();
        assert_eq!(paths, routes);
        assert!(described.to_json().unwrap().starts_with("{\"openapi\":\"3.1"));
    }
}
