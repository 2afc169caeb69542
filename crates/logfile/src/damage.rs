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
    /// The file's header is not one, or not right, but the rest is a log.
    #[error("the file's header is damaged; the rest is read all the same")]
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
    /// The file is shorter than its header says.
    #[error("the file is cut off here; its header knows of {missing} bytes more")]
    Cut {
        /// The bytes that are not there.
        missing: u64,
    },
    /// A part that was there when the file was opened.
    #[error("the file has been cut since it was opened: a part of it is gone")]
    Gone,
    /// What marks the end of an `.evt` file's records is missing, or contradicts the header.
    #[error(
        "what marks the end of the log is missing, damaged or not where the header says; the log \
         is read as far as its records go on"
    )]
    EndOfLog,
    /// The oldest record of an `.evt` file isn't where the file says.
    #[error(
        "the oldest record is not where the file says; the log is read from the first whose \
         number leads to the newest"
    )]
    OldestRecord,
    /// The numbers of records in an `.evt` file don't follow one another.
    #[error(
        "the record before has the number {before}: records are missing in between, or a number \
         is damaged"
    )]
    NumberJump {
        /// The number of the record before.
        before: u32,
    },
    /// A part of a classic record that doesn't lie within it.
    #[error("the {0} of a record doesn't lie within it; the record is read without")]
    RecordPart(&'static str),
    /// Chunks that the header of a closed `.evtx` file doesn't count, with older records.
    #[error(
        "{chunks} chunk{} with older records {} not counted by the file's header and left out as \
         slack",
        if *.chunks == 1 { "" } else { "s" }, if *.chunks == 1 { "is" } else { "are" }
    )]
    UnusedChunks {
        /// How many, from here on.
        chunks: u64,
    },
    /// Bytes where a record should be.
    #[error("{skipped} bytes are no record and are left out")]
    NoRecord {
        /// The bytes that are left out.
        skipped: u64,
    },
    /// A record whose size is wrong, or doesn't stand after it.
    #[error("the size of a record is damaged; the record is read as far as it can be")]
    RecordSize,
    /// A record whose BinXML can't be read.
    #[error("a record can't be read: {0}")]
    Record(BinXmlError),
    /// A record of slack whose BinXML refers to names that are gone.
    #[error(
        "the names of a recovered record's data were overwritten: its values are given without, \
         as EventData"
    )]
    LostNames,
    /// A record of slack whose template is gone, and was found in another file.
    #[error(
        "the template of a recovered record is gone: one of another file, with its identifier and \
         the types of its values, was used"
    )]
    BorrowedTemplate,
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
                | DamageKind::EndOfLog
                | DamageKind::OldestRecord
                | DamageKind::LostNames
                | DamageKind::BorrowedTemplate
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
