//! How a store is opened and kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;

/// Who writes to the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Writers {
    /// This process alone. On a local disk a lock keeps others off.
    #[default]
    One,
    /// Other processes and machines as well. The storage is tested for what that takes.
    Several,
}

/// Makes a storage of another one.
#[doc(hidden)]
pub type WrapStorage = Arc<dyn Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Wrap(pub(crate) WrapStorage);

/// How a store is opened. The default is a table with one writer, made where there is none.
#[derive(Clone)]
#[must_use]
pub struct Options {
    pub(crate) columns: Vec<String>,
    pub(crate) memory: usize,
    pub(crate) writers: Writers,
    pub(crate) read_only: bool,
    pub(crate) storage: BTreeMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) wrap: Option<Wrap>,
    pub(crate) log_folder: Option<PathBuf>,
    pub(crate) commit_time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            columns: Vec::new(),
            memory: 64 << 20,
            writers: Writers::One,
            read_only: false,
            storage: BTreeMap::new(),
            environment: BTreeMap::new(),
            wrap: None,
            log_folder: None,
            commit_time: Duration::from_secs(60),
        }
    }
}

impl Options {
    /// Names of values of `<EventData>` that get a column of their own, `data_NAME`. A table that
    /// lacks some gets them; rows from before have nothing there.
    pub fn columns(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.columns = names.into_iter().collect();
        self
    }

    /// How many bytes of rows may wait for their commit; 64 MiB unless set.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Who writes to the table.
    pub fn writers(mut self, writers: Writers) -> Self {
        self.writers = writers;
        self
    }

    /// Opens the table for reading: nothing is made, locked or repaired.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// What the object storage's client needs, by the names that `object_store` has for it, such
    /// as `aws_region`, `aws_endpoint`, `azure_storage_account_key`. One that the client doesn't
    /// know is refused.
    pub fn storage(mut self, options: impl IntoIterator<Item = (String, String)>) -> Self {
        self.storage = options.into_iter().collect();
        self
    }

    /// Variables of the environment: those that the object storage's client knows by the same names,
    /// in whatever case, are options, and [`storage`](Self::storage) wins over them.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = variables.into_iter().collect();
        self
    }

    /// Puts something between the store and its storage, for tests: faults.
    #[doc(hidden)]
    pub fn through(mut self, wrap: WrapStorage) -> Self {
        self.wrap = Some(Wrap(wrap));
        self
    }

    /// The folder of write-ahead logs. `_quarry/wal` in a local table unless set; for a table on
    /// object storage it has to be set, or there is no write-ahead log, and what wasn't committed
    /// is lost when the process ends.
    pub fn log_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.log_folder = Some(folder.into());
        self
    }

    /// How long a commit is tried while others are faster or the storage fails; a minute unless
    /// set. What couldn't be committed waits for the next flush.
    pub fn commit_time(mut self, time: Duration) -> Self {
        self.commit_time = time;
        self
    }
}

impl std::fmt::Debug for Options {
    /// Without the storage's options, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("columns", &self.columns)
            .field("memory", &self.memory)
            .field("writers", &self.writers)
            .field("read_only", &self.read_only)
            .field("log_folder", &self.log_folder)
            .field("commit_time", &self.commit_time)
            .finish_non_exhaustive()
    }
}

/// What maintenance is to do.
#[derive(Clone, Debug)]
#[must_use]
pub struct Policy {
    /// How long events are kept after their time. For ever where there is nothing.
    pub keep: Option<Duration>,
    /// So many small files are left alone, of live and of late events each, if they don't make a slice;
    /// when there are more, they are put together.
    pub small_files: usize,
    /// A data file of fewer bytes is small, unless it is a slice.
    pub small_bytes: u64,
    /// About the most bytes of rows, in memory, that a slice has. It is written before another small file would pass this.
    pub memory: usize,
    /// A checkpoint is written when the last one is so many commits old.
    pub checkpoint_commits: u64,
    /// How long the table's log is kept. A writer that pauses for longer has to open the table
    /// again.
    pub keep_log: Duration,
    /// A file that the table doesn't have is deleted when it is older than this. It has to be
    /// longer than any query and any commit.
    pub safe_age: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Policy {
            keep: None,
            small_files: 200,
            small_bytes: 4 << 20,
            memory: 24 << 20,
            checkpoint_commits: 100,
            keep_log: DAY,
            safe_age: DAY,
        }
    }
}

/// What maintenance has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Whether somebody else was maintaining the table, so that nothing was done.
    pub busy: bool,
    /// Small files that were put together.
    pub merged: usize,
    /// Files that they became.
    pub slices: usize,
    /// Files whose events were too old.
    pub expired_files: usize,
    /// Rows in these.
    pub expired_rows: u64,
    /// Whether a checkpoint was written.
    pub checkpoint: bool,
    /// Files of the log that were deleted.
    pub log_files: usize,
    /// Data files that nothing refers to any more and that were deleted.
    pub vacuumed: usize,
}
