//! Commits, each with its fence.
//!
//! A commit is one file of the log, created where no other is. It holds the bookmarks that it moves,
//! and goes through only if each of them still is what its writer believes. That is compared with
//! the log **inside** the loop that tries one version after the other: whoever comes between is read
//! first. Three more things can go wrong, and each is looked for:
//!
//! * An answer is lost, and the file is there all the same. A commit has an identifier of its own, so
//!   that it is known when it is met again; until it is known what became of it, it stays in doubt
//!   and is tried again as it was. Where its file was deleted meanwhile, as others cut the log, one
//!   of its `txn` actions tells that the checkpoint has it.
//! * A writer pauses for longer than the log is kept: the number that it takes for the next one was
//!   given, and the file deleted. So the commit before has to be there *after* a commit was made;
//!   the log is deleted from its oldest commit on.
//! * A file that is to be removed was removed by somebody else.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use object_store::Error;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::StoreError;
use crate::bookmarks::Key;
use crate::storage::{MOST_OF_LOG, Storage};
use crate::tail::{Commit, KNOWN, LOG, Tail, commit_path, read_commit};

/// A data file that a commit adds.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Statistics, as JSON.
    pub(crate) stats: String,
    pub(crate) rows: usize,
}

/// A data file that a commit removes.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    pub(crate) path: String,
    pub(crate) size: i64,
}

/// What a commit is to do.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) operation: &'static str,
    pub(crate) added: Vec<Added>,
    pub(crate) removed: Vec<Removed>,
    /// Whether the files that are added have rows that weren't there, or those that are removed have
    /// rows that won't be.
    pub(crate) data_change: bool,
    /// Bookmarks and what they still have to be.
    pub(crate) fence: Vec<(Key, Option<i64>)>,
    /// Values of `txn` actions.
    pub(crate) txns: Vec<(String, i64)>,
    /// A whole `metaData` action.
    pub(crate) metadata: Option<Value>,
    /// Whether it has the `protocol` action that a table begins with.
    pub(crate) protocol: bool,
    /// The version at which the files to be removed were there.
    pub(crate) seen: u64,
    /// The version that it has to follow at once, if any.
    pub(crate) only_at: Option<u64>,
    /// That of its `txn` actions whose value no earlier commit has: it tells the commit where its file
    /// was deleted before it was read.
    pub(crate) stamp: Option<(String, i64)>,
    /// Whether it may have become a commit without an answer, so that its data files can't be deleted
    /// even where it is refused: what the log has of them isn't known.
    pub(crate) in_doubt: bool,
}

/// What became of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is the commit of this version.
    Done(u64),
    /// The bookmarks of these logs were moved by somebody else. Nothing was committed.
    Fenced(Vec<Key>),
    /// Files that it was to remove were removed by somebody else, or another commit came before it
    /// and none may. Nothing was committed.
    Overtaken,
}

impl Draft {
    pub(crate) fn new(operation: &'static str, data_change: bool) -> Self {
        Draft {
            id: Uuid::new_v4().to_string(),
            operation,
            added: Vec::new(),
            removed: Vec::new(),
            data_change,
            fence: Vec::new(),
            txns: Vec::new(),
            metadata: None,
            protocol: false,
            seen: 0,
            only_at: None,
            stamp: None,
            in_doubt: false,
        }
    }

    /// The commit's file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let now = milliseconds(SystemTime::now());
        let mut actions = Vec::new();
        if self.protocol {
            actions.push(json!({ "protocol": KNOWN }));
        }
        if let Some(metadata) = &self.metadata {
            actions.push(json!({ "metaData": metadata }));
        }
        for (app_id, version) in &self.txns {
            let txn = json!({ "appId": app_id, "version": version, "lastUpdated": now });
            actions.push(json!({ "txn": txn }));
        }
        for removed in &self.removed {
            actions.push(json!({ "remove": {
                "path": removed.path,
                "deletionTimestamp": now,
                "dataChange": self.data_change,
                "extendedFileMetadata": true,
                "partitionValues": {},
                "size": removed.size,
            } }));
        }
        for added in &self.added {
            actions.push(json!({ "add": {
                "path": added.path,
                "partitionValues": {},
                "size": added.size,
                "modificationTime": now,
                "dataChange": self.data_change,
                "stats": added.stats,
            } }));
        }
        let info = json!({ "commitInfo": {
            "timestamp": now,
            "operation": self.operation,
            "operationParameters": {},
            "engineInfo": concat!("quarry/", env!("CARGO_PKG_VERSION")),
            "isBlindAppend": self.removed.is_empty(),
            "quarry": { "id": self.id, "actions": actions.len() + 1 },
        } });
        let mut bytes = Vec::new();
        for action in std::iter::once(&info).chain(&actions) {
            bytes.extend_from_slice(action.to_string().as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }
}

pub(crate) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The log of a table, as one process writes and follows it.
#[derive(Debug)]
pub(crate) struct Log {
    storage: Storage,
    tail: std::sync::RwLock<Tail>,
    /// Commits of this process take turns.
    turn: tokio::sync::Mutex<()>,
    /// Commits that were begun.
    begun: Mutex<HashMap<String, Begun>>,
    time: Duration,
}

/// What is known of a commit that was begun.
#[derive(Clone, Debug, Default)]
struct Begun {
    stamp: Option<(String, i64)>,
    /// The version from which on the table has it, once that is known.
    version: Option<u64>,
    /// Whether it was found in the log as it was read anew, so that its own file needn't be there.
    is_history: bool,
}

/// A log that wasn't looked at for this long may have been cut.
const STALE: Duration = Duration::from_secs(60);

impl Log {
    pub(crate) fn new(storage: Storage, tail: Tail, time: Duration) -> Self {
        Log {
            storage,
            tail: std::sync::RwLock::new(tail),
            turn: tokio::sync::Mutex::new(()),
            begun: Mutex::default(),
            time,
        }
    }

