//! Unix: `flock(2)` for whole files, open-file-description locks for ranges.

use std::{
    ffi::c_int,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, OFlags},
    io::Errno,
};

use super::UpgradeError;
use crate::{
    Access, Mode, Wait,
    region::{ByteRange, Region},
};

/// A timed wait is a row of attempts: `flock` has no deadline, and a library can't claim a signal.
pub(crate) const TIMED_WAITS_ASK: bool = true;

/// What a file is, whatever it is called: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn device_and_inode(self) -> (u32, u32, u64) {
        (rustix::fs::major(self.device), rustix::fs::minor(self.device), self.inode)
    }
}

/// The file that a path means, if there is one.
pub(crate) fn id_of_path(path: &Path) -> io::Result<Option<FileId>> {
    match rustix::fs::stat(path) {
        Ok(stat) => Ok(Some(FileId::of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a lock failed because the file is open for reading alone: NFS says so.
pub(crate) fn needs_write_access(error: &io::Error) -> bool {
    [Errno::BADF, Errno::IO].map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error())
}

pub(crate) struct Handle {
    file: File,
    id: FileId,
}

impl Handle {
    pub(crate) fn open(path: &Path, access: Access, create: bool) -> io::Result<Self> {
        let creating = if create { OFlags::CREATE } else { OFlags::empty() };
        let reading_and_writing = [OFlags::RDWR | creating, OFlags::RDWR];
        // Creating is refused for what exists in some places: a directory, and another
        // user's file in a sticky folder.
        let reading = [OFlags::RDONLY | creating, OFlags::RDONLY];
        let ways = match access {
            Access::ReadWrite => [reading_and_writing, reading].concat(),
            Access::ReadOnly => reading.to_vec(),
        };
        let mut refusal = None;
        for flags in ways {
            match open_at_once(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY) {
                Ok(fd) => return Self::from_file(File::from(fd)),
                Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS))
                | Err(error @ (Errno::TXTBSY | Errno::ISDIR)) => refusal = Some(error),
                // It doesn't exist, and creating it was refused: that is what is to be mended.
                Err(Errno::NOENT) if refusal.is_some() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(refusal.unwrap_or(Errno::NOENT).into())
    }

    pub(crate) fn from_file(file: File) -> io::Result<Self> {
        let id = FileId::of(&rustix::fs::fstat(&file)?);
        Ok(Self { file, id })
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Takes the lock; false if somebody is in the way. [`Wait::Until`] is answered as
    /// [`Wait::Never`] is: see [`TIMED_WAITS_ASK`].
    pub(crate) fn lock(&mut self, region: Region, mode: Mode, wait: Wait) -> io::Result<bool> {
        let blocking = wait == Wait::Forever;
        match region {
            Region::Whole => self.flock(match (mode, blocking) {
                (Mode::Shared, true) => FlockOperation::LockShared,
                (Mode::Shared, false) => FlockOperation::NonBlockingLockShared,
                (Mode::Exclusive, true) => FlockOperation::LockExclusive,
                (Mode::Exclusive, false) => FlockOperation::NonBlockingLockExclusive,
            }),
            Region::Range(range) => self.ofd_lock(range, Some(mode), blocking),
        }
    }

    pub(crate) fn unlock(&mut self, region: Region) -> io::Result<()> {
        match region {
            Region::Whole => self.flock(FlockOperation::Unlock),
            Region::Range(range) => self.ofd_lock(range, None, false),
        }
        .map(drop)
    }

    /// The kernel replaces an exclusive lock by a shared one in one step, and nothing can be in
    /// the way of that.
    pub(crate) fn downgrade(&mut self, region: Region) -> io::Result<()> {
        self.lock(region, Mode::Shared, Wait::Never).map(drop)
    }

    pub(crate) fn try_upgrade(&mut self, region: Region) -> Result<bool, UpgradeError> {
        match region {
            Region::Whole => self.try_upgrade_whole(),
            // Converting a range leaves what was held alone if it can't be done.
            Region::Range(range) => {
                self.ofd_lock(range, Some(Mode::Exclusive), false).map_err(UpgradeError::Failed)
            }
        }
    }

    /// Linux drops the shared lock when a non-blocking conversion fails. So the conversion is
    /// made under a write lease: granted only while nobody else has the file open, and while
    /// it lasts nobody can open it. Then the conversion can't fail.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn try_upgrade_whole(&mut self) -> Result<bool, UpgradeError> {
        match Lease::take(self.file.as_fd()) {
            Ok(_lease) => self
                .flock(FlockOperation::NonBlockingLockExclusive)
                .map_err(UpgradeError::Failed)?
                .then_some(true)
                .ok_or(UpgradeError::Lost),
            Err(Errno::AGAIN) => Ok(false),
            Err(Errno::ACCESS | Errno::PERM) => Err(UpgradeError::Unavailable(
                "only the file's owner and root get the lease that it takes",
            )),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => {
                Err(UpgradeError::Unavailable("the file system has no leases"))
            }
            Err(error) => Err(UpgradeError::Failed(error.into())),
        }
    }

    /// The BSD implementation looks for conflicts first and removes the shared lock only
    /// before it sleeps.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn try_upgrade_whole(&mut self) -> Result<bool, UpgradeError> {
        self.flock(FlockOperation::NonBlockingLockExclusive).map_err(UpgradeError::Failed)
    }

    fn flock(&self, operation: FlockOperation) -> io::Result<bool> {
        match retry(|| rustix::fs::flock(&self.file, operation)) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn ofd_lock(&self, range: ByteRange, mode: Option<Mode>, blocking: bool) -> io::Result<bool> {
        let kind = match mode {
            Some(Mode::Shared) => libc::F_RDLCK,
            Some(Mode::Exclusive) => libc::F_WRLCK,
            None => libc::F_UNLCK,
        };
        // SAFETY: `flock` is a plain C struct of integers, for which all zeroes is a value.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as _;
        lock.l_whence = libc::SEEK_SET as _;
        // Both are below 2^63: `ByteRange` sees to it. A length of 0 is "to the end".
        lock.l_start = range.start() as libc::off_t;
        lock.l_len = range.len().unwrap_or(0) as libc::off_t;
        let command = if blocking { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
        let done = retry(|| {
            // SAFETY: the descriptor is open as long as `self.file`, and `lock` outlives the call.
            errno_of(unsafe { libc::fcntl(self.file.as_raw_fd(), command, &raw const lock) })
        });
        match done {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    pub(crate) fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }

    pub(crate) fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    pub(crate) fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A duplicate of a descriptor known by its number alone.
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the borrow ends with this one call, which fails with EBADF if nothing is open
    // under the number. It makes a duplicate and neither reads, writes nor closes the original.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, 3).map_err(Into::into)
}

/// This computer's name on the network.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Creates the file of a holder's record, and locks it as a sign of life.
pub(crate) fn create_record(path: &Path) -> io::Result<File> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Opens what may be a holder's record. Somebody else may have put anything in its place.
pub(crate) fn open_record(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// Whether the one who wrote the record still has it locked.
pub(crate) fn record_is_live(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            rustix::fs::flock(file, FlockOperation::Unlock)?;
            Ok(false)
        }
        Err(Errno::AGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A write lease, `fcntl(F_SETLEASE, F_WRLCK)`, for as long as this lives.
#[cfg(any(target_os = "linux", target_os = "android"))]
struct Lease<'a> {
    fd: BorrowedFd<'a>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl<'a> Lease<'a> {
    fn take(fd: BorrowedFd<'a>) -> Result<Self, Errno> {
        // Whoever opens the file meanwhile waits, and the kernel signals us that they do. SIGIO
        // would end the process; SIGURG is ignored unless somebody handles it.
        fcntl(fd, F_SETSIG, libc::SIGURG)?;
        match fcntl(fd, libc::F_SETLEASE, c_int::from(libc::F_WRLCK as i16)) {
            Ok(_) => Ok(Self { fd }),
            Err(error) => {
                let _ = fcntl(fd, F_SETSIG, 0);
                Err(error)
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // Neither can fail on a descriptor that holds a lease; if the lease were left, openers
        // would wait until the kernel breaks it (/proc/sys/fs/lease-break-time).
        let _ = fcntl(self.fd, libc::F_SETLEASE, c_int::from(libc::F_UNLCK as i16));
        let _ = fcntl(self.fd, F_SETSIG, 0);
    }
}

/// The `libc` crate does not have it for every Linux target. The number is the same on all.
#[cfg(any(target_os = "linux", target_os = "android"))]
const F_SETSIG: c_int = 10;

#[cfg(any(target_os = "linux", target_os = "android"))]
fn fcntl(fd: BorrowedFd<'_>, command: c_int, argument: c_int) -> Result<c_int, Errno> {
    // SAFETY: the descriptor is borrowed, so it is open; the commands used take an integer.
    errno_of(unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) })
}

fn errno_of(result: c_int) -> Result<c_int, Errno> {
    if result == -1 {
        let error = io::Error::last_os_error();
        Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    } else {
        Ok(result)
    }
}

/// Calls again what a signal interrupted.
/// Opens a file, or creates it. Doesn't wait for the other end of a named pipe.
fn open_at_once(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let open = |flags| retry(|| rustix::fs::open(path, flags, rustix::fs::Mode::from(0o666)));
    match open(flags | OFlags::NONBLOCK) {
        // Somebody has a lease on it, so it is no pipe, and the lease ends soon.
        Err(Errno::AGAIN) => open(flags),
        opened => opened,
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
