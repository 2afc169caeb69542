//! The files one locks and the guards one gets.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Announcement, ByteRange, Error, Mode, Options, Wait, inner::Core, region::Region,
    registry::Kind,
};

/// A file whose lock covers the whole of it.
///
/// One `LockFile` holds one lock at a time, and its methods borrow it mutably, so that a lock
/// can't be turned into another by taking it twice. Two `LockFile`s for one path exclude each
/// other, in one process as between processes.
pub struct LockFile {
    core: Core,
}

/// A file whose locks cover a range of bytes.
///
/// One `RangeFile` holds one range at a time; open the file again for another.
pub struct RangeFile {
    core: Core,
}

/// A lock that is held. Dropping it releases the lock; so does a panic, and so does the end of
/// the process, however it comes.
///
/// Reading and writing the locked file goes through the guard, since on Windows no other handle
/// may do so while the lock is exclusive.
#[must_use = "the lock is released as soon as its guard is dropped"]
pub struct Guard<'a, F: Lockable = LockFile> {
    hold: Hold<'a, F>,
}

/// A guard that owns its file: it can be stored, returned, and sent to another thread.
pub type OwnedGuard<F = LockFile> = Guard<'static, F>;

/// Whether a lock was held all the while it was being upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Nobody else had the lock in between: what was read under the shared lock still holds.
    Unbroken,
    /// The shared lock was given up for the wait. Others may have changed the file: read it again.
    Interrupted,
}

enum Hold<'a, F> {
    Borrowed(&'a mut F),
    /// Empty only once the guard has given its file back.
    Owned(Option<F>),
}

mod sealed {
    pub trait Sealed {
        fn core(&self) -> &super::Core;
        fn core_mut(&mut self) -> &mut super::Core;
    }
}

/// [`LockFile`] or [`RangeFile`].
pub trait Lockable: sealed::Sealed + Send + 'static {}

macro_rules! lockable {
    ($file:ident) => {
        impl sealed::Sealed for $file {
            fn core(&self) -> &Core {
                &self.core
            }
            fn core_mut(&mut self) -> &mut Core {
                &mut self.core
            }
        }

        impl Lockable for $file {}

        impl $file {
            /// The path the file was opened by, made absolute.
            pub fn path(&self) -> Option<&Path> {
                self.core.path()
            }

            fn borrowed(
                &mut self,
                region: Region,
                mode: Mode,
                wait: Wait,
            ) -> Result<Option<Guard<'_, Self>>, Error> {
                let taken = self.core.acquire(region, mode, wait)?;
                Ok(taken.then(|| Guard { hold: Hold::Borrowed(self) }))
            }

            fn owned(
                mut self,
                region: Region,
                mode: Mode,
                wait: Wait,
            ) -> Result<Result<OwnedGuard<Self>, Self>, Error> {
                Ok(if self.core.acquire(region, mode, wait)? {
                    Ok(Guard { hold: Hold::Owned(Some(self)) })
                } else {
                    Err(self)
                })
            }
        }

        impl std::fmt::Debug for $file {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($file))
                    .field("path", &self.path())
                    .finish_non_exhaustive()
            }
        }
    };
}

lockable!(LockFile);
lockable!(RangeFile);

const WAITED_FOR_EVER: &str = "a wait without an end ends with the lock";

