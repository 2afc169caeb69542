//! Who holds a lock, as far as can be told.
//!
//! Two sources are asked. A holder that announces itself keeps a small file beside the locked one
//! (`NAME.holder-…`): beside, because nobody else can read the locked bytes on Windows. It is
//! locked itself, at a place nobody waits for, as long as its writer lives; so a record that a
//! dead process left is known for what it is, on whatever host it ran and whoever has its process
//! id now. On Linux the kernel's own table names holders that announce nothing, such as
//! util-linux `flock`.

#[cfg(target_os = "linux")]
mod kernel;
mod record;

use std::{path::Path, time::SystemTime};

pub(crate) use record::Record;

use crate::{ByteRange, Error, Mode};

/// What a holder says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    command: String,
}

impl Announcement {
    /// Process id, host and time are added; `command` says in the program's own words what
    /// the lock is held for. Of that, the first 1,000 bytes are kept.
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into() }
    }
}

/// Somebody who holds the lock on a file, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The process that took the lock, on its host.
    pub pid: Option<u32>,
    /// The host it ran on.
    pub host: Option<String>,
    /// What it was doing: in its own words, or the command line it was started with.
    pub command: Option<String>,
    /// When it took the lock, by its own clock.
    pub since: Option<SystemTime>,
    /// How it holds the lock.
    pub mode: Mode,
    /// Which part of the file, if not the whole.
    pub range: Option<ByteRange>,
    /// Where this is known from.
    pub source: Source,
    /// The process is gone and left its record behind. It holds nothing.
    pub stale: bool,
}

/// Where it is known from who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The holder said so itself.
    Announced,
    /// The kernel's table of locks.
    Kernel,
}

/// Who holds locks on the file at `path`. Best effort: holders that neither announced themselves
/// nor show in the kernel's table are missing (those on other hosts, in other containers, and all
/// unannounced ones on Windows and macOS), and so an empty answer does not mean that the lock
/// is free. The file is not created, locked or changed.
///
/// # Errors
/// [`Error::System`] if the path or its folder can't be looked at.
pub fn who(path: impl AsRef<Path>) -> Result<Vec<Holder>, Error> {
    let failed = |error| Error::system("see who holds the lock", Some(path.as_ref()), error);
    let path = std::path::absolute(path.as_ref()).map_err(failed)?;
    #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
    let mut holders = record::read_all(&path).map_err(failed)?;
    #[cfg(target_os = "linux")]
    if let Some(id) = crate::sys::id_of_path(&path).map_err(failed)? {
        let here = crate::sys::host_name();
        for holder in kernel::holders(id) {
            let announced = holders.iter().any(|known| {
                !known.stale
                    && known.pid == holder.pid
                    && known.range == holder.range
                    && known.host.as_deref() == Some(&*here)
            });
            if !announced {
                holders.push(holder);
            }
        }
    }
    Ok(holders)
}
