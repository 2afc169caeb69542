//! The table's log as far as writing needs it: its newest version, and the `txn` actions.
//!
//! It is read here and not through `deltalake`, since a commit looks at it inside its retry loop,
//! and since a commit without bytes has to be an error: `deltalake` takes it for an empty one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use deltalake::arrow::array::{Array, AsArray};
use deltalake::arrow::datatypes::Int64Type;
use deltalake::arrow::record_batch::RecordBatch;
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use quarry_event::EventTime;
use serde::Deserialize;

use crate::StoreError;
use crate::bookmarks::{Key, Mark};
use crate::schema::{self, DATA_PREFIX, LAYOUT, LAYOUT_KEY};
use crate::storage::{MOST_OF_LOG, MOST_OF_NOTE, Storage};

/// The folder of the log.
pub(crate) const LOG: &str = "_delta_log";
/// Commits read at once.
const AT_ONCE: usize = 16;

/// The file of a commit.
pub(crate) fn commit_path(version: u64) -> Path {
    Path::from(format!("{LOG}/{version:020}.json"))
}

/// What the log says, up to a version.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// The newest commit that was read.
    pub(crate) version: u64,
    /// When it was known that there is no newer one.
    pub(crate) seen: SystemTime,
    /// The bookmarks: of each source, of each log.
    marks: HashMap<String, HashMap<String, Mark>>,
    /// The newest values of `txn` actions that are no bookmarks.
    txns: HashMap<String, i64>,
    /// The metadata of the table.
    pub(crate) table: Arc<Metadata>,
}

/// The part of a `metaData` action that is looked at.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) id: String,
    pub(crate) schema_string: String,
    #[serde(default)]
    pub(crate) partition_columns: Vec<String>,
    #[serde(default)]
    pub(crate) configuration: HashMap<String, String>,
}

impl Metadata {
    /// The schema, and the values of the data that have columns in it.
    ///
    /// # Errors
    /// [`StoreError::NotOurs`] where it lacks a column that every table of events has.
    pub(crate) fn columns(&self) -> Result<(serde_json::Value, Vec<String>), StoreError> {
        let refuse = |why: String| StoreError::NotOurs { url: format!("table {}", self.id), why };
        let schema: serde_json::Value = serde_json::from_str(&self.schema_string)
            .map_err(|error| refuse(format!("its schema can't be read: {error}")))?;
        let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let kind = |name: &str| {
            fields.iter().find(|field| field["name"] == name).map(|field| &field["type"])
        };
        let fixed = schema::schema(&[])?;
        for field in schema::delta(&fixed)["fields"].as_array().into_iter().flatten() {
            let name = field["name"].as_str().unwrap_or_default();
            if kind(name) != Some(&field["type"]) {
                return Err(refuse(format!("its column `{name}` is missing or of another type")));
            }
        }
        let names = fields.iter().filter(|field| field["type"] == "string");
        let names = names.filter_map(|field| field["name"].as_str()?.strip_prefix(DATA_PREFIX));
        let names = names.map(str::to_owned).collect();
        Ok((schema, names))
    }
}

#[derive(Clone, Debug, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    min_reader_version: i32,
    min_writer_version: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn {
    app_id: String,
    version: i64,
}

#[derive(Deserialize)]
struct Removed {
    path: String,
}

/// What a commit says about itself. Only this crate's commits have it.
#[derive(Deserialize)]
pub(crate) struct Stamp {
    /// The commit's own identifier.
    pub(crate) id: String,
    /// How many actions it has, this one among them.
    actions: usize,
}

#[derive(Deserialize)]
struct Info {
    quarry: Option<Stamp>,
}

/// A line of a commit.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    txn: Option<Txn>,
    remove: Option<Removed>,
    meta_data: Option<Metadata>,
    protocol: Option<Protocol>,
    commit_info: Option<Info>,
}

/// A commit, as far as writing needs it.
pub(crate) struct Commit {
    pub(crate) version: u64,
    /// The identifier that one of this crate's commits has.
    pub(crate) id: Option<String>,
    txns: Vec<Txn>,
    /// Files that it removes, as the log has their names.
    pub(crate) removed: Vec<String>,
    metadata: Option<Metadata>,
    protocol: Option<Protocol>,
}

