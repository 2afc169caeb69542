//! Windows event queries: XPath, and `<QueryList>` documents.

mod number;

pub(crate) use number::Number;

use crate::{EventTime, FieldSource, Place};

/// An event query: which events are selected.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {}

/// A query that can't be understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct QueryError {
    /// Where in the query's text.
    pub place: Place,
    /// What is wrong there.
    pub problem: QueryProblem,
}

/// What is wrong with a query.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryProblem {}

impl Query {
    /// Reads an XPath expression, or a whole `<QueryList>` document.
    pub fn parse(_text: &str) -> Result<Self, QueryError> {
        unimplemented!()
    }

    /// Makes the query ready for testing events. `now` is what `timediff` with one argument
    /// counts to.
    pub fn compile(&self, _now: EventTime) -> CompiledQuery {
        unimplemented!()
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        unimplemented!()
    }
}

/// A query ready for testing events.
#[derive(Clone, Debug)]
pub struct CompiledQuery {}

/// Room for testing events, one for a thread.
#[derive(Default)]
pub struct Scratch {}

impl CompiledQuery {
    /// Whether an event is selected.
    pub fn matches<S: FieldSource>(&self, _source: &S, _scratch: &mut Scratch) -> bool {
        unimplemented!()
    }
}
