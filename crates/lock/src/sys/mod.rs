//! The one shape that the platforms share: a `Handle` that can be locked, read and written, and
//! an identity for files. Everything `unsafe` of this crate is in here.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
mod windows_wait;
#[cfg(windows)]
pub(crate) use windows::*;

/// Why a shared lock did not become exclusive, other than that somebody is in the way.
#[derive(Debug)]
#[allow(dead_code, reason = "which of them a system has a use for differs")]
pub(crate) enum UpgradeError {
    /// There is no way to do it in one step. The shared lock is still held.
    Unavailable(&'static str),
    /// The lock is not held any more.
    Lost,
    /// The system failed. The shared lock is still held.
    Failed(std::io::Error),
}
