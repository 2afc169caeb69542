//! What is wrong with a file, and where.

use quarry_binxml::BinXmlError;

/// Damage at a place in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Where, in bytes from the beginning of the file.
    pub offset: u64,
    /// The number of the record it is in, where that is known.
    pub record: Option<u64>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// The file's header is not one, but chunks follow it.
    #[error("the file's header is damaged; its chunks are read all the same")]
    FileHeader,
    /// The file's header doesn't have its checksum.
    #[error("the checksum of the file's header is wrong; the file is read all the same")]
    FileHeaderChecksum,
    /// A chunk without its signature, in which there are no records either.
    #[error("a chunk of 64 KiB is not one and is left out")]
    NoChunk,
    /// A chunk without its signature, in which there are records.
    #[error("a chunk has no signature; its records are read all the same")]
    ChunkSignature,
    /// A chunk's header doesn't have its checksum.
    #[error("the checksum of a chunk's header is wrong; its records are read all the same")]
    ChunkHeaderChecksum,
    /// A chunk's records don't have their checksum.
    #[error("the checksum of a chunk's records is wrong; they are read all the same")]
    RecordsChecksum,
    /// The file ends within a chunk.
    #[error("the file ends here, {missing} bytes before the end of a chunk")]
    Truncated {
        /// The bytes that are not there.
        missing: u64,
    },
    /// A chunk that was there when the file was opened.
    #[error("the file has been cut since it was opened: a chunk is gone")]
    Gone,
    /// Bytes where a record should be.
    #[error("{skipped} bytes are no record and are left out")]
    NoRecord {
        /// The bytes that are left out.
        skipped: u64,
    },
    /// A record whose size is wrong, or doesn't stand behind it.
    #[error("the size of a record is damaged; the record is read as far as it can be")]
    RecordSize,
    /// A record whose BinXML can't be read.
    #[error("a record can't be read: {0}")]
    Record(BinXmlError),
    /// The file can't be read here.
    #[error("the file can't be read here: {0}")]
    Io(std::io::ErrorKind),
}

impl DamageKind {
    /// Whether events are missing because of it.
    pub fn loses_events(&self) -> bool {
        !matches!(
            self,
            DamageKind::FileHeader
                | DamageKind::FileHeaderChecksum
                | DamageKind::ChunkSignature
                | DamageKind::ChunkHeaderChecksum
                | DamageKind::RecordsChecksum
                | DamageKind::RecordSize
        )
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.record {
            Some(record) => write!(f, "at byte {}, record {record}: {}", self.offset, self.kind),
            None => write!(f, "at byte {}: {}", self.offset, self.kind),
        }
    }
}
