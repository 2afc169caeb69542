#![doc = include_str!("../README.md")]
//!
//! # Which type to use
//!
//! | you want | use |
//! |---|---|
//! | one process at a time (or many readers) on a file | [`LockFile`] |
//! | the same, for part of a file | [`RangeFile`] |
//! | a guard to keep in a struct or send to a thread | the `*_owned` methods, or [`Options::lock`] |
//! | to wait in a task instead of a thread | the `*_async` methods (feature `async`, on by default) |
//! | who holds it | [`who`] |
//!
//! # What is atomic
//!
//! | step | Linux | macOS | Windows |
//! |---|---|---|---|
//! | [`Guard::downgrade`] | atomic | atomic | atomic |
//! | [`Guard::try_upgrade`], whole file | atomic, or refused with the shared lock untouched | the same | the same, with one exception below |
//! | [`Guard::try_upgrade`], range | the same | the same | always refused: [`Error::UpgradeUnavailable`] |
//! | [`Guard::upgrade`] | atomic when nobody else is there, else the shared lock is given up for the wait; [`Continuity`] says which | the same | the same |
//!
//! On Linux a failed conversion of a `flock` drops the lock that was held, and taking it again
//! afterwards leaves a gap in which another process can come, write and go unseen. So the
//! conversion is only made when it cannot fail: the crate takes a *write lease* on the file
//! first, which the kernel grants only while nobody else has the file open, and which holds
//! new openers off until the conversion is done. The price is that `try_upgrade` is also refused
//! while another process (or another handle in this one) merely has the file open. Leases are
//! given to the file's owner and to root, on local file systems; elsewhere the answer is
//! [`Error::UpgradeUnavailable`], and the shared lock is kept.
//!
//! On Windows the exception is a peer that locks byte 0 alone and exclusively (Python's
//! `msvcrt.locking`, so `filelock`): in the last step of an upgrade it can slip in, because NT
//! has no conversion and byte 0 must end up writable. The guard is then lost, and
//! [`Error::Lost`] says so; it is never lost silently.
//!
//! # Who is excluded
//!
//! Whole-file locks are `flock(2)` on Linux and macOS and `LockFileEx` over the whole file on
//! Windows. They exclude util-linux `flock`, cargo, [`std::fs::File::lock`], Python's
//! `fcntl.flock` and `filelock`, and on Windows everybody who locks byte 0 or the whole range.
//! On Unix the lock is advisory: who does not ask is not stopped. On Windows it is mandatory:
//! while an exclusive lock is held, reading and writing the file through another handle fails,
//! even in the same process. So read and write through the guard, which is [`std::io::Read`],
//! [`std::io::Write`] and [`std::io::Seek`], and the program is right everywhere.
//!
//! Range locks are open-file-description locks (`F_OFD_SETLK`) on Linux and macOS. On Linux the two
//! kinds do not see each other on a local file system; on macOS and Windows they do. So a file
//! is opened for one kind or the other ([`LockFile`] or [`RangeFile`]), and opening a file for one
//! kind while this process has it open for the other is [`Error::MixedKinds`].
//!
//! # Network file systems
//!
//! - **NFS, Linux client**: `flock` is sent to the server as a byte-range lock over the whole
//!   file. So the two kinds *do* see each other there; an exclusive lock needs the file open
//!   for writing (a file opened read-only is opened again for that); and processes on the
//!   server itself that use `flock` locally are not excluded. With the mount option
//!   `local_lock=flock` or `nolock` a lock is seen on that client only. A lock is lost when the
//!   lease at the server runs out during a network break; the kernel then fails later I/O.
//!   No leases are given, so `try_upgrade` is refused.
//! - **SMB, Linux client**: since Linux 5.5 `flock` becomes a mandatory byte-range lock on
//!   the server: reads and writes of others fail rather than wait. With `nobrl` locks stay on the
//!   client.
//! - **SMB, Windows client**: locks are byte-range locks on the server and exclude every
//!   client, Windows or not, that asks the server. If the connection breaks, they are gone unless
//!   the handle was durable.
//! - **`try_*` and async on a mount**: a non-blocking attempt is one exchange with the server. It
//!   blocks its thread for that long.
//! - **Holder information** travels with the file system: its own liveness is a lock beside the
//!   file, so it works across hosts wherever locks do.
//!
//! # Time-outs and fairness
//!
//! A wait without a deadline sleeps in the kernel. Unix has no wait for a lock with a deadline
//! that leaves signals alone, so timed and async waits ask again, after 50 µs first and at most
//! every 16 ms. A timed waiter can therefore be overtaken by one that sleeps in the
//! kernel. On Windows a timed wait is one overlapped request, cancelled at the deadline.

mod backoff;
mod error;
mod guard;
mod holder;
mod inner;
mod options;
mod region;
mod registry;
mod sys;
#[cfg(feature = "async")]
mod turns;
#[cfg(unix)]
pub mod unix;
#[cfg(feature = "async")]
mod wait_async;

/// What `turns` is built on. Its model check puts loom's types here.
#[cfg(feature = "async")]
mod sync {
    pub(crate) use std::sync::{Arc, Mutex};
}

pub use error::Error;
pub use guard::{Continuity, Guard, LockFile, Lockable, OwnedGuard, RangeFile};
pub use holder::{Announcement, Holder, Source, who};
pub use options::{Access, Options, Wait};
pub use region::{ByteRange, Mode};
