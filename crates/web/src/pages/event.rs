//! `GET /event`: one event, and what else happened around it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::header::{HOST, HeaderMap, REFERER};
use axum::response::Response;
use maud::{Markup, html};
use quarry_event::words::{Key, Word, Words};
use quarry_event::{EventTime, RecordId};

use super::{response, wrong};
use crate::access::audit::{Act, Outcome};
use crate::access::{Person, Question as Begun, Visit};
use crate::app::App;
use crate::parts::layout::page;
use crate::parts::row::{Chip, List, chip, rule_chip, table};
use crate::parts::sources;
use crate::parts::text::{ago, clock, marked};
use crate::problem::Problem;
use crate::sources::{Detail, Question, Row, SourceKind, Wanted, literal_text};
use crate::view::{At, From, Place, View};

/// How long the event itself is waited for.
const EVENT: Duration = Duration::from_secs(10);
/// How long its neighbours are waited for.
const NEIGHBOURS: Duration = Duration::from_secs(5);
/// Neighbours on each side.
const SIDE: usize = 10;
/// Time on each side, in minutes.
const SPANS: [u64; 3] = [1, 5, 30];

/// Which event, and which neighbours.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) on: String,
    pub(crate) log: String,
    pub(crate) record: Option<u64>,
    pub(crate) time: EventTime,
    near: Near,
    minutes: u64,
}

/// What neighbours have in common with the event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Near {
    Log,
    Server,
    Logon,
    Activity,
    Process,
}

const NEAR: [(Near, &str, &str); 5] = [
    (Near::Log, "log", "in this log"),
    (Near::Server, "server", "on this server"),
    (Near::Logon, "logon", "same logon"),
    (Near::Activity, "activity", "same activity"),
    (Near::Process, "process", "same process"),
];

