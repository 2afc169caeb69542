//! `GET /`: the sources, and which of them can't be read.

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
    app.sources.survey(WAIT).await;
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
    let shown: Vec<_> = rows.iter().skip(wish.from).take(ROWS).copied().collect();
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
        nav.pages aria-label="Rows" {
            @if wish.from > 0 { a rel="prev" href=(wish.address(wish.order, wish.from.saturating_sub(ROWS))) { "\u{2039} before" } }
            span { (many(shown.len(), "source")) " of " (grouped(rows.len() as u64)) }
            @if wish.from + ROWS < rows.len() { a rel="next" href=(wish.address(wish.order, wish.from + ROWS)) { "more \u{203a}" } }
        }
    };
    response(page("Fleet", "/", &person, content))
}

/// `238 of 240 servers answer. 2 do not:`
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
            text += &format!(" {failed} can't be read:");
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

fn table(rows: &[&(SourceInfo, Health)]) -> Markup {
    let now = EventTime::from_timestamp(jiff::Timestamp::now());
    html! {
        div.wide tabindex="0" role="region" aria-label="Sources" {
            table.fleet {
                caption.hidden { "Sources" }
                thead {
                    tr {
                        th scope="col" { "source" } th scope="col" { "state" } th scope="col" { "newest" }
                        th scope="col" { "oldest" } th.number scope="col" { "records" } th scope="col" { "logs" }
                        th scope="col" { "look" }
                    }
                }
                tbody {
                    @for (source, health) in rows {
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
                            td.number { @if !health.logs.is_empty() { a href=(events(&source.name, None)) { (grouped(health.records())) } } }
                            td.number { @if !health.logs.is_empty() { (health.logs.len()) } }
                            td { a href=(events(&source.name, Some("error"))) aria-label={"errors of " (marked(&source.name))} { "errors" } }
                        }
                    }
                }
            }
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
