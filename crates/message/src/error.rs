//! What can be wrong with a file that message text is read from.

/// Why message text can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file is not what it should be: its signature is another one.
    #[error("not {expected}")]
    NotA {
        /// What the file should be, with its article.
        expected: &'static str,
    },
    /// A structure breaks the rules of its format.
    #[error("damaged {structure} at byte {offset}")]
    Malformed {
        /// The structure, as its format calls it.
        structure: &'static str,
        /// The byte of the structure, or of the file it is in, where that shows.
        offset: u64,
    },
    /// There is more of something than is read from one file.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is read.
        limit: u64,
    },
    /// The file is of a version that isn't known.
    #[error("version {version} of {format} is not known")]
    Version {
        /// The format.
        format: &'static str,
        /// The version that the file names.
        version: u32,
    },
    /// A part of a catalogue isn't what was written.
    #[error("the checksum of {part} is wrong")]
    Checksum {
        /// The part.
        part: String,
    },
    /// A database lacks a table or a column that its kind has.
    #[error("the database has no {what}")]
    Database {
        /// The table or column.
        what: String,
    },
}

impl Error {
    /// The error for a structure that something outside of this crate couldn't read.
    pub(crate) fn malformed(structure: &'static str) -> Self {
        Error::Malformed { structure, offset: 0 }
    }
}
