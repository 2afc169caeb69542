//! Data files: rows sorted and written as Parquet, and what the log says of them.

use std::sync::Arc;

use deltalake::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use deltalake::arrow::compute::{
    SortColumn, filter_record_batch, lexsort_to_indices, max, max_string, min, min_string,
    take_record_batch,
};
use deltalake::arrow::datatypes::{DataType, Int16Type, Int32Type, TimestampMicrosecondType};
use deltalake::arrow::record_batch::RecordBatch;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::basic::{Compression, Encoding, ZstdLevel};
use deltalake::parquet::file::metadata::SortingColumn;
use deltalake::parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder,
};
use deltalake::parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::StoreError;
use crate::commit::Added;
use crate::schema::{STATISTICS, column};

/// Rows in a row group: small enough that a host's rows lie in few of them.
pub(crate) const GROUP_ROWS: usize = 64 * 1024;
/// How much older than its arrival an event may be and still be live, in microseconds.
const LIVE: i64 = 60 * 60 * 1_000_000;
/// A text that is longer has no minimum and maximum in a file's statistics.
const LONGEST: usize = 256;

/// A data file before it is put.
pub(crate) struct DataFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) added: Added,
}

/// Rows that are live, and those that came late: apart, so that a file's times are narrow.
pub(crate) fn split(rows: &RecordBatch) -> Result<Vec<RecordBatch>, StoreError> {
    let failed = |error| StoreError::engine("split rows", error);
    let (Some(time), Some(received)) = (times(rows, column::TIME), times(rows, column::RECEIVED))
    else {
        return Err(StoreError::Rows { why: "they have no times".into() });
    };
    let is_live: BooleanArray = (0..rows.num_rows())
        .map(|row| {
            let (valid, age) = (
                time.is_valid(row) && received.is_valid(row),
                received.value(row).saturating_sub(time.value(row)),
            );
            // A clock that is ahead is as odd as one that is behind.
            Some(valid && age.unsigned_abs() < LIVE.unsigned_abs())
        })
        .collect();
    let live = is_live.true_count();
    if live == 0 || live == rows.num_rows() {
        return Ok(vec![rows.clone()]);
    }
    let late = deltalake::arrow::compute::not(&is_live).map_err(failed)?;
    [is_live, late].iter().map(|which| filter_record_batch(rows, which).map_err(failed)).collect()
}

fn times<'a>(
    rows: &'a RecordBatch,
    name: &str,
) -> Option<&'a deltalake::arrow::array::PrimitiveArray<TimestampMicrosecondType>> {
    rows.column_by_name(name)?.as_primitive_opt()
}

/// Rows in another order: by host, and each host's by time.
pub(crate) fn sorted(rows: &RecordBatch) -> Result<RecordBatch, StoreError> {
    let order = order(rows, &[column::HOST, column::TIME])?;
    take_record_batch(rows, &order).map_err(|error| StoreError::engine("sort rows", error))
}

/// The order of rows by columns.
pub(crate) fn order(rows: &RecordBatch, by: &[&str]) -> Result<UInt32Array, StoreError> {
    let columns: Vec<SortColumn> = by
        .iter()
        .filter_map(|name| rows.column_by_name(name))
        .map(|values| SortColumn { values: values.clone(), options: None })
        .collect();
    lexsort_to_indices(&columns, None).map_err(|error| StoreError::engine("sort rows", error))
}

/// Writes rows, which are sorted, as a file.
pub(crate) fn write(rows: &RecordBatch) -> Result<DataFile, StoreError> {
    let failed = |error| StoreError::engine("write Parquet", error);
    let mut bytes = Vec::new();
    let mut properties = properties(rows.num_rows())?;
    let leaf = |name: &str| {
        // Columns before `data` are leaves, in the schema's order.
        rows.schema().index_of(name).ok().and_then(|n| i32::try_from(n).ok())
    };
    if let (Some(host), Some(time)) = (leaf(column::HOST), leaf(column::TIME)) {
        let by = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: true };
        properties = properties.set_sorting_columns(Some(vec![by(host), by(time)]));
    }
    let properties = Some(properties.build());
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), properties).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    writer.close().map_err(failed)?;
    let added = Added {
        path: format!("part-{}.zstd.parquet", Uuid::new_v4()),
        size: bytes.len() as u64,
        stats: statistics(rows).to_string(),
        rows: rows.num_rows(),
    };
    Ok(DataFile { bytes, added })
}

