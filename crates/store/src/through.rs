//! A node of a plan that hands on the rows of its one input, in their order.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use deltalake::datafusion::common::tree_node::TreeNodeRecursion;
use deltalake::datafusion::common::{Result as EngineResult, plan_err};
use deltalake::datafusion::config::ConfigOptions;
use deltalake::datafusion::execution::{SendableRecordBatchStream, TaskContext};
use deltalake::datafusion::physical_expr::PhysicalExpr;
use deltalake::datafusion::physical_expr::expressions::Column;
use deltalake::datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use deltalake::datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};

/// What a [`Through`] is for.
pub(crate) trait Passing: fmt::Debug + Send + Sync + 'static {
    /// Its name in a plan.
    const NAME: &'static str;

    /// Whether a condition of the plan above may be tested below.
    fn passes(_condition: &Arc<dyn PhysicalExpr>) -> bool {
        false
    }

    /// What is done with the rows.
    fn rows(rows: SendableRecordBatchStream, _context: &TaskContext) -> SendableRecordBatchStream {
        rows
    }
}

/// The node.
#[derive(Debug)]
pub(crate) struct Through<P> {
    input: Arc<dyn ExecutionPlan>,
    passing: PhantomData<P>,
}

impl<P: Passing> Through<P> {
    pub(crate) fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Through::<P> { input, passing: PhantomData })
    }
}

impl<P: Passing> DisplayAs for Through<P> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(P::NAME)
    }
}

impl<P: Passing> ExecutionPlan for Through<P> {
    fn name(&self) -> &str {
        P::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.pop()) {
            (Some(input), None) => Ok(Through::<P>::over(input)),
            _ => plan_err!("{} has one input", P::NAME),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let recompute = ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(recompute))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> EngineResult<SendableRecordBatchStream> {
        Ok(P::rows(self.input.execute(partition, Arc::clone(&context))?, &context))
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> EngineResult<FilterDescription> {
        // A column that there isn't makes the engine keep the condition above.
        let none: Arc<dyn PhysicalExpr> = Arc::new(Column::new("\u{0}none", usize::MAX));
        let passed = parent_filters.into_iter().map(|condition| match P::passes(&condition) {
            true => condition,
            false => Arc::clone(&none),
        });
        FilterDescription::from_children(passed.collect(), &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> EngineResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