impl LockFile {
    /// Opens a file for locking and creates it if it is missing. Its content stays as it is.
    ///
    /// # Errors
    /// See [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().open(path)
    }

    pub(crate) fn open_with(options: &Options, path: &Path) -> Result<Self, Error> {
        Core::open(options, path, Kind::Whole).map(|core| Self { core })
    }

    /// Locks a file that is open already. Its path is not known, so nothing is checked if it is
    /// deleted or replaced.
    ///
    /// On Unix the lock belongs to the open file description, and so to every duplicate of the
    /// descriptor. On Windows a private handle for the same file holds it.
    ///
    /// # Errors
    /// [`Error::System`] if the file can't be identified, [`Error::MixedKinds`].
    pub fn from_file(file: std::fs::File) -> Result<Self, Error> {
        Core::from_file(file, Kind::Whole).map(|core| Self { core })
    }

    /// Waits for the lock.
    ///
    /// If the file was deleted or replaced by the time the lock was granted, the wait starts
    /// again on the file that the path means then.
    ///
    /// # Errors
    /// [`Error::System`] if the system fails, [`Error::Open`] if a replaced file can't be opened,
    /// [`Error::HeldByThisProcess`] if that was asked for.
    pub fn lock(&mut self, mode: Mode) -> Result<Guard<'_>, Error> {
        Ok(self.lock_waiting(mode, Wait::Forever)?.expect(WAITED_FOR_EVER))
    }

    /// Takes the lock if nobody is in the way; `None` if somebody is.
    ///
    /// # Errors
    /// As [`LockFile::lock`].
    pub fn try_lock(&mut self, mode: Mode) -> Result<Option<Guard<'_>>, Error> {
        self.lock_waiting(mode, Wait::Never)
    }

    /// Waits up to `time` for the lock; `None` if that was not enough.
    ///
    /// # Errors
    /// As [`LockFile::lock`].
    pub fn lock_timeout(&mut self, mode: Mode, time: Duration) -> Result<Option<Guard<'_>>, Error> {
        self.lock_waiting(mode, Wait::at_most(time))
    }

    /// Waits until `deadline` for the lock; `None` if that was not enough.
    ///
    /// # Errors
    /// As [`LockFile::lock`].
    pub fn lock_deadline(
        &mut self,
        mode: Mode,
        deadline: Instant,
    ) -> Result<Option<Guard<'_>>, Error> {
        self.lock_waiting(mode, Wait::Until(deadline))
    }

    /// Waits for the lock as long as `wait` says; `None` if that was not enough.
    ///
    /// # Errors
    /// As [`LockFile::lock`].
    pub fn lock_waiting(&mut self, mode: Mode, wait: Wait) -> Result<Option<Guard<'_>>, Error> {
        self.borrowed(Region::Whole, mode, wait)
    }

    /// As [`LockFile::lock`], with a guard that owns the file.
    ///
    /// # Errors
    /// As [`LockFile::lock`].
    pub fn lock_owned(self, mode: Mode) -> Result<OwnedGuard, Error> {
        Ok(self.lock_owned_waiting(mode, Wait::Forever)?.expect(WAITED_FOR_EVER))
    }

    /// As [`LockFile::lock_waiting`], with a guard that owns the file. The inner `Err` gives the
    /// file back if the time was not enough.
    ///
    /// # Errors
    /// As [`LockFile::lock`].
    pub fn lock_owned_waiting(
        self,
        mode: Mode,
        wait: Wait,
    ) -> Result<Result<OwnedGuard, Self>, Error> {
        self.owned(Region::Whole, mode, wait)
    }

    /// Waits in a task for the lock. Dropping the future ends the wait, and no lock is held
    /// afterwards. Must run in a tokio runtime with its timer enabled.
    ///
    /// Waiters of one process are served in the order they came. So a future that has been polled
    /// must be polled on or dropped: set aside, it holds up those after it.
    ///
    /// # Errors
    /// As [`LockFile::lock`].
    #[cfg(feature = "async")]
    pub async fn lock_async(&mut self, mode: Mode) -> Result<Guard<'_>, Error> {
        crate::wait_async::acquire(&mut self.core, Region::Whole, mode).await?;
        Ok(Guard { hold: Hold::Borrowed(self) })
    }

    /// As [`LockFile::lock_async`], with a guard that owns the file.
    ///
    /// # Errors
    /// As [`LockFile::lock`].
    #[cfg(feature = "async")]
    pub async fn lock_owned_async(mut self, mode: Mode) -> Result<OwnedGuard, Error> {
        crate::wait_async::acquire(&mut self.core, Region::Whole, mode).await?;
        Ok(Guard { hold: Hold::Owned(Some(self)) })
    }

    #[cfg(feature = "async")]
    pub(crate) fn core_for_wait(&mut self) -> &mut Core {
        &mut self.core
    }

    #[cfg(feature = "async")]
    pub(crate) fn into_held(self) -> OwnedGuard {
        Guard { hold: Hold::Owned(Some(self)) }
    }
}

