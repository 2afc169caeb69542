//! `GET /`: the sources, and which of them can't be read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use quarry_event::EventTime;
use quarry_event::words::{Key, Word, Words};

use super::response;
use crate::access::Person;
use crate::app::App;
use crate::parts::layout::page;
use crate::parts::text::{ago, grouped, many, marked};
use crate::sources::{Health, SourceInfo, SourceKind, Trouble, literal_text};
use crate::view::View;

/// How long the page waits for answers.
const WAIT: Duration = Duration::from_secs(2);
/// Sources of a page.
const ROWS: usize = 200;
/// Sources of a group that are shown as one, at least, where all of them are well.
const FOLDED: usize = 10;
/// Names that are shown of sources with something in common.
const NAMES: usize = 12;

/// What a page of the fleet shows.
#[derive(Clone, Default, Debug)]
struct Wish {
    filter: String,
    order: Order,
    from: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Order {
    #[default]
    Trouble,
    Name,
    Newest,
    Records,
}

const ORDERS: [(Order, &str); 4] = [
    (Order::Trouble, "trouble"),
    (Order::Name, "name"),
    (Order::Newest, "newest"),
    (Order::Records, "records"),
];

impl Wish {
    /// Reads the query of an address. What isn't known is left out: it changes nothing but how the
    /// list is shown.
    fn parse(query: &str) -> Self {
        let mut wish = Wish::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "filter" => wish.filter = value.chars().take(200).collect(),
                "order" => {
                    let known = ORDERS.iter().find(|order| order.1 == value);
                    wish.order = known.map_or(Order::Trouble, |order| order.0);
                }
                "from" => wish.from = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        wish
    }

    fn address(&self, order: Order, from: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.filter.is_empty() {
            query.append_pair("filter", &self.filter);
        }
        if let Some((_, name)) =
            ORDERS.iter().find(|known| known.0 == order && order != Order::Trouble)
        {
            query.append_pair("order", name);
        }
        if from > 0 {
            query.append_pair("from", &from.to_string());
        }
        match query.finish() {
            query if query.is_empty() => "/".to_owned(),
            query => format!("/?{query}"),
        }
    }

    fn matches(&self, source: &SourceInfo) -> bool {
        let filter = self.filter.to_lowercase();
        match filter.strip_prefix('@') {
            Some(group) => source.groups.iter().any(|name| name.to_lowercase().starts_with(group)),
            None => source.name.to_lowercase().contains(&filter),
        }
    }
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    person: Person,
    RawQuery(query): RawQuery,
) -> Response {
    let wish = Wish::parse(&query.unwrap_or_default());
    app.sources.survey(&person, WAIT).await;
    let all = app.sources.health(&person);
    let mut rows: Vec<&(SourceInfo, Health)> =
        all.iter().filter(|(source, _)| wish.matches(source)).collect();
    let name = |row: &&(SourceInfo, Health)| row.0.name.to_lowercase();
    match wish.order {
        Order::Trouble => {
            rows.sort_by_key(|row| (row.1.trouble.is_none(), row.1.checked.is_some(), name(row)))
        }
        Order::Name => rows.sort_by_key(name),
        Order::Newest => rows.sort_by_key(|row| (std::cmp::Reverse(row.1.newest()), name(row))),
        Order::Records => rows.sort_by_key(|row| (std::cmp::Reverse(row.1.records()), name(row))),
    }
    // Whoever filters, or orders, wants to see each.
    let lines = match wish.filter.is_empty() && wish.order == Order::Trouble {
        true => folded(&rows),
        false => rows.iter().map(|row| Line::One(row)).collect(),
    };
    let shown: Vec<&Line<'_>> = lines.iter().skip(wish.from).take(ROWS).collect();
    let sources: usize = shown.iter().map(|line| line.sources()).sum();
    let content = html! {
        h1.hidden { "Fleet" }
        p.lead { (sentence(&all)) }
        (troubles(&all))
        form.search role="search" action="/" method="get" {
            label.hidden for="filter" { "Filter servers" }
            input #filter type="search" name="filter" value=(wish.filter) placeholder="filter servers: name, @group";
            button type="submit" { "Filter" }
        }
        nav.orders aria-label="Order" {
            "order: "
            @for (order, name) in ORDERS {
                a href=(wish.address(order, 0)) aria-current=[(order == wish.order).then_some("true")] { (name) }
            }
        }
        (table(&shown))
        @if rows.iter().any(|row| row.1.checked.is_some() && row.1.errors_of_day().is_none()) {
            p.note {
                "What was not counted before is counted when you " b { "ask" } ": the source is read for it. "
                "Events a minute are those between two looks at this page."
            }
        }
        nav.pages aria-label="Rows" {
            @if wish.from > 0 { a rel="prev" href=(wish.address(wish.order, wish.from.saturating_sub(ROWS))) { "\u{2039} before" } }
            span { (many(sources, "source")) " of " (grouped(rows.len() as u64)) }
            @if wish.from + ROWS < lines.len() { a rel="next" href=(wish.address(wish.order, wish.from + ROWS)) { "more \u{203a}" } }
        }
    };
    response(page("Fleet", "/", &person, content))
}

/// A line of the table.
#[derive(Debug)]
enum Line<'r> {
    One(&'r (SourceInfo, Health)),
    /// The members of a group that are all well.
    Group(&'r str, Vec<&'r (SourceInfo, Health)>),
}

impl Line<'_> {
    fn sources(&self) -> usize {
        match self {
            Line::One(_) => 1,
            Line::Group(_, members) => members.len(),
        }
    }
}

