//! How a file is opened for locking, and how long a lock is waited for.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{Announcement, ByteRange, Error, LockFile, Mode, OwnedGuard, RangeFile};

/// How long to wait for a lock that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Never,
    /// As long as it takes.
    Forever,
    /// Up to a point in time.
    Until(Instant),
}

impl Wait {
    /// Up to `time` from now; [`Wait::Forever`] if that is past what the clock can say.
    pub fn at_most(time: Duration) -> Self {
        Instant::now().checked_add(time).map_or(Self::Forever, Self::Until)
    }
}

/// How the file is opened. Neither form truncates or changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// For reading and writing, or for reading alone where writing is not permitted.
    #[default]
    ReadWrite,
    /// For reading alone, unless the file system demands more for an exclusive lock (range locks
    /// on Linux, every lock on NFS), or for creating it on Windows.
    ReadOnly,
}

/// How to open a file for locking.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("state.lock");
/// use quarry_lock::{Mode, Options};
/// let guard = Options::new().report_double(true).lock(&path, Mode::Exclusive)?;
/// assert!(Options::new().try_lock(&path, Mode::Shared)?.is_none());
/// guard.unlock()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub(crate) access: Access,
    pub(crate) must_exist: bool,
    pub(crate) report_double: bool,
    pub(crate) announcement: Option<Announcement>,
}

impl Options {
    /// Reading and writing, creating the file if it is missing, nothing announced.
    pub fn new() -> Self {
        Self::default()
    }

    /// How the file is opened.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Whether a missing file is created (it is, unless this says otherwise).
    pub fn create(mut self, create: bool) -> Self {
        self.must_exist = !create;
        self
    }

    /// Whether waiting for a lock that this very process holds through another handle is
    /// reported as [`Error::HeldByThisProcess`] instead. Only locks taken through this crate are
    /// known. Waits then ask again at intervals, since another thread may take the lock meanwhile.
    pub fn report_double(mut self, report: bool) -> Self {
        self.report_double = report;
        self
    }

    /// Says who holds the lock, in a small file beside it, for as long as it is held: see
    /// [`who`](crate::who). Best effort: where that file can't be written, the lock is taken
    /// all the same.
    pub fn announce(mut self, announcement: Announcement) -> Self {
        self.announcement = Some(announcement);
        self
    }

    /// Opens a file for whole-file locks.
    ///
    /// # Errors
    /// [`Error::Open`], and [`Error::MixedKinds`] if this process has it open for range locks.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<LockFile, Error> {
        LockFile::open_with(self, path.as_ref())
    }

    /// Opens a file for range locks.
    ///
    /// # Errors
    /// [`Error::Open`], and [`Error::MixedKinds`] if this process has it open for whole-file locks.
    pub fn open_range(&self, path: impl AsRef<Path>) -> Result<RangeFile, Error> {
        RangeFile::open_with(self, path.as_ref())
    }

    /// Opens the file and waits for its lock.
    ///
    /// # Errors
    /// Those of [`Options::open`] and [`LockFile::lock`].
    pub fn lock(&self, path: impl AsRef<Path>, mode: Mode) -> Result<OwnedGuard, Error> {
        self.open(path)?.lock_owned(mode)
    }

    /// Opens the file and takes its lock if nobody is in the way; `None` if somebody is.
    ///
    /// # Errors
    /// Those of [`Options::open`] and [`LockFile::try_lock`].
    pub fn try_lock(
        &self,
        path: impl AsRef<Path>,
        mode: Mode,
    ) -> Result<Option<OwnedGuard>, Error> {
        self.lock_waiting(path, mode, Wait::Never)
    }

    /// Opens the file and waits for its lock as long as `wait` says; `None` if that was not enough.
    ///
    /// # Errors
    /// Those of [`Options::open`] and [`LockFile::lock_waiting`].
    pub fn lock_waiting(
        &self,
        path: impl AsRef<Path>,
        mode: Mode,
        wait: Wait,
    ) -> Result<Option<OwnedGuard>, Error> {
        Ok(self.open(path)?.lock_owned_waiting(mode, wait)?.ok())
    }

    /// Opens the file and waits in a task for its lock. Until its turn comes, a waiter has no
    /// thread, no timer and no open file, so there can be tens of thousands of them.
    /// Dropping the future ends the wait, and no lock is held afterwards.
    ///
    /// # Errors
    /// Those of [`Options::open`] and [`LockFile::lock`].
    #[cfg(feature = "async")]
    pub async fn lock_async(
        &self,
        path: impl AsRef<Path>,
        mode: Mode,
    ) -> Result<OwnedGuard, Error> {
        crate::wait_async::lock_path(self, path.as_ref(), mode).await
    }

    /// Opens the file and waits for the lock on a range of it.
    ///
    /// # Errors
    /// Those of [`Options::open_range`] and [`RangeFile::lock`].
    pub fn lock_range(
        &self,
        path: impl AsRef<Path>,
        range: ByteRange,
        mode: Mode,
    ) -> Result<OwnedGuard<RangeFile>, Error> {
        self.open_range(path)?.lock_owned(range, mode)
    }
}
