//! A filter as XPath, for a server that tests before it sends (MS-EVEN6 2.2.15).
//!
//! Only what the filter implies is written, in the parts of XPath that Windows has, so that no
//! event is lost. What comes back is tested again.

use super::data::{DataTest, Wanted};
use super::numbers::Ranges;
use super::{Filter, Glob};
use crate::EventTime;
use crate::query::{Literal, Part, Query, escaped};
use crate::text::{XmlAttribute, XmlText};

/// The most channels of one query.
pub const MAX_CHANNELS: usize = 512;

/// The most bytes of a text that is sent to be compared with.
const MAX_LITERAL: usize = 256;

/// The most spellings of a text that are sent. A server compares with regard to case, so each
/// spelling of what is asked for has to be named: of `DC01` there are four, of `alice` 32.
const MAX_SPELLINGS: usize = 8;

/// What a server bears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XPathLimits {
    /// The most expressions (comparisons) in a select.
    pub expressions: usize,
    /// The most selects.
    pub selects: usize,
}

impl Default for XPathLimits {
    /// 20 expressions, which every version of Windows takes, in 8 selects.
    fn default() -> Self {
        XPathLimits { expressions: 20, selects: 8 }
    }
}

/// How much of a filter a server is asked to test, from all of it to nothing. Each of them lets
/// through at least what the one before it does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[non_exhaustive]
pub enum Strength {
    /// All that can be written as XPath.
    #[default]
    Filter,
    /// What can be written without a wildcard in a step (`EventData/*`), which some servers refuse.
    NoWildcards,
    /// Fields of `System` only.
    System,
    /// The time only.
    Time,
    /// Nothing: every event is sent.
    Everything,
}

impl Strength {
    /// All of them, the strongest first.
    pub const ALL: [Strength; 5] = [
        Strength::Filter,
        Strength::NoWildcards,
        Strength::System,
        Strength::Time,
        Strength::Everything,
    ];

    /// Whether a part of the filter is written.
    fn has(self, group: &Group) -> bool {
        match self {
            Strength::Filter => true,
            Strength::NoWildcards => {
                !group.any_of.iter().any(|(condition, _)| has_wildcard(condition))
            }
            Strength::System => group.place == Place::System,
            Strength::Time => {
                group.any_of.iter().all(|(condition, _)| condition.starts_with("TimeCreated["))
            }
            Strength::Everything => false,
        }
    }

    /// How much of a query is written; nothing of it for `Everything`.
    fn part(self) -> Option<Part> {
        match self {
            Strength::Filter => Some(Part::Whole),
            Strength::NoWildcards => Some(Part::NoWildcards),
            Strength::System => Some(Part::System),
            Strength::Time => Some(Part::Time),
            Strength::Everything => None,
        }
    }

    /// The part of a `<QueryList>` that is written; nothing for `Everything`.
    pub fn of_list(self, query: &Query) -> Option<Query> {
        self.part().map(|part| query.part(part))
    }
}

impl std::fmt::Display for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Strength::Filter => "the filter",
            Strength::NoWildcards => "the filter without wildcards",
            Strength::System => "the filter's System fields",
            Strength::Time => "the filter's time",
            Strength::Everything => "everything",
        })
    }
}

/// Whether a condition has a wildcard, other than in a literal.
fn has_wildcard(condition: &str) -> bool {
    let mut quote = None;
    condition.chars().any(|c| match (quote, c) {
        (None, '\'' | '"') => {
            quote = Some(c);
            false
        }
        (Some(open), c) if c == open => {
            quote = None;
            false
        }
        (None, '*') => true,
        _ => false,
    })
}

/// The part of a filter that a server can test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pushed {
    /// XPath expressions, at least one; an event that the filter passes is selected by one of
    /// them at least. `*` selects every event.
    pub selects: Vec<String>,
    /// Whether the filter passes every event that is selected.
    pub exact: bool,
}

/// A part of the filter: any of some conditions.
struct Group {
    place: Place,
    /// Each with how many expressions it has.
    any_of: Vec<(String, usize)>,
    /// The ids that the conditions are of, which may be widened.
    ids: Option<Ranges>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In `<System>`.
    System,
    /// In `<Event>`.
    Event,
}

impl Group {
    fn new(place: Place, any_of: Vec<(String, usize)>) -> Self {
        Group { place, any_of, ids: None }
    }

    fn cost(&self) -> usize {
        self.any_of.iter().map(|(_, cost)| cost).sum()
    }
}

