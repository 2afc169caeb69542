//! The answer to a statement of SQL, and how it is written down.

use std::io::{self, Write};

use deltalake::arrow::array::{Array as _, ArrayRef, RecordBatch};
use deltalake::arrow::compute::{SortOptions, sort_to_indices, take};
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::ipc::writer::StreamWriter;
use deltalake::arrow::json::writer::LineDelimitedWriter;
use deltalake::arrow::util::display::{ArrayFormatter, FormatOptions};
use deltalake::datafusion::prelude::SessionContext;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::errors::ParquetError;
use deltalake::parquet::file::properties::WriterProperties;
use quarry_event::output::{CsvCells, push_cell, push_csv};
use serde_json::{Map, Value};

use crate::StoreError;
use crate::session::Batches;

/// The rows that a statement selects, as they come. Dropping it ends the work on it.
pub struct Answer {
    batches: Batches,
    /// What came before it was asked for.
    first: Option<RecordBatch>,
    /// What the stream stands on.
    _context: SessionContext,
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Format {
    /// A table for people to read. `width` is that of a column at most, in columns of the terminal.
    Table {
        /// The widest that a column may be.
        width: usize,
    },
    /// A JSON object a line.
    Jsonl,
    /// CSV with a header line, as in RFC 4180. `terminal` says that it goes to one, so that what acts
    /// on terminals is made visible.
    Csv {
        /// Whether cells are for spreadsheets or exactly as they are.
        cells: CsvCells,
        /// Whether it goes to a terminal.
        terminal: bool,
    },
    /// A Parquet file, compressed with Zstandard.
    Parquet,
    /// A stream of Arrow's inter-process format.
    Arrow,
}

/// Why an answer could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The answer failed, or went over a limit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it is written to failed.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
    /// The format can't hold it.
    #[error("the answer can't be written in this format: {0}")]
    Format(String),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("columns", &self.columns()).finish_non_exhaustive()
    }
}

impl Answer {
    pub(crate) fn new(batches: Batches, context: SessionContext) -> Self {
        Answer { batches, first: None, _context: context }
    }

