//! Windows event queries: XPath, and `<QueryList>` documents (MS-EVEN6 2.2.15 and 2.2.16).
//!
//! What Windows documents is read and tested here with Windows' meaning: steps to children and
//! attributes, `*`, `text()`, `and`, `or`, comparisons of a path with a number or text in quotes,
//! `position()`, `band()` and `timediff()`. Three functions that Windows doesn't have are read too,
//! since queries that people pass on have them: `contains()` and `starts-with()`, which hold if the
//! value of any of a path's nodes does, as comparisons do, and `not()`. They are answered here and
//! never sent to a server. All else of XPath is refused, with the place and what there is instead.
//!
//! [`Query::parse`] reads a query, [`Query::compile`] makes it ready, and
//! [`CompiledQuery::matches`] tests an event; most events are settled by their fields alone.

mod ast;
mod compare;
mod compile;
mod error;
mod fixed;
mod list;
mod names;
mod number;
mod parse;
mod tree;
mod weaken;

pub(crate) use ast::Literal;
pub(crate) use compile::Look;
pub use compile::{CompiledQuery, Scratch};
pub use error::{QueryError, QueryProblem};
pub(crate) use list::escaped;
pub(crate) use number::Number;
pub(crate) use weaken::Part;

use crate::{EventTime, Place};
use ast::{Expr, Operand, Path};
use list::SubQuery;

/// The most bytes of a query.
pub const MAX_LENGTH: usize = 1 << 20;
/// How deep parentheses and brackets may be in each other.
pub const MAX_DEPTH: usize = 64;
/// The most steps and comparisons of a query; the largest that Windows takes, 512 channels with
/// 22 expressions each, has some 30,000.
pub const MAX_TERMS: usize = 1 << 16;
/// The most predicates of a step.
pub const MAX_PREDICATES: usize = 8;

/// An event query: which events are selected.
///
/// Its text, by `Display`, is the query in one canonical form: reading it gives the same query.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    body: Body,
}

/// A select or suppress of a query.
#[derive(Clone, PartialEq, Debug)]
pub struct QueryClause {
    /// Which `<Query>` of the list it is in, from 0. An event is selected by one of these: by any
    /// of its selects, and by none of its suppresses.
    pub query: usize,
    /// That `<Query>`'s `Id`.
    pub id: Option<i64>,
    /// Where it looks: a channel, or a file as `file://…`; its own or its `<Query>`'s.
    pub path: Option<String>,
    /// Whether it takes events away.
    pub suppresses: bool,
    /// Which events, as an XPath query by itself.
    pub condition: Query,
    /// How many comparisons and other conditions it has, which servers limit.
    pub expressions: usize,
}

#[derive(Clone, PartialEq, Debug)]
enum Body {
    XPath(Box<Expr>),
    List(Vec<SubQuery>),
}

impl Query {
    /// Reads an XPath expression, or a whole `<QueryList>` document.
    ///
    /// # Errors
    /// [`QueryError`], with the place in the text, if it is neither in Windows' subset of XPath 1.0
    /// nor such a document, or is over the bounds on its size and depth.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        // Editors on Windows write a byte order mark before a saved query.
        let document = text.trim_start_matches('\u{feff}');
        let before = text.len() - document.len();
        let wrong = |(at, problem): (usize, _)| QueryError {
            place: Place::new(text, before + at),
            problem,
        };
        if text.len() > MAX_LENGTH {
            let start = &text[..text.floor_char_boundary(100)];
            return Err(QueryError { place: Place::new(start, 0), problem: QueryProblem::TooLong });
        }
        let mut terms = MAX_TERMS;
        let body = if document.trim_start().starts_with('<') {
            Body::List(list::parse(document, &mut terms).map_err(wrong)?)
        } else {
            Body::XPath(Box::new(parse::parse(document, &mut terms).map_err(wrong)?))
        };
        Ok(Query { body })
    }

    /// Makes the query ready for testing events. `now` is what `timediff` with one argument
    /// counts to.
    pub fn compile(&self, now: EventTime) -> CompiledQuery {
        CompiledQuery::new(self, now)
    }

    /// Whether the query is a `<QueryList>` document.
    pub fn is_list(&self) -> bool {
        matches!(self.body, Body::List(_))
    }

    /// The selects and suppresses of a `<QueryList>`, or an XPath expression as the only select:
    /// for who knows of each event which log it is in, which may not be the one that it names.
    pub fn clauses(&self) -> Vec<QueryClause> {
        let clause = |query, id, path: Option<&str>, suppresses, expr: &Expr| QueryClause {
            query,
            id,
            path: path.map(str::to_owned),
            suppresses,
            condition: Query { body: Body::XPath(Box::new(expr.clone())) },
            expressions: expressions(expr),
        };
        match &self.body {
            Body::XPath(expr) => vec![clause(0, None, None, false, expr)],
            Body::List(queries) => queries
                .iter()
                .enumerate()
                .flat_map(|(n, query)| query.clauses.iter().map(move |one| (n, query, one)))
                .map(|(n, query, one)| {
                    let path = one.path.as_deref().or(query.path.as_deref());
                    clause(n, query.id, path, one.suppresses, &one.expr)
                })
                .collect(),
        }
    }
}

/// The comparisons, and the paths that only have to be there, in a condition.
fn expressions(expr: &Expr) -> usize {
    let in_path = |path: &Path| {
        let predicates = path.steps.iter().flat_map(|step| &step.predicates);
        predicates.map(expressions).sum::<usize>()
    };
    match expr {
        Expr::Or(terms) | Expr::And(terms) => terms.iter().map(expressions).sum(),
        Expr::Path(path) => in_path(path).max(1),
        Expr::Compare(Operand::Path(path), ..) => 1 + in_path(path),
        Expr::Not(inner) => expressions(inner),
        Expr::Compare(..) | Expr::Band(..) | Expr::Search(..) => 1,
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.body {
            Body::XPath(expr) => expr.fmt(f),
            Body::List(queries) => list::write(queries, f),
        }
    }
}

#[cfg(test)]
mod tests;