impl Commit {
    /// Reads a commit's bytes.
    pub(crate) fn parse(version: u64, bytes: &[u8]) -> Result<Commit, StoreError> {
        let damaged =
            |why: String| StoreError::Damaged { path: commit_path(version).to_string(), why };
        if bytes.trim_ascii().is_empty() {
            return Err(damaged(
                "it is empty, as after a crash of a writer that doesn't sync; if it is the newest \
                 one and nothing needs it, delete it"
                    .into(),
            ));
        }
        let mut commit = Commit {
            version,
            id: None,
            txns: Vec::new(),
            removed: Vec::new(),
            metadata: None,
            protocol: None,
        };
        let mut actions = None;
        let mut found = 0;
        for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            found += 1;
            let line: Line = serde_json::from_slice(line)
                .map_err(|error| damaged(format!("line {}: {error}", number + 1)))?;
            commit.txns.extend(line.txn);
            commit.removed.extend(line.remove.map(|removed| removed.path));
            commit.metadata = line.meta_data.or(commit.metadata);
            commit.protocol = line.protocol.or(commit.protocol);
            if let Some(stamp) = line.commit_info.and_then(|info| info.quarry) {
                actions = Some(stamp.actions);
                commit.id = Some(stamp.id);
            }
        }
        match actions {
            Some(actions) if actions != found => {
                Err(damaged(format!("it has {found} actions of {actions}")))
            }
            _ => Ok(commit),
        }
    }
}

impl Tail {
    /// Reads the log of a table; nothing where there is none. Where others cut it meanwhile it is
    /// read again.
    pub(crate) async fn open(storage: &Storage) -> Result<Option<Tail>, StoreError> {
        const TRIES: usize = 5;
        let mut last = None;
        for _ in 0..TRIES {
            match Self::read(storage).await {
                Err(error @ (StoreError::Changed { .. } | StoreError::Damaged { .. })) => {
                    last = Some(error);
                }
                read => return read,
            }
        }
        Err(last.unwrap_or(StoreError::Changed { why: "its log is cut again and again".into() }))
    }

    async fn read(storage: &Storage) -> Result<Option<Tail>, StoreError> {
        let files = Files::list(storage).await?;
        let Some(newest) = files.newest() else { return Ok(None) };
        let mut tail = Tail {
            version: newest,
            seen: SystemTime::now(),
            marks: HashMap::new(),
            txns: HashMap::new(),
            table: Arc::default(),
        };
        let mut protocol = None;
        let first = match &files.checkpoint {
            Some((version, parts)) => {
                for part in parts {
                    tail.read_checkpoint(storage, part, &mut protocol).await?;
                }
                version + 1
            }
            None => 0,
        };
        let missing = (first..=newest).find(|version| !files.commits.contains(version));
        if let Some(missing) = missing {
            let why = "it is missing, and there is no checkpoint after it".to_owned();
            return Err(StoreError::Damaged { path: commit_path(missing).to_string(), why });
        }
        let mut commits = futures_util::stream::iter(first..=newest)
            .map(|version| read_commit(storage, version))
            .buffered(AT_ONCE);
        while let Some(commit) = commits.try_next().await? {
            let Some(commit) = commit else {
                // Deleted since it was listed: others clean up.
                return Err(StoreError::Changed {
                    why: "its log was cut while it was read".into(),
                });
            };
            if let Some(table) = commit.metadata {
                tail.table = Arc::new(table);
            }
            protocol = commit.protocol.or(protocol);
            commit.txns.into_iter().for_each(|txn| tail.note(txn.app_id, txn.version));
        }
        tail.check(storage, &protocol.unwrap_or_default())?;
        Ok(Some(tail))
    }

    /// Takes a commit that follows.
    pub(crate) fn apply(&mut self, storage: &Storage, commit: Commit) -> Result<(), StoreError> {
        debug_assert_eq!(commit.version, self.version + 1);
        if let Some(table) = commit.metadata {
            if table.id != self.table.id {
                return Err(StoreError::Changed { why: "it is another table now".into() });
            }
            self.table = Arc::new(table);
            self.check(storage, &commit.protocol.unwrap_or(KNOWN))?;
        } else if let Some(protocol) = commit.protocol {
            self.check(storage, &protocol)?;
        }
        self.version = commit.version;
        commit.txns.into_iter().for_each(|txn| self.note(txn.app_id, txn.version));
        Ok(())
    }

    fn note(&mut self, app_id: String, version: i64) {
        let Some((key, is_time)) = Key::parse(&app_id) else {
            self.txns.insert(app_id, version);
            return;
        };
        let mark = self.marks.entry(key.source).or_default().entry(key.log).or_default();
        match is_time {
            // Zero stands for none: an action can't be taken back.
            true => {
                let units = u64::try_from(version).ok().filter(|&units| units != 0);
                mark.time = units.map(EventTime::from_filetime);
            }
            false => mark.value = version,
        }
    }