/// Sources one by one, but for groups of many that are all well, each at the place of its first. A
/// source of several groups is in the largest.
fn folded<'r>(rows: &[&'r (SourceInfo, Health)]) -> Vec<Line<'r>> {
    let mut groups: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for (source, health) in rows {
        for group in &source.groups {
            let (members, are_well) = groups.entry(group).or_insert((0, true));
            *members += 1;
            *are_well &= health.trouble.is_none() && health.checked.is_some();
        }
    }
    groups.retain(|_, (members, are_well)| *are_well && *members >= FOLDED);
    let mut lines: Vec<Line<'r>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for &row in rows {
        let of = row.0.groups.iter().filter_map(|group| Some((groups.get(&**group)?.0, &**group)));
        let Some((_, group)) = of.max_by_key(|(members, name)| (*members, *name)) else {
            lines.push(Line::One(row));
            continue;
        };
        match places.get(group).and_then(|&at| lines.get_mut(at)) {
            Some(Line::Group(_, members)) => members.push(row),
            _ => {
                places.insert(group, lines.len());
                lines.push(Line::Group(group, vec![row]));
            }
        }
    }
    lines
}

/// `238 of 240 servers answer. 2 can't be read.`
fn sentence(all: &[(SourceInfo, Health)]) -> String {
    let mut parts = Vec::new();
    for (kind, one, verb, verbs) in [
        (SourceKind::Server, "server", "answers", "answer"),
        (SourceKind::File, "file", "can be read", "can be read"),
        (SourceKind::Stored, "stored source", "is there", "are there"),
    ] {
        let mine: Vec<&Health> = all
            .iter()
            .filter(|(source, _)| source.kind == kind)
            .map(|(_, health)| health)
            .collect();
        if mine.is_empty() {
            continue;
        }
        let failed = mine.iter().filter(|health| health.trouble.is_some()).count();
        let asked = mine.iter().filter(|health| health.checked.is_none()).count();
        let well = mine.len() - failed - asked;
        let mut text = match (well == mine.len(), well) {
            (true, 1) => format!("1 {one} {verb}."),
            (true, _) => format!("All {} {verbs}.", many(mine.len(), one)),
            (false, _) => format!("{well} of {} {verbs}.", many(mine.len(), one)),
        };
        if asked > 0 {
            text += &format!(" {asked} still asked.");
        }
        if failed > 0 {
            text += &format!(" {failed} can't be read.");
        }
        parts.push(text);
    }
    match parts.is_empty() {
        true => {
            "There is nothing to ask: name servers, files or folders when you start this.".into()
        }
        false => parts.join(" "),
    }
}

