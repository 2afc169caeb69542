//! The engine that questions run in: DataFusion, with limits.
//!
//! Each question has a context of its own, and with it a pool of memory; what is known of files'
//! footers is shared. A question that ends, in whatever way, or whose stream is dropped, takes its
//! tasks with it. Nothing is spilled to disk: what doesn't fit is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deltalake::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::datafusion::catalog::{MemTable, TableProvider};
use deltalake::datafusion::common::DataFusionError;
use deltalake::datafusion::dataframe::DataFrame;
use deltalake::datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use deltalake::datafusion::execution::memory_pool::GreedyMemoryPool;
use deltalake::datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use deltalake::datafusion::execution::{SessionStateBuilder, TaskContext};
use deltalake::datafusion::logical_expr::Expr;
use deltalake::datafusion::physical_plan::{
    ExecutionPlan, SendableRecordBatchStream, execute_stream,
};
use deltalake::datafusion::prelude::{SessionConfig, SessionContext, col, lit};
use deltalake::delta_datafusion::{DeltaScanNext, DeltaSessionConfig};
use deltalake::kernel::EagerSnapshot;
use deltalake::logstore::LogStoreRef;
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::StoreError;
use crate::bounded::LAVISH;
use crate::counts::Kept;
use crate::facts::Files;
use crate::schema::column;

/// How much a question may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Limits {
    pub(crate) time: Duration,
    pub(crate) memory: usize,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Default for Limits {
    /// 15 seconds, 512 MiB, a million rows, 1 GiB of answer.
    fn default() -> Self {
        Limits { time: Duration::from_secs(15), memory: 512 << 20, rows: 1_000_000, bytes: 1 << 30 }
    }
}

impl Limits {
    /// How long it may take, from the question to the end of the answer.
    pub fn time(self, time: Duration) -> Self {
        Limits { time, ..self }
    }

    /// How many bytes of memory it may take, what is read not counted.
    pub fn memory(self, bytes: usize) -> Self {
        Limits { memory: bytes, ..self }
    }

    /// How many rows the answer may have.
    pub fn rows(self, rows: usize) -> Self {
        Limits { rows, ..self }
    }

    /// How many bytes of memory the rows of the answer may have been in all.
    pub fn bytes(self, bytes: usize) -> Self {
        Limits { bytes, ..self }
    }
}

/// The table and what is in memory beyond it, at one moment.
#[derive(Clone)]
pub(crate) struct Moment {
    pub(crate) log_store: LogStoreRef,
    pub(crate) snapshot: Arc<EagerSnapshot>,
    /// Rows that the snapshot doesn't have yet.
    pub(crate) memory: Vec<RecordBatch>,
}

/// What all questions share.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    runtime: Arc<RuntimeEnv>,
    files: Arc<Mutex<Option<Arc<Files>>>>,
    counts: Arc<Mutex<Kept>>,
    /// One question brings the sum of counts further at a time.
    counting: Arc<tokio::sync::Mutex<()>>,
    writes_counts: bool,
}

impl Engine {
    /// # Errors
    /// [`StoreError::Engine`].
    ///
    /// `writes_counts` says that counts which are made are kept beside the table.
    pub(crate) fn new(writes_counts: bool) -> Result<Self, StoreError> {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build_arc();
        let runtime = runtime.map_err(|error| StoreError::engine("start the engine", error))?;
        let (files, counts, counting) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Engine { runtime, files, counts, counting, writes_counts })
    }

    pub(crate) fn writes_counts(&self) -> bool {
        self.writes_counts
    }

    pub(crate) fn kept_files(&self) -> MutexGuard<'_, Option<Arc<Files>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn kept_counts(&self) -> MutexGuard<'_, Kept> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counting(&self) -> &tokio::sync::Mutex<()> {
        &self.counting
    }

    /// A context for one question.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub(crate) fn context(&self, limits: &Limits) -> Result<SessionContext, StoreError> {
        let pool = Arc::new(GreedyMemoryPool::new(limits.memory));
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime)
            .with_memory_pool(pool)
            .build_arc()
            .map_err(|error| StoreError::engine("start the engine", error))?;
        let state = SessionStateBuilder::new()
            .with_config(config())
            .with_runtime_env(runtime)
            .with_default_features()
            // None of them reads the table.
            .with_table_functions(HashMap::new())
            .build();
        let context = SessionContext::new_with_state(state);
        LAVISH.iter().for_each(|name| context.deregister_udf(name));
        Ok(context)
    }
}

fn config() -> SessionConfig {
    let mut config: SessionConfig = DeltaSessionConfig::default().into();
    let options = config.options_mut();
    // A scan takes this from the session, and reads whole columns without it.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.sql_parser.enable_ident_normalization = true;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.with_information_schema(false).with_target_partitions(cores)
}

