//! Memory that the engine doesn't count: what the functions of a statement make.
//!
//! The engine's pool counts what sorts, groups and joins hold. It isn't asked for the arrays that an
//! expression makes, and `x || x` over itself forty times over needs more than any machine has. So the
//! functions that can make more than they were given are put into a [`Bounded`] of ours once a statement's
//! types are known: it estimates what comes before it is made, works in pieces of a batch where that is
//! much, and refuses what would be more than the question may hold at once ([`Held`]). A window over all
//! rows keeps them uncounted as well: what goes into it is counted by a [`Counted`].

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use deltalake::arrow::array::{Array, ArrayData, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::buffer::Buffer;
use deltalake::arrow::compute::concat;
use deltalake::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use deltalake::datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use deltalake::datafusion::common::{
    DataFusionError, Result as EngineResult, ScalarValue, plan_err, resources_err,
};
use deltalake::datafusion::config::ConfigOptions;
use deltalake::datafusion::execution::memory_pool::MemoryConsumer;
use deltalake::datafusion::execution::{SendableRecordBatchStream, TaskContext};
use deltalake::datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use deltalake::datafusion::logical_expr::expr_rewriter::NamePreserver;
use deltalake::datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use deltalake::datafusion::optimizer::AnalyzerRule;
use deltalake::datafusion::physical_expr::PhysicalExpr;
use deltalake::datafusion::physical_expr::expressions::{self, Column};
use deltalake::datafusion::physical_plan::coop::CooperativeExec;
use deltalake::datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake::datafusion::physical_plan::unnest::UnnestExec;
use deltalake::datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use deltalake::datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions,
};
use futures_util::StreamExt;

use crate::through::{Passing, Through};

/// Functions that make as much of a row as a number says. They are refused.
pub(crate) const LAVISH: [&str; 8] = [
    "array_repeat",
    "array_resize",
    "gen_series",
    "generate_series",
    "lpad",
    "range",
    "repeat",
    "rpad",
];

/// The most that a function makes of constants alone: it becomes part of the statement.
const MOST_CONSTANT: usize = 64 << 10;
/// The most bytes of text that the expressions of one part of a statement's plan may have as constants:
/// each may be made once for every row of a batch.
const MOST_LITERALS: usize = 128 << 10;
/// What a function makes at once. More is made in pieces of a batch.
const PIECE: usize = 32 << 20;
/// Arrays that are smaller aren't looked after.
const SMALL: usize = 64 << 10;

/// How much a function makes of what it is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Growth {
    /// So many times what it is given, at most.
    Times(usize),
    /// The first argument stands between the others.
    Between,
    /// The third argument takes the place of the second, wherever that is in the first.
    Replaced,
    /// As that, with a pattern, and parts of what it found in what takes its place.
    Matched,
    /// The second argument stands between the elements of the first, the third for those that are null.
    Joined,
    /// Elements of the first argument become the third.
    Elements,
}

/// The functions that make more than they are given.
fn growth(name: &str) -> Option<Growth> {
    Some(match name {
        "array_append" | "array_concat" | "array_prepend" | "array_union" | "arrays_zip"
        | "concat" | "make_array" | "map" | "map_entries" | "named_struct" | "overlay"
        | "struct" => Growth::Times(1),
        "encode" => Growth::Times(2),
        "translate" => Growth::Times(4),
        "string_to_array" => Growth::Times(8),
        "to_char" => Growth::Times(16),
        "concat_ws" => Growth::Between,
        "replace" => Growth::Replaced,
        "regexp_replace" => Growth::Matched,
        "array_to_string" => Growth::Joined,
        "array_replace" | "array_replace_all" | "array_replace_n" => Growth::Elements,
        _ => return None,
    })
}

impl Growth {
    /// The most bytes that come of arguments for so many rows.
    fn of(self, args: &[ColumnarValue], rows: usize) -> usize {
        let size = |n: usize| args.get(n).map_or(0, |arg| size(arg, rows));
        let longest = |n: usize| args.get(n).map_or(0, longest);
        let all = (0..args.len()).fold(0_usize, |sum, n| sum.saturating_add(size(n)));
        let grown = match self {
            Growth::Times(times) => return all.saturating_mul(times),
            Growth::Between => size(0).saturating_mul(args.len()),
            Growth::Replaced => {
                let places = size(0) / args.get(1).map_or(1, shortest).max(1) + rows;
                places.saturating_mul(longest(2))
            }
            Growth::Matched => {
                let places = size(0).saturating_add(rows);
                places.saturating_mul(longest(2)).saturating_mul(3) / 2
            }
            Growth::Joined => {
                // A number of eight bytes may have twenty digits.
                let texts = size(0).saturating_mul(3);
                let between = longest(1).saturating_add(longest(2));
                texts.saturating_add(elements(args).saturating_mul(between))
            }
            Growth::Elements => elements(args).saturating_mul(longest(2)),
        };
        all.saturating_add(grown)
    }
}

