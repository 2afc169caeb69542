//! Data files: rows sorted and written as Parquet, and what the log says of them.

use std::sync::Arc;

use deltalake::arrow::array::{Array, ArrayRef, AsArray};
use deltalake::arrow::compute::{max, max_string, min, min_string};
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
use crate::counts::Counts;
use crate::grams::{self, Grams};
use crate::order::Ordered;
use crate::schema::{STATISTICS, column};

/// Rows in a row group: small enough that a host's rows lie in few of them.
pub(crate) const GROUP_ROWS: usize = 64 * 1024;
/// The columns by which the rows of a file are sorted.
pub(crate) const SORTED: [&str; 2] = [column::HOST, column::TIME];
/// Rows that are made a batch to be written at once, beside those that they are copied from.
const CHUNK: usize = 2048;
/// A text that is longer has no minimum and maximum in a file's statistics.
const LONGEST: usize = 256;

/// What the names of data files end with.
const END: &str = ".zstd.parquet";

/// What a data file's name says of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// It is to be put together with others.
    Part,
    /// It is full: maintenance has put it together, and leaves it alone from then on.
    Slice,
}

impl Name {
    const fn prefix(self) -> &'static str {
        match self {
            Name::Part => "part-",
            Name::Slice => "slice-",
        }
    }

    fn of_new(self) -> String {
        format!("{}{}{END}", self.prefix(), Uuid::new_v4())
    }

    /// Whether a file has such a name.
    pub(crate) fn is_of(self, path: &str) -> bool {
        path.starts_with(self.prefix())
    }
}

/// A data file before it is put, and what is known of its rows by then.
pub(crate) struct DataFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) added: Added,
    /// The bytes of its [`Counts`].
    pub(crate) counts: Vec<u8>,
    /// The bytes of the [`Grams`] of a slice that may be searched by them.
    pub(crate) grams: Option<Vec<u8>>,
}

/// Writes rows in their order as a file. They are sorted as [`SORTED`] says.
pub(crate) fn write(rows: &Ordered<'_>, name: Name) -> Result<DataFile, StoreError> {
    let failed = |error| StoreError::engine("write Parquet", error);
    let schema = rows.schema();
    let mut bytes = Vec::new();
    let mut properties = properties(rows.len())?;
    let leaf = |name: &str| {
        // Columns before `data` are leaves, in the schema's order.
        schema.index_of(name).ok().and_then(|n| i32::try_from(n).ok())
    };
    let by = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: true };
    if let Some(sorted) = SORTED.iter().map(|name| leaf(name).map(by)).collect() {
        properties = properties.set_sorting_columns(Some(sorted));
    }
    let properties = Some(properties.build());
    let mut writer =
        ArrowWriter::try_new(&mut bytes, schema.clone(), properties).map_err(failed)?;
    let mut statistics = Statistics::default();
    let mut counts = Counts::new();
    // What is to be put together with others is searched whole until then.
    let mut grams = (name == Name::Slice && rows.len() > grams::BLOCK).then(Grams::default);
    for start in (0..rows.len()).step_by(CHUNK) {
        let chunk = rows.batch(start..rows.len().min(start + CHUNK))?;
        statistics.add(&chunk);
        counts.count(&chunk)?;
        if let Some(grams) = &mut grams {
            grams.add(&chunk)?;
        }
        writer.write(&chunk).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    let added = Added {
        path: name.of_new(),
        size: bytes.len() as u64,
        stats: statistics.json().to_string(),
        rows: rows.len(),
    };
    let grams = grams.map(|grams| grams.bytes());
    Ok(DataFile { bytes, added, counts: counts.bytes(), grams })
}

/// Whether a file of the table's folder is a data file by its name, whoever has it.
pub(crate) fn is_ours(name: &str) -> bool {
    [Name::Part, Name::Slice].iter().any(|kind| {
        let id = name.strip_prefix(kind.prefix()).and_then(|rest| rest.strip_suffix(END));
        id.is_some_and(|id| Uuid::try_parse(id).is_ok())
    })
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
    for path in unbounded() {
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    Ok(properties)
}

/// The columns that have most of an event's bytes. No question is of the least or the greatest of them, so
/// that to find these would be in vain: two comparisons a value.
fn unbounded() -> impl Iterator<Item = ColumnPath> {
    use column::{DATA, MESSAGE, OTHER, TEXT, TREE, USER_DATA};
    let texts = [USER_DATA, OTHER, TEXT, MESSAGE, TREE].map(|name| vec![name]);
    let data = ["key", "value"].map(|part| vec![DATA, "key_value", part]);
    let parts = |path: Vec<&str>| path.into_iter().map(str::to_owned).collect::<Vec<_>>();
    texts.into_iter().chain(data).map(move |path| ColumnPath::new(parts(path)))
}

/// The statistics of a file, as the log has them (Delta Lake protocol, "Per-file Statistics").
#[derive(Default)]
struct Statistics {
    rows: usize,
    columns: [ColumnStatistics; STATISTICS.len()],
}

#[derive(Default)]
struct ColumnStatistics {
    nulls: usize,
    bounds: Option<(Bound, Bound)>,
}

/// The least or the greatest value of a column.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Time(i64),
    Number(i32),
    Text(String),
}

impl Statistics {
    fn add(&mut self, rows: &RecordBatch) {
        self.rows += rows.num_rows();
        for (name, known) in STATISTICS.iter().zip(&mut self.columns) {
            let Some(values) = rows.column_by_name(name) else { continue };
            known.nulls += values.null_count();
            let known = &mut known.bounds;
            *known = match (known.take(), bounds(values)) {
                (Some((least, most)), Some((min, max))) => Some((least.min(min), most.max(max))),
                (one, other) => one.or(other),
            };
        }
    }

    fn json(self) -> Value {
        let (mut least, mut most, mut nulls) = (Map::new(), Map::new(), Map::new());
        for (name, column) in STATISTICS.into_iter().zip(self.columns) {
            nulls.insert(name.to_owned(), column.nulls.into());
            let bounds = column.bounds.and_then(|(min, max)| min.json().zip(max.json()));
            if let Some((min, max)) = bounds {
                least.insert(name.to_owned(), min);
                most.insert(name.to_owned(), max);
            }
        }
        json!({
            "numRecords": self.rows,
            "minValues": least,
            "maxValues": most,
            "nullCount": nulls,
        })
    }
}

impl Bound {
    /// Nothing for a text that is too long.
    fn json(self) -> Option<Value> {
        match self {
            Bound::Time(time) => Some(time_text(time).into()),
            Bound::Number(number) => Some(number.into()),
            Bound::Text(text) => (text.len() <= LONGEST).then(|| text.into()),
        }
    }
}

/// The least and the greatest value of a column.
fn bounds(values: &ArrayRef) -> Option<(Bound, Bound)> {
    match values.data_type() {
        DataType::Timestamp(..) => {
            let times = values.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some((Bound::Time(min(times)?), Bound::Time(max(times)?)))
        }
        DataType::Int32 => {
            let numbers = values.as_primitive_opt::<Int32Type>()?;
            Some((Bound::Number(min(numbers)?), Bound::Number(max(numbers)?)))
        }
        DataType::Int16 => {
            let numbers = values.as_primitive_opt::<Int16Type>()?;
            Some((Bound::Number(min(numbers)?.into()), Bound::Number(max(numbers)?.into())))
        }
        DataType::Utf8 => {
            let texts = values.as_string_opt::<i32>()?;
            Some((Bound::Text(min_string(texts)?.into()), Bound::Text(max_string(texts)?.into())))
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
