//! Opening and creating a table, and looking at it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use deltalake::DeltaTable;
use deltalake::arrow::array::new_null_array;
use deltalake::arrow::datatypes::{Schema, SchemaRef};
use deltalake::arrow::record_batch::RecordBatch;
use quarry_lock::OwnedGuard;
use serde_json::json;

use crate::appender::{Held, Writer};
use crate::commit::{Draft, Log, Outcome, milliseconds};
use crate::memory::Memory;
use crate::schema::{self, DATA_PREFIX, LAYOUT, LAYOUT_KEY, STATISTICS};
use crate::session::{Engine, Moment};
use crate::storage::Storage;
use crate::tail::{Tail, commit_path};
use crate::{Bookmark, Options, Rows, StoreError, Writers, checkpoint, disk, probe};

/// The folder beside the data that other engines leave alone.
pub(crate) const FOLDER: &str = "_quarry";

/// A table of events. Clones are one store.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) storage: Storage,
    pub(crate) log: Log,
    /// The columns that rows have which this process writes.
    pub(crate) schema: SchemaRef,
    /// Those of them that were chosen from the data.
    pub(crate) chosen: Vec<String>,
    state: RwLock<State>,
    /// One refresh at a time.
    refreshing: tokio::sync::Mutex<()>,
    held: Mutex<HashMap<String, Held>>,
    pub(crate) engine: Engine,
    writer: Mutex<Option<Writer>>,
    /// Keeps other writers off, where there is to be one.
    _lock: Option<OwnedGuard>,
}

/// What queries are asked of.
pub(crate) struct State {
    /// The table at the version that was last loaded.
    pub(crate) table: DeltaTable,
    pub(crate) memory: Memory,
}

/// The table and the rows that its handle doesn't have, of one moment.
pub(crate) struct View {
    /// The table.
    pub(crate) table: DeltaTable,
    /// The rows, with its columns.
    pub(crate) memory: Vec<RecordBatch>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("url", &self.storage.url.as_str()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a table, and creates it where there is none: a path or `file://`, `s3://`, `az://`,
    /// `gs://`. What an earlier process left in its write-ahead log is committed.
    ///
    /// # Errors
    /// [`StoreError::Address`], [`StoreError::StorageOption`], [`StoreError::ColumnName`] for what
    /// was asked; [`StoreError::NoTable`], [`StoreError::NotOurs`], [`StoreError::Layout`],
    /// [`StoreError::Damaged`] for what is there; [`StoreError::InUse`] if another process writes
    /// and one only is to; [`StoreError::NoConditionalPut`] if several are to and the storage can't
    /// tell them apart; [`StoreError::Storage`], [`StoreError::Disk`].
    pub async fn open(url: &str, options: Options) -> Result<Store, StoreError> {
        let wanted = schema::schema(&options.columns)?;
        let storage = Storage::open(url, &options)?;
        let lock = take_lock(&storage, &options)?;
        let tail = match Tail::open(&storage).await? {
            Some(tail) => tail,
            None if options.read_only => {
                return Err(StoreError::NoTable { url: storage.url.to_string() });
            }
            None => create(&storage, &wanted).await?,
        };
        if options.writers == Writers::Several && !options.read_only {
            probe::probe(&storage).await?;
        }
        let log = Log::new(storage.clone(), tail, options.commit_time);
        let chosen = match options.read_only {
            true => options.columns.clone(),
            false => add_columns(&log, &options.columns).await?,
        };
        let mut table = DeltaTable::new(storage.log.clone());
        load(&mut table, &log).await?;
        let inner = Inner {
            schema: schema::schema(&chosen)?,
            chosen,
            log,
            state: RwLock::new(State { table, memory: Memory::default() }),
            refreshing: tokio::sync::Mutex::new(()),
            held: Mutex::default(),
            engine: Engine::new(!options.read_only)?,
            writer: Mutex::new(None),
            _lock: lock,
            storage,
            options,
        };
        if !inner.options.read_only {
            let writer = Writer::open(&inner).await?;
            *inner.writer() = Some(writer);
        }
        Ok(Store(Arc::new(inner)))
    }

    /// Rows for this table, without any.
    ///
    /// # Errors
    /// None as a rule: the columns' names were checked when the table was opened.
    pub fn rows(&self) -> Result<Rows, StoreError> {
        Rows::new(&self.0.chosen)
    }

    /// The names of values of the data that have a column of their own in rows of this store.
    pub fn columns(&self) -> &[String] {
        &self.0.chosen
    }

    /// The table's newest version that is known here.
    pub fn version(&self) -> u64 {
        self.0.log.look(|tail| tail.version)
    }

    /// The table's address.
    pub fn url(&self) -> &str {
        self.0.storage.url.as_str()
    }

    /// Looks for what other writers have committed since, and lets queries see it.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Damaged`], [`StoreError::Changed`].
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.0.log.advance().await?;
        self.0.reload().await
    }