/// The bytes of an argument for so many rows.
fn size(arg: &ColumnarValue, rows: usize) -> usize {
    match arg {
        ColumnarValue::Scalar(value) => of_scalar(value).saturating_mul(rows),
        ColumnarValue::Array(array) => of_array(array),
    }
}

fn of_scalar(value: &ScalarValue) -> usize {
    match value.try_as_str() {
        Some(text) => text.map_or(0, str::len),
        None => value.size(),
    }
}

/// The bytes that an array's values take, without those of others in the same memory.
fn of_array(array: &ArrayRef) -> usize {
    let views = |views: &[u128]| {
        // The length is in the low half of a view's low half.
        let texts = views.iter().map(|view| (*view & u128::from(u32::MAX)) as usize);
        texts.fold(size_of_val(views), usize::saturating_add)
    };
    let inside = |values: &ArrayRef, first: usize, last: usize| {
        of_array(&values.slice(first, last - first)).saturating_add(array.len() * 4)
    };
    match array.data_type() {
        DataType::Utf8View => views(array.as_string_view().views()),
        DataType::BinaryView => views(array.as_binary_view().views()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let at = |n: usize| list.value_offsets().get(n).map_or(0, |at| *at as usize);
            inside(list.values(), at(0), at(list.len()))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let at = |n: usize| map.value_offsets().get(n).map_or(0, |at| *at as usize);
            let entries: ArrayRef = Arc::new(map.entries().clone());
            inside(&entries, at(0), at(map.len()))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(of_array).sum(),
        _ => {
            let exact = array.to_data().get_slice_memory_size();
            exact.unwrap_or_else(|_| array.get_array_memory_size())
        }
    }
}

/// The lengths of the texts of an argument, the longest and the shortest; of what is no text, its size.
fn lengths(arg: &ColumnarValue) -> (usize, usize) {
    let bounds = |lengths: &mut dyn Iterator<Item = usize>| {
        lengths.fold((0, usize::MAX), |(most, least), n| (most.max(n), least.min(n)))
    };
    match arg {
        ColumnarValue::Scalar(value) => (of_scalar(value), of_scalar(value)),
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                bounds(&mut texts.offsets().lengths())
            }
            DataType::LargeUtf8 => {
                let texts = array.as_string::<i64>();
                bounds(&mut texts.offsets().lengths())
            }
            DataType::Utf8View => {
                let views = array.as_string_view().views();
                bounds(&mut views.iter().map(|view| (*view & u128::from(u32::MAX)) as usize))
            }
            _ => (of_array(array), 0),
        },
    }
}

fn longest(arg: &ColumnarValue) -> usize {
    lengths(arg).0
}

fn shortest(arg: &ColumnarValue) -> usize {
    lengths(arg).1
}

/// How many elements the lists of the first argument have.
fn elements(args: &[ColumnarValue]) -> usize {
    match args.first() {
        Some(ColumnarValue::Array(array)) => match array.data_type() {
            DataType::List(_) => {
                let offsets = array.as_list::<i32>().value_offsets();
                let ends = offsets.first().zip(offsets.last());
                ends.map_or(0, |(first, last)| (last - first) as usize)
            }
            _ => of_array(array),
        },
        Some(ColumnarValue::Scalar(value)) => value.size(),
        None => 0,
    }
}

/// What the functions of one question have made and is still in use.
#[derive(Debug)]
pub(crate) struct Held {
    most: usize,
    buffers: Mutex<Vec<Buffer>>,
}

impl Held {
    pub(crate) fn new(most: usize) -> Self {
        Held { most, buffers: Mutex::default() }
    }

