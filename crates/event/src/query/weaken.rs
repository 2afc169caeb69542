//! Conditions for a server: what it can't answer is left out, so that no less is selected.

use super::ast::{Argument, Expr, NodeTest, Operand, Path, Step};
use super::{Body, Query, expressions};

/// How much of a condition a server is to test.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Part {
    /// All that Windows' XPath can say.
    Whole,
    /// What has no wildcard in a step.
    NoWildcards,
    /// What is in `<System>`.
    System,
    /// The time in it.
    Time,
}

impl Part {
    /// All of them, the most first.
    pub(crate) const ALL: [Part; 4] = [Part::Whole, Part::NoWildcards, Part::System, Part::Time];
}

/// A condition that holds wherever another does.
pub(super) struct Weakened {
    /// Nothing where it always holds.
    pub(super) expr: Option<Expr>,
    /// Whether it is that other one.
    pub(super) is_same: bool,
}

/// The condition on an event that a query is for a server.
pub(crate) struct Condition {
    /// XPath within an event; empty where every event meets it.
    pub(crate) text: String,
    /// How many comparisons and other conditions it has, which servers limit.
    pub(crate) expressions: usize,
    /// Whether the query selects what meets the condition, and nothing else.
    pub(crate) is_exact: bool,
}

impl Query {
    /// The condition on an event that is met where the query selects it, without what only this
    /// side can answer: the clock, functions that look for text, channels; and of the rest, the
    /// part that is wanted.
    pub(crate) fn condition(&self, part: Part) -> Condition {
        let all = || Condition { text: String::new(), expressions: 0, is_exact: false };
        let Body::XPath(expr) = &self.body else { return all() };
        let Weakened { expr, is_same } = weakened(expr);
        let Some(condition) = expr.as_ref().map_or(Some(None), on_event) else { return all() };
        let kept = condition.as_ref().and_then(|condition| part_of(condition, part, At::Event));
        let is_exact = is_same && kept == condition;
        let (text, expressions) = match kept {
            None => (String::new(), 0),
            Some(or @ Expr::Or(_)) => (format!("({or})"), expressions(&or)),
            Some(expr) => (expr.to_string(), expressions(&expr)),
        };
        Condition { text, expressions, is_exact }
    }

    /// A `<QueryList>` that selects no less, of which a server has to test only a part: what
    /// selects is cut down to it, and what suppresses is left out unless all of it is in that part.
    pub(crate) fn part(&self, part: Part) -> Query {
        let mut query = self.clone();
        let Body::List(queries) = &mut query.body else { return query };
        for query in queries {
            query.clauses.retain_mut(|clause| {
                let condition = on_event(&clause.expr);
                let kept = condition.as_ref().map(|condition| {
                    condition.as_ref().and_then(|condition| part_of(condition, part, At::Event))
                });
                if kept.is_some() && kept == condition {
                    return true;
                }
                let predicates = kept.flatten().into_iter().collect();
                let event = Step { test: NodeTest::Element(None), predicates };
                clause.expr = Expr::Path(Path { steps: vec![event] });
                !clause.suppresses
            });
        }
        query
    }
}

/// What a condition is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Event,
    System,
    /// Something of which every part is wanted.
    Below,
}

/// A condition that holds wherever another does and is in the part that is wanted; nothing where
/// there is no such.
fn part_of(expr: &Expr, part: Part, at: At) -> Option<Expr> {
    let argument = |argument: &Argument| match argument {
        Argument::Path(path) => part_of_path(path, part, at).map(Argument::Path),
        Argument::Literal(_) => Some(argument.clone()),
    };
    match expr {
        _ if part == Part::Whole => Some(expr.clone()),
        Expr::Or(terms) => {
            let terms = terms.iter().map(|term| part_of(term, part, at));
            terms.collect::<Option<Vec<_>>>().map(Expr::Or)
        }
        Expr::And(terms) => and(terms.iter().filter_map(|term| part_of(term, part, at)).collect()),
        Expr::Path(path) => part_of_path(path, part, at).map(Expr::Path),
        Expr::Compare(Operand::Path(path), op, literal) => {
            let path = part_of_path(path, part, at)?;
            Some(Expr::Compare(Operand::Path(path), *op, literal.clone()))
        }
        Expr::Band(a, b) => Some(Expr::Band(argument(a)?, argument(b)?)),
        Expr::Compare(Operand::Position, ..) if at == At::Below => Some(expr.clone()),
        Expr::Compare(..) | Expr::Search(..) | Expr::Not(_) => None,
    }
}