pub(super) fn push_down(filter: &Filter, strength: Strength, limits: &XPathLimits) -> Pushed {
    let (mut groups, mut exact) = groups(filter);
    let all = groups.len();
    groups.retain(|group| strength.has(group));
    exact &= groups.len() == all;
    if let Some(query) = &filter.query {
        let (group, is_exact) = query_group(query, strength, limits);
        groups.extend(group);
        exact &= is_exact;
    }
    groups.sort_by_key(Group::cost);
    let mut room = limits.expressions;
    let mut whole = Vec::new();
    let mut parts = Vec::new();
    for group in groups {
        if parts.is_empty() && group.cost() <= room {
            room -= group.cost();
            whole.push(group);
            continue;
        }
        // The first that doesn't fit is cut into parts; those after it are no smaller and are
        // left to the test of what comes back.
        if parts.is_empty()
            && let Some((cut, is_exact)) = cut(&group, room, limits.selects.max(1))
        {
            parts = cut;
            exact &= is_exact;
            continue;
        }
        exact = false;
    }
    let selects = match parts.is_empty() {
        true => vec![select(&whole, None)],
        false => parts.iter().map(|part| select(&whole, Some(part))).collect(),
    };
    Pushed { selects, exact }
}

/// Writes structured queries (MS-EVEN6 2.2.16) for channels: as many as it takes with at most
/// [`MAX_CHANNELS`] selects each, of which a channel has one for each of `selects`.
pub fn query_lists<C: AsRef<str>>(channels: &[C], selects: &[String]) -> Vec<String> {
    let every = ["*".to_owned()];
    let selects = if selects.is_empty() { &every } else { selects };
    let at_once = (MAX_CHANNELS / selects.len()).max(1);
    let list =
        |channels: &[C]| query_list(channels.iter().map(|channel| (channel.as_ref(), selects)));
    channels.chunks(at_once).map(list).collect()
}

/// Writes a structured query for channels with the selects of each.
pub fn query_list<'c>(channels: impl Iterator<Item = (&'c str, &'c [String])>) -> String {
    let mut list = String::from("<QueryList>");
    for (id, (channel, selects)) in channels.enumerate() {
        let path = escaped::<XmlAttribute>(channel);
        list.push_str(&format!("<Query Id=\"{id}\" Path=\"{path}\">"));
        for select in selects {
            let select = escaped::<XmlText>(select);
            list.push_str(&format!("<Select Path=\"{path}\">{select}</Select>"));
        }
        list.push_str("</Query>");
    }
    list.push_str("</QueryList>");
    list
}

/// The largest part of the query that a server takes, of those that the strength has, and whether
/// it is all of it.
fn query_group(query: &Query, strength: Strength, limits: &XPathLimits) -> (Option<Group>, bool) {
    let Some(most) = strength.part() else { return (None, false) };
    let parts = Part::ALL.into_iter().filter(|&part| part >= most);
    let mut conditions = parts.map(|part| query.condition(part));
    let Some(condition) = conditions.find(|condition| condition.expressions <= limits.expressions)
    else {
        return (None, false);
    };
    let group = (!condition.text.is_empty())
        .then(|| Group::new(Place::Event, vec![(condition.text, condition.expressions)]));
    (group, condition.is_exact)
}

/// The parts of the filter that can be written, the query apart, and whether these are all.
fn groups(filter: &Filter) -> (Vec<Group>, bool) {
    let mut groups = Vec::new();
    let mut exact = filter.users.is_empty()
        && filter.grep.is_empty()
        && filter.not.is_empty()
        && filter.not_channels.is_empty()
        && !filter.tests_rules()
        && filter.routes.is_empty();
    if let Some((group, is_exact)) = time(filter.since, filter.until) {
        groups.push(group);
        exact &= is_exact;
    } else {
        exact &= filter.since.is_none() && filter.until.is_none();
    }
    if let Some(ids) = &filter.ids {
        groups.push(ids_group(&ids.ranges));
    }
    if let Some(levels) = &filter.levels {
        let mut any_of = levels.ranges.as_ref().map_or(Vec::new(), |r| numbers("Level", r));
        if levels.audits.0 != 0 {
            any_of.push((format!("band(Keywords,{})", levels.audits.0), 1));
        }
        groups.push(Group::new(Place::System, any_of));
    }
    let names = [("Provider/@Name", &filter.providers), ("Computer", &filter.computers)];
    for (path, globs) in names {
        let conditions = globs.iter().map(|glob| named(path, glob)).collect::<Option<Vec<_>>>();
        match conditions.map(|conditions| conditions.concat()) {
            Some(any_of) if any_of.is_empty() => {}
            Some(any_of) => groups.push(Group::new(Place::System, any_of)),
            None => exact = false,
        }
    }
    for test in &filter.data {
        groups.extend(data(test).map(|condition| Group::new(Place::Event, vec![condition])));
        exact = false;
    }
    (groups, exact)
}