impl Wish {
    /// Reads the query of an address.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let wrong = |what: String| {
            Problem::new(axum::http::StatusCode::BAD_REQUEST, "no event is named so", what)
        };
        let (mut on, mut log, mut record, mut time) = (None, None, None, None);
        let (mut near, mut minutes) = (Near::Log, SPANS[1]);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "on" => on = Some(value.into_owned()),
                "log" => log = Some(value.into_owned()),
                "record" => {
                    let number = value.parse().map_err(|_| wrong("record is a number".into()))?;
                    record = Some(number);
                }
                "time" => time = EventTime::parse(&value),
                "near" => {
                    let known = NEAR.iter().find(|near| near.1 == value);
                    let known = known.ok_or_else(|| {
                        wrong("near is log, server, logon, activity or process".into())
                    })?;
                    near = known.0;
                }
                "minutes" => {
                    let known = SPANS.into_iter().find(|span| span.to_string() == value);
                    minutes = known.ok_or_else(|| wrong("minutes is 1, 5 or 30".into()))?;
                }
                // Of the API.
                "format" => {}
                other => {
                    let brief: String = other.chars().take(40).collect();
                    return Err(wrong(format!(
                        "there is no `{brief}`; an event has on, log, record and time"
                    )));
                }
            }
        }
        let missing =
            |name| wrong(format!("{name} is needed: an event has on, log, record and time"));
        Ok(Wish {
            on: on.ok_or_else(|| missing("on"))?,
            log: log.ok_or_else(|| missing("log"))?,
            record,
            time: time.ok_or_else(|| missing("time, as 2026-11-29T10:00:00.1234567Z,"))?,
            near,
            minutes,
        })
    }

    fn address(&self, near: Near, minutes: u64) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("on", &self.on).append_pair("log", &self.log);
        if let Some(record) = self.record {
            query.append_pair("record", &record.to_string());
        }
        query.append_pair("time", &self.time.to_string());
        if let Some((_, name, _)) = NEAR.iter().find(|known| known.0 == near) {
            query.append_pair("near", name);
        }
        if near != Near::Log {
            query.append_pair("minutes", &minutes.to_string());
        }
        format!("/event?{}", query.finish())
    }

    /// Writes down who opens it.
    pub(crate) async fn begin(&self, app: &App, visit: &Visit) -> Result<Begun, Problem> {
        let view = View::of(self.source());
        let chosen = app.sources.choose(&view.words, view.from)?;
        let record = self.record.map(|record| record.to_string()).unwrap_or_default();
        let words = format!("{} log:{} record {record} {}", view.words, self.log, self.time);
        visit.question(Act::Event, &words, &app.sources.names(&chosen)).await
    }

    /// The words that ask for the event's source.
    fn source(&self) -> Words {
        let mut words = Words::new();
        // One word always has room.
        let _ = words.push(Word::new(Key::On, literal_text(&self.on)));
        words
    }
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let wish = match Wish::parse(&query.unwrap_or_default()) {
        Ok(wish) => wish,
        Err(problem) => return wrong(visit.person(), &problem),
    };
    let person = visit.person();
    let question = match wish.begin(&app, &visit).await {
        Ok(question) => question,
        Err(problem) => return wrong(person, &problem),
    };
    let row = match find(&app, person, &wish, |wanted| wanted.detail = true).await {
        Ok(row) => row,
        Err(problem) => return wrong(person, &problem),
    };
    let is_gone = is_gone(&app, person, &wish).await;
    let detail = row.detail.clone().unwrap_or_default();
    let others = others(&app, person, &wish, &row, &detail).await;
    question.sent(1);
    question.end(Outcome::Complete);
    let back = back(&headers);
    let view = View::default();
    let zone = view.time_zone();
    let (class, text) = chip(row.level);
    let now = EventTime::from_timestamp(jiff::Timestamp::now());
    let content = html! {
        nav.back aria-label="Back" {
            @if let Some(back) = &back { a href=(back) { "\u{2039} back to the list" } }
            @else { a href="/events" { "\u{2039} events" } }
        }
        h1 {
            "Event " (row.id.map(|id| id.to_string()).unwrap_or_default()) " of "
            bdi { (marked(if row.channel.is_empty() { &row.place.log } else { &row.channel })) }
            " on " bdi { (marked(&row.on)) }
        }
        p.when {
            time datetime=(row.place.time) { (row.place.time) }
            " (" (ago(row.place.time, now)) " ago) "
            span.{"chip " (class)} { (text) } " "
            (row.level.as_str())
            @if let Some(record) = row.place.record { " \u{b7} record " (record) }
            span.hidden { (clock(row.place.time, &zone)) }
        }
        @if is_gone {
            p.notice {
                "Its server doesn't have this event any more: the log was cleared since, or has wrapped. "
                "This is the event as it was stored."
            }
        }
        @if detail.message.is_empty() {
            p.bare { "No message text is known for it; its values say what happened." }
        } @else {
            pre.text { bdi { (marked(&detail.message)) } }
            @if let Some(by) = detail.message_by { p.by { "text of: " (by) } }
        }
        (rules(&wish, &row))
        (values(&wish, &detail))
        (system(&detail))
        details { summary { "XML" } pre.wide tabindex="0" { (marked(&detail.xml)) } }
        details { summary { "JSON" } pre.wide tabindex="0" { (marked(&detail.json)) } }
        h2 { "What else happened" }
        (others)
    };
    let title = format!("{} on {}", row.id.map(|id| id.to_string()).unwrap_or_default(), row.on);
    response(page(&marked(&title), "/events", person, content))
}

/// Whether an event that was stored isn't in its server's log any more. Of a server that can't be
/// asked just now nobody knows.
async fn is_gone(app: &App, person: &Person, wish: &Wish) -> bool {
    let words = wish.source();
    let of = |from| app.sources.choose(&words, from).is_ok_and(|chosen| !chosen.is_empty());
    if !of(From::Stored) || !of(From::Live) {
        return false;
    }
    let found = find_from(app, person, wish, From::Live, |_| {}).await;
    found.is_err_and(|problem| problem.status == axum::http::StatusCode::NOT_FOUND)
}

