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
    /// A table for people to read; rows that don't fit, a value a line.
    Table {
        /// The columns that there are for a row. Without, a cell has 80 at most.
        width: Option<usize>,
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
        width: Option<usize>,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, WriteError> {
        /// Rows that are measured before the first is written.
        const MEASURED: usize = 1000;
        let columns = self.columns();
        let mut table = Table::new(&self.batches.schema(), width);
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

/// The widest cell where nothing says how wide a row may be.
const WIDEST: usize = 80;
/// What a column is not made narrower than, and what stands between two.
const NARROWEST: usize = 8;
const BETWEEN: usize = 2;

/// A table whose columns are as wide as the rows that were measured ask for, and as a row has room.
struct Table {
    /// The names, as SQL takes them.
    names: Vec<String>,
    widths: Vec<usize>,
    /// Which say nothing when they are cut: numbers and times.
    is_whole: Vec<bool>,
    /// The columns that there are for a row.
    width: Option<usize>,
    waiting: Vec<Vec<String>>,
    /// How rows are written, once the first were measured.
    form: Option<Form>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A row a line.
    Rows,
    /// A value a line.
    Values,
}

impl Table {
    fn new(schema: &SchemaRef, width: Option<usize>) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let kinds = schema.fields().iter().map(|field| field.data_type());
        let is_whole = kinds.map(|kind| kind.is_numeric() || kind.is_temporal()).collect();
        let (widths, waiting) = (vec![0; names.len()], Vec::new());
        let mut table = Table { names, widths, is_whole, width, waiting, form: None };
        let headings: Vec<_> = table.names.iter().map(|name| heading(name)).collect();
        table.measure(&headings);
        table
    }

    fn add(&mut self, row: Vec<String>) {
        self.measure(&row);
        self.waiting.push(row);
    }

    fn measure(&mut self, row: &[String]) {
        let most = self.width.unwrap_or(WIDEST);
        for (width, text) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(push_cell(text, Some(most), &mut Vec::new()));
        }
    }

    fn flush(&mut self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let form = match self.form {
            Some(form) => form,
            None => {
                let Table { widths, is_whole, width, .. } = self;
                let fits = width.is_none_or(|width| fit(widths, is_whole, width));
                let form = if fits { Form::Rows } else { Form::Values };
                self.form = Some(form);
                if fits {
                    let headings: Vec<_> = self.names.iter().map(|name| heading(name)).collect();
                    out.write_all(&self.line(&headings))?;
                }
                form
            }
        };
        for row in std::mem::take(&mut self.waiting) {
            match form {
                Form::Rows => out.write_all(&self.line(&row))?,
                Form::Values => out.write_all(&self.values(&row))?,
            }
        }
        Ok(())
    }

    fn line(&self, row: &[String]) -> Vec<u8> {
        let mut line = Vec::new();
        let last = row.len().saturating_sub(1);
        for (n, (text, &width)) in row.iter().zip(&self.widths).enumerate() {
            let used = push_cell(text, Some(width), &mut line);
            if n < last {
                line.resize(line.len() + width.saturating_sub(used) + BETWEEN, b' ');
            }
        }
        line.push(b'\n');
        line
    }

    /// A line for each value that there is, and an empty one.
    fn values(&self, row: &[String]) -> Vec<u8> {
        let width = self.width.unwrap_or(WIDEST);
        let of_names =
            self.names.iter().map(|name| push_cell(name, Some(width / 2), &mut Vec::new()));
        let of_names = of_names.max().unwrap_or_default();
        let mut lines = Vec::new();
        for (name, text) in self.names.iter().zip(row).filter(|(_, text)| !text.is_empty()) {
            let used = push_cell(name, Some(of_names), &mut lines);
            lines.resize(lines.len() + of_names - used + BETWEEN, b' ');
            let left = width.saturating_sub(of_names + BETWEEN).max(NARROWEST);
            push_cell(text, Some(left), &mut lines);
            lines.push(b'\n');
        }
        lines.push(b'\n');
        lines
    }
}

/// A name over its column: one whose letters count in SQL stays as it is.
fn heading(name: &str) -> String {
    match name.chars().any(char::is_uppercase) {
        true => name.to_owned(),
        false => name.to_uppercase(),
    }
}

/// Makes the widest columns narrower, but for those that are to be whole, until a row fits; false where it
/// can't.
fn fit(widths: &mut [usize], is_whole: &[bool], width: usize) -> bool {
    let between = BETWEEN * widths.len().saturating_sub(1);
    let whole: usize =
        widths.iter().zip(is_whole).filter(|(_, whole)| **whole).map(|(w, _)| w).sum();
    let mut others: Vec<&mut usize> =
        widths.iter_mut().zip(is_whole).filter(|(_, whole)| !**whole).map(|(w, _)| w).collect();
    let sum = |others: &[&mut usize], most: usize| -> usize {
        others.iter().map(|one| (**one).min(most)).sum()
    };
    let room = width.checked_sub(between + whole);
    let Some(room) = room.filter(|room| sum(&others, NARROWEST) <= *room) else { return false };
    let mut most = others.iter().map(|one| **one).max().unwrap_or_default();
    while most > NARROWEST && sum(&others, most) > room {
        most -= 1;
    }
    // What is left over goes to those that were cut, from the last on: texts stand there.
    let mut left = room.saturating_sub(sum(&others, most));
    for one in others.iter_mut().rev() {
        let more = one.saturating_sub(most).min(left);
        **one = (**one).min(most) + more;
        left -= more;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_columns_give_way_until_a_row_fits() {
        let fitted = |widths: &[usize], whole: &[usize], width| {
            let mut widths = widths.to_vec();
            let is_whole: Vec<bool> = (0..widths.len()).map(|n| whole.contains(&n)).collect();
            fit(&mut widths, &is_whole, width).then_some(widths)
        };
        assert_eq!(fitted(&[5, 10, 20], &[], 80), Some(vec![5, 10, 20]));
        assert_eq!(fitted(&[5, 30, 90], &[0], 80), Some(vec![5, 30, 41]));
        assert_eq!(fitted(&[5, 90, 90], &[], 80), Some(vec![5, 35, 36]));
        assert_eq!(fitted(&[24, 19, 8, 5, 80], &[0, 3], 80), Some(vec![24, 17, 8, 5, 18]));
        assert_eq!(fitted(&[24, 24, 24, 80], &[0, 1, 2], 80), None);
        assert_eq!(fitted(&[80; 8], &[], 80), Some(vec![8, 8, 8, 8, 8, 8, 8, 10]));
        assert_eq!(fitted(&[80; 9], &[], 80), None);
        assert_eq!(fitted(&[], &[], 80), Some(vec![]));
    }
}