/// A select of events that meet all groups.
fn select(whole: &[Group], part: Option<&Group>) -> String {
    let conditions = |place| {
        let groups = whole.iter().chain(part).filter(move |group| group.place == place);
        let conditions: Vec<_> = groups.map(|group| any_of(&group.any_of)).collect();
        conditions.join(" and ")
    };
    let (system, event) = (conditions(Place::System), conditions(Place::Event));
    match (&*system, &*event) {
        ("", "") => "*".to_owned(),
        (system, "") => format!("*[System[{system}]]"),
        ("", event) => format!("*[{event}]"),
        (system, event) => format!("*[System[{system}] and {event}]"),
    }
}

fn any_of(conditions: &[(String, usize)]) -> String {
    let texts: Vec<&str> = conditions.iter().map(|(text, _)| &**text).collect();
    match &*texts {
        [one] => (*one).to_owned(),
        _ => format!("({})", texts.join(" or ")),
    }
}

/// Parts of a group of at most so many expressions, and whether they are together what the group
/// is; nothing if it can't be cut so.
fn cut(group: &Group, room: usize, selects: usize) -> Option<(Vec<Group>, bool)> {
    if let Some(parts) = packed(group, room, selects) {
        return Some((parts, true));
    }
    let ranges = group.ids.as_ref()?.widened(room / 2 * selects);
    if *ranges.as_slice() == [(0, u64::MAX)] {
        // Below 0 are numbers that a range from 0 has and this one hasn't.
        return None;
    }
    packed(&ids_group(&ranges), room, selects).map(|parts| (parts, false))
}

fn packed(group: &Group, room: usize, selects: usize) -> Option<Vec<Group>> {
    let mut parts: Vec<Group> = Vec::new();
    for condition in &group.any_of {
        if condition.1 > room {
            return None;
        }
        match parts.last_mut() {
            Some(part) if part.cost() + condition.1 <= room => part.any_of.push(condition.clone()),
            _ => parts.push(Group::new(group.place, vec![condition.clone()])),
        }
    }
    (!parts.is_empty() && parts.len() <= selects).then_some(parts)
}

fn ids_group(ranges: &Ranges) -> Group {
    let any_of = numbers("EventID", ranges);
    Group { ids: Some(ranges.clone()), ..Group::new(Place::System, any_of) }
}

/// Conditions of which any holds for a number of the set, as [`Ranges`] defines them.
fn numbers(path: &str, ranges: &Ranges) -> Vec<(String, usize)> {
    let condition = |&(low, high): &(u64, u64)| match (low, high) {
        _ if low == high => (format!("{path}={low}"), 1),
        (_, u64::MAX) => (format!("{path}>={low}"), 1),
        (0, _) => (format!("{path}<={high}"), 1),
        _ => (format!("({path}>={low} and {path}<={high})"), 2),
    };
    ranges.as_slice().iter().map(condition).collect()
}

/// The bounds of the time, and whether they are the filter's own: a server reads milliseconds, so
/// the first is rounded down and the last up.
fn time(since: Option<EventTime>, until: Option<EventTime>) -> Option<(Group, bool)> {
    const MS: u64 = EventTime::MILLISECOND;
    let down = since.map(|time| time.as_filetime() / MS * MS);
    let up = until.map(|time| time.as_filetime().div_ceil(MS).saturating_mul(MS));
    let mut is_exact = down == since.map(EventTime::as_filetime);
    is_exact &= up == until.map(EventTime::as_filetime);
    let mut bounds = Vec::new();
    for (op, units) in [(">=", down), ("<=", up)] {
        let Some(units) = units else { continue };
        let text = EventTime::from_filetime(units).to_string();
        // A year has four digits on a server.
        match text.len() == "2026-11-22T06:00:00.0000000Z".len() {
            true => bounds.push(format!("@SystemTime{op}'{}Z'", &text[..text.len() - 5])),
            false => is_exact = false,
        }
    }
    if bounds.is_empty() {
        return None;
    }
    let condition = format!("TimeCreated[{}]", bounds.join(" and "));
    Some((Group::new(Place::System, vec![(condition, bounds.len())]), is_exact))
}