    /// Whether so many bytes more may be made.
    fn admit(&self, name: &str, bytes: usize) -> EngineResult<()> {
        if bytes < SMALL {
            return Ok(());
        }
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else has what is left with one owner: this.
        buffers.retain(|buffer| buffer.strong_count() > 1);
        let held: usize = buffers.iter().map(Buffer::capacity).sum();
        match held.saturating_add(bytes) > self.most {
            true => resources_err!("{name} would make {bytes} bytes beside {held}"),
            false => Ok(()),
        }
    }

    fn keep(&self, data: &ArrayData) {
        for buffer in data.buffers().iter().filter(|buffer| buffer.capacity() >= SMALL) {
            let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
            if !buffers.iter().any(|known| known.data_ptr() == buffer.data_ptr()) {
                buffers.push(buffer.clone());
            }
        }
        data.child_data().iter().for_each(|data| self.keep(data));
    }
}

/// Puts the functions of a statement that make more than they are given into bounds.
#[derive(Debug)]
pub(crate) struct Bounds(pub(crate) Arc<Held>);

impl AnalyzerRule for Bounds {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> EngineResult<LogicalPlan> {
        let bounded = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| self.bound(expr))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        });
        bounded.map(|plan| plan.data)
    }

    fn name(&self) -> &str {
        "bounds"
    }
}

impl Bounds {
    fn bound(&self, expr: Expr) -> EngineResult<Transformed<Expr>> {
        let (inner, growth, args) = match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                (None, Growth::Times(1), vec![*left, *right])
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => match growth(func.name()) {
                Some(growth) if !func.inner().is::<Bounded>() => (Some(func), growth, args),
                _ => {
                    return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction {
                        func,
                        args,
                    })));
                }
            },
            expr => return Ok(Transformed::no(expr)),
        };
        let volatility = inner.as_ref().map_or(Volatility::Immutable, |f| f.signature().volatility);
        let signature = Signature::variadic_any(volatility);
        let bounded = Bounded { inner, growth, signature, held: Arc::clone(&self.0) };
        Ok(Transformed::yes(ScalarUDF::new_from_impl(bounded).call(args)))
    }
}

/// A function, or without one the operator `||`, that makes no more than the question may hold.
#[derive(Debug)]
struct Bounded {
    inner: Option<Arc<ScalarUDF>>,
    growth: Growth,
    signature: Signature,
    held: Arc<Held>,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner && Arc::ptr_eq(&self.held, &other.held)
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Bounded {
    /// What comes of arguments, however much that is.
    fn make(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        if let Some(inner) = &self.inner {
            return inner.invoke_with_args(args);
        }
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let schema = Arc::new(Schema::new(args.arg_fields));
        let columns = args.args.into_iter().map(|arg| arg.into_array(rows));
        let sides = RecordBatch::try_new(schema, columns.collect::<EngineResult<_>>()?)?;
        concatenation().evaluate(&sides)
    }

    /// What comes of some of the rows.
    fn part(
        &self,
        args: &ScalarFunctionArgs,
        first: usize,
        rows: usize,
        made: &mut Vec<ArrayRef>,
    ) -> EngineResult<()> {
        let of = |arg: &ColumnarValue| match arg {
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(value.clone()),
            ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(first, rows)),
        };
        let values: Vec<ColumnarValue> = args.args.iter().map(of).collect();
        let estimated = self.growth.of(&values, rows);
        if estimated > PIECE && rows > 1 {
            self.part(args, first, rows / 2, made)?;
            return self.part(args, first + rows / 2, rows - rows / 2, made);
        }
        self.held.admit(self.name(), estimated)?;
        let part = ScalarFunctionArgs { args: values, number_rows: rows, ..args.clone() };
        let array = self.make(part)?.into_array(rows)?;
        self.held.keep(&array.to_data());
        made.push(array);
        Ok(())
    }
}

