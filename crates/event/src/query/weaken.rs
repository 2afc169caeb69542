//! Conditions for a server: what it can't answer is left out, so that no less is selected.

use super::ast::{Argument, Expr, Operand, Path, Step};
use super::{Body, Query, expressions};

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
    /// side can answer: the clock, functions that look for text, channels.
    pub(crate) fn condition(&self) -> Condition {
        let all = || Condition { text: String::new(), expressions: 0, is_exact: false };
        let Body::XPath(expr) = &self.body else { return all() };
        let Weakened { expr, is_same } = weakened(expr);
        let Some(condition) = expr.as_ref().map_or(Some(None), on_event) else { return all() };
        let (text, expressions) = match condition {
            None => (String::new(), 0),
            Some(or @ Expr::Or(_)) => (format!("({or})"), expressions(&or)),
            Some(expr) => (expr.to_string(), expressions(&expr)),
        };
        Condition { text, expressions, is_exact: is_same }
    }
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
        let condition = Query::parse(text).unwrap().condition();
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
            let condition = query.condition();
            let sent = match condition.text.is_empty() {
                true => "*".to_owned(),
                false => format!("*[{}]", condition.text),
            };
            let sent = Query::parse(&sent).unwrap();
            prop_assert!(sent.is_for_servers());
            let mut scratch = Scratch::default();
            let selects = query.compile(now()).matches(&event, &mut scratch);
            let is_sent = sent.compile(now()).matches(&event, &mut scratch);
            prop_assert!(is_sent || !selects, "{}", sent);
            prop_assert!(!condition.is_exact || is_sent == selects, "{}", sent);
        }
    }
}
