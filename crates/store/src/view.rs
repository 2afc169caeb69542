//! What a statement of SQL sees: `events`, and `notices` of what was not seen.
//!
//! Both are made of the table and of the rows in memory at one moment, and stand on the rules of who
//! asks: nothing that a statement says is looked at with a row that the rules hide. A condition that
//! could fail (a cast, a division) could tell by failing what is in such a row; so only conditions that
//! can't are tested in the scan, and all others above the rules.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::datafusion::catalog::{MemTable, Session, TableProvider};
use deltalake::datafusion::common::{DataFusionError, Result as EngineResult, plan_err};
use deltalake::datafusion::execution::SessionState;
use deltalake::datafusion::logical_expr::expr::{Between, BinaryExpr, InList, Like};
use deltalake::datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use deltalake::datafusion::physical_expr::PhysicalExpr;
use deltalake::datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use deltalake::datafusion::physical_plan::ExecutionPlan;
use deltalake::datafusion::physical_plan::projection::ProjectionExec;
use deltalake::datafusion::prelude::{SessionContext, col};

use crate::StoreError;
use crate::computed;
use crate::predicate::Access;
use crate::schema::{DATA_PREFIX, column};
use crate::session::{Moment, is_event, union};
use crate::through::{Passing, Through};

/// The views that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum View {
    Events,
    Notices,
}

impl View {
    pub(crate) const ALL: [View; 2] = [View::Events, View::Notices];

    pub(crate) fn name(self) -> &'static str {
        match self {
            View::Events => "events",
            View::Notices => "notices",
        }
    }

    /// The columns, in their order.
    fn columns(self, schema: &SchemaRef) -> Vec<Expr> {
        let mut columns = vec![col(column::TIME), computed::time_text()];
        match self {
            View::Events => {
                columns.extend(EVENT.map(|name| match name {
                    "level_name" => computed::level_name(),
                    "keyword_names" => computed::keyword_names(),
                    column::KEYWORDS => computed::keywords(),
                    name => col(name),
                }));
                let chosen = schema.fields().iter().filter(|f| f.name().starts_with(DATA_PREFIX));
                // Their names may have uppercase letters.
                columns.extend(chosen.map(|field| {
                    Expr::Column(deltalake::datafusion::common::Column::from_name(field.name()))
                }));
            }
            View::Notices => columns.extend(NOTICE.map(col)),
        }
        columns
    }
}

/// The columns of `events` after the time.
const EVENT: [&str; 34] = [
    column::TICK,
    column::SOURCE,
    column::HOST,
    column::LOG,
    column::LOG_RECORD,
    column::RECEIVED,
    column::COMPUTER,
    column::CHANNEL,
    column::RECORD_ID,
    column::PROVIDER,
    column::PROVIDER_GUID,
    column::EVENT_ID,
    column::QUALIFIERS,
    column::VERSION,
    column::LEVEL,
    "level_name",
    column::TASK,
    column::OPCODE,
    column::KEYWORDS,
    "keyword_names",
    column::USER_SID,
    column::PROCESS_ID,
    column::THREAD_ID,
    column::ACTIVITY_ID,
    column::RELATED_ACTIVITY_ID,
    column::DATA,
    column::USER_DATA,
    column::OTHER,
    column::TEXT,
    column::MESSAGE,
    column::MESSAGE_SOURCE,
    column::RULES,
    column::FILETIME,
    column::KIND,
];

/// The columns of `notices` after the time.
const NOTICE: [&str; 7] = [
    column::KIND,
    column::SOURCE,
    column::HOST,
    column::LOG,
    column::LOG_RECORD,
    column::RECEIVED,
    column::MESSAGE,
];

/// A view, as the engine scans it.
pub(crate) struct Seen {
    view: View,
    table: Arc<dyn TableProvider>,
    memory: Option<Arc<MemTable>>,
    access: Option<Expr>,
    schema: SchemaRef,
}

