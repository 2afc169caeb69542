//! Which runs of three letters the texts of a file's rows have, kept beside the file.
//!
//! A word is looked for in `text` and `message`, the two largest columns. `_quarry/grams/FILE` has, for
//! each block of rows of the file, a bit for each run of three ASCII letters, digits or signs in them: a
//! block in which one of a word's runs is missing doesn't have the word, and isn't read. Runs share bits,
//! so that a block that is read may have nothing; what it has is tested as ever.
//!
//! As counts do, they belong to a file that never changes. They are made with a slice, and by maintenance for
//! another file that isn't to be put together; without them a file is read whole.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use deltalake::arrow::record_batch::RecordBatch;
use deltalake::datafusion::common::Result as EngineResult;
use deltalake::datafusion::common::tree_node::{Transformed, TreeNode};
use deltalake::datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use deltalake::datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder,
};
use deltalake::datafusion::datasource::source::DataSourceExec;
use deltalake::datafusion::physical_plan::ExecutionPlan;
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::{
    ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use futures_util::{StreamExt, stream};
use object_store::path::Path;

use crate::StoreError;
use crate::event::Texts2;
use crate::facts::FileFacts;
use crate::maintain::live::Live;
use crate::schema::column;
use crate::storage::Storage;

/// Rows of a block.
pub(crate) const BLOCK: usize = 4096;
/// Bytes of the bits of a block.
const BYTES: usize = 1 << 13;
const MAGIC: &[u8; 8] = b"QUARRYG1";
/// The most bytes that are read: of four billion rows.
const MOST: u64 = 8 << 30;
/// Files that are read at once.
const AT_ONCE: usize = 8;

/// The bits of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Grams {
    rows: usize,
    bits: Vec<u8>,
}

impl Grams {
    /// Adds rows after those there are.
    ///
    /// # Errors
    /// [`StoreError::Rows`]: a column is missing.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        let text = |name| {
            rows.column_by_name(name).and_then(Texts2::new).ok_or_else(|| StoreError::Rows {
                why: format!("the column {name} is not as it should be"),
            })
        };
        self.add_texts(&[text(column::TEXT)?, text(column::MESSAGE)?], rows.num_rows());
        Ok(())
    }

    fn add_texts(&mut self, columns: &[Texts2; 2], rows: usize) {
        for row in 0..rows {
            let block = self.rows / BLOCK * BYTES;
            self.bits.resize(block + BYTES, 0);
            let bits = &mut self.bits[block..];
            for text in columns.iter().filter_map(|column| column.get(row)) {
                runs(text, |run| bits[run / 8] |= 1 << (run % 8));
            }
            self.rows += 1;
        }
    }

    /// What is kept of them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [MAGIC, &(self.rows as u64).to_le_bytes()[..], &self.bits].concat()
    }

    /// Nothing where it is something else.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (rows, bits) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        let rows = usize::try_from(u64::from_le_bytes(*rows)).ok()?;
        let is_whole = Some(bits.len()) == rows.div_ceil(BLOCK).checked_mul(BYTES);
        is_whole.then(|| Grams { rows, bits: bits.to_vec() })
    }

    /// The rows of the blocks that have all of some runs.
    fn selection(&self, wanted: &BTreeSet<usize>) -> RowSelection {
        let selectors = self.bits.chunks_exact(BYTES).enumerate().map(|(n, bits)| {
            let rows = BLOCK.min(self.rows - n * BLOCK);
            match wanted.iter().all(|run| bits[run / 8] & 1 << (run % 8) != 0) {
                true => RowSelector::select(rows),
                false => RowSelector::skip(rows),
            }
        });
        selectors.collect::<Vec<_>>().into()
    }
}