impl Moment {
    /// The table as the engine scans it.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub(crate) async fn table(
        &self,
        context: &SessionContext,
    ) -> Result<Arc<dyn TableProvider>, StoreError> {
        let table = DeltaScanNext::builder()
            .with_log_store(Arc::clone(&self.log_store))
            .with_eager_snapshot(Arc::clone(&self.snapshot))
            .with_session(Arc::new(context.state()))
            .await;
        table.map_err(|error| StoreError::engine("scan the table", error))
    }

    /// The rows in memory with the columns and types of a scan; nothing where there are none.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub(crate) fn memory(&self, schema: &SchemaRef) -> Result<Option<Arc<MemTable>>, StoreError> {
        if self.memory.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(None);
        }
        let wrong = |error: DataFusionError| StoreError::engine("read rows in memory", error);
        let mut batches = Vec::with_capacity(self.memory.len());
        for batch in &self.memory {
            batches.push(adapt(batch, schema).map_err(wrong)?);
        }
        // A partition a batch would be a task a batch.
        MemTable::try_new(Arc::clone(schema), vec![batches])
            .map(|table| Some(Arc::new(table)))
            .map_err(wrong)
    }
}

/// The rows of the table and of memory that pass a condition.
pub(crate) fn union(
    context: &SessionContext,
    table: Arc<dyn TableProvider>,
    memory: Option<Arc<MemTable>>,
    condition: Option<Expr>,
) -> Result<DataFrame, DataFusionError> {
    let chosen = |frame: DataFrame| match &condition {
        Some(condition) => frame.filter(condition.clone()),
        None => Ok(frame),
    };
    let stored = chosen(context.read_table(table)?)?;
    match memory {
        Some(memory) => stored.union(chosen(context.read_table(memory)?)?),
        None => Ok(stored),
    }
}

/// That a row is an event, rather than a gap or a failure.
pub(crate) fn is_event() -> Expr {
    col(column::KIND).eq(lit("event"))
}

fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let column = |name: &str, kind| -> Result<ArrayRef, DataFusionError> {
        match batch.column_by_name(name) {
            Some(array) if array.data_type() == kind => Ok(Arc::clone(array)),
            Some(array) => Ok(cast(array, kind)?),
            None => Ok(new_null_array(kind, batch.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?)
}

/// The batches of an answer, within its limits.
pub(crate) struct Batches {
    stream: SendableRecordBatchStream,
    limits: Limits,
    deadline: Instant,
    rows: usize,
    bytes: usize,
}

impl Batches {
    /// Begins to answer; the time runs since `begun`.
    ///
    /// # Errors
    /// [`StoreError::Engine`], [`StoreError::Sql`], [`StoreError::Limit`].
    pub(crate) async fn of(
        frame: DataFrame,
        limits: &Limits,
        begun: Instant,
    ) -> Result<Self, StoreError> {
        let deadline = begun + limits.time;
        match tokio::time::timeout_at(deadline, frame.execute_stream()).await {
            Ok(Ok(stream)) => Ok(Batches { stream, limits: *limits, deadline, rows: 0, bytes: 0 }),
            Ok(Err(error)) => Err(of_engine(error, limits)),
            Err(_) => Err(too_slow(limits)),
        }
    }

    /// Begins to answer by a plan; the time runs since `begun`.
    ///
    /// # Errors
    /// [`StoreError::Engine`], [`StoreError::Sql`], [`StoreError::Limit`].
    pub(crate) fn of_plan(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        limits: &Limits,
        begun: Instant,
    ) -> Result<Self, StoreError> {
        let stream = execute_stream(plan, context).map_err(|error| of_engine(error, limits))?;
        let deadline = begun + limits.time;
        Ok(Batches { stream, limits: *limits, deadline, rows: 0, bytes: 0 })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next batch.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        let batch = match tokio::time::timeout_at(self.deadline, self.stream.next()).await {
            Ok(Some(Ok(batch))) => batch,
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(of_engine(error, &self.limits)),
            Err(_) => return Err(too_slow(&self.limits)),
        };
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        if self.rows > self.limits.rows {
            let most = format!("{} rows", self.limits.rows);
            return Err(StoreError::Limit { what: "the answer is longer than", most });
        }
        if self.bytes > self.limits.bytes {
            let most = format!("{} bytes", self.limits.bytes);
            return Err(StoreError::Limit { what: "the answer is larger than", most });
        }
        Ok(Some(batch))
    }
}

pub(crate) fn too_slow(limits: &Limits) -> StoreError {
    let most = format!("{} seconds", limits.time.as_secs_f64());
    StoreError::Limit { what: "the answer took longer than", most }
}

/// What the engine says is wrong with a statement, without what only its own users know.
pub(crate) fn plain(problem: String) -> String {
    let table =
        problem.split_once("table 'datafusion.public.").and_then(|(_, rest)| rest.split_once('\''));
    match table {
        Some((name, _)) => format!("there is no table {name}; there are: events, notices"),
        None if problem.contains("only supports a single SQL statement") => {
            "one statement is answered at a time".to_owned()
        }
        None => {
            let option =
                " or disable the datafusion.sql_parser.enable_ident_normalization configuration";
            problem.replace(option, "")
        }
    }
}

/// Whose fault an error of the engine's is.
pub(crate) fn of_engine(error: DataFusionError, limits: &Limits) -> StoreError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => {
            let most = format!("{} bytes of memory", limits.memory);
            StoreError::Limit { what: "the question needs more than", most }
        }
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::Execution(_)
        | DataFusionError::ArrowError(..) => {
            StoreError::Sql { problem: plain(error.strip_backtrace()) }
        }
        _ => StoreError::engine("answer a question", error),
    }
}