    /// The value of a `txn` action that is no bookmark.
    pub(crate) fn txn(&self, app_id: &str) -> Option<i64> {
        self.txns.get(app_id).copied()
    }

    /// Where a log's bookmark is.
    pub(crate) fn mark(&self, key: &Key) -> Option<Mark> {
        self.marks.get(&key.source)?.get(&key.log).copied()
    }

    /// The bookmarks of a source's logs.
    pub(crate) fn marks_of(&self, source: &str) -> Vec<(String, Mark)> {
        let logs = self.marks.get(source).into_iter().flatten();
        logs.map(|(log, &mark)| (log.clone(), mark)).collect()
    }

    /// All bookmarks.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (Key, Mark)> + '_ {
        self.marks.iter().flat_map(|(source, logs)| {
            logs.iter().map(move |(log, &mark)| (Key::new(source, log), mark))
        })
    }

    /// Checks that the table is one that this crate can write to.
    fn check(&self, storage: &Storage, protocol: &Protocol) -> Result<(), StoreError> {
        let url = storage.url.to_string();
        let Some(layout) = self.table.configuration.get(LAYOUT_KEY) else {
            let why = format!("its configuration lacks `{LAYOUT_KEY}`");
            return Err(StoreError::NotOurs { url, why });
        };
        if *layout != LAYOUT.to_string() {
            return Err(StoreError::Layout { url, found: layout.clone(), known: LAYOUT });
        }
        let Protocol { min_reader_version, min_writer_version } = *protocol;
        if min_reader_version > KNOWN.min_reader_version
            || min_writer_version > KNOWN.min_writer_version
        {
            let why = format!(
                "its protocol was raised to reader {min_reader_version}, writer \
                 {min_writer_version}"
            );
            return Err(StoreError::NotOurs { url, why });
        }
        if !self.table.partition_columns.is_empty() {
            return Err(StoreError::NotOurs { url, why: "it has partitions".into() });
        }
        self.table.columns().map(drop)
    }

    /// Reads a part of a checkpoint.
    async fn read_checkpoint(
        &mut self,
        storage: &Storage,
        path: &Path,
        protocol: &mut Option<Protocol>,
    ) -> Result<(), StoreError> {
        let damaged = |why: String| StoreError::Damaged { path: path.to_string(), why };
        let Some(bytes) = storage.read(path, MOST_OF_LOG).await? else {
            return Err(StoreError::Changed { why: "its log was cut while it was read".into() });
        };
        if bytes.is_empty() {
            return Err(damaged("it is empty".into()));
        }
        let read = || -> Result<Vec<RecordBatch>, StoreError> {
            let failed = |error: &dyn std::fmt::Display| damaged(error.to_string());
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
                .map_err(|error| failed(&error))?;
            let columns = reader.parquet_schema();
            let wanted = ["txn", "metaData", "protocol"];
            let roots = columns.root_schema().get_fields().iter().enumerate();
            let roots = roots.filter(|(_, field)| wanted.contains(&field.name()));
            let mask = ProjectionMask::roots(columns, roots.map(|(n, _)| n).collect::<Vec<_>>());
            let reader = reader.with_projection(mask).build().map_err(|error| failed(&error))?;
            reader.map(|batch| batch.map_err(|error| failed(&error))).collect()
        };
        for batch in read()? {
            self.note_checkpoint(&batch, protocol)
                .ok_or_else(|| damaged("its columns are not those of a checkpoint".into()))?;
        }
        Ok(())
    }

    fn note_checkpoint(
        &mut self,
        batch: &RecordBatch,
        protocol: &mut Option<Protocol>,
    ) -> Option<()> {
        if let Some(txns) = batch.column_by_name("txn") {
            let txns = txns.as_struct_opt()?;
            let ids = txns.column_by_name("appId")?.as_string_opt::<i32>()?;
            let versions = txns.column_by_name("version")?.as_primitive_opt::<Int64Type>()?;
            for row in (0..txns.len()).filter(|&row| txns.is_valid(row) && ids.is_valid(row)) {
                self.note(ids.value(row).to_owned(), versions.value(row));
            }
        }
        let tables = batch.column_by_name("metaData")?.as_struct_opt()?;
        let row = |array: &deltalake::arrow::array::StructArray| {
            (0..array.len()).find(|&row| array.is_valid(row))
        };
        if let Some(row) = row(tables) {
            let text = |name| {
                let column = tables.column_by_name(name)?.as_string_opt::<i32>()?;
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            let entries = tables.column_by_name("configuration")?.as_map_opt()?.value(row);
            let keys = entries.column(0).as_string_opt::<i32>()?;
            let values = entries.column(1).as_string_opt::<i32>()?;
            let pair = |n| (keys.value(n).to_owned(), values.value(n).to_owned());
            let parts = tables.column_by_name("partitionColumns")?.as_list_opt::<i32>()?.value(row);
            let parts = parts.as_string_opt::<i32>()?;
            self.table = Arc::new(Metadata {
                id: text("id")?,
                schema_string: text("schemaString")?,
                partition_columns: parts.iter().flatten().map(str::to_owned).collect(),
                configuration: (0..entries.len()).map(pair).collect(),
            });
        }
        let protocols = batch.column_by_name("protocol")?.as_struct_opt()?;
        if let Some(row) = row(protocols) {
            let number = |name| {
                let column = protocols.column_by_name(name)?;
                let column = column.as_primitive_opt::<deltalake::arrow::datatypes::Int32Type>()?;
                column.is_valid(row).then(|| column.value(row))
            };
            *protocol = Some(Protocol {
                min_reader_version: number("minReaderVersion")?,
                min_writer_version: number("minWriterVersion")?,
            });
        }
        Some(())
    }
}