    /// How far each log was read: as the table last was seen, and as the rows are that wait here.
    pub fn bookmarks(&self) -> Vec<Bookmark> {
        let mut marks: HashMap<_, _> = self.0.log.look(|tail| tail.marks().collect());
        for (source, held) in &*self.0.held() {
            marks.extend(held.marks(source));
        }
        let mut bookmarks: Vec<Bookmark> =
            marks.into_iter().map(|(key, mark)| mark.bookmark(&key)).collect();
        bookmarks.sort_by(|a, b| (&a.source, &a.log).cmp(&(&b.source, &b.log)));
        bookmarks
    }
}

impl Store {
    /// What questions are asked of.
    pub(crate) fn moment(&self) -> Result<Moment, StoreError> {
        let View { table, memory } = self.0.view()?;
        let state = table.snapshot().map_err(|e| StoreError::engine("look at the table", e))?;
        let snapshot = Arc::new(state.snapshot().clone());
        Ok(Moment { log_store: table.log_store(), snapshot, memory })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }
}

impl Inner {
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Loads the table at the newest version that the log has read.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.refreshing.lock().await;
        let mut table = self.state().table.clone();
        if table.version() == Some(self.log.look(|tail| tail.version)) {
            return Ok(());
        }
        let version = load(&mut table, &self.log).await?;
        let mut state = self.change();
        state.table = table;
        state.memory.prune(version);
        Ok(())
    }

    /// Loads the table anew, from its checkpoint on.
    pub(crate) async fn reload_whole(&self) -> Result<DeltaTable, StoreError> {
        let _turn = self.refreshing.lock().await;
        let mut table = DeltaTable::new(self.storage.log.clone());
        let version = load(&mut table, &self.log).await?;
        let mut state = self.change();
        state.table = table.clone();
        state.memory.prune(version);
        Ok(table)
    }

    /// What a query is asked of: no row twice, none missing.
    pub(crate) fn view(&self) -> Result<View, StoreError> {
        let state = self.state();
        let table = state.table.clone();
        let snapshot = table.snapshot().map_err(|e| StoreError::engine("look at the table", e))?;
        let (version, schema) = (snapshot.version(), snapshot.snapshot().arrow_schema());
        let memory = state.memory.beside(version, &self.log);
        drop(state);
        let memory =
            memory.iter().map(|rows| with_columns(rows, &schema)).collect::<Result<_, _>>()?;
        Ok(View { table, memory })
    }

    /// Writes a checkpoint of the newest version that the log has read.
    pub(crate) async fn checkpoint(&self) -> Result<(), StoreError> {
        self.reload().await?;
        let table = self.state().table.clone();
        checkpoint::write(&self.storage, &table).await
    }
}

/// Loads a table at the newest version that the log has read, never at a newer one.
async fn load(table: &mut DeltaTable, log: &Log) -> Result<u64, StoreError> {
    let version = log.look(|tail| tail.version);
    if table.version().is_none_or(|loaded| loaded < version) {
        let mut loaded = table.update_incremental(Some(version)).await;
        if loaded.is_err() && table.version().is_some() {
            // The commits after the version that it is of may have been deleted.
            *table = DeltaTable::new(table.log_store());
            loaded = table.update_incremental(Some(version)).await;
        }
        loaded.map_err(|error| StoreError::engine("load the table", error))?;
    }
    Ok(table.version().unwrap_or(version))
}

