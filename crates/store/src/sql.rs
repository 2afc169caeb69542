//! One `SELECT` on the views `events` and `notices`.
//!
//! Nothing else is planned: no other statement, no other table, no function that reads a file, no
//! `information_schema`. The rules of who asks stand below the views (`view`).

use std::ops::ControlFlow;
use std::sync::Arc;

use deltalake::datafusion::execution::SessionState;
use deltalake::datafusion::execution::context::SQLOptions;
use deltalake::datafusion::sql::parser::Statement;
use deltalake::datafusion::sql::sqlparser::ast::{self, Visit as _};
use deltalake::datafusion::sql::sqlparser::dialect::GenericDialect;
use deltalake::datafusion::sql::sqlparser::keywords::Keyword;
use deltalake::datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::bounded::{self, Bounds, Held};
use crate::predicate::Access;
use crate::session::{Batches, Engine, Limits, Moment, of_engine, plain, too_slow};
use crate::view::{Seen, View};
use crate::{Store, StoreError};

/// The longest statement, in bytes.
const MAX_LENGTH: usize = 64 << 10;
/// The most operators of a statement. Each may nest what is before it once more, and what walks a plan
/// or drops it goes as deep: too deep for a thread's stack is the end of the process.
const MAX_OPERATORS: usize = 120;
/// The most commas of a statement: each value of a list is an operator to who reads the table.
const MAX_COMMAS: usize = 1000;
/// How deep the queries of a statement may stand in each other.
const MAX_DEPTH: usize = 16;
/// How often a statement may name tables. One that names what it defined twice each time doubles its
/// plan each time.
const MAX_TABLES: usize = 16;

impl Store {
    /// Answers one `SELECT` on the views `events` and `notices`, of the table as it was last seen and of
    /// what was pushed since.
    ///
    /// # Errors
    /// [`StoreError::Sql`] for what is no such statement, with what is wrong with it, and
    /// [`StoreError::Limit`] for one that takes too much.
    pub async fn query(
        &self,
        sql: &str,
        limits: &Limits,
        access: &Access,
    ) -> Result<Answer, StoreError> {
        query(&self.moment()?, self.engine(), sql, limits, access).await
    }
}

pub(crate) async fn query(
    moment: &Moment,
    engine: &Engine,
    sql: &str,
    limits: &Limits,
    access: &Access,
) -> Result<Answer, StoreError> {
    let begun = Instant::now();
    let context = engine.context(limits)?;
    let held = Arc::new(Held::new(limits.memory));
    context.add_analyzer_rule(Arc::new(Bounds(held)));
    let statement = parse(&context.state(), sql)?;
    for view in View::ALL {
        let seen = Seen::new(view, moment, access, &context).await?;
        let registered = context.register_table(view.name(), Arc::new(seen));
        registered.map_err(|error| StoreError::engine("make a view", error))?;
    }
    let wrong = |error| of_engine(error, limits);
    let state = context.state();
    let planned = tokio::time::timeout_at(begun + limits.time, state.statement_to_plan(statement));
    let plan = match planned.await {
        Ok(plan) => plan.map_err(wrong)?,
        Err(_) => return Err(too_slow(limits)),
    };
    let options =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&plan).map_err(wrong)?;
    let plan = state.optimize(&plan).map_err(wrong)?;
    bounded::check_literals(&plan).map_err(wrong)?;
    let planned = state.query_planner().create_physical_plan(&plan, &state);
    let plan = match tokio::time::timeout_at(begun + limits.time, planned).await {
        Ok(plan) => bounded::count_windows(plan.map_err(wrong)?).map_err(wrong)?,
        Err(_) => return Err(too_slow(limits)),
    };
    let plan = bounded::yielding(plan).map_err(wrong)?;
    let batches = Batches::of_plan(plan, context.task_ctx(), limits, begun)?;
    Ok(Answer::new(batches, context))
}

/// Reads a statement, and refuses what isn't one `SELECT`.
fn parse(state: &SessionState, sql: &str) -> Result<Statement, StoreError> {
    let refuse = |problem: &str| Err(StoreError::Sql { problem: problem.to_owned() });
    if sql.len() > MAX_LENGTH {
        return refuse("the statement is longer than 65536 bytes");
    }
    if operators(sql) > MAX_OPERATORS {
        return refuse(
            "the statement has more than 120 operators; of many values, `IN (…)` takes one",
        );
    }
    if sql.matches(',').count() > MAX_COMMAS {
        return refuse("the statement has more than 1000 commas");
    }
    let dialect = state.config().options().sql_parser.dialect;
    let statement = match state.sql_to_statement(sql, &dialect) {
        Ok(statement) => statement,
        Err(error) => return Err(StoreError::Sql { problem: plain(error.strip_backtrace()) }),
    };
    let Statement::Statement(inside) = &statement else {
        return refuse("only SELECT is answered");
    };
    let ast::Statement::Query(query) = &**inside else {
        return refuse("only SELECT is answered");
    };
    if !query.locks.is_empty() || query.for_clause.is_some() {
        return refuse("FOR has no meaning here");
    }
    if let Some(table) = other_table(query) {
        let problem = format!("there is no table {table}; there are: events, notices");
        return Err(StoreError::Sql { problem });
    }
    let mut depth = Depth::default();
    let _ = query.visit(&mut depth);
    if depth.most > MAX_DEPTH {
        return refuse("the statement has queries in each other more than 16 deep");
    }
    let mut tables = 0;
    let _ = ast::visit_relations(query, |_| {
        tables += 1;
        ControlFlow::<()>::Continue(())
    });
    if tables > MAX_TABLES {
        return refuse("the statement names tables more than 16 times");
    }
    Ok(statement)
}

/// How many words of a statement put what is before them into something larger. What is no word is told
/// of by who parses.
fn operators(sql: &str) -> usize {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    let is_operator = |token: &&Token| match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::AT
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::DIV
                | Keyword::EXCEPT
                | Keyword::ILIKE
                | Keyword::IN
                | Keyword::INTERSECT
                | Keyword::IS
                | Keyword::JOIN
                | Keyword::LIKE
                | Keyword::MINUS
                | Keyword::NOT
                | Keyword::NOTNULL
                | Keyword::OPERATOR
                | Keyword::OR
                | Keyword::OVERLAPS
                | Keyword::REGEXP
                | Keyword::RLIKE
                | Keyword::SIMILAR
                | Keyword::UNION
                | Keyword::XOR
        ),
        Token::Comma | Token::Period | Token::LParen | Token::RParen => false,
        Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) => false,
        _ => true,
    };
    tokens.iter().filter(is_operator).count()
}

/// How deep queries stand in each other.
#[derive(Default)]
struct Depth {
    now: usize,
    most: usize,
}

impl ast::Visitor for Depth {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.now += 1;
        self.most = self.most.max(self.now);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.now -= 1;
        ControlFlow::Continue(())
    }
}

/// A table that is named with a catalogue or a schema before it: the views have none.
fn other_table(query: &ast::Query) -> Option<String> {
    let found = ast::visit_relations(query, |name| match name.0.len() {
        1 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(name.to_string()),
    });
    match found {
        ControlFlow::Break(name) => Some(name),
        ControlFlow::Continue(()) => None,
    }
}
