//! Compaction: many small files become few, each a slice of time, sorted inside by host and time. So
//! the newest events lie in few files, and a host's in few row groups of each.

use deltalake::DeltaTable;
use deltalake::arrow::array::Array as _;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::arrow::record_batch::RecordBatch;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use object_store::path::Path;

use super::live::{self, Live};
use crate::appender::remove_files;
use crate::commit::{Added, Draft, Outcome, Removed};
use crate::files::{self, DataFile, Name};
use crate::order::Ordered;
use crate::table::{Inner, with_columns};
use crate::{Policy, Report, StoreError, counts, grams};

/// Rows in a slice of late events, at least: these are spread over much time.
const LATE_ROWS: usize = 16 * 1024;

/// Whether a file is to be put together with others.
pub(super) fn is_small(file: &Live, policy: &Policy) -> bool {
    !Name::Slice.is_of(&file.path) && u64::try_from(file.size).is_ok_and(|n| n < policy.small_bytes)
}

/// Puts small files together, as many as make a slice; others only if there are many. Those that went are
/// added to `gone`.
pub(super) async fn compact(
    inner: &Inner,
    table: &DeltaTable,
    policy: &Policy,
    report: &mut Report,
    gone: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut small = live::files(table)?;
    small.retain(|file| is_small(file, policy));
    let snapshot = table.snapshot().map_err(|e| StoreError::engine("look at the table", e))?;
    let schema = snapshot.snapshot().arrow_schema();
    // Late ones apart, so that the slices of the others stay narrow.
    small.sort_by_key(|file| (file.is_wide(), file.times));
    let (narrow, wide) = small.split_at(small.partition_point(|file| !file.is_wide()));
    for (files, late) in [(narrow, false), (wide, true)] {
        let are_many = |count: usize| count > policy.small_files.max(1);
        // Whether they make a slice is known once they are read; fewer than this hardly do.
        let size: u64 = files.iter().filter_map(|file| u64::try_from(file.size).ok()).sum();
        if !are_many(files.len()) && size < policy.small_bytes {
            continue;
        }
        let mut group = Group::new(table, late);
        for file in files {
            match read(inner, file, &schema).await {
                Ok(rows) => group.add(file, rows),
                Err(error) => {
                    // The others are put together all the same; a query that needs it says so.
                    tracing::error!(%error, file = file.path, "a data file can't be read");
                    continue;
                }
            }
            if group.is_full(policy.memory) {
                let full = std::mem::replace(&mut group, Group::new(table, late));
                if !full.replace(inner, Name::Slice, report, gone).await? {
                    return Ok(());
                }
            }
        }
        if are_many(group.draft.removed.len())
            && !group.replace(inner, Name::Part, report, gone).await?
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Files that are put together.
struct Group {
    draft: Draft,
    rows: Vec<RecordBatch>,
    bytes: usize,
    late: bool,
}

impl Group {
    fn new(table: &DeltaTable, late: bool) -> Self {
        let mut draft = Draft::new("OPTIMIZE", false);
        draft.seen = table.version().unwrap_or_default();
        Group { draft, rows: Vec::new(), bytes: 0, late }
    }

    /// Whether there is no room for another file like those that are in it. One that is alone is put
    /// together with another if it can be.
    fn is_full(&self, most: usize) -> bool {
        match self.draft.removed.len() {
            0 | 1 => self.bytes >= most,
            files => self.bytes + self.bytes / files >= most,
        }
    }

    fn add(&mut self, file: &Live, rows: Vec<RecordBatch>) {
        self.draft.removed.push(Removed { path: file.path.clone(), size: file.size });
        self.bytes += rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        self.rows.extend(rows);
    }

    /// Writes the slices and commits them for the files. False if somebody else replaces files too.
    async fn replace(
        mut self,
        inner: &Inner,
        name: Name,
        report: &mut Report,
        gone: &mut Vec<String>,
    ) -> Result<bool, StoreError> {
        let (rows, late) = (std::mem::take(&mut self.rows), self.late);
        let made = tokio::task::spawn_blocking(move || slices(&rows, late, name))
            .await
            .map_err(|error| StoreError::engine("sort rows", error))??;
        let mut added: Vec<Added> = Vec::new();
        for DataFile { bytes, added: file, counts, grams } in made {
            let path = Path::from(file.path.as_str());
            added.push(file);
            if let Err(error) = inner.storage.write(&path, bytes).await {
                remove_files(inner, &added).await;
                return Err(error);
            }
            let path = &*added[added.len() - 1].path;
            match name {
                Name::Part => inner.engine.kept_counts().note(path, counts),
                Name::Slice => counts::write(&*inner.storage.files, path, counts).await,
            }
            if let Some(grams) = grams
                && let Err(error) = grams::write(&inner.storage, path, grams).await
            {
                // They are made again.
                tracing::warn!(%error, path, "a file was not made ready to be searched");
            }
        }
        self.draft.added = added;
        let outcome = inner.log.commit(&mut self.draft).await;
        inner.log.settle(&self.draft.id);
        match outcome? {
            Outcome::Done(_) => {
                report.merged += self.draft.removed.len();
                report.slices += self.draft.added.len();
                gone.extend(self.draft.removed.into_iter().map(|removed| removed.path));
                Ok(true)
            }
            _ => {
                if !self.draft.in_doubt {
                    remove_files(inner, &self.draft.added).await;
                }
                Ok(false)
            }
        }
    }
}

/// Rows as files: one, or for late rows slices of time.
fn slices(rows: &[RecordBatch], late: bool, name: Name) -> Result<Vec<DataFile>, StoreError> {
    let sorted = Ordered::by(rows, &files::SORTED)?;
    let slices = match late {
        true => (sorted.len() / LATE_ROWS).clamp(1, 8),
        false => 1,
    };
    sorted.slices(slices)?.iter().map(|slice| files::write(slice, name)).collect()
}

/// The rows of a file, with the table's columns.
async fn read(
    inner: &Inner,
    file: &Live,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>, StoreError> {
    let path = Path::from(file.path.as_str());
    let damaged = |why: String| StoreError::Damaged { path: file.path.clone(), why };
    let size = u64::try_from(file.size).unwrap_or_default();
    let Some(bytes) = inner.storage.read(&path, size).await? else {
        return Err(damaged("it is missing".into()));
    };
    if i64::try_from(bytes.len()) != Ok(file.size) {
        return Err(damaged(format!("it has {} bytes of {}", bytes.len(), file.size)));
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .and_then(|reader| reader.with_batch_size(64 * 1024).build())
        .map_err(|error| damaged(error.to_string()))?;
    reader
        .map(|rows| {
            let rows = rows.map_err(|error| damaged(error.to_string()))?;
            let rows = with_columns(&rows, schema)?;
            shrunk(rows)
        })
        .collect()
}

/// Rows in no more memory than they need: texts that were read can have room for as many bytes again.
fn shrunk(rows: RecordBatch) -> Result<RecordBatch, StoreError> {
    let (schema, mut columns, _) = rows.into_parts();
    for column in &mut columns {
        column.shrink_to_fit();
    }
    RecordBatch::try_new(schema, columns).map_err(|error| StoreError::engine("read rows", error))
}
