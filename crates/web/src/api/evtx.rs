//! Events as a log file that Event Viewer opens. It is gathered before any of it is sent: its header,
//! and which servers are missing, is known only then.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use quarry_binxml::write::Packed;
use quarry_logfile::{EvtxWriteError, EvtxWriter};
use tokio::sync::mpsc;

use super::events::failed;
use super::{Format, Request};
use crate::access::Visit;
use crate::access::audit::Act;
use crate::app::App;
use crate::problem::Problem;
use crate::sources::{Part, State as Answer, Status, Wanted};

/// The most bytes of events that are gathered.
const LARGEST: usize = 1 << 30;
/// What is sent at once, in bytes.
const CHUNK: usize = 64 << 10;
/// Names of missing sources that the file's own name has.
const NAMES: usize = 5;

/// What was gathered.
struct Gathered {
    file: File,
    events: u64,
    /// Events that a log file can't hold.
    left_out: u64,
}

/// Every event that matches.
pub(super) async fn get(app: &App, visit: &Visit, request: &Request) -> Result<Response, Problem> {
    let view = &request.view;
    if !view.fields.is_empty() {
        // It says that there are none.
        Format::Evtx.printer(view, true)?;
    }
    let wanted = Wanted {
        counts: false,
        is_stream: true,
        is_packed: true,
        format: Format::Evtx.name(),
        ..Wanted::of(view)
    };
    let begun = app.begin(visit, Act::Export, view).await?;
    let search = app.sources.ask(view, visit.person(), wanted)?;
    search.stops_with(&begun);
    let parts = search.parts().ok_or_else(|| Problem::not_found("the answer has begun already"))?;
    let gathered = tokio::task::spawn_blocking(move || gather(parts)).await;
    let mut gathered = gathered.map_err(|error| unwritten(&error.to_string()))??;
    let (is_stopped, failed, name) =
        search.look(|state| (state.is_stopped, failed(state), name(state)));
    begun.sent(gathered.events);
    begun.end(search.look(Answer::outcome));
    if is_stopped {
        let what = "it was stopped, or took too long; ask for less";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is no file", what));
    }
    let length = gathered.file.metadata().and_then(|metadata| {
        gathered.file.rewind()?;
        Ok(metadata.len())
    });
    let length = length.map_err(|error| unwritten(&error.to_string()))?;
    let mut response = Body::from_stream(stream::unfold(gathered.file, read)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Format::Evtx.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(CONTENT_LENGTH, length.into());
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    if let Some(failed) = failed {
        headers.insert("quarry-failed", failed);
    }
    if gathered.left_out > 0 {
        headers.insert("quarry-left-out", gathered.left_out.into());
    }
    Ok(response)
}

fn unwritten(why: &str) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the file can't be written", why)
}

/// Writes events into a file that has no name. Blocks.
fn gather(mut parts: mpsc::Receiver<Part>) -> Result<Gathered, Problem> {
    let failed = |error: &dyn std::fmt::Display| unwritten(&error.to_string());
    let file = tempfile::tempfile().map_err(|error| failed(&error))?;
    let mut writer =
        EvtxWriter::new(BufWriter::with_capacity(1 << 18, file)).map_err(|error| failed(&error))?;
    let (mut events, mut left_out, mut bytes) = (0, 0, 0);
    while let Some(part) = parts.blocking_recv() {
        let Part::Packed(packed) = part else { continue };
        for (time, event) in packed {
            bytes += event.values.len();
            if bytes > LARGEST {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the file is too large",
                    "more than 1 GiB of events match; narrow the time or the words",
                ));
            }
            let written = match &event.template {
                Ok(template) => {
                    writer.write_packed(Packed { template, values: &event.values }, time).map(drop)
                }
                Err(error) => Err(error.clone().into()),
            };
            match written {
                Ok(()) => events += 1,
                Err(EvtxWriteError::Event(_)) => left_out += 1,
                Err(error) => return Err(failed(&error)),
            }
        }
    }
    let file = writer.finish().map_err(|error| failed(&error))?;
    let file = file.into_inner().map_err(|error| failed(error.error()))?;
    Ok(Gathered { file, events, left_out })
}

/// The next part of a file.
async fn read(mut file: File) -> Option<(io::Result<Vec<u8>>, File)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut part = vec![0; CHUNK];
        let length = file.read(&mut part);
        (length.map(|length| part.truncate(length)).map(|()| part), file)
    });
    let (part, file) = read.await.ok()?;
    match part {
        Ok(part) if part.is_empty() => None,
        part => Some((part, file)),
    }
}

/// The file's name, which says what is missing in it: whoever gets it later has no header.
fn name(state: &Answer) -> String {
    let missing: Vec<String> = state
        .sources
        .iter()
        .filter(|source| source.status != Status::Done)
        .map(|source| {
            let brief = crate::parts::text::brief_source(&source.info.name);
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
            brief.chars().take(40).map(plain).collect()
        })
        .collect();
    match missing.len() {
        0 => "events.evtx".to_owned(),
        n if n <= NAMES => format!("events-without-{}.evtx", missing.join("-")),
        n => format!("events-without-{}-and-{}-more.evtx", missing[..NAMES].join("-"), n - NAMES),
    }
}
