//! What can go wrong. That somebody else holds the lock is not here: contention is an answer
//! (`None`, `false`), not a failure.

use std::{io, path::PathBuf};

/// Why a lock could not be asked for, taken, changed or released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be opened. Its permissions, its folder or the caller's path are at fault.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system failed while it was asked for `what`. Contention is never reported this way.
    #[error("cannot {what}{}: {source}", named(path))]
    System {
        /// The step that failed, as in "take the lock".
        what: &'static str,
        /// The file, where its path is known.
        path: Option<PathBuf>,
        /// What the system said.
        source: io::Error,
    },
    /// This process holds the lock already, through another handle, so waiting may be for ever.
    /// Reported when [`Options::report_double`](crate::Options::report_double) asks for it.
    #[error("this process holds the lock{} already", named(path))]
    HeldByThisProcess {
        /// The file, where its path is known.
        path: Option<PathBuf>,
    },
    /// This process has the file open for the other kind of lock. Whole-file and range locks
    /// do not see each other on every system, so a program uses one kind for a file.
    #[error("{} is open in this process for the other kind of lock (whole file or range)", path.display())]
    MixedKinds {
        /// The file.
        path: PathBuf,
    },
    /// The range is empty or ends past [`ByteRange::END`](crate::ByteRange::END).
    #[error("{len} bytes from {start} on are not a range that can be locked")]
    BadRange {
        /// The first byte asked for.
        start: u64,
        /// The number of bytes asked for.
        len: u64,
    },
    /// A shared lock can't be made exclusive here without letting it go. The shared lock is kept.
    #[error("the shared lock{} cannot be made exclusive in one step here: {reason}", named(path))]
    UpgradeUnavailable {
        /// The file, where its path is known.
        path: Option<PathBuf>,
        /// What is missing.
        reason: &'static str,
    },
    /// The lock is not held any more. See the crate's documentation on what is atomic.
    #[error("the lock{} was lost while it was being changed", named(path))]
    Lost {
        /// The file, where its path is known.
        path: Option<PathBuf>,
    },
}

impl Error {
    pub(crate) fn system(
        what: &'static str,
        path: Option<&std::path::Path>,
        source: io::Error,
    ) -> Self {
        Self::System { what, path: path.map(Into::into), source }
    }

    /// What the system said, where it was the system that failed.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Open { source, .. } | Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn named(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| format!(" on {}", path.display())).unwrap_or_default()
}