    /// Looks at the log as it was last seen.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Tail) -> T) -> T {
        look(&self.tail.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Tail) -> T) -> T {
        change(&mut self.tail.write().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn begun(&self) -> std::sync::MutexGuard<'_, HashMap<String, Begun>> {
        self.begun.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The version of a draft that was begun, if it is a commit. It is known before
    /// [`look`](Self::look) shows a version as new.
    pub(crate) fn version_of(&self, id: &str) -> Option<u64> {
        self.begun().get(id)?.version
    }

    /// Forgets a draft: what became of it is settled, or of no interest.
    pub(crate) fn settle(&self, id: &str) {
        self.begun().remove(id);
    }

    /// Reads the commits that came since.
    pub(crate) async fn advance(&self) -> Result<(), StoreError> {
        loop {
            let (version, seen) = self.look(|tail| (tail.version, tail.seen));
            let Some(commit) = read_commit(&self.storage, version + 1).await? else {
                let stale = seen.elapsed().map_or(true, |since| since > STALE);
                if stale && !self.storage.exists(&commit_path(version)).await? {
                    self.reload().await?;
                    continue;
                }
                self.change(|tail| tail.seen = SystemTime::now());
                return Ok(());
            };
            self.take(commit)?;
        }
    }

    /// Takes a commit, unless it was taken meanwhile.
    fn take(&self, commit: Commit) -> Result<(), StoreError> {
        if let Some(id) = &commit.id
            && let Some(begun) = self.begun().get_mut(id)
        {
            begun.version = Some(commit.version);
        }
        self.change(|tail| match commit.version == tail.version + 1 {
            true => tail.apply(&self.storage, commit),
            false => Ok(()),
        })
    }

    /// Reads the log anew, since commits were deleted that weren't read.
    async fn reload(&self) -> Result<(), StoreError> {
        tracing::info!(table = %self.storage.url, "the log is read anew");
        let Some(fresh) = Tail::open(&self.storage).await? else {
            return Err(StoreError::Changed { why: "its log was deleted".into() });
        };
        self.change(|tail| {
            if fresh.table.id != tail.table.id || fresh.version < tail.version {
                return Err(StoreError::Changed { why: "it is another table now".into() });
            }
            // Commits of this process may be in the checkpoint, their files deleted.
            for begun in self.begun().values_mut().filter(|begun| begun.version.is_none()) {
                let Some((app_id, value)) = &begun.stamp else { continue };
                if fresh.txn(app_id).is_some_and(|known| known >= *value) {
                    begun.version = Some(fresh.version);
                    begun.is_history = true;
                }
            }
            *tail = fresh;
            Ok(())
        })
    }

    /// Commits a draft, or says why not. Others' commits are read first, however many there are.
    ///
    /// After an error it may not be known whether the commit is there. The same draft can be given
    /// again, and has to be before any other that moves the same bookmarks. The caller
    /// [`settle`](Self::settle)s it.
    pub(crate) async fn commit(&self, draft: &mut Draft) -> Result<Outcome, StoreError> {
        let _turn = self.turn.lock().await;
        let bytes = draft.bytes();
        let start = Instant::now();
        let mut pause = Pause::default();
        let again = self.begun().contains_key(&draft.id);
        if again {
            self.advance().await?;
        } else {
            let begun = Begun { stamp: draft.stamp.clone(), ..Begun::default() };
            self.begun().insert(draft.id.clone(), begun);
        }
        loop {
            let begun = self.begun().get(&draft.id).cloned().unwrap_or_default();
            if let Some(version) = begun.version {
                if begun.is_history || self.is_read(version).await? {
                    self.sync_folder()?;
                    return Ok(Outcome::Done(version));
                }
                self.leave(draft, version).await?;
                continue;
            }
            let (version, fenced) = self.look(|tail| (tail.version, fenced(tail, draft)));
            if !fenced.is_empty() {
                return Ok(Outcome::Fenced(fenced));
            }
            let late = draft.only_at.is_some_and(|only| only != version);
            if late || self.overtaken(draft, version).await? {
                return Ok(Outcome::Overtaken);
            }
            let path = commit_path(version + 1);
            let why = match self.storage.create(&path, bytes.clone()).await {
                Ok(true) => {
                    if self.is_read(version + 1).await? {
                        self.take(Commit::parse(version + 1, &bytes)?)?;
                        return Ok(Outcome::Done(version + 1));
                    }
                    self.leave(draft, version + 1).await?;
                    "the log was cut".to_owned()
                }
                Ok(false) => {
                    self.advance().await?;
                    if self.look(|tail| tail.version) == version {
                        self.reload().await?;
                    }
                    "other writers were faster".to_owned()
                }
                Err(error) => {
                    let refused = matches!(
                        error,
                        Error::PermissionDenied { .. } | Error::Unauthenticated { .. }
                    );
                    draft.in_doubt = true;
                    if refused || self.storage.folder.is_some() {
                        return Err(StoreError::storage("commit", path, error));
                    }
                    tracing::warn!(%error, %path, "a commit has no answer");
                    error.to_string()
                }
            };
            if start.elapsed() >= self.time {
                return Err(StoreError::Contended { after: start.elapsed(), why });
            }
            tokio::time::sleep(pause.next()).await;
            // What came after an answer that was lost.
            if let Err(error) = self.advance().await {
                tracing::warn!(%error, "the log can't be read");
            }
        }
    }

    /// Whether a commit that was made is one that is read: the one before it is there.
    async fn is_read(&self, version: u64) -> Result<bool, StoreError> {
        let Some(before) = version.checked_sub(1) else { return Ok(true) };
        self.storage.exists(&commit_path(before)).await
    }

    /// Deletes a commit that nobody will ever read, since the log was cut up to here and beyond.
    async fn leave(&self, draft: &mut Draft, version: u64) -> Result<(), StoreError> {
        draft.in_doubt = true;
        if let Some(begun) = self.begun().get_mut(&draft.id) {
            begun.version = None;
        }
        self.storage.delete(&commit_path(version)).await?;
        self.reload().await
    }

    /// A commit that was found instead of made: its name may not be durable yet.
    fn sync_folder(&self) -> Result<(), StoreError> {
        let Some(folder) = &self.storage.folder else { return Ok(()) };
        let folder = folder.join(LOG);
        crate::disk::sync_folder(&folder).map_err(|e| StoreError::disk("sync", folder, e))
    }

    /// Whether files that a draft removes were removed in the commits since it last looked.
    async fn overtaken(&self, draft: &mut Draft, version: u64) -> Result<bool, StoreError> {
        if draft.removed.is_empty() {
            return Ok(false);
        }
        let wanted: HashSet<&str> =
            draft.removed.iter().map(|removed| removed.path.as_str()).collect();
        for version in draft.seen + 1..=version {
            let Some(bytes) = self.storage.read(&commit_path(version), MOST_OF_LOG).await? else {
                // Cut meanwhile: what was removed isn't known.
                return Ok(true);
            };
            let commit = Commit::parse(version, &bytes)?;
            if commit.removed.iter().any(|path| wanted.contains(path.as_str())) {
                return Ok(true);
            }
        }
        draft.seen = version;
        Ok(false)
    }
}

/// The bookmarks that aren't what the draft believes.
fn fenced(tail: &Tail, draft: &Draft) -> Vec<Key> {
    let moved =
        |(key, expected): &&(Key, Option<i64>)| tail.mark(key).map(|mark| mark.value) != *expected;
    draft.fence.iter().filter(moved).map(|(key, _)| key.clone()).collect()
}

/// Pauses between tries: longer each time, and by chance, so that racing writers part.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    fn next(&mut self) -> Duration {
        const FIRST: u64 = 4_000;
        const LONGEST: u64 = 1_000_000;
        let most = (FIRST << self.0.min(16)).min(LONGEST);
        self.0 += 1;
        Duration::from_micros(getrandom::u64().unwrap_or(most) % most)
    }
}