impl RangeFile {
    /// Opens a file for range locks and creates it if it is missing. Its content stays as it is.
    ///
    /// # Errors
    /// See [`Options::open_range`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().open_range(path)
    }

    pub(crate) fn open_with(options: &Options, path: &Path) -> Result<Self, Error> {
        Core::open(options, path, Kind::Range).map(|core| Self { core })
    }

    /// As [`LockFile::from_file`], for range locks.
    ///
    /// # Errors
    /// As [`LockFile::from_file`].
    pub fn from_file(file: std::fs::File) -> Result<Self, Error> {
        Core::from_file(file, Kind::Range).map(|core| Self { core })
    }

    /// Waits for the lock on `range`.
    ///
    /// # Errors
    /// As [`LockFile::lock`]. An exclusive lock needs the file open for writing.
    pub fn lock(&mut self, range: ByteRange, mode: Mode) -> Result<Guard<'_, Self>, Error> {
        Ok(self.lock_waiting(range, mode, Wait::Forever)?.expect(WAITED_FOR_EVER))
    }

    /// Takes the lock on `range` if nobody is in the way; `None` if somebody is.
    ///
    /// # Errors
    /// As [`RangeFile::lock`].
    pub fn try_lock(
        &mut self,
        range: ByteRange,
        mode: Mode,
    ) -> Result<Option<Guard<'_, Self>>, Error> {
        self.lock_waiting(range, mode, Wait::Never)
    }

    /// Waits for the lock on `range` as long as `wait` says; `None` if that was not enough.
    ///
    /// # Errors
    /// As [`RangeFile::lock`].
    pub fn lock_waiting(
        &mut self,
        range: ByteRange,
        mode: Mode,
        wait: Wait,
    ) -> Result<Option<Guard<'_, Self>>, Error> {
        self.borrowed(Region::Range(range), mode, wait)
    }

    /// As [`RangeFile::lock`], with a guard that owns the file.
    ///
    /// # Errors
    /// As [`RangeFile::lock`].
    pub fn lock_owned(self, range: ByteRange, mode: Mode) -> Result<OwnedGuard<Self>, Error> {
        Ok(self.lock_owned_waiting(range, mode, Wait::Forever)?.expect(WAITED_FOR_EVER))
    }

    /// As [`RangeFile::lock_waiting`], with a guard that owns the file. The inner `Err` gives the
    /// file back if the time was not enough.
    ///
    /// # Errors
    /// As [`RangeFile::lock`].
    pub fn lock_owned_waiting(
        self,
        range: ByteRange,
        mode: Mode,
        wait: Wait,
    ) -> Result<Result<OwnedGuard<Self>, Self>, Error> {
        self.owned(Region::Range(range), mode, wait)
    }

    /// Waits in a task for the lock on `range`, as [`LockFile::lock_async`] does.
    ///
    /// # Errors
    /// As [`RangeFile::lock`].
    #[cfg(feature = "async")]
    pub async fn lock_async(
        &mut self,
        range: ByteRange,
        mode: Mode,
    ) -> Result<Guard<'_, Self>, Error> {
        crate::wait_async::acquire(&mut self.core, Region::Range(range), mode).await?;
        Ok(Guard { hold: Hold::Borrowed(self) })
    }

    /// As [`RangeFile::lock_async`], with a guard that owns the file.
    ///
    /// # Errors
    /// As [`RangeFile::lock`].
    #[cfg(feature = "async")]
    pub async fn lock_owned_async(
        mut self,
        range: ByteRange,
        mode: Mode,
    ) -> Result<OwnedGuard<Self>, Error> {
        crate::wait_async::acquire(&mut self.core, Region::Range(range), mode).await?;
        Ok(Guard { hold: Hold::Owned(Some(self)) })
    }
}

