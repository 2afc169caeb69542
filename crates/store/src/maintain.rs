//! Maintenance: what keeps a table fast and small.
//!
//! | what | why |
//! |---|---|
//! | retention (`retain`) | events that are older than wanted |
//! | compaction (`compact`) | each flush makes a file or two |
//! | checkpoint | opening reads what came after it only |
//! | the log's own retention (`clean`) | so does listing it |
//! | counts beside the files (`counts`) | what is asked of all events needs no scan |
//! | runs of letters beside the files (`grams`) | a word is looked for where it can be |
//! | vacuum (`clean`) | files that a crash or a fence left, or that were compacted |
//!
//! One process does it at a time on a local disk. On object storage two may: whatever one of them
//! replaces is looked for again inside its commit, and who comes second has wasted work.

mod clean;
mod compact;
pub(crate) mod live;
mod retain;

use std::time::{Duration, SystemTime};

use deltalake::DeltaTable;
use object_store::path::Path;
use tokio::time::Instant;

use crate::counts::{self, Asked};
use crate::session::Limits;
use crate::table::{FOLDER, Inner, Store};
use crate::{Policy, Report, StoreError, grams};
use live::Live;

pub use clean::Leftover;

/// How long files may be counted.
const LONGEST_COUNT: Duration = Duration::from_secs(600);

impl Store {
    /// Does the maintenance that is due. It takes from milliseconds, when nothing is, to minutes.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`]; [`StoreError::Storage`], [`StoreError::Disk`],
    /// [`StoreError::Damaged`], [`StoreError::Changed`], [`StoreError::Contended`].
    pub async fn maintain(&self, policy: &Policy) -> Result<Report, StoreError> {
        let inner = &*self.0;
        if inner.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        let mut report = Report::default();
        let Some(_turn) = turn(inner)? else {
            report.busy = true;
            return Ok(report);
        };
        let mut gone = Vec::new();
        if let Some(keep) = policy.keep {
            let table = fresh(inner).await?;
            retain::retain(inner, &table, keep, SystemTime::now(), &mut report, &mut gone).await?;
        }
        let table = fresh(inner).await?;
        compact::compact(inner, &table, policy, &mut report, &mut gone).await?;
        let table = fresh(inner).await?;
        // Until now there were questions of the table that has them.
        inner.engine.kept_counts().forget(gone.iter().map(|path| &**path));
        clean::checkpoint(inner, &table, policy, &mut report).await?;
        // Removed files are read from the log, which a handle may be older than.
        let table = inner.reload_whole().await?;
        let leftovers = clean::leftovers(inner, &table, policy.safe_age).await?;
        clean::delete(inner, &leftovers).await?;
        report.vacuumed = leftovers.len();
        clean::log(inner, policy, &mut report).await?;
        if report.log_files > 0 {
            inner.reload_whole().await?;
        }
        let mut files = live::files(&inner.state().table.clone())?;
        // Small ones are counted by who asks, and searched whole, until they are put together: or else
        // the work is done twice.
        files.retain(|file| !compact::is_small(file, policy));
        if let Err(error) = self.keep_counts(&files).await {
            // They are made again when they are asked for.
            tracing::warn!(%error, "not all files were counted");
        }
        if let Err(error) = grams::keep(&inner.storage, &files).await {
            // Without them a file is searched whole.
            tracing::warn!(%error, "not all files were made ready to be searched");
        }
        Ok(report)
    }

    /// The files older than an age that nothing refers to: what a crash between a data file and its
    /// commit has left, what was compacted, counts of files that are gone.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Disk`], [`StoreError::Damaged`],
    /// [`StoreError::Changed`].
    pub async fn leftovers(&self, age: Duration) -> Result<Vec<Leftover>, StoreError> {
        self.0.log.advance().await?;
        let table = self.0.reload_whole().await?;
        clean::leftovers(&self.0, &table, age).await
    }

    /// Deletes the [`leftovers`](Self::leftovers), and gives them; nothing while another process
    /// maintains the table. The age has to be longer than any commit and any query: a younger file
    /// may be one that is about to be committed, or one that a query still reads.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], and as [`leftovers`](Self::leftovers).
    pub async fn expire(&self, age: Duration) -> Result<Option<Vec<Leftover>>, StoreError> {
        if self.0.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        let Some(_turn) = turn(&self.0)? else { return Ok(None) };
        let leftovers = self.leftovers(age).await?;
        clean::delete(&self.0, &leftovers).await?;
        Ok(Some(leftovers))
    }

    /// Makes the counts of files that have none beside them.
    async fn keep_counts(&self, files: &[Live]) -> Result<(), StoreError> {
        let there = self.0.storage.names(&Path::from(counts::FOLDER)).await?;
        let mut missing: Vec<&str> = files.iter().map(|file| &*file.path).collect();
        missing.retain(|path| !there.contains(&counts::path_of(path)));
        if missing.is_empty() {
            return Ok(());
        }
        let limits = &Limits::default().time(LONGEST_COUNT);
        let (moment, engine) = (&self.moment()?, self.engine());
        let (all, context) = (&*engine.files(moment)?, &engine.context(limits)?);
        let asked = Asked { moment, files: all, context, limits, begun: Instant::now() };
        engine.keep_counts(asked, &missing).await
    }
}

/// Keeps others from maintaining a table on this machine's disk, while it lives.
struct Turn(#[expect(dead_code, reason = "it is held")] Option<quarry_lock::OwnedGuard>);

/// The turn to maintain the table; none while another process has it.
fn turn(inner: &Inner) -> Result<Option<Turn>, StoreError> {
    let Some(folder) = &inner.storage.folder else { return Ok(Some(Turn(None))) };
    let path = folder.join(FOLDER).join("maintain.lock");
    let lock = quarry_lock::Options::new().try_lock(path, quarry_lock::Mode::Exclusive)?;
    Ok(lock.map(|lock| Turn(Some(lock))))
}

/// The table as it is now.
pub(crate) async fn fresh(inner: &Inner) -> Result<DeltaTable, StoreError> {
    inner.log.advance().await?;
    inner.reload().await?;
    Ok(inner.state().table.clone())
}
