//! Errors as they are answered (RFC 9457).

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use quarry_event::filter::FilterError;
use serde_json::{Map, Value};

use crate::view::ViewError;

/// Why a request isn't answered with what it asked for.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
    /// Members besides.
    more: Map<String, Value>,
}

impl Problem {
    /// A problem with a status, what kind it is, and what is wrong.
    pub fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, title, detail: detail.into(), more: Map::new() }
    }

    /// Nobody is signed in.
    pub fn not_signed_in() -> Self {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "not signed in",
            "open the address that was printed where the program runs, or send a token that the page's \
             Status made: Authorization: Bearer TOKEN",
        )
    }

    /// There is nothing of that name.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, "not found", detail)
    }

    /// A word that can't be understood, at its place.
    pub fn of_words(error: &FilterError) -> Self {
        let place = &error.place;
        Problem::new(StatusCode::BAD_REQUEST, "a word can't be understood", error.to_string())
            .with("text", place.text())
            .with("offset", place.byte())
    }

    /// What an address or the box says can't be asked.
    pub(crate) fn of_view(error: &ViewError) -> Self {
        let problem =
            Problem::new(StatusCode::BAD_REQUEST, "a word can't be understood", error.to_string());
        match error.filter_error() {
            Some(error) => {
                problem.with("text", error.place.text()).with("offset", error.place.byte())
            }
            None => problem,
        }
    }

    /// The same, with a member besides.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut members = Map::new();
        members.insert("title".into(), self.title.into());
        members.insert("status".into(), self.status.as_u16().into());
        members.insert("detail".into(), self.detail.into());
        members.extend(self.more);
        let body = Value::Object(members).to_string();
        (self.status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