impl<F: Lockable> Guard<'_, F> {
    /// How the lock is held.
    pub fn mode(&self) -> Mode {
        self.core().mode().unwrap_or(Mode::Shared)
    }

    /// The path the file was opened by, made absolute.
    pub fn path(&self) -> Option<&Path> {
        self.core().path()
    }

    /// Releases the lock and says if that failed.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn unlock(mut self) -> Result<(), Error> {
        self.core_mut().release()
    }

    /// Deletes the file and then releases the lock. Those who wait for it start again on the
    /// file that the path means next. If the path means another file already, that one is
    /// left alone. Only for exclusive locks is nobody else surprised.
    ///
    /// # Errors
    /// [`Error::System`] if the file can't be deleted; the lock is released all the same.
    pub fn unlock_and_remove(mut self) -> Result<(), Error> {
        self.core_mut().remove()
    }

    /// Says who holds the lock, from now on: see [`Options::announce`].
    pub fn announce(&mut self, announcement: Announcement) {
        self.core_mut().announce_as(announcement);
    }

    /// Ends the guard without releasing the lock. It stays until the last duplicate of the
    /// open file is closed, be it in another process.
    pub fn leave_locked(mut self) {
        self.core_mut().forget();
    }

    /// Makes a shared lock exclusive if that can be done in one step; `false` if it can't, and
    /// then the shared lock is still held and was so all the while. Also `false` where another
    /// process may be in the way: see the crate's documentation on what is atomic.
    ///
    /// # Errors
    /// [`Error::UpgradeUnavailable`] where the system has no such step: the shared lock is kept.
    /// [`Error::Lost`] in the one case the crate's documentation names.
    pub fn try_upgrade(&mut self) -> Result<bool, Error> {
        self.core_mut().try_upgrade()
    }

    /// Makes a shared lock exclusive, waiting as long as it takes. If others hold the lock, the
    /// shared one is given up for the wait (two upgraders would otherwise wait for each other for
    /// ever), and the answer says so.
    ///
    /// # Errors
    /// As [`LockFile::lock`]; no lock is held then.
    pub fn upgrade(mut self) -> Result<(Self, Continuity), Error> {
        let unbroken = self.core_mut().upgrade()?;
        Ok((self, if unbroken { Continuity::Unbroken } else { Continuity::Interrupted }))
    }

    /// Makes an exclusive lock shared, in one step: nobody can take it exclusively in between.
    ///
    /// # Errors
    /// [`Error::System`]; the exclusive lock is then still held.
    pub fn downgrade(&mut self) -> Result<(), Error> {
        self.core_mut().downgrade()
    }

    /// How many bytes the locked file has.
    ///
    /// # Errors
    /// What the system says.
    pub fn file_len(&self) -> io::Result<u64> {
        self.core().handle().len()
    }

    /// Cuts or extends the locked file to `len` bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.core_mut().handle_mut().set_len(len)
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync_all(&self) -> io::Result<()> {
        self.core().handle().sync_all()
    }

    pub(crate) fn core(&self) -> &Core {
        match &self.hold {
            Hold::Borrowed(file) => file.core(),
            Hold::Owned(file) => file.as_ref().expect("present until given back").core(),
        }
    }

    fn core_mut(&mut self) -> &mut Core {
        match &mut self.hold {
            Hold::Borrowed(file) => file.core_mut(),
            Hold::Owned(file) => file.as_mut().expect("present until given back").core_mut(),
        }
    }
}

impl<F: Lockable> OwnedGuard<F> {
    /// Releases the lock and gives the file back, to be locked again.
    ///
    /// # Errors
    /// [`Error::System`].
    ///
    /// # Panics
    /// If the guard was made by borrowing a file for the life of the program: that one has no
    /// file to give.
    pub fn release(mut self) -> Result<F, Error> {
        self.core_mut().release()?;
        match &mut self.hold {
            Hold::Owned(file) => Ok(file.take().expect("present until given back")),
            Hold::Borrowed(_) => panic!("this guard only borrowed its file"),
        }
    }
}

impl<F: Lockable> Drop for Guard<'_, F> {
    fn drop(&mut self) {
        if let Hold::Owned(None) = self.hold {
            return;
        }
        // The handle is in order, so this fails only if a mount is gone, and the lock with it.
        // Who wants to know calls `unlock`.
        let _ = self.core_mut().release();
    }
}

impl<F: Lockable> Read for Guard<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.core_mut().handle_mut().read(buffer)
    }
}

impl<F: Lockable> Write for Guard<'_, F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.core_mut().handle_mut().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: Lockable> Seek for Guard<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.core_mut().handle_mut().seek(to)
    }
}

impl<F: Lockable> std::fmt::Debug for Guard<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("path", &self.path())
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}
