//! The pages, as HTML that works without scripts.

pub(crate) mod help;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::Markup;

/// A page that its reader's browser alone may keep, and asks again about.
pub(crate) fn response(markup: Markup) -> Response {
    let headers =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "private, no-cache")];
    (headers, markup.into_string()).into_response()
}