/// A path to no fewer nodes, all of which are in the part that is wanted.
fn part_of_path(path: &Path, part: Part, mut at: At) -> Option<Path> {
    let mut steps = Vec::new();
    for step in &path.steps {
        let name = match &step.test {
            NodeTest::Element(None) | NodeTest::Attribute(None) => return None,
            NodeTest::Element(Some(name)) => &**name,
            NodeTest::Attribute(Some(_)) | NodeTest::Text => "",
        };
        at = match (at, part) {
            (At::Event, Part::System | Part::Time) if name == "System" => At::System,
            (At::Event, Part::System | Part::Time) => return None,
            (At::System, Part::Time) if name != "TimeCreated" => return None,
            _ => At::Below,
        };
        let mut predicates = Vec::new();
        let mut is_same = true;
        for predicate in &step.predicates {
            // Of more nodes, one has another position.
            if !is_same && has_position(predicate) {
                continue;
            }
            let kept = part_of(predicate, part, at);
            is_same &= kept.as_ref() == Some(predicate);
            predicates.extend(kept);
        }
        steps.push(Step { test: step.test.clone(), predicates });
    }
    // Every event has it.
    let is_system_alone = at == At::System && steps.iter().all(|step| step.predicates.is_empty());
    (!is_system_alone).then_some(Path { steps })
}

/// A condition on the document that an event stands in, as one on the event: nothing where every
/// event meets it. `None` where there is no such.
fn on_event(expr: &Expr) -> Option<Option<Expr>> {
    match expr {
        Expr::And(terms) => {
            let terms = terms.iter().map(on_event).collect::<Option<Vec<_>>>()?;
            Some(and(terms.into_iter().flatten().collect()))
        }
        Expr::Or(terms) => {
            let terms = terms.iter().map(on_event).collect::<Option<Vec<_>>>()?;
            Some(terms.into_iter().collect::<Option<Vec<_>>>().map(Expr::Or))
        }
        Expr::Path(path) => {
            let (event, below) = path.steps.split_first()?;
            let mut terms = event.predicates.clone();
            if !below.is_empty() {
                terms.push(Expr::Path(Path { steps: below.to_vec() }));
            }
            Some(and(terms))
        }
        Expr::Compare(Operand::Path(path), op, literal) => {
            let (event, below) = path.steps.split_first()?;
            if below.is_empty() {
                return None;
            }
            let path = Operand::Path(Path { steps: below.to_vec() });
            let compare = Expr::Compare(path, *op, literal.clone());
            Some(and(event.predicates.iter().cloned().chain([compare]).collect()))
        }
        Expr::Compare(..) | Expr::Band(..) | Expr::Search(..) | Expr::Not(_) => None,
    }
}

/// All of some conditions; nothing for none.
fn and(mut terms: Vec<Expr>) -> Option<Expr> {
    match terms.len() {
        0 | 1 => terms.pop(),
        _ => Some(Expr::And(terms)),
    }
}

/// A condition without what a server can't answer.
pub(super) fn weakened(expr: &Expr) -> Weakened {
    let same = |expr: Expr| Weakened { expr: Some(expr), is_same: true };
    let left_out = Weakened { expr: None, is_same: false };
    match expr {
        Expr::Or(terms) => {
            let terms: Vec<Weakened> = terms.iter().map(weakened).collect();
            let is_same = terms.iter().all(|term| term.is_same);
            let any = terms.into_iter().map(|term| term.expr).collect::<Option<Vec<_>>>();
            Weakened { expr: any.map(Expr::Or), is_same }
        }
        Expr::And(terms) => {
            let terms: Vec<Weakened> = terms.iter().map(weakened).collect();
            let is_same = terms.iter().all(|term| term.is_same);
            Weakened {
                expr: and(terms.into_iter().filter_map(|term| term.expr).collect()),
                is_same,
            }
        }
        Expr::Path(path) => {
            let (path, is_same) = path_of(path);
            Weakened { expr: Some(Expr::Path(path)), is_same }
        }
        Expr::Compare(Operand::Path(path), op, literal) => {
            let (path, is_same) = path_of(path);
            let compare = Expr::Compare(Operand::Path(path), *op, literal.clone());
            Weakened { expr: Some(compare), is_same }
        }
        Expr::Compare(Operand::Position, ..) => same(expr.clone()),
        Expr::Compare(Operand::TimeDiff(..), ..) | Expr::Search(..) | Expr::Not(_) => left_out,
        Expr::Band(a, b) => {
            let ((a, a_same), (b, b_same)) = (argument_of(a), argument_of(b));
            Weakened { expr: Some(Expr::Band(a, b)), is_same: a_same && b_same }
        }
    }
}