/// What failed, alike together.
fn troubles(all: &[(SourceInfo, Health)]) -> Markup {
    let mut groups: Vec<(&Trouble, Vec<&str>, Option<jiff::Timestamp>)> = Vec::new();
    for (source, health) in all {
        let Some(trouble) = &health.trouble else { continue };
        match groups.iter_mut().find(|group| group.0.what == trouble.what) {
            Some(group) => {
                group.1.push(&source.name);
                group.2 = group.2.min(health.since);
            }
            None => groups.push((trouble, vec![&source.name], health.since)),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.1.len()));
    html! {
        @if !groups.is_empty() {
            div.troubles {
                @for (trouble, names, since) in &groups {
                    div.trouble {
                        p {
                            strong { (marked(&trouble.what)) } ": "
                            @for (n, name) in names.iter().take(NAMES).enumerate() {
                                @if n > 0 { ", " }
                                a href=(server_address(name)) { bdi { (marked(name)) } }
                            }
                            @if names.len() > NAMES { " and " (names.len() - NAMES) " more" }
                            @if let Some(since) = since { span.since { " since " (since.strftime("%H:%M:%S")) " UTC" } }
                        }
                        @if let Some(remedy) = &trouble.remedy { p.remedy { (marked(remedy)) } }
                    }
                }
            }
        }
    }
}

