//! Rows as one Parquet file: the columns of the table's data files, as these are written.
//!
//! Unlike theirs, the rows are in the order in which they come, and their number isn't known before
//! the last. What is held in memory is one row group, which ends after so many bytes or rows, and
//! what the file's end says of each of those before: about 40 KiB for each 65,536 rows.

use std::io::Write;

use deltalake::parquet::arrow::ArrowWriter;

use crate::answer::of_parquet;
use crate::files::{self, GROUP_ROWS};
use crate::{Rows, WriteError, schema};

/// A row group has so many bytes at most, as far as they can be told before it is written.
const GROUP_BYTES: usize = 32 << 20;

/// Rows and bytes that are written together, since each time each of the columns is begun anew.
const TOGETHER: (usize, usize) = (8192, 8 << 20);

/// A Parquet file that grows by [`Rows`].
pub struct Export {
    writer: ArrowWriter<Box<dyn Write + Send>>,
    /// Those that aren't written yet.
    pending: Rows,
    rows: u64,
}

impl Export {
    /// Begins a file of rows with the columns that were chosen from events' data, as
    /// [`Rows::new`] takes them.
    ///
    /// # Errors
    /// [`WriteError::Store`] for a name that can't be a column, [`WriteError::Output`].
    pub fn new(chosen: &[String], out: Box<dyn Write + Send>) -> Result<Self, WriteError> {
        let properties = files::properties(GROUP_ROWS)?;
        let properties = properties.set_max_row_group_bytes(Some(GROUP_BYTES)).build();
        let writer = ArrowWriter::try_new(out, schema::schema(chosen)?, Some(properties));
        Ok(Export { writer: writer.map_err(of_parquet)?, pending: Rows::new(chosen)?, rows: 0 })
    }

    /// Adds rows, of which the columns that were chosen are this file's.
    ///
    /// # Errors
    /// [`WriteError`]. The file can't be gone on with.
    pub fn write(&mut self, rows: &Rows) -> Result<(), WriteError> {
        let (most, most_bytes) = TOGETHER;
        if self.pending.bytes() + rows.bytes() > most_bytes {
            self.write_pending()?;
        }
        self.pending.append(rows)?;
        if self.pending.len() >= most { self.write_pending() } else { Ok(()) }
    }

    fn write_pending(&mut self) -> Result<(), WriteError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.rows += self.pending.len() as u64;
        self.writer.write(&self.pending.finish()?).map_err(of_parquet)
    }

    /// Ends the file, and gives the number of its rows.
    ///
    /// # Errors
    /// [`WriteError`]. The file has no end then, and nobody reads it.
    pub fn finish(mut self) -> Result<u64, WriteError> {
        self.write_pending()?;
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
