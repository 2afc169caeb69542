//! Rows as one Parquet file: the columns of the table's data files, as these are written.
//!
//! Unlike theirs, the rows are in the order in which they come, and their number isn't known before
//! the last. What is held in memory is one row group, which ends after so many bytes or rows, and
//! what the file's end says of each of those before: about 40 KiB for each 65,536 rows.

use std::io::Write;

use deltalake::arrow::record_batch::RecordBatch;
use deltalake::parquet::arrow::ArrowWriter;

use crate::answer::of_parquet;
use crate::files::{self, GROUP_ROWS};
use crate::{WriteError, schema};

/// A row group has so many bytes at most, as far as they can be told before it is written.
const GROUP_BYTES: usize = 32 << 20;

/// A Parquet file that grows by batches of [`Rows`](crate::Rows).
pub struct Export {
    writer: ArrowWriter<Box<dyn Write + Send>>,
    rows: u64,
}

impl Export {
    /// Begins a file of rows with the columns that were chosen from events' data, as
    /// [`Rows::new`](crate::Rows::new) takes them.
    ///
    /// # Errors
    /// [`WriteError::Store`] for a name that can't be a column, [`WriteError::Output`].
    pub fn new(chosen: &[String], out: Box<dyn Write + Send>) -> Result<Self, WriteError> {
        let properties = files::properties(GROUP_ROWS)?;
        let properties = properties.set_max_row_group_bytes(Some(GROUP_BYTES)).build();
        let writer = ArrowWriter::try_new(out, schema::schema(chosen)?, Some(properties));
        Ok(Export { writer: writer.map_err(of_parquet)?, rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`WriteError`]. The file can't be gone on with.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), WriteError> {
        self.rows += rows.num_rows() as u64;
        self.writer.write(rows).map_err(of_parquet)
    }

    /// Ends the file, and gives the number of its rows.
    ///
    /// # Errors
    /// [`WriteError`]. The file has no end then, and nobody reads it.
    pub fn finish(self) -> Result<u64, WriteError> {
        let mut out = self.writer.into_inner().map_err(of_parquet)?;
        out.flush()?;
        Ok(self.rows)
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("rows", &self.rows).finish_non_exhaustive()
    }
}
