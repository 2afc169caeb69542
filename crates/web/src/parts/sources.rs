//! How it stands with each source: a line, and what failed with what to do.

use maud::{Markup, html};

use super::text::{grouped, many, marked};
use crate::sources::{Exactness, SourceKind, State, Status};

/// Names that are shown of sources with something in common.
const NAMES: usize = 12;

/// `231 of 240 answered, 7 still asked, 2 failed`.
pub(crate) fn line(state: &State) -> String {
    let is_server = |kind| kind == SourceKind::Server;
    let mut parts = Vec::new();
    for (servers, one, done) in [(true, "server", "answered"), (false, "file", "read")] {
        let mine = || state.sources.iter().filter(move |s| is_server(s.info.kind) == servers);
        let all = mine().count();
        if all == 0 {
            continue;
        }
        let of = |status| mine().filter(|source| source.status == status).count();
        let awaited = mine().filter(|s| matches!(s.status, Status::Asked | Status::Open)).count();
        let stored = mine().all(|source| source.info.kind == SourceKind::Stored);
        let one = if stored { "stored source" } else { one };
        let mut text = match of(Status::Done) {
            read if read == all => format!("{} {done}", many(all, one)),
            read => format!("{read} of {} {done}", many(all, one)),
        };
        if awaited > 0 {
            text += &match state.is_stopped {
                true => format!(", {awaited} not asked to the end"),
                false => format!(", {awaited} still asked"),
            };
        }
        if of(Status::Failed) > 0 {
            text += &format!(", {} failed", of(Status::Failed));
        }
        parts.push(text);
    }
    parts.join("; ")
}

/// How many events, and of what that is the number.
pub(crate) fn counted(state: &State) -> String {
    let events = grouped(state.counts.events);
    let unit = if state.counts.events == 1 { "event" } else { "events" };
    let has_stored = state.sources.iter().any(|s| s.info.kind == SourceKind::Stored);
    if has_stored && state.sources.iter().any(|s| s.info.kind == SourceKind::Server) {
        let stored = state.counts.events - state.besides.min(state.counts.events);
        let is_partly = if state.is_complete() { "" } else { " by now" };
        return format!("{} stored + {} live{is_partly}", grouped(stored), grouped(state.besides));
    }
    match state.exactness() {
        Exactness::Exact => format!("{events} {unit}, exact"),
        Exactness::Fetched => {
            format!("{events} {unit} fetched: the newest of each server; there may be more")
        }
        Exactness::AtLeast => format!("at least {events} {unit}"),
    }
}

/// What failed, alike together, with what to do.
pub(crate) fn troubles(state: &State) -> Markup {
    let alike = state.alike();
    if alike.is_empty() {
        return html! {};
    }
    html! {
        div.troubles role="status" {
            @for (what, remedy, names) in &alike {
                div.trouble {
                    p {
                        strong { (marked(what)) }
                        ": "
                        @for (n, name) in names.iter().take(NAMES).enumerate() {
                            @if n > 0 { ", " }
                            bdi { (marked(name)) }
                        }
                        @if names.len() > NAMES { " and " (names.len() - NAMES) " more" }
                    }
                    @if let Some(remedy) = remedy { p.remedy { (marked(remedy)) } }
                }
            }
        }
    }
}
