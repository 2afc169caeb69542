//! One open file and the lock on it, under both public kinds: asking, checking afterwards that
//! the path still means this file, changing the mode, letting go.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    Access, Announcement, Error, Mode, Options, Wait,
    backoff::Backoff,
    holder::Record,
    region::Region,
    registry::{Entry, Kind},
    sys::{self, Handle},
};

/// How often a non-blocking attempt follows a path whose file keeps being replaced, before it
/// answers that somebody is in the way (which is then true).
const REPLACEMENTS: usize = 100;

pub struct Core {
    /// `None` after a file that was replaced could not be opened again. The next attempt tries that.
    opened: Option<Opened>,
    kind: Kind,
    /// Absolute. `None` for a file that was handed over open: there is nothing to check then.
    path: Option<PathBuf>,
    options: Options,
    held: Option<(Region, Mode)>,
    record: Option<Record>,
}

struct Opened {
    handle: Handle,
    entry: Entry,
}

/// The outcome of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Acquired,
    Contended,
    /// The path meant another file by then, which is open now instead.
    #[cfg_attr(not(feature = "async"), allow(dead_code))]
    Moved,
}

impl Core {
    pub(crate) fn open(options: &Options, path: &Path, kind: Kind) -> Result<Self, Error> {
        let path = std::path::absolute(path)
            .map_err(|source| Error::Open { path: path.into(), source })?;
        let opened = Opened::at(&path, options, kind)?;
        Ok(Self {
            opened: Some(opened),
            kind,
            path: Some(path),
            options: options.clone(),
            held: None,
            record: None,
        })
    }

    pub(crate) fn from_file(file: std::fs::File, kind: Kind) -> Result<Self, Error> {
        let failed = |error| Error::system("use the open file for locking", None, error);
        let handle = Handle::from_file(file).map_err(failed)?;
        let entry = Entry::new(handle.id(), kind)
            .ok_or_else(|| Error::MixedKinds { path: PathBuf::from("the open file") })?;
        Ok(Self {
            opened: Some(Opened { handle, entry }),
            kind,
            path: None,
            options: Options::new(),
            held: None,
            record: None,
        })
    }

    /// # Panics
    /// Unless a lock is held, or was asked for and not refused with an error.
    pub(crate) fn handle(&self) -> &Handle {
        &self.opened.as_ref().expect(OPEN).handle
    }

    pub(crate) fn handle_mut(&mut self) -> &mut Handle {
        &mut self.opened.as_mut().expect(OPEN).handle
    }

