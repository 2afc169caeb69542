//! Which events a rule is about, as far as its log source and its tests of the id tell, and how
//! much of it such events can meet.

use std::collections::BTreeSet;

use quarry_event::Field;

use crate::fields::Slot;
use crate::mapping::{FieldMap, Mapping};
use crate::pattern::Piece;
use crate::plan::{Reach, Route, RulePlan};
use crate::rule::{Expr, Match, Rule, Test};

/// What there is to say of a rule before any event is seen.
pub(super) fn plan(rule: &Rule, mapping: &Mapping) -> RulePlan {
    let sources = match mapping.sources(&rule.source) {
        Ok(sources) => sources,
        Err(why) => return RulePlan { routes: Vec::new(), cannot: Some(why) },
    };
    let wanted = ids(&rule.detection);
    let mut routes = Vec::new();
    for source in sources {
        let of_source = source.ids.as_ref().map(|ids| ids.iter().copied().collect());
        let both: Option<BTreeSet<u64>> = match (of_source, &wanted) {
            (Some(ids), Some(wanted)) => Some(&ids & wanted),
            (Some(ids), None) => Some(ids),
            (None, wanted) => wanted.clone(),
        };
        if both.as_ref().is_some_and(BTreeSet::is_empty) {
            continue;
        }
        let reach = reach(&rule.detection, mapping.fields(&source), mapping);
        routes.push(Route {
            channel: source.channel,
            ids: both.map(|ids| ids.into_iter().collect()),
            fields: source.fields,
            reach,
        });
    }
    let cannot = match routes.iter().any(|route| route.reach.runs()) {
        true => None,
        false if routes.is_empty() => {
            Some("the ids that it tests are none of its log source's".to_owned())
        }
        false => Some("no event has the fields that it needs".to_owned()),
    };
    RulePlan { routes, cannot }
}

/// The ids of the events that an expression can hold of; nothing for any.
fn ids(expr: &Expr) -> Option<BTreeSet<u64>> {
    match expr {
        Expr::And(terms) => terms.iter().filter_map(ids).reduce(|a, b| &a & &b),
        Expr::Or(terms) => {
            let terms: Option<Vec<BTreeSet<u64>>> = terms.iter().map(ids).collect();
            terms.map(|terms| terms.into_iter().flatten().collect())
        }
        Expr::Not(_) => None,
        Expr::Search(_, expr) => ids(expr),
        Expr::Match(one) => ids_of(one),
    }
}

fn ids_of(one: &Match) -> Option<BTreeSet<u64>> {
    let (field, _) = crate::fields::system_field(one.field.as_deref()?)?;
    if field != Field::EventId {
        return None;
    }
    let id = |test: &Test| {
        let Test::Text { pattern, .. } = test else { return None };
        // What is no number is no event's id.
        pattern.as_literal().map(|text| text.parse::<u64>().ok())
    };
    let ids: Option<Vec<Option<u64>>> = one.tests.iter().map(id).collect();
    let ids = ids?;
    match one.all {
        // An event has one id.
        true => {
            ids.iter().map(|id| id.iter().copied().collect()).reduce(|a: BTreeSet<_>, b| &a & &b)
        }
        false => Some(ids.into_iter().flatten().collect()),
    }
}

/// What an expression comes to where some fields can't be.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    Always,
    Never,
    Open,
}

/// How much of a rule events with the fields of a map can meet.
fn reach(expr: &Expr, map: Option<&FieldMap>, mapping: &Mapping) -> Reach {
    let mut lost = Lost { map, mapping, branches: 0, filters: 0, fields: BTreeSet::new() };
    let known = lost.look(expr, false);
    let missing = lost.fields.into_iter().collect();
    match (known, lost.branches, lost.filters) {
        (Known::Never, ..) => Reach::Never { missing },
        (_, 0, 0) => Reach::Whole,
        (_, branches, filters) => Reach::Part { branches, filters, missing },
    }
}

struct Lost<'m> {
    map: Option<&'m FieldMap>,
    mapping: &'m Mapping,
    branches: usize,
    filters: usize,
    fields: BTreeSet<String>,
}

impl Lost<'_> {
    fn look(&mut self, expr: &Expr, negated: bool) -> Known {
        match expr {
            Expr::And(terms) => {
                let terms: Vec<Known> = terms.iter().map(|term| self.look(term, negated)).collect();
                match () {
                    () if terms.contains(&Known::Never) => Known::Never,
                    () if terms.iter().all(|term| *term == Known::Always) => Known::Always,
                    () => Known::Open,
                }
            }
            Expr::Or(terms) => {
                let terms: Vec<Known> = terms.iter().map(|term| self.look(term, negated)).collect();
                match () {
                    () if terms.contains(&Known::Always) => Known::Always,
                    () if terms.iter().all(|term| *term == Known::Never) => Known::Never,
                    () => Known::Open,
                }
            }
            Expr::Not(term) => match self.look(term, !negated) {
                Known::Always => Known::Never,
                Known::Never => Known::Always,
                Known::Open => Known::Open,
            },
            Expr::Search(_, term) => self.look(term, negated),
            Expr::Match(one) => self.look_at(one, negated),
        }
    }

    fn look_at(&mut self, one: &Match, negated: bool) -> Known {
        if Slot::of(one.field.as_deref(), self.map, self.mapping).is_some() {
            return Known::Open;
        }
        self.fields.extend(one.field.clone());
        match negated {
            true => self.filters += 1,
            false => self.branches += 1,
        }
        let mut tests = one.tests.iter().map(Test::holds_of_nothing);
        let holds = if one.all { tests.all(|holds| holds) } else { tests.any(|holds| holds) };
        if holds { Known::Always } else { Known::Never }
    }
}

/// Whether a pattern is anything at all.
pub(super) fn is_anything(pieces: &[Piece]) -> bool {
    matches!(pieces, [Piece::Any])
}