fn argument_of(argument: &Argument) -> (Argument, bool) {
    match argument {
        Argument::Path(path) => {
            let (path, is_same) = path_of(path);
            (Argument::Path(path), is_same)
        }
        Argument::Literal(_) => (argument.clone(), true),
    }
}

/// A path to no fewer nodes, and whether it is the same.
fn path_of(path: &Path) -> (Path, bool) {
    let mut is_same = true;
    let mut step_of = |step: &Step| {
        let mut predicates = Vec::new();
        let mut is_step_same = true;
        for predicate in &step.predicates {
            // Of more nodes, one has another position.
            if !is_step_same && has_position(predicate) {
                continue;
            }
            let weak = weakened(predicate);
            is_step_same &= weak.is_same;
            predicates.extend(weak.expr);
        }
        is_same &= is_step_same;
        Step { test: step.test.clone(), predicates }
    };
    let steps = path.steps.iter().map(&mut step_of).collect();
    (Path { steps }, is_same)
}

/// Whether a condition counts the nodes of its step.
fn has_position(expr: &Expr) -> bool {
    match expr {
        Expr::Or(terms) | Expr::And(terms) => terms.iter().any(has_position),
        Expr::Not(inner) => has_position(inner),
        Expr::Compare(Operand::Position, ..) => true,
        // In a path, positions are of its own steps.
        Expr::Path(_) | Expr::Compare(..) | Expr::Band(..) | Expr::Search(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Scratch;
    use crate::testing::{events, now, queries};
    use proptest::prelude::*;

    fn condition(text: &str) -> String {
        let condition = Query::parse(text).unwrap().condition(Part::Whole);
        assert!(condition.expressions > 0 || condition.text.is_empty(), "{text}");
        format!("{}{}", condition.text, if condition.is_exact { "" } else { " ..." })
    }

    #[test]
    fn what_a_server_can_not_answer_is_left_out() {
        for (text, expected) in [
            ("*", ""),
            ("*[System[EventID=1]]", "System[EventID=1]"),
            (
                "*[System[EventID=1] and EventData[Data[contains(.,'x')]]]",
                "System[EventID=1] and EventData[Data] ...",
            ),
            ("*[System[EventID=1] and contains(EventData/Data,'x')]", "System[EventID=1] ..."),
            ("*[System[EventID=1] or starts-with(EventData/Data,'x')]", " ..."),
            ("*[System[EventID=1 and not(Level=2)]]", "System[EventID=1] ..."),
            ("*[not(contains(EventData/Data,'x'))]", " ..."),
            ("*[EventData[Data[contains(.,'x')][2]='y']]", "EventData[Data='y'] ..."),
            ("*[EventData[Data[2][contains(.,'x')]='y']]", "EventData[Data[position()=2]='y'] ..."),
            (
                "*[System[TimeCreated[timediff(@SystemTime)<5] and Level=2]]",
                "System[TimeCreated and Level=2] ...",
            ),
            ("*[System[EventID=1]] and *[EventData]", "System[EventID=1] and EventData"),
            ("*[System[EventID=1]] or *[EventData]", "(System[EventID=1] or EventData)"),
            ("*/System/EventID=1", "System/EventID=1"),
            ("*='x'", " ..."),
        ] {
            assert_eq!(condition(text), expected, "{text}");
        }
    }

    #[test]
    fn a_part_of_a_query_is_what_of_it_looks_there() {
        let part = |text: &str, part| Query::parse(text).unwrap().condition(part).text;
        for (text, no_wildcards, system, time) in [
            (
                "*[System[EventID=1 and TimeCreated[@SystemTime>='2026-08-22T10:00:00.000Z']] and \
                 EventData[Data[@Name='A']='x'] and EventData[*='y']]",
                "System[EventID=1 and TimeCreated[@SystemTime>='2026-08-22T10:00:00.000Z']] and \
                 EventData[Data[@Name='A']='x'] and EventData",
                "System[EventID=1 and TimeCreated[@SystemTime>='2026-08-22T10:00:00.000Z']]",
                "System[TimeCreated[@SystemTime>='2026-08-22T10:00:00.000Z']]",
            ),
            (
                "*[System[EventID=1]] and *[EventData]",
                "System[EventID=1] and EventData",
                "System[EventID=1]",
                "",
            ),
            ("*[System[EventID=1] or EventData]", "(System[EventID=1] or EventData)", "", ""),
            (
                "*[System[EventID=1 or TimeCreated]]",
                "System[EventID=1 or TimeCreated]",
                "System[EventID=1 or TimeCreated]",
                "",
            ),
            ("*[System/*=1 and System[*=2] and UserData/*/A=3]", "System", "", ""),
            (
                "*/System/TimeCreated/@SystemTime!='2026-08-22T10:00:00.000Z'",
                "System/TimeCreated/@SystemTime!='2026-08-22T10:00:00.000Z'",
                "System/TimeCreated/@SystemTime!='2026-08-22T10:00:00.000Z'",
                "System/TimeCreated/@SystemTime!='2026-08-22T10:00:00.000Z'",
            ),
            ("*[EventData/Data[*='a'][2]='x']", "EventData/Data='x'", "", ""),
            (
                "*[System[band(Keywords,8)] and System/@*='1']",
                "System[band(Keywords,8)]",
                "System[band(Keywords,8)]",
                "",
            ),
        ] {
            assert_eq!(part(text, Part::NoWildcards), no_wildcards, "{text}");
            assert_eq!(part(text, Part::System), system, "{text}");
            assert_eq!(part(text, Part::Time), time, "{text}");
        }
    }

    #[test]
    fn a_part_of_a_list_selects_no_less() {
        let text = "<QueryList><Query Id='0'><Select Path='System'>\
            *[System[EventID=1] and EventData[Data='x']]</Select><Select Path='Setup'>\
            *[EventData]</Select><Suppress Path='System'>*[System[EventID=7]]</Suppress>\
            <Suppress Path='System'>*[EventData[Data='y']]</Suppress></Query></QueryList>";
        let query = Query::parse(text).unwrap();
        assert_eq!(query.part(Part::Whole), query);
        assert_eq!(
            query.part(Part::System).to_string(),
            "<QueryList><Query Id=\"0\"><Select Path=\"System\">*[System[EventID=1]]</Select>\
             <Select Path=\"Setup\">*</Select><Suppress Path=\"System\">*[System[EventID=7]]\
             </Suppress></Query></QueryList>"
        );
        assert_eq!(
            query.part(Part::Time).to_string(),
            "<QueryList><Query Id=\"0\"><Select Path=\"System\">*</Select>\
             <Select Path=\"Setup\">*</Select></Query></QueryList>"
        );
    }

    #[test]
    fn the_query_of_a_bug_report_tool_is_sent_without_its_searches() {
        let text = "<QueryList><Query Id='0'><Select Path='Application'>\
            *[System[TimeCreated[@SystemTime>='2026-08-22 10:00']]] and \
            (*[EventData[Data[contains(., 'PowerToys')]]] or *[UserData/*/*[contains(., 'PowerToys')]])\
            </Select><Suppress Path='Application'>*[EventData[Data[contains(.,'x')]]]</Suppress>\
            <Suppress Path='Application'>*[System[EventID=7]]</Suppress></Query></QueryList>";
        let query = Query::parse(text).unwrap();
        assert!(!query.is_for_servers());
        let sent = query.fixed(now());
        assert!(sent.is_for_servers());
        assert_eq!(
            sent.to_string(),
            "<QueryList><Query Id=\"0\"><Select Path=\"Application\">*[System[TimeCreated[\
             @SystemTime&gt;='2026-08-22T10:00:00.000Z']]] and (*[EventData[Data]] or \
             *[UserData/*/*])</Select><Suppress Path=\"Application\">*[System[EventID=7]]\
             </Suppress></Query></QueryList>"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_server_s_condition_is_met_where_the_query_selects(text in queries(), event in events()) {
            let query = Query::parse(&text).unwrap();
            let mut scratch = Scratch::default();
            let selects = query.compile(now()).matches(&event, &mut scratch);
            for part in Part::ALL {
                let condition = query.condition(part);
                let sent = match condition.text.is_empty() {
                    true => "*".to_owned(),
                    false => format!("*[{}]", condition.text),
                };
                let sent = Query::parse(&sent).unwrap();
                prop_assert!(sent.is_for_servers());
                let is_sent = sent.compile(now()).matches(&event, &mut scratch);
                prop_assert!(is_sent || !selects, "{:?} {}", part, sent);
                prop_assert!(!condition.is_exact || is_sent == selects, "{:?} {}", part, sent);
            }
        }
    }
}
