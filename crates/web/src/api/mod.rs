//! What programs ask for: the page's own reads, with the same words.

pub(crate) mod counts;
pub(crate) mod events;
mod evtx;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod neighbours;
pub(crate) mod openapi;
pub(crate) mod params;
pub(crate) mod servers;
pub(crate) mod sql;
pub(crate) mod views;

use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use quarry_event::output::{CsvCells, CsvOptions, Printer};
use serde_json::{Value, json};

use crate::access::audit::Outcome;
use crate::problem::Problem;
use crate::sources::{Exactness, State, Status};
use crate::view::View;

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Format {
    /// One object, with the events in it.
    #[default]
    Json,
    /// An event a line, and a last line that says how it went.
    Ndjson,
    /// As in RFC 4180, with every value as it is.
    Csv,
    /// As Windows writes events, in one document.
    Xml,
    /// A log file, of every event that matches.
    Evtx,
}

const FORMATS: [(Format, &str, &str); 5] = [
    (Format::Json, "json", "application/json"),
    (Format::Ndjson, "ndjson", "application/x-ndjson"),
    (Format::Csv, "csv", "text/csv; charset=utf-8"),
    (Format::Xml, "xml", "application/xml"),
    (Format::Evtx, "evtx", "application/octet-stream"),
];

impl Format {
    pub(crate) fn name(self) -> &'static str {
        FORMATS[self as usize].1
    }

    pub(crate) fn media_type(self) -> &'static str {
        FORMATS[self as usize].2
    }

    /// What prints an event in it. Programs get values as they are; a file that is to be opened by a
    /// spreadsheet has nothing in it that such a program would run.
    pub(crate) fn printer(self, view: &View, is_file: bool) -> Result<Printer, Problem> {
        let columns = (!view.fields.is_empty()).then(|| view.fields.clone());
        Ok(match self {
            Format::Json | Format::Ndjson => Printer::jsonl(columns),
            Format::Csv => Printer::csv(CsvOptions {
                columns,
                rules: false,
                recovered: false,
                cells: if is_file { CsvCells::Spreadsheet } else { CsvCells::Exact },
                terminal: false,
            }),
            Format::Evtx => {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "evtx is a file of events",
                    "ask for it at /api/v1/events, without fields, or choose json, ndjson, csv or xml",
                ));
            }
            Format::Xml if columns.is_some() => {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "xml has no columns",
                    "leave out fields, or choose json, ndjson or csv",
                ));
            }
            Format::Xml => Printer::xml(),
        })
    }
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) view: View,
    pub(crate) format: Format,
    /// Every event that matches, rather than a page of them.
    pub(crate) is_all: bool,
}

impl Request {
    pub(crate) fn parse(query: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let wrong = |what: String| Problem::new(StatusCode::BAD_REQUEST, "wrong parameter", what);
        let (mut format, mut is_all) = (None, false);
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "format" => {
                    let known = FORMATS.iter().find(|format| format.1 == value);
                    let known = known.ok_or_else(|| {
                        wrong("format is json, ndjson, csv, xml or evtx".to_owned())
                    })?;
                    format = Some(known.0);
                }
                "rows" if value == "all" => is_all = true,
                "rows" => return Err(wrong("rows is all; n is the size of a page".to_owned())),
                name => drop(rest.append_pair(name, &value)),
            }
        }
        let view = View::parse(&rest.finish()).map_err(|error| Problem::of_view(&error))?;
        let format = format.unwrap_or_else(|| accepted(headers));
        Ok(Request { view, format, is_all })
    }
}

/// The first format that is accepted.
fn accepted(headers: &HeaderMap) -> Format {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types = accepted.flat_map(|value| value.split(','));
    let of = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        FORMATS.iter().find(|format| format.2.split(';').next() == Some(kind)).map(|f| f.0)
    };
    types.filter_map(of).next().unwrap_or_default()
}

/// An answer that nobody keeps.
pub(crate) fn json(body: &Value) -> Response {
    let headers: [(HeaderName, &str); 2] =
        [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "private, no-store")];
    (headers, body.to_string()).into_response()
}

/// How it went: each source that failed, and how exact what is counted is.
pub(crate) fn outcome(state: &State) -> Value {
    let exactness = match state.exactness() {
        Exactness::Exact => "exact",
        Exactness::Fetched => "fetched",
        Exactness::AtLeast => "at-least",
    };
    let failed: Vec<Value> = state
        .troubles
        .iter()
        .map(|trouble| {
            json!({ "source": trouble.source, "what": trouble.what, "remedy": trouble.remedy })
        })
        .collect();
    json!({
        // Not that it has ended, which the last line of a stream says: that nothing is missing.
        "complete": state.outcome() == Outcome::Complete,
        "exactness": exactness,
        "records": state.records,
        "sources": {
            "all": state.sources.len(),
            "done": state.with(Status::Done).count(),
            "awaited": state.awaited().count(),
            "failed": state.with(Status::Failed).count(),
        },
        "failed": failed,
    })
}
