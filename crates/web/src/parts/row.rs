//! A row of a list: defined once, for the page, for its `<template>` and for scripts.

use jiff::tz::TimeZone;
use maud::{Markup, html};
use quarry_event::words::{Key, Word};
use quarry_event::{LevelName, RuleName};
use serde_json::{Value, json};

use super::text::{brief_source, clock, marked};
use crate::sources::{Row, Wanted, literal_text, rule_title, rule_value};
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
    /// The detection rules that it matches.
    pub(crate) rules: Vec<Chip>,
    /// How many others it matches.
    pub(crate) other_rules: usize,
}

/// The most detection rules that a row shows.
const RULES: usize = 3;

/// A detection rule that an event matches, as a link to the others that do.
#[derive(Clone, Debug)]
pub(crate) struct Chip {
    pub(crate) address: String,
    /// One of [`RuleName::LEVELS`], or nothing.
    pub(crate) level: &'static str,
    pub(crate) title: String,
}

impl Chip {
    pub(crate) fn of(rule: &RuleName, view: &View) -> Self {
        let word = Word::new(Key::Rule, literal_text(rule_value(rule)));
        Chip {
            address: view.and(word).address("/events"),
            level: rule.rank().and_then(|rank| RuleName::LEVELS.get(rank)).copied().unwrap_or(""),
            title: marked(rule_title(rule)).into_owned(),
        }
    }

    fn to_json(&self) -> Value {
        json!({ "address": self.address, "level": self.level, "title": self.title })
    }
}

/// A detection rule's chip.
pub(crate) fn rule_chip(chip: &Chip) -> Markup {
    let level = if chip.level.is_empty() { "a rule" } else { chip.level };
    html! {
        a.{"rule " (chip.level)} href=(chip.address) title={(level) ": only events that match it"} {
            bdi { (chip.title) }
        }
    }
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
    pub(crate) fn of(row: &Row, columns: usize, view: &View, zone: &TimeZone) -> Self {
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
            rules: row.rules.iter().take(RULES).map(|rule| Chip::of(rule, view)).collect(),
            other_rules: row.rules.len().saturating_sub(RULES),
        }
    }

    /// The same for a script.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "address": self.address, "identity": self.identity, "time": self.time, "utc": self.utc,
            "level": self.level, "chip": self.chip, "on": self.on, "log": self.log, "id": self.id,
            "message": self.message, "bare": self.is_bare, "more": self.more,
            "rules": self.rules.iter().map(Chip::to_json).collect::<Value>(),
            "other_rules": self.other_rules,
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
            td.message.bare[shown.is_bare] {
                @if !shown.rules.is_empty() {
                    span.rules {
                        @for chip in &shown.rules { (rule_chip(chip)) " " }
                        @if shown.other_rules > 0 { span.count { "+" (shown.other_rules) } " " }
                    }
                }
                bdi { (shown.message) }
            }
        }
    }
}

/// What a list is on its page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum List {
    /// What the page is about, with the template of a row that scripts clone.
    Main,
    /// Another one, of which a row may be marked.
    Aside(Option<usize>),
}

/// A list of rows.
pub(crate) fn table(
    view: &View,
    rows: &[&Row],
    wanted: &Wanted,
    list: List,
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
                tbody id=[(list == List::Main).then_some("rows")] {
                    @for (n, one) in rows.iter().enumerate() {
                        (row(&Shown::of(one, columns, view, &zone), list == List::Aside(Some(n))))
                    }
                }
            }
        }
        @if list == List::Main {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quarry_event::words::Words;

    use super::*;
    use crate::sources::row_of_a_test;

    #[test]
    fn a_row_has_a_chip_for_each_rule_with_a_link_to_its_events() {
        let rule = |id: &str, title: &str, level: &str| {
            let (id, title, level) = (id.to_owned(), title.to_owned(), level.to_owned());
            Arc::new(RuleName { id, title, level, tags: Vec::new() })
        };
        let mut one = row_of_a_test(7, LevelName::Information);
        let view = View::of(Words::parse("on:dc01").expect("words"));
        let shown = |one: &Row| Shown::of(one, 0, &view, &TimeZone::UTC);
        let plain = row(&shown(&one), false).into_string();
        assert!(!plain.contains("rule"), "{plain}");
        one.rules = vec![
            rule("5e9a-1", "<b>bold</b> \u{202e}x", "critical"),
            rule("", "Copies [1]*", "low"),
            rule("5e9a-3", "", "onclick"),
            rule("5e9a-4", "fourth", "high"),
            rule("5e9a-5", "fifth", "high"),
        ];
        let shown = shown(&one);
        let html = row(&shown, false).into_string();
        for text in [
            r#"<a class="rule critical" href="/events?on=dc01&amp;rule=5e9a-1""#,
            "&lt;b&gt;bold&lt;/b&gt;",
            r#"href="/events?on=dc01&amp;rule=Copies+%5B%5B%5D1%5B%5D%5D%5B*%5D""#,
            r#"<a class="rule " href="/events?on=dc01&amp;rule=5e9a-3" title="a rule: "#,
            "+2",
        ] {
            assert!(html.contains(text), "{text}\n{html}");
        }
        assert!(!html.contains("<b>") && !html.contains('\u{202e}') && !html.contains("fourth"));
        let json = shown.to_json();
        assert_eq!(json["rules"][0]["address"], "/events?on=dc01&rule=5e9a-1");
        assert_eq!(json["rules"][0]["level"], "critical");
        assert_eq!((&json["rules"][3], &json["other_rules"]), (&Value::Null, &json!(2)));
    }
}
