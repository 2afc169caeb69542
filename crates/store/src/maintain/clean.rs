//! Checkpoints when they are due, and deleting what nobody needs any more.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use deltalake::DeltaTable;
use futures_util::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::live;
use crate::commit::milliseconds;
use crate::table::{FOLDER, Inner};
use crate::tail::{LOG, newest_checkpoint};
use crate::{Policy, Report, StoreError, checkpoint as write_checkpoint};
use crate::{counts, files, grams};

/// Writes a checkpoint, if the last one is old.
pub(super) async fn checkpoint(
    inner: &Inner,
    table: &DeltaTable,
    policy: &Policy,
    report: &mut Report,
) -> Result<(), StoreError> {
    let version = table.version().unwrap_or_default();
    let last = LogFiles::list(inner).await?.newest.unwrap_or_default();
    if version.saturating_sub(last) < policy.checkpoint_commits.max(1) {
        return Ok(());
    }
    write_checkpoint::write(&inner.storage, table).await?;
    report.checkpoint = true;
    Ok(())
}

/// The files of the log, by their version.
struct LogFiles {
    commits: Vec<(u64, ObjectMeta)>,
    checkpoints: Vec<(u64, ObjectMeta)>,
    /// The newest checkpoint that is whole.
    newest: Option<u64>,
    /// The newest file's time by the storage's own clock, in milliseconds since 1970.
    now: i64,
}

impl LogFiles {
    async fn list(inner: &Inner) -> Result<LogFiles, StoreError> {
        let listed = inner.storage.list(Some(&Path::from(LOG))).await?;
        let newest = newest_checkpoint(&listed);
        let (commits, checkpoints) = (Vec::new(), Vec::new());
        let mut found = LogFiles { commits, checkpoints, newest, now: 0 };
        for file in listed {
            found.now = found.now.max(file.last_modified.timestamp_millis());
            let name = file.location.filename().unwrap_or_default();
            let Some((version, rest)) = name.split_once('.') else { continue };
            let Ok(version) = version.parse() else { continue };
            match rest {
                "json" => found.commits.push((version, file)),
                rest if rest.starts_with("checkpoint.") => found.checkpoints.push((version, file)),
                _ => {}
            }
        }
        found.commits.sort_by_key(|(version, _)| *version);
        found.checkpoints.sort_by_key(|(version, _)| *version);
        Ok(found)
    }
}

/// Deletes commits and checkpoints that are before the newest checkpoint and older than wanted: from
/// the oldest on and one after the other, since a writer that has paused looks whether the commit
/// that it knows is still there. So a commit also stays until the one after it is old: whoever made
/// that one looks for this one.
pub(super) async fn log(
    inner: &Inner,
    policy: &Policy,
    report: &mut Report,
) -> Result<(), StoreError> {
    let files = LogFiles::list(inner).await?;
    let Some(newest) = files.newest else { return Ok(()) };
    let is_old = |file: &ObjectMeta| {
        file.last_modified.timestamp_millis().saturating_add(millis(policy.keep_log)) <= files.now
    };
    let commits = files.commits.windows(2).map(|pair| {
        let [(version, file), (_, next)] = pair else { return None };
        (*version < newest && is_old(file) && is_old(next)).then_some(file)
    });
    let checkpoints = files
        .checkpoints
        .iter()
        .map(|(version, file)| (*version < newest && is_old(file)).then_some(file));
    for list in [
        commits.map_while(|file| file).collect::<Vec<_>>(),
        checkpoints.map_while(|file| file).collect(),
    ] {
        for file in list {
            inner.storage.delete(&file.location).await?;
            report.log_files += 1;
        }
    }
    Ok(())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A file that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// Its name, from the table's folder on.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// How old it is, by this machine's clock.
    pub age: Duration,
    /// Whether it was being written when its process ended: it has no name that anybody reads, and
    /// no storage but a local disk has such files.
    is_staged: bool,
}

/// Deletes files that nothing refers to.
pub(super) async fn delete(inner: &Inner, leftovers: &[Leftover]) -> Result<(), StoreError> {
    for Leftover { path, is_staged, .. } in leftovers {
        match (&inner.storage.folder, is_staged) {
            (Some(folder), true) => {
                let path = folder.join(path);
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(StoreError::disk("delete", path, error));
                    }
                    _ => {}
                }
            }
            _ => inner.storage.delete(&Path::from(path.as_str())).await?,
        }
    }
    Ok(())
}

/// The files older than an age that the table doesn't have, or that were staged and never named, by
/// their names.
pub(super) async fn leftovers(
    inner: &Inner,
    table: &DeltaTable,
    age: Duration,
) -> Result<Vec<Leftover>, StoreError> {
    let mut kept: HashSet<String> = live::files(table)?.into_iter().map(|file| file.path).collect();
    // A name that isn't the file's as it is listed: an address, or one with characters written as
    // others. Rather keep too much than take it for a file that nobody has.
    if let Some(path) = kept.iter().find(|path| Path::from(path.as_str()).as_ref() != path.as_str())
    {
        tracing::warn!(
            path,
            "no file is deleted, since one of the table's can't be told by its name"
        );
        return Ok(Vec::new());
    }
    let now = milliseconds(SystemTime::now());
    let since = now.saturating_sub(millis(age));
    // A query that began before a file was removed still reads it.
    let snapshot = table.snapshot().map_err(|e| StoreError::engine("look at the table", e))?;
    let mut tombstones = snapshot.all_tombstones(&inner.storage.log);
    let failed = |error| StoreError::engine("read the removed files", error);
    while let Some(removed) = tombstones.try_next().await.map_err(failed)? {
        if removed.deletion_timestamp().is_none_or(|at| at > since) {
            kept.insert(removed.path().into_owned());
        }
    }
    drop(tombstones);
    let mut found = Vec::new();
    for file in inner.storage.list(None).await? {
        let name = file.location.as_ref();
        // What is beside a file is kept as long as the file.
        let beside = counts::file_of(name).or_else(|| grams::file_of(name));
        let (is_ours, name) = match (name.split_once('/'), beside) {
            (_, Some(file)) => (true, file),
            (Some((FOLDER, rest)), None) => (rest.starts_with("probe/"), name),
            // What this crate writes lies in no other folder and has its names: all else is somebody's.
            _ => (files::is_ours(name), name),
        };
        let modified = file.last_modified.timestamp_millis();
        if is_ours && modified <= since && !kept.contains(name) {
            let age = Duration::from_millis(u64::try_from(now - modified).unwrap_or_default());
            let path = file.location.to_string();
            found.push(Leftover { path, bytes: file.size, age, is_staged: false });
        }
    }
    if let Some(folder) = &inner.storage.folder {
        for inside in ["", LOG] {
            staged(folder, inside, age, &mut found)?;
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Adds the files in a folder of the table's that a process was writing when it ended.
fn staged(
    table: &std::path::Path,
    inside: &str,
    age: Duration,
    found: &mut Vec<Leftover>,
) -> Result<(), StoreError> {
    let folder = table.join(inside);
    let failed = |error| StoreError::disk("list", &folder, error);
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_staged = name.rsplit_once('#').is_some_and(|(_, digits)| {
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        });
        let Ok(meta) = entry.metadata() else { continue };
        let old = meta.modified().ok().and_then(|at| at.elapsed().ok()).filter(|old| *old >= age);
        if let (true, Some(age)) = (is_staged, old) {
            let path = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            found.push(Leftover { path, bytes: meta.len(), age, is_staged });
        }
    }
    Ok(())
}