/// `||` of the first two columns.
fn concatenation() -> expressions::BinaryExpr {
    let column = |name, n| Arc::new(Column::new(name, n));
    expressions::BinaryExpr::new(column("left", 0), Operator::StringConcat, column("right", 1))
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.as_ref().map_or("||", |inner| inner.name())
    }

    fn schema_name(&self, args: &[Expr]) -> EngineResult<String> {
        match (&self.inner, args) {
            (Some(inner), args) => inner.schema_name(args),
            (None, [left, right]) => {
                Ok(format!("{} || {}", left.schema_name(), right.schema_name()))
            }
            (None, _) => plan_err!("|| has two sides"),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        plan_err!("the type of {} is that of its field", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        if let Some(inner) = &self.inner {
            return inner.return_field_from_args(args);
        }
        let schema = Schema::new(args.arg_fields.to_vec());
        let (kind, nullable) =
            (concatenation().data_type(&schema)?, concatenation().nullable(&schema)?);
        Ok(Arc::new(Field::new(self.name(), kind, nullable)))
    }

    fn is_strict(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_strict())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        if args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) {
            let bytes = self.growth.of(&args.args, 1);
            if bytes > MOST_CONSTANT {
                return resources_err!("{} would make a constant of {bytes} bytes", self.name());
            }
            return self.make(args);
        }
        if self.growth.of(&args.args, args.number_rows) < SMALL {
            return self.make(args);
        }
        let mut made = Vec::new();
        self.part(&args, 0, args.number_rows, &mut made)?;
        let whole = match made.len() {
            1 => made.pop(),
            _ => {
                let parts: Vec<&dyn Array> = made.iter().map(AsRef::as_ref).collect();
                self.held.admit(self.name(), made.iter().map(of_array).sum())?;
                Some(concat(&parts)?)
            }
        };
        let Some(whole) = whole else { return plan_err!("{} made nothing", self.name()) };
        self.held.keep(&whole.to_data());
        Ok(ColumnarValue::Array(whole))
    }
}

/// Refuses a plan with too much text in one part of it as constants, copies counted.
///
/// # Errors
/// As for what takes too much memory.
pub(crate) fn check_literals(plan: &LogicalPlan) -> EngineResult<()> {
    let checked = plan.apply_with_subqueries(|plan| {
        let mut bytes = 0_usize;
        // A scan compares with constants, and makes none.
        if !matches!(plan, LogicalPlan::TableScan(_)) {
            plan.apply_expressions(|expr| {
                expr.apply(|expr| {
                    if let Expr::Literal(value, _) = expr {
                        bytes =
                            bytes.saturating_add(value.try_as_str().flatten().map_or(0, str::len));
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })?;
        }
        match bytes > MOST_LITERALS {
            true => resources_err!("{bytes} bytes of constants for each row"),
            false => Ok(TreeNodeRecursion::Continue),
        }
    });
    checked.map(drop)
}

/// Has what goes into windows that may keep all of it counted.
///
/// # Errors
/// None as a rule.
pub(crate) fn count_windows(plan: Arc<dyn ExecutionPlan>) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let counted = plan.transform_up(|plan| {
        let any = plan.as_ref() as &dyn Any;
        // What comes in an order was sorted, and counted there.
        let keeps_all = any.is::<WindowAggExec>()
            || any.is::<BoundedWindowAggExec>() && plan.properties().output_ordering().is_none();
        if !keeps_all {
            return Ok(Transformed::no(plan));
        }
        let counted =
            plan.children().into_iter().map(|input| Through::<Counted>::over(Arc::clone(input)));
        let (counted, keep) = (counted.collect(), ChildrenPropertiesMode::Keep);
        plan.replace_children(counted, ReplaceChildrenOptions::new(keep)).map(Transformed::yes)
    });
    counted.map(|plan| plan.data)
}

/// Has a plan let others run amid what makes much of little: a join makes batch after batch of what it holds
/// without waiting for anything, so that neither its deadline nor whoever has gone would be seen.
///
/// # Errors
/// None as a rule.
pub(crate) fn yielding(plan: Arc<dyn ExecutionPlan>) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let yielding = plan.transform_up(|plan| {
        let any = plan.as_ref() as &dyn Any;
        let is_lavish = plan.children().len() > 1 || any.is::<UnnestExec>();
        Ok(match is_lavish {
            true => {
                Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>)
            }
            false => Transformed::no(plan),
        })
    });
    yielding.map(|plan| plan.data)
}

/// Counts what goes through for as long as the stream is there, which is as long as who reads it keeps it.
#[derive(Debug)]
struct Counted;

impl Passing for Counted {
    const NAME: &'static str = "Counted";

    fn rows(rows: SendableRecordBatchStream, context: &TaskContext) -> SendableRecordBatchStream {
        let reserved = MemoryConsumer::new("window").register(context.memory_pool());
        let schema = rows.schema();
        let counted = rows.map(move |batch| {
            let batch = batch?;
            reserved.try_grow(batch.columns().iter().map(of_array).sum())?;
            Ok::<_, DataFusionError>(batch)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, counted))
    }
}
