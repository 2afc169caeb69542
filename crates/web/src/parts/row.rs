//! A row of a list: defined once, for the page, for its `<template>` and for scripts.

use jiff::tz::TimeZone;
use maud::{Markup, html};
use quarry_event::LevelName;
use serde_json::{Value, json};

use super::text::{brief_source, clock, marked};
use crate::sources::{Row, Wanted};
use crate::view::View;

/// A row's texts, as they are shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// Where the event's own page is.
    pub(crate) address: String,
    /// What tells it from every other event.
    pub(crate) identity: String,
    pub(crate) time: String,
    /// The time with all its digits, in UTC.
    pub(crate) utc: String,
    pub(crate) level: &'static str,
    pub(crate) chip: &'static str,
    pub(crate) on: String,
    pub(crate) log: String,
    pub(crate) id: String,
    pub(crate) message: String,
    /// Whether the message is of the values alone.
    pub(crate) is_bare: bool,
    pub(crate) more: Vec<String>,
}

/// The class and the text of a level's chip.
pub(crate) fn chip(level: LevelName) -> (&'static str, &'static str) {
    match level {
        LevelName::Critical => ("critical", "CRIT"),
        LevelName::Error => ("error", "ERR"),
        LevelName::Warning => ("warning", "WARN"),
        LevelName::Information => ("information", "info"),
        LevelName::Verbose | LevelName::Other(_) => ("verbose", "verb"),
        LevelName::AuditFailure => ("audit-failure", "AUD-"),
        LevelName::AuditSuccess => ("audit-success", "AUD+"),
    }
}

impl Shown {
    /// A row in a view.
    pub(crate) fn of(row: &Row, columns: usize, zone: &TimeZone) -> Self {
        let (level, chip) = chip(row.level);
        Shown {
            address: address(row),
            identity: format!(
                "{} {} {}",
                row.place.source,
                row.place.log,
                row.place.record.unwrap_or_default()
            ),
            time: clock(row.place.time, zone),
            utc: row.place.time.to_string(),
            level,
            chip,
            on: marked(brief_source(&row.on)).into_owned(),
            log: marked(if row.channel.is_empty() { &row.place.log } else { &row.channel })
                .into_owned(),
            id: row.id.map(|id| id.to_string()).unwrap_or_default(),
            message: marked(&row.message).into_owned(),
            is_bare: !row.has_message,
            more: row.more.iter().take(columns).map(|text| marked(text).into_owned()).collect(),
        }
    }

    /// The same for a script.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "address": self.address, "identity": self.identity, "time": self.time, "utc": self.utc,
            "level": self.level, "chip": self.chip, "on": self.on, "log": self.log, "id": self.id,
            "message": self.message, "bare": self.is_bare, "more": self.more,
        })
    }
}

/// Where an event's own page is.
pub(crate) fn address(row: &Row) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("on", &row.on).append_pair("log", &row.place.log);
    if let Some(record) = row.place.record {
        query.append_pair("record", &record.to_string());
    }
    query.append_pair("time", &row.place.time.to_string());
    format!("/event?{}", query.finish())
}

/// A row.
pub(crate) fn row(shown: &Shown, is_here: bool) -> Markup {
    html! {
        tr.row data-id=(shown.identity) aria-current=[is_here.then_some("true")] {
            td.time { a href=(shown.address) title=(shown.utc) { (shown.time) } }
            td.level { span.{"chip "(shown.level)} { (shown.chip) } }
            td.on { bdi { (shown.on) } }
            td.log { bdi { (shown.log) } }
            td.id { (shown.id) }
            @for text in &shown.more { td.more { bdi { (text) } } }
            td.message.bare[shown.is_bare] { bdi { (shown.message) } }
        }
    }
}

/// A list of rows, with the template that scripts clone. `here` is the row that is marked.
pub(crate) fn table(
    view: &View,
    rows: &[&Row],
    wanted: &Wanted,
    here: Option<usize>,
    caption: &str,
) -> Markup {
    let zone = view.time_zone();
    let columns = wanted.columns.len();
    let names: Vec<String> =
        wanted.columns.iter().map(|column| column.name().into_owned()).collect();
    let empty = Shown { more: vec![String::new(); columns], ..Shown::default() };
    html! {
        div.wide tabindex="0" role="region" aria-label=(caption) {
            table.rows {
                caption.hidden { (caption) }
                thead {
                    tr {
                        th.time scope="col" { "time, " (zone_name(view)) }
                        th.level scope="col" { "level" }
                        th.on scope="col" { "server" }
                        th.log scope="col" { "log" }
                        th.id scope="col" { "id" }
                        @for name in &names { th.more scope="col" { (name) } }
                        th.message scope="col" { "message" }
                    }
                }
                tbody id=[here.is_none().then_some("rows")] {
                    @for (n, one) in rows.iter().enumerate() {
                        (row(&Shown::of(one, columns, &zone), here == Some(n)))
                    }
                }
            }
        }
        @if here.is_none() {
            template id="row" { (row(&empty, false)) }
        }
    }
}

/// What the zone of a view is called.
pub(crate) fn zone_name(view: &View) -> String {
    let zone = view.time_zone();
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => jiff::Zoned::now().with_time_zone(zone).strftime("%:z").to_string(),
    }
}