/// What this crate reads and writes: a table without any feature.
pub(crate) const KNOWN: Protocol = Protocol { min_reader_version: 1, min_writer_version: 2 };

pub(crate) async fn read_commit(
    storage: &Storage,
    version: u64,
) -> Result<Option<Commit>, StoreError> {
    match storage.read(&commit_path(version), MOST_OF_LOG).await? {
        Some(bytes) => Commit::parse(version, &bytes).map(Some),
        None => Ok(None),
    }
}

/// The version of the newest checkpoint among the files of a log of which every part is there.
pub(crate) fn newest_checkpoint(listed: &[object_store::ObjectMeta]) -> Option<u64> {
    Files::of(listed).checkpoint.map(|(version, _)| version)
}

/// The files of the log.
struct Files {
    /// Versions of commits.
    commits: std::collections::BTreeSet<u64>,
    /// The newest checkpoint that is whole: its version and parts.
    checkpoint: Option<(u64, Vec<Path>)>,
}

impl Files {
    async fn list(storage: &Storage) -> Result<Files, StoreError> {
        let folder = Path::from(LOG);
        // A hint, to list what comes after it only.
        let hint = storage.read(&folder.clone().join("_last_checkpoint"), MOST_OF_NOTE).await?;
        #[derive(Deserialize)]
        struct Hint {
            version: u64,
        }
        let hint = hint.and_then(|bytes| serde_json::from_slice::<Hint>(&bytes).ok());
        let listed = match &hint {
            Some(hint) => {
                let after = Path::from(format!("{LOG}/{:020}", hint.version));
                storage.list_after(&folder, &after).await?
            }
            None => storage.list(Some(&folder)).await?,
        };
        let files = Files::of(&listed);
        match (hint, &files.checkpoint) {
            // The checkpoint isn't there: the hint is wrong.
            (Some(_), None) => Ok(Files::of(&storage.list(Some(&folder)).await?)),
            _ => Ok(files),
        }
    }

    fn of(listed: &[object_store::ObjectMeta]) -> Files {
        let mut commits = std::collections::BTreeSet::new();
        let mut parts: HashMap<(u64, usize), Vec<Path>> = HashMap::new();
        for file in listed {
            let name = file.location.filename().unwrap_or_default();
            let Some((version, rest)) = name.split_once('.') else { continue };
            let (20, Ok(version)) = (version.len(), version.parse()) else { continue };
            let pieces: Vec<&str> = rest.split('.').collect();
            match *pieces {
                ["json"] => {
                    commits.insert(version);
                }
                ["checkpoint", "parquet"] => {
                    parts.entry((version, 1)).or_default().push(file.location.clone());
                }
                ["checkpoint", _, total, "parquet"] => {
                    if let Ok(total) = total.parse() {
                        parts.entry((version, total)).or_default().push(file.location.clone());
                    }
                }
                _ => {}
            }
        }
        let whole = parts.into_iter().filter(|((_, total), parts)| parts.len() == *total);
        let checkpoint = whole
            .max_by_key(|((version, _), _)| *version)
            .map(|((version, _), parts)| (version, parts));
        Files { commits, checkpoint }
    }

    fn newest(&self) -> Option<u64> {
        let checkpoint = self.checkpoint.as_ref().map(|(version, _)| *version);
        self.commits.last().copied().max(checkpoint)
    }
}