    /// Waits for the first rows, so that a statement which fails at once is refused, rather than answered by
    /// something that breaks off.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn begun(mut self) -> Result<Self, StoreError> {
        self.first = self.batches.next().await?;
        Ok(self)
    }

    /// The names of the columns.
    pub fn columns(&self) -> Vec<String> {
        self.batches.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The next rows; nothing at the end.
    ///
    /// # Errors
    /// [`StoreError::Limit`], [`StoreError::Sql`] for a row that an expression fails on, and what
    /// reading the table says.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.batches.next().await,
        }
    }

    /// Writes all rows, and gives their number. What was written when it fails is incomplete: a
    /// Parquet file has no footer then, and an Arrow stream no end.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn write(
        mut self,
        format: Format,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, WriteError> {
        let schema = self.batches.schema();
        match format {
            Format::Arrow => self.arrow(&schema, out).await,
            Format::Parquet => self.parquet(&schema, out).await,
            Format::Jsonl => {
                let mut rows = 0;
                while let Some(batch) = self.next().await? {
                    rows += batch.num_rows() as u64;
                    for piece in pieces(&batch) {
                        out.write_all(&lines(&piece)?)?;
                    }
                }
                Ok(rows)
            }
            Format::Csv { cells, terminal } => self.csv(cells, terminal, out).await,
            Format::Table { width } => self.table(width, out).await,
        }
    }

    async fn arrow(
        &mut self,
        schema: &SchemaRef,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, WriteError> {
        let wrong = |error: ArrowError| WriteError::Format(error.to_string());
        let mut writer = StreamWriter::try_new(out, schema).map_err(wrong)?;
        let mut rows = 0;
        while let Some(batch) = self.next().await? {
            rows += batch.num_rows() as u64;
            writer.write(&batch).map_err(wrong)?;
        }
        writer.finish().map_err(wrong)?;
        Ok(rows)
    }

    async fn parquet(
        &mut self,
        schema: &SchemaRef,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, WriteError> {
        let level = ZstdLevel::try_new(3).map_err(of_parquet)?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let mut writer =
            ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(of_parquet)?;
        let mut rows = 0;
        while let Some(batch) = self.next().await? {
            rows += batch.num_rows() as u64;
            writer.write(&batch).map_err(of_parquet)?;
        }
        writer.close().map_err(of_parquet)?;
        Ok(rows)
    }

    async fn csv(
        &mut self,
        cells: CsvCells,
        terminal: bool,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, WriteError> {
        let columns = self.columns();
        let line = |texts: &mut dyn Iterator<Item = String>| {
            let mut line = Vec::new();
            for (n, text) in texts.enumerate() {
                if n > 0 {
                    line.push(b',');
                }
                push_csv(&text, cells, terminal, &mut line);
            }
            line.extend_from_slice(b"\r\n");
            line
        };
        out.write_all(&line(&mut columns.iter().cloned()))?;
        let mut rows = 0;
        while let Some(batch) = self.next().await? {
            for row in objects(&batch) {
                let row = row?;
                rows += 1;
                out.write_all(&line(&mut columns.iter().map(|name| text(row.get(name)))))?;
            }
        }
        Ok(rows)
    }

    async fn table(
        &mut self,
        most: usize,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, WriteError> {
        /// Rows that are measured before the first is written.
        const MEASURED: usize = 1000;
        let columns = self.columns();
        let mut table = Table::new(&columns, most);
        let mut rows = 0;
        while let Some(batch) = self.next().await? {
            for row in objects(&batch) {
                let row = row?;
                rows += 1;
                table.add(columns.iter().map(|name| text(row.get(name))).collect());
                if table.waiting.len() >= MEASURED {
                    table.flush(out)?;
                }
            }
        }
        table.flush(out)?;
        Ok(rows)
    }
}

/// Why a Parquet file can't be written: what it goes to failed, or it can't hold a value.
pub(crate) fn of_parquet(error: ParquetError) -> WriteError {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => WriteError::Output(*error),
            Err(cause) => WriteError::Format(cause.to_string()),
        },
        error => WriteError::Format(error.to_string()),
    }
}

/// Rows as JSON, one a line.
fn lines(batch: &RecordBatch) -> Result<Vec<u8>, WriteError> {
    let wrong = |error: ArrowError| WriteError::Format(error.to_string());
    for column in batch.columns() {
        check_times(column).map_err(wrong)?;
    }
    let builder = deltalake::arrow::json::writer::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer: LineDelimitedWriter<Vec<u8>> = builder.build(Vec::new());
    writer.write(batch).map_err(wrong)?;
    writer.finish().map_err(wrong)?;
    Ok(writer.into_inner())
}

/// Refuses times that no calendar has, in whose place the writer would write its error. The least and the
/// greatest tell of all.
fn check_times(column: &ArrayRef) -> Result<(), ArrowError> {
    if !column.data_type().is_temporal() {
        return Ok(());
    }
    for descending in [false, true] {
        let order = SortOptions { descending, nulls_first: false };
        let bound = sort_to_indices(column, Some(order), Some(1))?;
        let bound = take(column, &bound, None)?;
        let shown =
            ArrayFormatter::try_new(&bound, &FormatOptions::new().with_display_error(false))?;
        (0..bound.len()).try_for_each(|row| shown.value(row).try_to_string().map(drop))?;
    }
    Ok(())
}

/// The rows of a batch as JSON objects.
fn objects(
    batch: &RecordBatch,
) -> impl Iterator<Item = Result<Map<String, Value>, WriteError>> + '_ {
    let of_piece = |piece: RecordBatch| -> Result<Vec<Map<String, Value>>, WriteError> {
        let lines = lines(&piece)?;
        let rows = serde_json::Deserializer::from_slice(&lines).into_iter();
        rows.collect::<Result<_, _>>().map_err(|error| WriteError::Format(error.to_string()))
    };
    pieces(batch).flat_map(move |piece| match of_piece(piece) {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })
}

/// A batch in pieces of which the text is made at once: it takes several times what the batch does.
fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    const PIECE: usize = 8 << 20;
    let rows = batch.num_rows();
    let step = rows.div_ceil(batch.get_array_memory_size() / PIECE + 1).max(1);
    (0..rows).step_by(step).map(move |first| batch.slice(first, step.min(rows - first)))
}

/// The text of a value in a cell: JSON where it is a list or a map.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A table whose columns are as wide as the rows that were measured ask for.
struct Table {
    widths: Vec<usize>,
    most: usize,
    waiting: Vec<Vec<String>>,
}

impl Table {
    fn new(columns: &[String], most: usize) -> Self {
        let mut table = Table { widths: vec![0; columns.len()], most, waiting: Vec::new() };
        table.add(columns.iter().map(|name| name.to_uppercase()).collect());
        table
    }

    fn add(&mut self, row: Vec<String>) {
        for (width, text) in self.widths.iter_mut().zip(&row) {
            let mut cell = Vec::new();
            *width = (*width).max(push_cell(text, Some(self.most), &mut cell));
        }
        self.waiting.push(row);
    }

    fn flush(&mut self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        for row in self.waiting.drain(..) {
            let mut line = Vec::new();
            let last = row.len().saturating_sub(1);
            for (n, (text, &width)) in row.iter().zip(&self.widths).enumerate() {
                let used = push_cell(text, Some(width), &mut line);
                if n < last {
                    line.resize(line.len() + width.saturating_sub(used) + 2, b' ');
                }
            }
            line.push(b'\n');
            out.write_all(&line)?;
        }
        Ok(())
    }
}
