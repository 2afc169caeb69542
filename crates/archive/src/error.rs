//! Why an archive, or a file in it, can't be read.

use std::io;

use crate::limits::Limits;

/// Why an archive, or a file in it, can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file can't be read, or the temporary one not written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The archive's directory is damaged, or a part of it is missing.
    #[error("the zip archive is damaged: {0}")]
    Zip(String),
    /// The archive's directory is larger than [`Limits`] allow.
    #[error("the zip archive has more than {} entries, or their list is too long", Limits::ENTRIES)]
    Entries,
    /// What is packed is damaged.
    #[error("the compressed data are damaged: {0}")]
    Damaged(String),
    /// A file is encrypted.
    #[error("it is encrypted in the archive")]
    Encrypted,
    /// A file is compressed in a way that isn't read.
    #[error("it is compressed by a method that is not read ({0})")]
    Method(String),
    /// An archive in an archive, or compressed.
    #[error("a zip archive in an archive is not opened")]
    Nested,
    /// It would unpack to more than [`Limits`] allow.
    #[error("it unpacks to more than {allowed} bytes, which no log of its packed size does")]
    TooLarge {
        /// The bytes that are allowed.
        allowed: u64,
    },
    /// A name is longer than [`Limits`] allow.
    #[error("an entry has a name of more than {} bytes", Limits::NAME)]
    Name,
    /// Nobody wants it any more.
    #[error("interrupted")]
    Interrupted,
}