/// Finds an event.
pub(crate) async fn find(
    app: &App,
    person: &Person,
    wish: &Wish,
    wanted: impl FnOnce(&mut Wanted),
) -> Result<Row, Problem> {
    find_from(app, person, wish, From::Both, wanted).await
}

async fn find_from(
    app: &App,
    person: &Person,
    wish: &Wish,
    from: From,
    wanted: impl FnOnce(&mut Wanted),
) -> Result<Row, Problem> {
    let view = View { from, ..View::of(wish.source()) };
    let chosen = app.sources.choose(&view.words, view.from)?;
    let place = Place {
        time: wish.time,
        source: String::new(),
        log: wish.log.clone(),
        record: wish.record.map(RecordId),
    };
    let mut want = Wanted { rows: 1, counts: false, ..Wanted::of(&view) };
    wanted(&mut want);
    let search = app.sources.ask_these(chosen, Question::one(place, person), want.clone())?;
    search.wait(EVENT, |state| !state.rows(&want).0.is_empty()).await;
    search.look(|state| {
        let (rows, _) = state.rows(&want);
        rows.first().map(|row| (*row).clone()).ok_or_else(|| match state.troubles.first() {
            Some(trouble) => Problem::new(
                axum::http::StatusCode::BAD_GATEWAY,
                "the source can't be read",
                format!("{}: {}", trouble.source, trouble.what),
            ),
            None => Problem::not_found(
                "there is no such event any more: its log was cleared since, or has wrapped",
            ),
        })
    })
}

/// The page that led here, if it is a list of this site's.
fn back(headers: &HeaderMap) -> Option<String> {
    let referer = headers.get(REFERER)?.to_str().ok()?;
    let host = headers.get(HOST)?.to_str().ok()?;
    let (_, rest) = referer.split_once("://")?;
    let path = rest.strip_prefix(host)?;
    (path.starts_with("/events") || path.starts_with("/server/")).then(|| path.to_owned())
}