    fn entry(&self) -> &Entry {
        &self.opened.as_ref().expect(OPEN).entry
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    #[cfg(feature = "async")]
    pub(crate) fn id(&mut self) -> Result<sys::FileId, Error> {
        self.open_if_closed()?;
        Ok(self.handle().id())
    }

    pub(crate) fn mode(&self) -> Option<Mode> {
        self.held.map(|(_, mode)| mode)
    }

    #[cfg(unix)]
    pub(crate) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Takes the lock. False if it could not be had in the time given.
    pub(crate) fn acquire(
        &mut self,
        region: Region,
        mode: Mode,
        wait: Wait,
    ) -> Result<bool, Error> {
        let asking = match wait {
            Wait::Never => true,
            Wait::Until(_) => sys::TIMED_WAITS_ASK,
            Wait::Forever => false,
        };
        if asking || self.options.report_double {
            return self.acquire_by_asking(region, mode, wait);
        }
        loop {
            if !self.ask(region, mode, wait)? {
                return Ok(false);
            }
            if self.settle(region, mode)? {
                return Ok(true);
            }
        }
    }

    /// One attempt that doesn't wait. If the file turns out to have been replaced, the new one
    /// is open afterwards.
    pub(crate) fn attempt(&mut self, region: Region, mode: Mode) -> Result<Attempt, Error> {
        if self.ask(region, mode, Wait::Never)? {
            return Ok(if self.settle(region, mode)? { Attempt::Acquired } else { Attempt::Moved });
        }
        if self.options.report_double && self.entry().held_elsewhere(region) {
            return Err(Error::HeldByThisProcess { path: self.path.clone() });
        }
        // A blocking wait finds out when the holder of the deleted file lets go. One that asks
        // again and again can know now.
        if self.is_current()? {
            return Ok(Attempt::Contended);
        }
        self.reopen()?;
        Ok(Attempt::Moved)
    }

    fn acquire_by_asking(&mut self, region: Region, mode: Mode, wait: Wait) -> Result<bool, Error> {
        let deadline = if let Wait::Until(at) = wait { Some(at) } else { None };
        let mut backoff = Backoff::new();
        let mut replacements = 0;
        loop {
            match self.attempt(region, mode)? {
                Attempt::Acquired => return Ok(true),
                Attempt::Moved if replacements < REPLACEMENTS => replacements += 1,
                Attempt::Moved | Attempt::Contended => {
                    if wait == Wait::Never || !backoff.sleep_until(deadline) {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn ask(&mut self, region: Region, mode: Mode, wait: Wait) -> Result<bool, Error> {
        self.open_if_closed()?;
        let first = self.handle_mut().lock(region, mode, wait);
        let result = match first {
            // NFS turns an exclusive lock into one that needs the file open for writing.
            Err(error)
                if sys::needs_write_access(&error)
                    && mode == Mode::Exclusive
                    && self.options.access == Access::ReadOnly
                    && self.path.is_some() =>
            {
                self.options.access = Access::ReadWrite;
                self.reopen()?;
                self.handle_mut().lock(region, mode, wait)
            }
            other => other,
        };
        result.map_err(|error| self.system("take the lock", error))
    }

    /// After the system granted the lock: is it a lock on the file that the path means? If not,
    /// lets go of it and opens the new file.
    fn settle(&mut self, region: Region, mode: Mode) -> Result<bool, Error> {
        let current = self.is_current();
        if matches!(current, Ok(true)) {
            self.hold(region, mode);
            return Ok(true);
        }
        self.handle_mut().unlock(region).map_err(|error| self.system("release the lock", error))?;
        current?;
        self.reopen()?;
        Ok(false)
    }

    fn is_current(&self) -> Result<bool, Error> {
        let Some(path) = &self.path else { return Ok(true) };
        sys::id_of_path(path)
            .map(|found| found == Some(self.handle().id()))
            .map_err(|error| self.system("look at the path of the lock", error))
    }

    fn reopen(&mut self) -> Result<(), Error> {
        // First closed: before Windows 10 a deleted file is in the way until nobody has it open.
        self.opened = None;
        self.open_if_closed()
    }

    fn open_if_closed(&mut self) -> Result<(), Error> {
        if self.opened.is_none() {
            let path = self.path.as_deref().expect("only a file with a path is closed");
            self.opened = Some(Opened::at(path, &self.options, self.kind)?);
        }
        Ok(())
    }

    fn hold(&mut self, region: Region, mode: Mode) {
        self.entry().set_held(region);
        self.held = Some((region, mode));
        self.announce();
    }

    pub(crate) fn announce_as(&mut self, announcement: Announcement) {
        self.options.announcement = Some(announcement);
        self.announce();
    }

    fn announce(&mut self) {
        self.record = None;
        if let (Some(announcement), Some(path), Some((region, mode))) =
            (&self.options.announcement, &self.path, self.held)
        {
            self.record = Record::write(path, announcement, region, mode);
        }
    }

    /// Makes a shared lock exclusive without ever letting it go. False: not now, and the shared
    /// lock is still held.
    pub(crate) fn try_upgrade(&mut self) -> Result<bool, Error> {
        let (region, mode) = self.held.expect("a guard's lock is held");
        if mode == Mode::Exclusive {
            return Ok(true);
        }
        match self.handle_mut().try_upgrade(region) {
            Ok(true) => {
                self.held = Some((region, Mode::Exclusive));
                self.announce();
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(sys::UpgradeError::Unavailable(reason)) => {
                Err(Error::UpgradeUnavailable { path: self.path.clone(), reason })
            }
            Err(sys::UpgradeError::Lost) => {
                self.forget();
                Err(Error::Lost { path: self.path.clone() })
            }
            Err(sys::UpgradeError::Failed(error)) => {
                Err(self.system("make the lock exclusive", error))
            }
        }
    }

    /// Makes a shared lock exclusive, giving it up for the wait if it has to. True if it did
    /// not have to.
    pub(crate) fn upgrade(&mut self) -> Result<bool, Error> {
        let (region, _) = self.held.expect("a guard's lock is held");
        match self.try_upgrade() {
            Ok(true) => return Ok(true),
            Ok(false) | Err(Error::UpgradeUnavailable { .. }) => self.release()?,
            Err(Error::Lost { .. }) => {}
            Err(error) => return Err(error),
        }
        self.acquire(region, Mode::Exclusive, Wait::Forever)?;
        Ok(false)
    }

    pub(crate) fn downgrade(&mut self) -> Result<(), Error> {
        let (region, mode) = self.held.expect("a guard's lock is held");
        if mode == Mode::Exclusive {
            self.handle_mut()
                .downgrade(region)
                .map_err(|error| self.system("make the lock shared", error))?;
            self.held = Some((region, Mode::Shared));
            self.announce();
            self.nudge();
        }
        Ok(())
    }

    /// Lets go of the lock, if it is held.
    pub(crate) fn release(&mut self) -> Result<(), Error> {
        let Some((region, _)) = self.held else { return Ok(()) };
        self.forget();
        let result = self.handle_mut().unlock(region);
        self.nudge();
        result.map_err(|error| self.system("release the lock", error))
    }

    /// Deletes the file, if the path still means it, and lets go of the lock.
    pub(crate) fn remove(&mut self) -> Result<(), Error> {
        if let Some(path) = &self.path
            && self.is_current()?
        {
            std::fs::remove_file(path)
                .map_err(|error| self.system("delete the locked file", error))?;
        }
        self.release()
    }

    /// No longer counts the lock as held, without asking the system to release it.
    pub(crate) fn forget(&mut self) {
        self.record = None;
        self.entry().set_free();
        self.held = None;
    }

    /// Tells async waiters in this process that it is worth asking again.
    fn nudge(&self) {
        #[cfg(feature = "async")]
        crate::wait_async::nudge(self.handle().id());
    }

    fn system(&self, what: &'static str, error: io::Error) -> Error {
        Error::system(what, self.path(), error)
    }
}

impl Opened {
    fn at(path: &Path, options: &Options, kind: Kind) -> Result<Self, Error> {
        let handle = Handle::open(path, options.access, !options.must_exist)
            .map_err(|source| Error::Open { path: path.into(), source })?;
        let entry =
            Entry::new(handle.id(), kind).ok_or_else(|| Error::MixedKinds { path: path.into() })?;
        Ok(Self { handle, entry })
    }
}

const OPEN: &str = "the file is open from the first attempt on";