fn table(rows: &[&Line<'_>]) -> Markup {
    let now = EventTime::from_timestamp(jiff::Timestamp::now());
    html! {
        div.wide tabindex="0" role="region" aria-label="Sources" {
            table.fleet {
                caption.hidden { "Sources" }
                thead {
                    tr {
                        th scope="col" { "source" } th scope="col" { "state" } th scope="col" { "newest" }
                        th scope="col" { "oldest" } th.number scope="col" { "last hour" }
                        th.number scope="col" { "errors 24 h" } th.number scope="col" { "records" }
                        th.number scope="col" { "logs" }
                        th scope="col" { "look" }
                    }
                }
                tbody {
                    @for line in rows {
                        @match line {
                            Line::One(row) => (one(row, now)),
                            Line::Group(name, members) => (group(name, members, now)),
                        }
                    }
                }
            }
        }
    }
}

/// `12`, or how fast it grows. Where that isn't known, since only a question to the servers would tell,
/// a link asks it.
fn activity(name: &str, healths: &[&Health]) -> Markup {
    let sum = |of: fn(&Health) -> Option<u64>| {
        healths.iter().filter_map(|health| of(health)).reduce(|a, b| a + b)
    };
    // Of one that can't be read nothing is to be had by asking.
    let can_be_asked = healths.iter().any(|health| health.trouble.is_none());
    let a_minute = healths.iter().filter_map(|health| health.a_minute()).reduce(|a, b| a + b);
    let of = |since: &str, level: Option<&str>| {
        let mut words = Words::new();
        // Three words always have room.
        let _ = words.push(Word::new(Key::On, name));
        let _ = words.push(Word::new(Key::Since, since));
        if let Some(level) = level {
            let _ = words.push(Word::new(Key::Level, level));
        }
        View::of(words).address("/events")
    };
    html! {
        td.number {
            @match (sum(Health::last_hour), a_minute) {
                (Some(events), _) => a href=(of("1h", None)) { (grouped(events)) },
                (None, Some(rate)) => a href=(of("1h", None)) { (format!("{rate:.1} / min")) },
                (None, None) if !can_be_asked => {}
                (None, None) => a.ask href=(of("1h", None)) aria-label={"ask " (name) " for the last hour"} { "ask" },
            }
        }
        td.number {
            @match sum(Health::errors_of_day) {
                Some(errors) => a href=(of("24h", Some("error"))) { (grouped(errors)) },
                None if !can_be_asked => {}
                None => a.ask href=(of("24h", Some("error"))) aria-label={"ask " (name) " for errors of 24 hours"} { "ask" },
            }
        }
    }
}

/// A group of sources that are all well.
fn group(name: &str, members: &[&(SourceInfo, Health)], now: EventTime) -> Markup {
    let healths: Vec<&Health> = members.iter().map(|member| &member.1).collect();
    let newest = healths.iter().filter_map(|health| health.newest()).max();
    let oldest = healths.iter().filter_map(|health| health.oldest()).min();
    let records: u64 = healths.iter().map(|health| health.records()).sum();
    let logs: usize = healths.iter().map(|health| health.logs.len()).sum();
    let at = format!("@{name}");
    let all = Wish { filter: at.clone(), ..Wish::default() }.address(Order::Trouble, 0);
    let events = |level: Option<&str>| {
        let mut words = Words::new();
        let _ = words.push(Word::new(Key::On, &*at));
        if let Some(level) = level {
            let _ = words.push(Word::new(Key::Level, level));
        }
        View::of(words).address("/events")
    };
    html! {
        tr {
            th scope="row" { a href=(all) { bdi { (marked(&at)) } " (" (grouped(members.len() as u64)) ")" } }
            td { span.state.ok { "\u{2713} all ok" } }
            td { @if let Some(time) = newest { time datetime=(time) title=(time) { (ago(time, now)) " ago" } } }
            td { @if let Some(time) = oldest { time datetime=(time) title=(time) { (ago(time, now)) " ago" } } }
            (activity(&at, &healths))
            td.number { a href=(events(None)) { (grouped(records)) } }
            td.number { (grouped(logs as u64)) }
            td { a href=(events(Some("error"))) aria-label={"errors of " (marked(&at))} { "errors" } }
        }
    }
}

/// A source.
fn one((source, health): &(SourceInfo, Health), now: EventTime) -> Markup {
    html! {
                        tr {
                            th scope="row" { a href=(server_address(&source.name)) { bdi { (marked(&source.name)) } } }
                            td {
                                @match (&health.trouble, health.checked) {
                                    (Some(trouble), _) => span.state.failed { "\u{d7} " (marked(&trouble.what)) },
                                    (None, None) => span.state { "\u{2026} asked" },
                                    (None, Some(_)) => span.state.ok { "\u{2713} ok" },
                                }
                            }
                            td { @if let Some(time) = health.newest() { time datetime=(time) title=(time) { (ago(time, now)) " ago" } } }
                            td { @if let Some(time) = health.oldest() { time datetime=(time) title=(time) { (ago(time, now)) " ago" } } }
                            (activity(&literal_text(&source.name), &[health]))
                            td.number { @if !health.logs.is_empty() { a href=(events(&source.name, None)) { (grouped(health.records())) } } }
                            td.number { @if !health.logs.is_empty() { (health.logs.len()) } }
                            td { a href=(events(&source.name, Some("error"))) aria-label={"errors of " (marked(&source.name))} { "errors" } }
                        }
    }
}

/// Where a source's own page is.
pub(crate) fn server_address(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/server/{}", name.replace('+', "%20"))
}

/// The events of a source.
pub(crate) fn events(name: &str, level: Option<&str>) -> String {
    let mut words = Words::new();
    // Two words always have room.
    let _ = words.push(Word::new(Key::On, literal_text(name)));
    if let Some(level) = level {
        let _ = words.push(Word::new(Key::Level, level));
    }
    View::of(words).address("/events")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn source(name: &str, groups: &[&str], is_well: bool) -> (SourceInfo, Health) {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        let trouble = (!is_well).then(|| Trouble::new(name, "no answer", None));
        let health = Health { checked: Some(Instant::now()), trouble, ..Health::default() };
        (SourceInfo::new(name, SourceKind::Server).in_groups(groups), health)
    }

    #[test]
    fn a_group_of_many_that_are_all_well_is_one_line_and_no_source_is_lost() {
        let mut all = vec![source("dc01", &["dcs"], true), source("lone", &[], true)];
        all.extend((0..40).map(|n| source(&format!("web{n:02}"), &["web", "eu"], true)));
        all.extend((0..12).map(|n| source(&format!("sql{n:02}"), &["sql"], n != 7)));
        let rows: Vec<_> = all.iter().collect();
        let lines = folded(&rows);
        assert_eq!(lines.iter().map(Line::sources).sum::<usize>(), all.len());
        let folded: Vec<_> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Group(name, members) => Some((*name, members.len())),
                Line::One(_) => None,
            })
            .collect();
        assert_eq!(folded.len(), 1);
        assert_eq!(folded[0].1, 40);
        // One that fails is seen, and its group with it.
        assert_eq!(lines.len(), 2 + 1 + 12);
    }
}