/// Rows with a table's columns: those that they lack are null. Columns that another process has
/// added are in the table before they are in rows of this one.
pub(crate) fn with_columns(
    rows: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, StoreError> {
    if rows.schema_ref() == schema {
        return Ok(rows.clone());
    }
    let columns = schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), rows.num_rows()),
    });
    RecordBatch::try_new(schema.clone(), columns.collect())
        .map_err(|error| StoreError::engine("put rows beside the table", error))
}

/// Keeps other writers off, if there is to be one; else keeps off who wants to be the only one.
fn take_lock(storage: &Storage, options: &Options) -> Result<Option<OwnedGuard>, StoreError> {
    let Some(folder) = storage.folder.as_ref().filter(|_| !options.read_only) else {
        return Ok(None);
    };
    let folder = folder.join(FOLDER);
    disk::create_folders(&folder).map_err(|e| StoreError::disk("create", &folder, e))?;
    let path = folder.join("writer.lock");
    let mode = match options.writers {
        Writers::One => quarry_lock::Mode::Exclusive,
        Writers::Several => quarry_lock::Mode::Shared,
    };
    match quarry_lock::Options::new().try_lock(&path, mode)? {
        Some(lock) => Ok(Some(lock)),
        None => Err(StoreError::InUse { path }),
    }
}

/// Creates a table. Of several who try, all get the one that the first made.
async fn create(storage: &Storage, schema: &Schema) -> Result<Tail, StoreError> {
    let mut draft = Draft::new("CREATE TABLE", true);
    draft.protocol = true;
    draft.metadata = Some(json!({
        "id": uuid::Uuid::new_v4().to_string(),
        "name": null,
        "description": "Windows events",
        "format": { "provider": "parquet", "options": {} },
        "schemaString": schema::delta(schema).to_string(),
        "partitionColumns": [],
        "configuration": {
            LAYOUT_KEY: LAYOUT.to_string(),
            "delta.checkpointInterval": "100",
            "delta.logRetentionDuration": "interval 1 days",
            "delta.deletedFileRetentionDuration": "interval 1 days",
            "delta.dataSkippingStatsColumns": STATISTICS.join(","),
        },
        "createdTime": milliseconds(std::time::SystemTime::now()),
    }));
    let path = commit_path(0);
    storage
        .create(&path, draft.bytes())
        .await
        .map_err(|error| StoreError::storage("create", path, error))?;
    match Tail::open(storage).await? {
        Some(tail) => Ok(tail),
        None => Err(StoreError::Changed { why: "it was deleted while it was created".into() }),
    }
}

/// Adds the columns that a table lacks, and says which of its chosen ones rows have: all of them.
async fn add_columns(log: &Log, wanted: &[String]) -> Result<Vec<String>, StoreError> {
    loop {
        let (version, table) = log.look(|tail| (tail.version, tail.table.clone()));
        let (mut schema, mut there) = table.columns()?;
        let missing = |name: &&String| !there.iter().any(|known| known.eq_ignore_ascii_case(name));
        let missing: Vec<String> = wanted.iter().filter(missing).cloned().collect();
        if missing.is_empty() {
            return Ok(there);
        }
        if let Some(fields) = schema["fields"].as_array_mut() {
            fields.extend(missing.iter().map(|name| {
                let name = format!("{DATA_PREFIX}{name}");
                json!({ "name": name, "type": "string", "nullable": true, "metadata": {} })
            }));
        }
        there.extend(missing);
        let mut draft = Draft::new("ADD COLUMNS", true);
        draft.only_at = Some(version);
        draft.metadata = Some(json!({
            "id": table.id,
            "name": null,
            "description": "Windows events",
            "format": { "provider": "parquet", "options": {} },
            "schemaString": schema.to_string(),
            "partitionColumns": [],
            "configuration": table.configuration,
            "createdTime": milliseconds(std::time::SystemTime::now()),
        }));
        let outcome = log.commit(&mut draft).await;
        log.settle(&draft.id);
        if let Outcome::Done(_) = outcome? {
            return Ok(there);
        }
    }
}
