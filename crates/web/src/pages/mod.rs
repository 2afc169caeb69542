//! The pages, as HTML that works without scripts.

pub(crate) mod audit;
pub(crate) mod event;
pub(crate) mod events;
pub(crate) mod fleet;
pub(crate) mod help;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod views;

use std::convert::Infallible;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use maud::{Markup, html};
use tokio::sync::mpsc;

use crate::access::Person;
use crate::parts::layout::page;
use crate::parts::text::marked;
use crate::problem::Problem;

const HTML: [(axum::http::HeaderName, &str); 2] =
    [(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "private, no-cache")];

/// A page that its reader's browser alone may keep, and asks again about.
pub(crate) fn response(markup: Markup) -> Response {
    (HTML, markup.into_string()).into_response()
}

/// A page that says what is wrong.
pub(crate) fn wrong(person: &Person, problem: &Problem) -> Response {
    let content = html! {
        h1 { (problem.title) }
        div.problem role="alert" { p { (marked(&problem.detail)) } }
    };
    let status = problem.status;
    (status, HTML, page(problem.title, "", person, content).into_string()).into_response()
}

/// The other end of a page that is sent in parts, each as soon as it is there.
#[derive(Debug)]
pub(crate) struct Parts(mpsc::Sender<String>);

impl Parts {
    /// Sends a part. Whether the reader is still there.
    pub(crate) async fn send(&self, part: impl Into<String>) -> bool {
        self.0.send(part.into()).await.is_ok()
    }

    /// Waits until the reader has gone.
    pub(crate) async fn gone(&self) {
        self.0.closed().await;
    }
}

/// A page in parts.
pub(crate) fn in_parts<F>(status: StatusCode, write: impl FnOnce(Parts) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(write(Parts(sender)));
    let parts = stream::unfold(receiver, |mut receiver| async {
        let part = receiver.recv().await?;
        Some((Ok::<_, Infallible>(part), receiver))
    });
    // It may be polled after its end.
    (status, HTML, Body::from_stream(parts.fuse())).into_response()
}