/// Gives each run of three letters of a text, as the number of its bit. Letters of ASCII are the same in
/// either case, with the two others that they fold to; all other characters, and the end of a line, part
/// runs.
fn runs(text: &str, mut each: impl FnMut(usize)) {
    let (mut run, mut length) = (0_u32, 0);
    for c in text.chars() {
        let c = match c {
            // The Kelvin sign and the long s.
            '\u{212a}' => b'k',
            '\u{17f}' => b's',
            '\n' => b'\n',
            c => u8::try_from(c).unwrap_or(b'\n').to_ascii_lowercase(),
        };
        if c == b'\n' || !c.is_ascii() {
            length = 0;
            continue;
        }
        run = (run << 7 | u32::from(c)) & 0x1f_ffff;
        length += 1;
        if length >= 3 {
            each((run.wrapping_mul(0x9e37_79b1) >> 16) as usize);
        }
    }
}

/// The folder of the bits.
const FOLDER: &str = "_quarry/grams";

/// Where the bits of a data file are.
fn path_of(file: &str) -> Path {
    Path::from(format!("{FOLDER}/{}", file.replace('/', "_")))
}

/// The data file that bits are of, by their name.
pub(crate) fn file_of(grams: &str) -> Option<&str> {
    grams.strip_prefix(FOLDER)?.strip_prefix('/')
}

/// Keeps the bytes of a data file's bits.
///
/// # Errors
/// [`StoreError::Storage`].
pub(crate) async fn write(storage: &Storage, file: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
    storage.write(&path_of(file), bytes).await
}

/// Makes the bits of files that have none yet and more than a block of rows.
///
/// # Errors
/// [`StoreError::Storage`], [`StoreError::Damaged`].
pub(crate) async fn keep(storage: &Storage, files: &[Live]) -> Result<(), StoreError> {
    let kept = storage.names(&Path::from(FOLDER)).await?;
    for file in files.iter().filter(|file| file.rows > BLOCK as u64) {
        let beside = path_of(&file.path);
        if kept.contains(&beside) {
            continue;
        }
        let path = Path::from(file.path.as_str());
        let size = u64::try_from(file.size).unwrap_or_default();
        // It may have been put together with others meanwhile.
        let Some(bytes) = storage.read(&path, size).await? else { continue };
        let name = file.path.clone();
        let made = tokio::task::spawn_blocking(move || of_file(bytes.into(), name)).await;
        let made = made.map_err(|error| StoreError::engine("read Parquet", error))??;
        write(storage, &file.path, made.bytes()).await?;
    }
    Ok(())
}

/// The bits of a data file.
fn of_file(bytes: bytes::Bytes, path: String) -> Result<Grams, StoreError> {
    let damaged = |why: String| StoreError::Damaged { path: path.clone(), why };
    let failed = |error: &dyn std::fmt::Display| damaged(error.to_string());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| failed(&e))?;
    let columns = [column::TEXT, column::MESSAGE];
    let mask = ProjectionMask::columns(reader.parquet_schema(), columns);
    let reader = reader.with_projection(mask).build().map_err(|e| failed(&e))?;
    let mut grams = Grams::default();
    for batch in reader {
        grams.add(&batch.map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
    }
    Ok(grams)
}

/// The rows of files that can have what is looked for, by the files' names. A file that isn't there is
/// read whole.
pub(crate) type Chosen = HashMap<String, RowSelection>;

/// Looks up which rows of files can have some texts, in any case.
pub(crate) async fn choose(
    storage: &dyn object_store::ObjectStore,
    files: &[FileFacts],
    texts: &[String],
) -> Chosen {
    let mut wanted = BTreeSet::new();
    texts.iter().for_each(|text| {
        runs(text, |run| {
            wanted.insert(run);
        })
    });
    if wanted.is_empty() {
        return Chosen::new();
    }
    let wanted = &wanted;
    let of = |file: &FileFacts| {
        let (file, path, rows) = (file.path.clone(), path_of(&file.path), file.rows);
        async move {
            use object_store::ObjectStoreExt as _;
            let found = storage.get(&path).await.ok()?;
            if found.meta.size > MOST {
                return None;
            }
            let grams = Grams::parse(&found.bytes().await.ok()?)?;
            (grams.rows as u64 == rows).then(|| (file, grams.selection(wanted)))
        }
    };
    let files = files.iter().filter(|file| file.rows > BLOCK as u64).map(of);
    stream::iter(files)
        .buffer_unordered(AT_ONCE)
        .filter_map(|found| async { found })
        .collect()
        .await
}

