//! Events as they come: the answers of servers (`ask`), and what happens from now on (`tail`).
//!
//! Both are streams of server-sent events for pages, and of lines for programs (`format=ndjson`). A
//! stream that was whole ends with `end`; one that breaks has none.

pub(crate) mod ask;
pub(crate) mod going;
pub(crate) mod hub;
pub(crate) mod tail;

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::sync::mpsc;

/// How a stream is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    /// Server-sent events, for pages.
    Events,
    /// A JSON object a line, for programs.
    Lines,
}

/// The writing end of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    wire: Wire,
    sender: mpsc::Sender<String>,
}

impl Stream {
    /// Sends something by its name; with a number, from which the stream can go on later. Whether
    /// the reader is still there.
    pub(crate) async fn send(&self, name: &str, number: Option<u64>, value: &Value) -> bool {
        let text = match self.wire {
            Wire::Events => {
                let id = number.map_or_else(String::new, |number| format!("id: {number}\n"));
                format!("{id}event: {name}\ndata: {value}\n\n")
            }
            Wire::Lines => format!("{}\n", serde_json::json!({ name: value })),
        };
        self.sender.send(text).await.is_ok()
    }

    /// Sends lines that are printed already, to a program.
    pub(crate) async fn send_printed(&self, lines: &[u8]) -> bool {
        self.sender.send(String::from_utf8_lossy(lines).into_owned()).await.is_ok()
    }

    /// Keeps the connection open through proxies, and finds out that the reader has gone.
    pub(crate) async fn keep_alive(&self) -> bool {
        match self.wire {
            Wire::Events => self.sender.send(": \n\n".to_owned()).await.is_ok(),
            Wire::Lines => !self.sender.is_closed(),
        }
    }

    /// Waits until the reader has gone.
    pub(crate) async fn gone(&self) {
        self.sender.closed().await;
    }

    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }
}

/// A query without one of its names, and that one's value: what a page says in its address besides the
/// words.
fn without(query: &str, name: &str) -> (String, Option<u64>) {
    let mut found = None;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (known, value) in form_urlencoded::parse(query.as_bytes()) {
        match known == name {
            true => found = value.parse().ok(),
            false => drop(rest.append_pair(&known, &value)),
        }
    }
    (rest.finish(), found)
}

/// A stream that a task writes. What has to be dropped when its reader goes is dropped then.
pub(crate) fn response<F>(wire: Wire, write: impl FnOnce(Stream) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(write(Stream { wire, sender }));
    let parts = stream::unfold(receiver, |mut receiver| async {
        let part = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(part), receiver))
    });
    let kind = match wire {
        Wire::Events => "text/event-stream",
        Wire::Lines => "application/x-ndjson",
    };
    let headers: [(HeaderName, &str); 2] = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")];
    // It may be polled after its end.
    (headers, Body::from_stream(parts.fuse())).into_response()
}