impl Seen {
    /// # Errors
    /// [`StoreError::Engine`].
    pub(crate) async fn new(
        view: View,
        moment: &Moment,
        access: &Access,
        context: &SessionContext,
    ) -> Result<Self, StoreError> {
        let wrong = |error: DataFusionError| StoreError::engine("read the table", error);
        let table = moment.table(context).await?;
        let memory = moment.memory(&table.schema())?;
        let all = context.read_table(Arc::clone(&table)).map_err(wrong)?;
        let shown = all.select(view.columns(&table.schema())).map_err(wrong)?;
        let schema = Arc::new(shown.schema().as_arrow().clone());
        Ok(Seen { view, table, memory, access: access.expr(), schema })
    }

    fn condition(&self) -> Expr {
        let kind = match self.view {
            View::Events => is_event(),
            View::Notices => is_event().is_not_true(),
        };
        match &self.access {
            Some(access) => kind.and(access.clone()),
            None => kind,
        }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").field("view", &self.view).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Seen {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match can_not_fail(filter) {
            // The engine tests it again, which costs little.
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
            return plan_err!("this view is scanned in its own session");
        };
        let context = SessionContext::new_with_state(state.clone());
        let memory = self.memory.clone();
        let rows = union(&context, Arc::clone(&self.table), memory, Some(self.condition()))?;
        let mut shown = rows.select(self.view.columns(&self.table.schema()))?;
        for filter in filters.iter().filter(|filter| can_not_fail(filter)) {
            shown = shown.filter(filter.clone())?;
        }
        let names: Vec<&str> = match projection {
            Some(places) => places.iter().map(|&n| self.schema.field(n).name().as_str()).collect(),
            None => self.schema.fields().iter().map(|field| field.name().as_str()).collect(),
        };
        let is_counted = names.is_empty();
        let names = if is_counted { vec![column::KIND] } else { names };
        let by_name =
            |name: &&str| Expr::Column(deltalake::datafusion::common::Column::from_name(*name));
        shown = shown.select(names.iter().map(by_name).collect::<Vec<_>>())?;
        if filters.is_empty() {
            shown = shown.limit(0, limit)?;
        }
        let mut plan = shown.create_physical_plan().await?;
        if self.access.is_some() {
            plan = Through::<Wall>::over(plan);
        }
        if is_counted {
            let none: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::new();
            plan = Arc::new(ProjectionExec::try_new(none, plan)?);
        }
        Ok(plan)
    }
}

/// Whether a condition has a value for every row, without an error that could reveal one.
fn can_not_fail(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Not(inside)
        | Expr::IsNull(inside)
        | Expr::IsNotNull(inside)
        | Expr::IsTrue(inside)
        | Expr::IsFalse(inside)
        | Expr::IsNotTrue(inside)
        | Expr::IsNotFalse(inside) => can_not_fail(inside),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let is_test = matches!(
                op,
                Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
                    | Operator::And
                    | Operator::Or
                    | Operator::IsDistinctFrom
                    | Operator::IsNotDistinctFrom
            );
            is_test && can_not_fail(left) && can_not_fail(right)
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            [expr, low, high].into_iter().all(|expr| can_not_fail(expr))
        }
        Expr::InList(InList { expr, list, .. }) => {
            can_not_fail(expr) && list.iter().all(can_not_fail)
        }
        Expr::Like(Like { expr, pattern, .. }) => {
            can_not_fail(expr) && matches!(**pattern, Expr::Literal(..))
        }
        _ => false,
    }
}

/// What stands between the rules and a statement: conditions from above stay above, but for those that
/// compare a column with what was found so far.
#[derive(Debug)]
struct Wall;

impl Passing for Wall {
    const NAME: &'static str = "Wall";

    fn passes(condition: &Arc<dyn PhysicalExpr>) -> bool {
        is_bound(condition)
    }
}

/// Whether a filter compares columns, as they are, with what the plan above has found so far.
fn is_bound(filter: &Arc<dyn PhysicalExpr>) -> bool {
    let is_column = |expr: &&Arc<dyn PhysicalExpr>| {
        (expr.as_ref() as &dyn Any).downcast_ref::<Column>().is_some()
    };
    (filter.as_ref() as &dyn Any).downcast_ref::<DynamicFilterPhysicalExpr>().is_some()
        && filter.children().iter().all(is_column)
}