/// A value's links: only events with it, those without it, as a column.
fn values(wish: &Wish, detail: &Detail) -> Markup {
    let source = View::of(wish.source());
    let word =
        |name: &str, value: &str| Word::new(Key::Data, format!("{name}={}", literal_text(value)));
    let column = |name: &str| View {
        fields: vec![quarry_event::output::Column::Data(name.to_owned())],
        ..source.clone()
    };
    html! {
        @if !detail.values.is_empty() {
            div.wide tabindex="0" role="region" aria-label="Values" {
                table.values {
                    caption.hidden { "Values" }
                    @for (name, value, words) in &detail.values {
                        tr {
                            th scope="row" { bdi { (marked(name)) } }
                            td { bdi { (marked(value)) } @if !words.is_empty() { span.words { " (" (marked(words)) ")" } } }
                            td.links {
                                @if !value.is_empty() && value.len() < 500 && word(name, value).check().is_ok() {
                                    a href=(source.and(word(name, value)).address("/events")) aria-label={"only " (marked(name)) " of this value"} { "only" }
                                    @if let Ok(not) = word(name, value).negated() {
                                        a href=(source.and(not).address("/events")) aria-label={"not " (marked(name)) " of this value"} { "not" }
                                    }
                                }
                                a href=(column(name).address("/events")) aria-label={(marked(name)) " as a column"} { "column" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The detection rules that the event matches, each a link to the others of its source that do.
fn rules(wish: &Wish, row: &Row) -> Markup {
    let source = View::of(wish.source());
    html! {
        @if !row.rules.is_empty() {
            section aria-label="Detection rules" {
                h2 { "Rules that it matches" }
                ul.rules {
                    @for rule in &row.rules {
                        li {
                            (rule_chip(&Chip::of(rule, &source)))
                            @if !rule.level.is_empty() { " " (marked(&rule.level)) }
                            @if !rule.id.is_empty() { " " code { (marked(&rule.id)) } }
                            @if !rule.tags.is_empty() { " " span.words { (marked(&rule.tags.join(", "))) } }
                        }
                    }
                }
            }
        }
    }
}

fn system(detail: &Detail) -> Markup {
    html! {
        details {
            summary { "System" }
            table.values {
                @for (name, value) in &detail.system {
                    tr { th scope="row" { (name) } td { bdi { (marked(value)) } } }
                }
            }
        }
    }
}

/// The question whose answer are an event's neighbours; nothing where the event has not what they
/// would have in common with it.
fn near(wish: &Wish, near: Near, row: &Row, detail: &Detail, kind: SourceKind) -> Option<View> {
    let is_file = kind == SourceKind::File;
    let mut view = View::of(wish.source());
    let xpath = |view: View, text: String| view.and(Word::new(Key::Xpath, text));
    let logs = |view: View| {
        let mut view = view;
        if !is_file {
            let mut names = vec!["System", "Application", &*wish.log];
            names.dedup();
            for log in names {
                view = view.and(Word::new(Key::Log, literal_text(log)));
            }
        }
        view
    };
    view = match near {
        Near::Log if is_file => return Some(view),
        Near::Log => return Some(view.and(Word::new(Key::Log, literal_text(&wish.log)))),
        // The files of one computer may be many.
        Near::Server if is_file => {
            View::of(Words::new()).and(Word::new(Key::Computer, literal_text(&row.computer)))
        }
        Near::Server => logs(view),
        Near::Logon => {
            let names = ["TargetLogonId", "SubjectLogonId", "LogonId"];
            let id = names
                .iter()
                .filter_map(|name| detail.value(name))
                .find(|id| *id != "0x0" && !id.is_empty() && id.bytes().all(is_plain))?;
            let tests = names.map(|name| format!("Data[@Name='{name}']='{id}'")).join(" or ");
            xpath(logs(view), format!("*[EventData[{tests}]]"))
        }
        Near::Activity => {
            let id = detail.field("activity_id").filter(|id| id.bytes().all(is_plain))?;
            xpath(logs(view), format!("*[System[Correlation[@ActivityID='{id}']]]"))
        }
        Near::Process => {
            let id =
                detail.field("process_id").filter(|id| id.bytes().all(|b| b.is_ascii_digit()))?;
            xpath(logs(view), format!("*[System[Execution[@ProcessID={id}]]]"))
        }
    };
    let side = wish.minutes * 60 * EventTime::SECOND;
    let time = row.place.time.as_filetime();
    let at = |time| EventTime::from_filetime(time).to_string();
    let view = view.and(Word::new(Key::Since, at(time.saturating_sub(side))));
    Some(view.and(Word::new(Key::Until, at(time.saturating_add(side)))))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'{' | b'}' | b'-')
}

/// What else happened, as a part of the page.
async fn others(app: &App, person: &Person, wish: &Wish, row: &Row, detail: &Detail) -> Markup {
    let kind = kind(app, wish);
    let links = html! {
        nav.near aria-label="Neighbours" {
            @for (this, _, name) in NEAR {
                @if near(wish, this, row, detail, kind).is_some() {
                    a href=(wish.address(this, wish.minutes)) aria-current=[(this == wish.near).then_some("true")] { (name) }
                }
            }
            @if wish.near != Near::Log {
                @for span in SPANS {
                    a href=(wish.address(wish.near, span)) aria-current=[(span == wish.minutes).then_some("true")] { "\u{b1} " (span) " min" }
                }
            }
        }
    };
    match around(app, person, wish, row, |_| {}).await {
        Err(problem) => html! { (links) div.problem { p { (marked(&problem.detail)) } } },
        Ok(None) => html! { (links) p { "This event has nothing of that kind." } },
        Ok(Some(Neighbours { view, newer, older, line, troubles })) => {
            let mut rows: Vec<&Row> = newer.iter().collect();
            let here = rows.len();
            rows.push(row);
            rows.extend(&older);
            let wanted = Wanted::of(&View::default());
            let edge = |row: Option<&Row>, at: fn(Place) -> At| {
                row.map(|row| view.at(at(row.place.clone())).address("/events"))
            };
            html! {
                (links)
                p { (line) ". " a href=(view.address("/events")) { "all of these" } }
                (troubles)
                @if let Some(more) = edge(newer.first(), At::Before) { nav.pages { a href=(more) { "\u{2039} newer" } } }
                (table(&View::default(), &rows, &wanted, List::Aside(Some(here)), "Neighbours"))
                @if let Some(more) = edge(older.last(), At::After) { nav.pages { a href=(more) { "older \u{203a}" } } }
            }
        }
    }
}

/// What the event's source is.
fn kind(app: &App, wish: &Wish) -> SourceKind {
    let source = View::of(wish.source());
    let chosen = app.sources.choose(&source.words, source.from).unwrap_or_default();
    app.sources.kind(&chosen)
}

/// What happened before and after an event.
pub(crate) struct Neighbours {
    /// The question that they answer.
    pub(crate) view: View,
    /// The newest first.
    pub(crate) newer: Vec<Row>,
    pub(crate) older: Vec<Row>,
    line: String,
    troubles: Markup,
}

/// Finds what happened around an event that was found with its detail; nothing where it has not what
/// the others would have in common with it.
pub(crate) async fn around(
    app: &App,
    person: &Person,
    wish: &Wish,
    row: &Row,
    wanted: impl Fn(&mut Wanted),
) -> Result<Option<Neighbours>, Problem> {
    let detail = row.detail.as_deref().cloned().unwrap_or_default();
    let Some(view) = near(wish, wish.near, row, &detail, kind(app, wish)) else { return Ok(None) };
    let ask = |at| {
        let view = view.at(at);
        let mut want = Wanted { rows: SIDE, counts: false, ..Wanted::of(&view) };
        wanted(&mut want);
        app.sources.ask(&view, person, want.clone()).map(|search| (search, want))
    };
    let (newer, newer_wanted) = ask(At::Before(row.place.clone()))?;
    let (older, older_wanted) = ask(At::After(row.place.clone()))?;
    tokio::join!(newer.wait_for_end(NEIGHBOURS), older.wait_for_end(NEIGHBOURS));
    let rows = |search: &crate::sources::Search, wanted: &Wanted| {
        search.look(|state| state.rows(wanted).0.into_iter().cloned().collect())
    };
    let (line, troubles) = older.look(|state| (sources::line(state), sources::troubles(state)));
    let (newer, older) = (rows(&newer, &newer_wanted), rows(&older, &older_wanted));
    Ok(Some(Neighbours { view, newer, older, line, troubles }))
}

#[cfg(test)]
mod tests {
    use quarry_event::{LevelName, RuleName};

    use super::*;
    use crate::sources::row_of_a_test;

    #[test]
    fn an_event_s_page_has_its_rules_with_what_is_known_of_them() {
        let wish = Wish::parse("on=dc01&log=System&time=2026-11-29T10:00:00Z").unwrap();
        let mut row = row_of_a_test(7, LevelName::Information);
        assert_eq!(rules(&wish, &row).into_string(), "");
        row.rules.push(Arc::new(RuleName {
            id: "5e9a3a5c".to_owned(),
            title: "A <logon> failed".to_owned(),
            level: "high".to_owned(),
            tags: vec!["attack.t1110".to_owned()],
        }));
        let html = rules(&wish, &row).into_string();
        for text in [
            r#"<a class="rule high" href="/events?on=dc01&amp;rule=5e9a3a5c""#,
            "A &lt;logon&gt; failed",
            "<code>5e9a3a5c</code>",
            "attack.t1110",
        ] {
            assert!(html.contains(text), "{text}\n{html}");
        }
    }
}