/// How files of so many rows are written.
pub(crate) fn properties(rows: usize) -> Result<WriterPropertiesBuilder, StoreError> {
    let level = ZstdLevel::try_new(3).map_err(|e| StoreError::engine("write Parquet", e))?;
    // Room for as many values as a row group can have; what is there more often costs nothing.
    let values = rows.clamp(64, 4096) as u64;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(concat!("quarry ", env!("CARGO_PKG_VERSION")).to_owned());
    for name in [column::HOST, column::USER_SID, column::EVENT_ID] {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path.clone(), 0.01)
            .set_column_bloom_filter_max_ndv(path, values);
    }
    // Numbers that go up by little from row to row.
    for name in [column::TIME, column::RECEIVED, column::LOG_RECORD, column::RECORD_ID] {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties)
}

/// The statistics of a file, as the log has them (Delta Lake protocol, "Per-file Statistics").
fn statistics(rows: &RecordBatch) -> Value {
    let (mut least, mut most, mut nulls) = (Map::new(), Map::new(), Map::new());
    for name in STATISTICS {
        let Some(values) = rows.column_by_name(name) else { continue };
        nulls.insert(name.to_owned(), values.null_count().into());
        if let Some((min, max)) = bounds(values) {
            least.insert(name.to_owned(), min);
            most.insert(name.to_owned(), max);
        }
    }
    json!({
        "numRecords": rows.num_rows(),
        "minValues": least,
        "maxValues": most,
        "nullCount": nulls,
    })
}

fn bounds(values: &ArrayRef) -> Option<(Value, Value)> {
    match values.data_type() {
        DataType::Timestamp(..) => {
            let times = values.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some((time_text(min(times)?).into(), time_text(max(times)?).into()))
        }
        DataType::Int32 => {
            let numbers = values.as_primitive_opt::<Int32Type>()?;
            Some((min(numbers)?.into(), max(numbers)?.into()))
        }
        DataType::Int16 => {
            let numbers = values.as_primitive_opt::<Int16Type>()?;
            Some((min(numbers)?.into(), max(numbers)?.into()))
        }
        DataType::Utf8 => {
            let texts = values.as_string_opt::<i32>()?;
            let (least, most) = (min_string(texts)?, max_string(texts)?);
            (least.len() <= LONGEST && most.len() <= LONGEST).then(|| (least.into(), most.into()))
        }
        _ => None,
    }
}

/// A time in microseconds since 1970 as the log has it.
pub(crate) fn time_text(microseconds: i64) -> String {
    let units = (microseconds as i128) * 10 + 116_444_736_000_000_000;
    let units = u64::try_from(units).unwrap_or_default();
    let text = quarry_event::EventTime::from_filetime(units).to_string();
    // Six digits of seven: the seventh is zero.
    match text.strip_suffix("0Z") {
        Some(text) => format!("{text}Z"),
        None => text,
    }
}

/// The rows of batches of one schema as one batch.
pub(crate) fn joined(batches: &[RecordBatch]) -> Result<Option<RecordBatch>, StoreError> {
    let Some(first) = batches.first() else { return Ok(None) };
    let joined = deltalake::arrow::compute::concat_batches(&first.schema(), batches)
        .map_err(|error| StoreError::engine("join rows", error))?;
    Ok(Some(joined))
}

/// Memory that a batch takes, about.
pub(crate) fn size(rows: &RecordBatch) -> usize {
    let column = |column: &Arc<dyn Array>| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    rows.columns().iter().map(column).sum()
}
