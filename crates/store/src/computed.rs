//! Columns of the views that are made of others.

use std::hash::Hash;
use std::sync::Arc;

use deltalake::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use deltalake::arrow::datatypes::{
    DataType, Int8Type, Int16Type, Int64Type, TimestampMicrosecondType,
};
use deltalake::datafusion::common::{Result as EngineResult, exec_err};
use deltalake::datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use deltalake::datafusion::prelude::col;
use quarry_event::{Keywords, Level, LevelName};

use crate::event::time_of;
use crate::schema::column;

/// The time with its seven digits, as events have it.
pub(crate) fn time_text() -> Expr {
    call(Computed::Time, &[column::TIME, column::TICK, column::FILETIME], "time_text")
}

/// The level's name, as Event Viewer has it.
pub(crate) fn level_name() -> Expr {
    call(Computed::Level, &[column::LEVEL, column::KEYWORDS], "level_name")
}

/// The keywords in hexadecimal.
pub(crate) fn keywords() -> Expr {
    call(Computed::Keywords, &[column::KEYWORDS], column::KEYWORDS)
}

/// The names of the keywords that Windows itself has.
pub(crate) fn keyword_names() -> Expr {
    call(Computed::KeywordNames, &[column::KEYWORDS], "keyword_names")
}

fn call(computed: Computed, columns: &[&str], name: &str) -> Expr {
    let function =
        Function { computed, signature: Signature::any(columns.len(), Volatility::Immutable) };
    ScalarUDF::from(function).call(columns.iter().map(|name| col(*name)).collect()).alias(name)
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Computed {
    Time,
    Level,
    Keywords,
    KeywordNames,
}

/// Windows' own keywords (winmeta.xml of the Windows SDK), with the names that Event Viewer shows.
const NAMES: [(u64, &str); 8] = [
    (1 << 48, "Response Time"),
    (1 << 49, "WDI Context"),
    (1 << 50, "WDI Diag"),
    (1 << 51, "SQM"),
    (1 << 52, "Audit Failure"),
    (1 << 53, "Audit Success"),
    (1 << 54, "Correlation Hint"),
    (1 << 55, "Classic"),
];

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Function {
    computed: Computed,
    signature: Signature,
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        match self.computed {
            Computed::Time => "time_text",
            Computed::Level => "level_name",
            Computed::Keywords => "keywords",
            Computed::KeywordNames => "keyword_names",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        match self.of(&columns) {
            Some(texts) => Ok(ColumnarValue::Array(texts)),
            None => exec_err!("{} has other columns", self.name()),
        }
    }
}

impl Function {
    fn of(&self, columns: &[ArrayRef]) -> Option<ArrayRef> {
        let mut out = StringBuilder::new();
        let rows = columns.first()?.len();
        match self.computed {
            Computed::Time => {
                let time = columns.first()?.as_primitive_opt::<TimestampMicrosecondType>()?;
                let tick = columns.get(1)?.as_primitive_opt::<Int8Type>()?;
                let filetime = columns.get(2)?.as_primitive_opt::<Int64Type>()?;
                for row in 0..rows {
                    let time = time_of(
                        time.is_valid(row).then(|| time.value(row)),
                        tick.is_valid(row).then(|| tick.value(row)),
                        filetime.is_valid(row).then(|| filetime.value(row)),
                    );
                    out.append_option(time.map(|time| time.to_string()));
                }
            }
            Computed::Level => {
                let level = columns.first()?.as_primitive_opt::<Int16Type>()?;
                let keywords = columns.get(1)?.as_primitive_opt::<Int64Type>()?;
                for row in 0..rows {
                    let bits = if keywords.is_valid(row) { keywords.value(row) as u64 } else { 0 };
                    let name = level.is_valid(row).then(|| {
                        let level = u8::try_from(level.value(row)).unwrap_or(u8::MAX);
                        LevelName::of(Level(level), Keywords(bits)).as_str()
                    });
                    out.append_option(name);
                }
            }
            Computed::Keywords => {
                let keywords = columns.first()?.as_primitive_opt::<Int64Type>()?;
                for row in 0..rows {
                    let bits = keywords.is_valid(row).then(|| keywords.value(row) as u64);
                    out.append_option(bits.map(|bits| format!("{bits:#x}")));
                }
            }
            Computed::KeywordNames => {
                let keywords = columns.first()?.as_primitive_opt::<Int64Type>()?;
                for row in 0..rows {
                    if !keywords.is_valid(row) {
                        out.append_null();
                        continue;
                    }
                    let bits = keywords.value(row) as u64;
                    let named = NAMES.iter().filter(|(bit, _)| bits & bit != 0);
                    let names: Vec<&str> = named.map(|(_, name)| *name).collect();
                    out.append_value(names.join(", "));
                }
            }
        }
        Some(Arc::new(out.finish()))
    }
}
