//! Why a rule matched an event, or didn't: test by test.

use std::fmt::Write;

use quarry_event::{Field, FieldSource};

use crate::engine::Engine;
use crate::mapping::FieldMap;
use crate::plain::{Evaluator, Values};
use crate::rule::{Expr, Rule};

/// The longest value that is shown, in characters.
const MAX_SHOWN: usize = 200;

/// A rule as it was understood and, of an event, which of its tests hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether the event matches; nothing where there is no event.
    pub matches: Option<bool>,
    /// Whether the event is one that the rule looks at.
    pub is_routed: Option<bool>,
    /// The tests, a line each.
    pub text: String,
}

impl Engine {
    /// What a rule, by its place, tests.
    pub fn explain(&self, rule: usize) -> Explanation {
        let rule = &self.rules()[rule];
        let mut text = String::new();
        write(&rule.detection, 0, None, &mut text);
        Explanation { matches: None, is_routed: None, text }
    }

    /// What a rule, by its place, tests of an event, and what holds. The route is told, and the
    /// tests are made in any case.
    pub fn explain_event<S: FieldSource>(&self, rule: usize, event: &S) -> Explanation {
        let plan = &self.plan().rules()[rule];
        let rule = &self.rules()[rule];
        let id = event.field(Field::EventId).as_u64();
        let route = event.field(Field::Channel).with_text(|channel| {
            plan.routes.iter().find(|route| {
                let has_id = |ids: &Vec<u64>| id.is_some_and(|id| ids.contains(&id));
                route.channel.eq_ignore_ascii_case(channel)
                    && route.ids.as_ref().is_none_or(has_id)
                    && route.reach.runs()
            })
        });
        let map = route.and_then(|route| self.mapping().field_map(route.fields.as_deref()?));
        let (holds, text) = self.evaluate(rule, event, map);
        Explanation { matches: Some(holds), is_routed: Some(route.is_some()), text }
    }

    fn evaluate<S: FieldSource>(
        &self,
        rule: &Rule,
        event: &S,
        map: Option<&FieldMap>,
    ) -> (bool, String) {
        let values = Values::of(event);
        let evaluator = Evaluator { values: &values, map, mapping: self.mapping() };
        let mut text = String::new();
        write(&rule.detection, 0, Some(&evaluator), &mut text);
        (evaluator.holds(&rule.detection), text)
    }

    /// Whether an event meets a rule, by the slow evaluator: for tests that hold the fast one to it.
    #[doc(hidden)]
    pub fn matches_plainly<S: FieldSource>(&self, rule: usize, event: &S) -> bool {
        let plan = &self.plan().rules()[rule];
        let id = event.field(Field::EventId).as_u64();
        event.field(Field::Channel).with_text(|channel| {
            plan.routes.iter().any(|route| {
                let has_id = |ids: &Vec<u64>| id.is_some_and(|id| ids.contains(&id));
                let is_here = route.channel.eq_ignore_ascii_case(channel)
                    && route.ids.as_ref().is_none_or(has_id)
                    && route.reach.runs();
                let map = route.fields.as_deref().and_then(|name| self.mapping().field_map(name));
                let values = Values::of(event);
                let evaluator = Evaluator { values: &values, map, mapping: self.mapping() };
                is_here && evaluator.holds(&self.rules()[rule].detection)
            })
        })
    }

    /// Whether an event meets a rule wherever the rule looks.
    #[doc(hidden)]
    pub fn meets<S: FieldSource>(&self, rule: usize, event: &S) -> bool {
        self.evaluate(&self.rules()[rule], event, None).0
    }
}

fn write(expr: &Expr, depth: usize, event: Option<&Evaluator<'_>>, out: &mut String) {
    let mark = |holds: bool| if holds { "yes " } else { "no  " };
    let start = |out: &mut String| {
        out.push_str(event.map_or("", |event| mark(event.holds(expr))));
        out.push_str(&"  ".repeat(depth));
    };
    let each = |terms: &[Expr], out: &mut String| {
        terms.iter().for_each(|term| write(term, depth + 1, event, out));
    };
    match expr {
        Expr::And(terms) => {
            start(out);
            out.push_str("all of\n");
            each(terms, out);
        }
        Expr::Or(terms) => {
            start(out);
            out.push_str("any of\n");
            each(terms, out);
        }
        Expr::Not(term) => {
            start(out);
            out.push_str("not\n");
            write(term, depth + 1, event, out);
        }
        Expr::Search(name, term) => {
            start(out);
            let _ = writeln!(out, "{}", harmless(name));
            write(term, depth + 1, event, out);
        }
        Expr::Match(one) => {
            start(out);
            let of = if one.all && one.tests.len() > 1 { ", all" } else { "" };
            let _ = write!(out, "{}{of} (line {})", harmless(&one.shown), one.line);
            if let Some(event) = event {
                match event.texts(one) {
                    None => out.push_str(": such events don't have the field"),
                    Some(values) if values.is_empty() => out.push_str(": missing"),
                    Some(values) if one.field.is_some() => {
                        let values: Vec<String> =
                            values.iter().map(|(text, _)| shown(text)).collect();
                        let _ = write!(out, ": {}", values.join(", "));
                    }
                    Some(_) => {}
                }
            }
            out.push('\n');
            let holds = event.map(|event| event.each(one)).unwrap_or_default();
            for (n, test) in one.tests.iter().enumerate() {
                out.push_str(holds.get(n).map_or("", |holds| mark(*holds)));
                let _ = writeln!(out, "{}{}", "  ".repeat(depth + 1), shown(&test.to_string()));
            }
        }
    }
}

/// A text on one line, in which nothing acts on a terminal, and not too long.
fn harmless(text: &str) -> String {
    let mut shown: String =
        text.chars().take(MAX_SHOWN).map(quarry_event::text::harmless).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn shown(text: &str) -> String {
    format!("`{}`", harmless(text))
}
