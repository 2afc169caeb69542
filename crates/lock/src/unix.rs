//! What only Unix has: descriptors that were inherited, and locks that children share.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
};

use crate::{
    ByteRange, Guard,
    guard::Lockable,
    region::Region,
    sys::{self, Handle},
};

/// A duplicate of a descriptor that this process was started with, as in `flock 9`. It stands
/// for the same open file description, so a lock taken through it stays when the duplicate is
/// closed, as long as the starter keeps its own.
///
/// # Errors
/// `EBADF` if no such descriptor is open, and what else `fcntl` says.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    sys::duplicate(number)
}

/// Releases what the open file description behind a descriptor holds, whoever took it: the
/// whole-file lock, or with a range the locks on those bytes. Nothing being held is not an error.
///
/// # Errors
/// What the system says.
pub fn release(fd: OwnedFd, range: Option<ByteRange>) -> io::Result<()> {
    Handle::from_file(fd.into())?.unlock(range.map_or(Region::Whole, Region::Range))
}

/// Lets programs that this process starts from now on (or turns into) share the lock: it is
/// then held until the last of them has ended, or unlocked it. Afterwards end the guard with
/// [`Guard::leave_locked`].
///
/// # Errors
/// What `fcntl` says.
pub fn share_with_children<F: Lockable>(guard: &Guard<'_, F>) -> io::Result<()> {
    let inherit = |fd: BorrowedFd<'_>| {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).map_err(io::Error::from)
    };
    inherit(guard.as_fd())?;
    guard.core().record().map_or(Ok(()), |record| inherit(record.as_fd()))
}

impl<F: Lockable> AsFd for Guard<'_, F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core().handle().as_fd()
    }
}
