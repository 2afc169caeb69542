//! A rule's searches, put together by its condition.

use std::collections::HashMap;
use std::sync::Arc;

use super::condition::{self, Condition, Names};
use super::search::{self, Match};
use super::{Kind, Node, RuleProblem, Wrong};

/// The most tests of a rule, each search counted wherever the condition names it.
const MAX_TESTS: usize = 100_000;

/// What an event has to be.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Match(Arc<Match>),
    /// A search of the rule by its name.
    Search(Arc<str>, Arc<Expr>),
}

impl Expr {
    pub(super) fn all(mut terms: Vec<Expr>) -> Expr {
        match terms.len() {
            1 => terms.remove(0),
            _ => Expr::And(terms),
        }
    }

    pub(super) fn any(mut terms: Vec<Expr>) -> Expr {
        match terms.len() {
            1 => terms.remove(0),
            _ => Expr::Or(terms),
        }
    }

    fn tests(&self) -> usize {
        match self {
            Expr::And(terms) | Expr::Or(terms) => terms.iter().map(Expr::tests).sum(),
            Expr::Not(term) => term.tests(),
            Expr::Match(test) => test.tests.len().max(1),
            Expr::Search(_, expr) => expr.tests(),
        }
    }
}

/// Reads the attribute `detection`.
/// How many bytes its regular expressions take at most comes with it.
pub(super) fn read(node: &Node) -> Result<(Expr, usize), Wrong> {
    let Kind::Map(entries) = &node.kind else {
        return Err((node.line, RuleProblem::malformed("its detection is no map")));
    };
    let mut budget = search::Budget::new();
    let mut searches: Vec<(Arc<str>, Arc<Expr>, usize)> = Vec::new();
    let mut condition = None;
    for (key, value) in entries {
        match key.text() {
            Some("condition") => condition = Some(value),
            // What a count has to be reached in, which the condition would say.
            Some("timeframe") => {}
            Some(name) => {
                let expr = search::read(value, &mut budget)?;
                let tests = expr.tests();
                searches.push((name.into(), Arc::new(expr), tests));
            }
            None => return Err((key.line, RuleProblem::malformed("a search's name is no text"))),
        }
    }
    let Some(condition) = condition else {
        return Err((node.line, RuleProblem::malformed("its detection has no condition")));
    };
    let known = searches.iter().map(|(name, expr, tests)| (&**name, (expr, *tests))).collect();
    let mut builder = Builder { searches: &searches, known, left: MAX_TESTS };
    let mut terms = Vec::new();
    for item in condition.items() {
        let wrong = |problem| (item.line, problem);
        let text =
            item.text().ok_or_else(|| wrong(RuleProblem::malformed("its condition is no text")))?;
        let parsed = condition::parse(text).map_err(|why| {
            wrong(match why.contains("not supported") {
                true => RuleProblem::Unsupported(why.replace(", which is not supported", "")),
                false => RuleProblem::Malformed(why),
            })
        })?;
        terms.push(builder.build(&parsed).map_err(|why| wrong(RuleProblem::Malformed(why)))?);
    }
    if terms.is_empty() {
        return Err((condition.line, RuleProblem::malformed("its condition is empty")));
    }
    Ok((Expr::any(terms), budget.regex_bytes()))
}

struct Builder<'s> {
    searches: &'s [(Arc<str>, Arc<Expr>, usize)],
    known: HashMap<&'s str, (&'s Arc<Expr>, usize)>,
    /// How many tests there may be yet.
    left: usize,
}

impl Builder<'_> {
    fn build(&mut self, condition: &Condition) -> Result<Expr, String> {
        Ok(match condition {
            Condition::And(terms) => Expr::And(self.each(terms)?),
            Condition::Or(terms) => Expr::Or(self.each(terms)?),
            Condition::Not(term) => Expr::Not(Box::new(self.build(term)?)),
            Condition::Search(name) => self.search(name)?,
            Condition::Of { all, names } => {
                let meant: Vec<Arc<str>> = self
                    .searches
                    .iter()
                    .filter(|(name, ..)| names.contain(name))
                    .map(|(name, ..)| Arc::clone(name))
                    .collect();
                if meant.is_empty() {
                    let names = match names {
                        Names::Them => "them",
                        Names::Glob(glob) => glob,
                    };
                    return Err(format!("the condition's `{names}` means no search of the rule"));
                }
                let terms = meant.iter().map(|name| self.search(name));
                let terms = terms.collect::<Result<Vec<_>, _>>()?;
                if *all { Expr::all(terms) } else { Expr::any(terms) }
            }
        })
    }

    fn each(&mut self, terms: &[Condition]) -> Result<Vec<Expr>, String> {
        terms.iter().map(|term| self.build(term)).collect()
    }

    fn search(&mut self, name: &str) -> Result<Expr, String> {
        let Some(&(expr, tests)) = self.known.get(name) else {
            return Err(format!("the condition's `{name}` is no search of the rule"));
        };
        self.left = self
            .left
            .checked_sub(tests)
            .ok_or_else(|| format!("the rule comes to more than {MAX_TESTS} tests"))?;
        Ok(Expr::Search(name.into(), Arc::clone(expr)))
    }
}