/// A name that is any of the spellings of the glob's.
fn named(path: &str, glob: &Glob) -> Option<Vec<(String, usize)>> {
    let condition = |spelling: &String| {
        let literal = literal(spelling)?;
        Some(match path.split_once('/') {
            Some((element, attribute)) => (format!("{element}[{attribute}={literal}]"), 1),
            None => (format!("{path}={literal}"), 1),
        })
    };
    glob.literals(MAX_SPELLINGS)?.iter().map(condition).collect()
}

/// A condition that holds wherever the test does, for a value of few spellings. The name is left
/// out: it has as many spellings itself. An element with elements inside stands for these, whatever
/// their names (see [`each_data`](crate::FieldSource::each_data)), and user data may be nested in
/// any way: such events are let through.
fn data(test: &DataTest) -> Option<(String, usize)> {
    let Wanted::Glob(value) = &test.wanted else { return None };
    if value.as_str().is_empty() {
        return None;
    }
    let spellings = value.literals(MAX_SPELLINGS)?;
    let values: Option<Vec<String>> =
        spellings.iter().map(|value| Some(format!("*={}", literal(value)?))).collect();
    let values = values?;
    Some((format!("(EventData[{} or */*] or UserData)", values.join(" or ")), values.len() + 2))
}

/// Text in quotes that compares as text, with every server; nothing where there is no such.
fn literal(text: &str) -> Option<String> {
    let literal = Literal::quoted(text);
    // What a record holds that is no character becomes U+FFFD here, and something else elsewhere.
    let is_plain = |c: char| !c.is_control() && !('\u{fffd}'..='\u{ffff}').contains(&c);
    let fits = literal.is_plain_text()
        && text.len() <= MAX_LITERAL
        && text.chars().all(is_plain)
        && !(text.contains('\'') && text.contains('"'));
    fits.then(|| literal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Ids, Levels};

    fn push(filter: &Filter) -> Pushed {
        filter.to_xpath(&XPathLimits::default())
    }

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|text| Glob::parse(text).unwrap()).collect()
    }

    fn ids(text: &str) -> Option<Ids> {
        Some(Ids::parse(text).unwrap())
    }

    #[test]
    fn a_filter_is_written_as_event_viewer_writes_it() {
        let filter = Filter {
            since: EventTime::parse("2026-08-22T10:00:00.1234567Z"),
            until: EventTime::parse("2026-08-22T11:00:00.1234567Z"),
            ids: ids("4624,4700-4720"),
            levels: Some(Levels::parse("error,audit-failure").unwrap()),
            providers: globs(&["1'2"]),
            computers: globs(&["dc1"]),
            ..Filter::default()
        };
        let pushed = push(&filter);
        assert_eq!(
            pushed.selects,
            [
                "*[System[Provider[@Name=\"1'2\"] and TimeCreated[@SystemTime>='2026-08-22T10:00:00.123Z' and \
             @SystemTime<='2026-08-22T11:00:00.124Z'] and \
             (EventID=4624 or (EventID>=4700 and EventID<=4720)) and \
             ((Level>=1 and Level<=2) or band(Keywords,4503599627370496)) and \
             (Computer='DC1' or Computer='Dc1' or Computer='dC1' or Computer='dc1')]]"
            ]
        );
        assert!(!pushed.exact);
    }

    #[test]
    fn only_what_is_implied_is_written() {
        let filter = Filter {
            providers: globs(&["Application Error", "application hang"]),
            computers: globs(&["DC*"]),
            users: globs(&["alice"]),
            ..Filter::default()
        };
        assert_eq!(push(&filter), Pushed { selects: vec!["*".to_owned()], exact: false });
        assert_eq!(push(&Filter::default()), Pushed { selects: vec!["*".to_owned()], exact: true });
    }

    #[test]
    fn many_ids_are_spread_over_selects_and_then_widened() {
        let many = |count: u64| {
            let list: Vec<String> = (0..count).map(|i| (i * 3 + 1).to_string()).collect();
            Filter { ids: ids(&list.join(",")), computers: globs(&["1"]), ..Filter::default() }
        };
        let pushed = push(&many(57));
        assert_eq!((pushed.selects.len(), pushed.exact), (3, true));
        assert!(pushed.selects.iter().all(|select| select.contains("Computer='1' and ")));
        let pushed = push(&many(1000));
        assert!(pushed.selects.len() <= 8 && !pushed.exact);
        assert!(pushed.selects.iter().all(|select| select.matches("EventID").count() < 20));
    }

    #[test]
    fn a_query_is_written_where_the_clock_and_limits_allow() {
        let with = |query: &str| Filter {
            ids: ids("7"),
            query: Some(crate::query::Query::parse(query).unwrap()),
            ..Filter::default()
        };
        let first = |query: &str| push(&with(query)).selects.remove(0);
        assert_eq!(first("*"), "*[System[EventID=7]]");
        assert_eq!(first("*[A or B]"), "*[System[EventID=7] and (A or B)]");
        assert_eq!(first("Event/System[Level=2]"), "*[System[EventID=7] and System[Level=2]]");
        assert_eq!(
            first("*[System[TimeCreated[timediff(@SystemTime)<5] and Level=2]]"),
            "*[System[EventID=7] and System[TimeCreated and Level=2]]"
        );
        let long = vec!["System/Level=1"; 20].join(" or ");
        assert_eq!(first(&format!("*[{long}]")), "*[System[EventID=7]]");
        // Of what is too much for a server, the part is asked for that is not.
        let many = vec!["Data='x'"; 30].join(" or ");
        assert_eq!(
            first(&format!("*[System[Level=2] and EventData[{many}]]")),
            "*[System[EventID=7] and System[Level=2]]"
        );
    }

    #[test]
    fn each_strength_asks_for_the_part_of_a_query_that_it_has() {
        let text = "*[System[EventID=4625 and TimeCreated[@SystemTime>='2026-08-22 10:00']] and \
            EventData[Data[@Name='TargetUserName']='alice'] and UserData/*/A='b']";
        let query = Some(Query::parse(text).unwrap());
        let filter = Filter { query, ..Filter::default() };
        let select = |strength| filter.select(strength, &XPathLimits::default()).selects.join(" ");
        let time = "TimeCreated[@SystemTime>='2026-08-22T10:00:00.000Z']";
        let system = format!("*[System[EventID=4625 and {time}]]");
        let data = "EventData[Data[@Name='TargetUserName']='alice']";
        assert_eq!(
            select(Strength::Filter),
            text.replace("2026-08-22 10:00", "2026-08-22T10:00:00.000Z")
        );
        assert_eq!(
            select(Strength::NoWildcards),
            format!("*[System[EventID=4625 and {time}] and {data}]")
        );
        assert_eq!(select(Strength::System), system);
        assert_eq!(select(Strength::Time), format!("*[System[{time}]]"));
        assert_eq!(select(Strength::Everything), "*");
    }

    #[test]
    fn each_strength_writes_less_than_the_one_before() {
        let filter = Filter {
            since: EventTime::parse("2026-08-22T10:00:00Z"),
            ids: ids("4624"),
            data: vec![crate::filter::DataTest::parse("TargetUserName=bob").unwrap()],
            query: Some(crate::query::Query::parse("*[EventData[Data='5 * 5']]").unwrap()),
            ..Filter::default()
        };
        let select = |strength| filter.select(strength, &XPathLimits::default()).selects.join(" ");
        let whole = select(Strength::Filter);
        assert_eq!(whole, push(&filter).selects.join(" "));
        assert!(whole.contains("bob") && whole.contains("5 * 5"), "{whole}");
        let time = "TimeCreated[@SystemTime>='2026-08-22T10:00:00.000Z']";
        let no_wildcards = select(Strength::NoWildcards);
        assert!(no_wildcards.contains("5 * 5") && !no_wildcards.contains("bob"), "{no_wildcards}");
        assert!(no_wildcards.contains("EventID=4624"), "{no_wildcards}");
        let system = select(Strength::System);
        assert!(!system.contains("EventData") && system.contains("EventID=4624"), "{system}");
        assert_eq!(select(Strength::Time), format!("*[System[{time}]]"));
        assert_eq!(select(Strength::Everything), "*");
    }

    #[test]
    fn lists_have_at_most_so_many_selects() {
        let channels: Vec<String> = (0..600).map(|i| format!("C<{i}>")).collect();
        let lists = query_lists(&channels, &["*[System[Level<=2]]".to_owned(), "*".to_owned()]);
        assert_eq!(lists.len(), 3);
        assert!(lists.iter().all(|list| list.matches("<Select ").count() <= MAX_CHANNELS));
        assert!(lists[0].starts_with(
            "<QueryList><Query Id=\"0\" Path=\"C&lt;0&gt;\"><Select Path=\"C&lt;0&gt;\">\
             *[System[Level&lt;=2]]</Select><Select"
        ));
        assert!(query_lists(&["A"], &[])[0].contains(">*</Select>"));
    }
}