/// The plan, reading of the files only what was chosen.
///
/// # Errors
/// The engine's.
pub(crate) fn narrowed(
    plan: Arc<dyn ExecutionPlan>,
    chosen: &Chosen,
) -> EngineResult<Arc<dyn ExecutionPlan>> {
    if chosen.is_empty() {
        return Ok(plan);
    }
    let narrowed = plan.transform_up(|node| {
        let source = node.downcast_ref::<DataSourceExec>();
        let config =
            source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
        let Some(config) = config else { return Ok(Transformed::no(node)) };
        let groups = config.file_groups.iter().map(|group| {
            let file = |file: &deltalake::datafusion::datasource::listing::PartitionedFile| {
                // Files of this crate have no folder, and names that no other has.
                let name = file.object_meta.location.filename().unwrap_or_default();
                match chosen.get(name) {
                    Some(rows) => {
                        file.clone().with_extension(ParquetRowSelection::new(rows.clone()))
                    }
                    None => file.clone(),
                }
            };
            FileGroup::new(group.iter().map(file).collect())
        });
        let groups = groups.collect();
        let config = FileScanConfigBuilder::from(config.clone()).with_file_groups(groups).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(config)))
    });
    narrowed.map(|narrowed| narrowed.data)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::array::{ArrayRef, StringArray};
    use proptest::prelude::*;
    use quarry_event::filter::Pattern;

    use super::*;

    fn grams(texts: &[&str]) -> Grams {
        let column = |texts: Vec<Option<&str>>| -> Texts2 {
            let array: ArrayRef = Arc::new(StringArray::from(texts));
            Texts2::new(&array).unwrap()
        };
        let none = column(vec![None; texts.len()]);
        let mut grams = Grams::default();
        grams.add_texts(&[column(texts.iter().copied().map(Some).collect()), none], texts.len());
        grams
    }

    fn selected(grams: &Grams, text: &str) -> usize {
        let mut wanted = BTreeSet::new();
        runs(text, |run| {
            wanted.insert(run);
        });
        grams.selection(&wanted).row_count()
    }

    #[test]
    fn blocks_without_a_word_are_skipped_and_those_with_it_are_not() {
        let mut texts = vec!["svchost.exe"; 3 * BLOCK + 5];
        texts[BLOCK + 7] = "C:\\Users\\ZebraFish.exe";
        texts[3 * BLOCK + 4] = "\u{212a}elvin and long \u{17f}et";
        let grams = grams(&texts);
        assert_eq!(selected(&grams, "zebrafish"), BLOCK);
        assert_eq!(selected(&grams, "kelvin"), 5);
        assert_eq!(selected(&grams, "SET"), 5);
        assert_eq!(selected(&grams, "svchost"), texts.len());
        assert_eq!(selected(&grams, "neither"), 0);
        // Too short to be told.
        assert_eq!(selected(&grams, "zz"), texts.len());
        assert_eq!(Grams::parse(&grams.bytes()), Some(grams));
        assert_eq!(Grams::parse(b"QUARRYG1"), None);
    }

    proptest! {
        #[test]
        fn what_a_search_finds_is_never_skipped(text in "[a-zK\u{212a}ſäÄ \\n0-9]{0,40}", at: usize, len in 1_usize..9) {
            let chars: Vec<char> = text.chars().collect();
            prop_assume!(!chars.is_empty());
            let at = at % chars.len();
            let part: String = chars[at..chars.len().min(at + len)].iter().collect();
            for word in [part.to_lowercase(), part.to_uppercase(), part] {
                let found = Pattern::parse(&format!("(?i){}", word.replace('\n', "\\n")));
                if found.is_ok_and(|pattern| pattern.is_in(text.as_bytes())) {
                    prop_assert_eq!(selected(&grams(&[&text]), &word), 1, "{:?} in {:?}", word, text);
                }
            }
        }
    }
}
