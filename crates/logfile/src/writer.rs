//! Writing an `.evtx` file.

use std::io::{self, Seek, SeekFrom, Write};

use quarry_binxml::write::{ChunkTables, Fragment, Packed, WriteError};
use quarry_event::EventTime;

use crate::chunk::{CHUNK_SIZE, RECORD_HEADER, RECORD_MAGIC, RECORD_TRAILER};
use crate::header::{ChunkHeader, DIRTY, FileHeader};

/// Writes a new `.evtx` file: clean and with all checksums once it is [finished](Self::finish),
/// and until then one that says it isn't. It needs the memory of one chunk.
pub struct EvtxWriter<W> {
    file: W,
    /// The chunk that is being filled; its header comes last.
    chunk: Vec<u8>,
    tables: ChunkTables,
    /// The chunks that are written.
    chunks: u16,
    first_number: u64,
    next_number: u64,
    /// Where the chunk's last record begins, if it has one.
    last_record: Option<usize>,
    failed: bool,
}

/// Why an event can't be written to a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvtxWriteError {
    /// The event can't be written; others still can.
    #[error(transparent)]
    Event(#[from] WriteError),
    /// The file can't be written to. It is left as one that was not closed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file has as many chunks as one can have.
    #[error("the file is full: it has {max} chunks", max = u16::MAX)]
    Full,
    /// Record numbers have come to their end.
    #[error("there is no record number after {max}", max = u64::MAX)]
    Numbers,
    /// An earlier write to the file has failed.
    #[error("the file is broken off, because writing to it has failed")]
    BrokenOff,
}

/// Writes an event to the end of a chunk, up to a bound.
type Event<'e> = &'e dyn Fn(&mut ChunkTables, &mut Vec<u8>, usize) -> Result<(), WriteError>;

/// Records begin at multiples of this.
const RECORD_ALIGNMENT: usize = 8;

impl<W: Write + Seek> EvtxWriter<W> {
    /// A file that begins with record 1.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn new(file: W) -> io::Result<Self> {
        EvtxWriter::with_first_number(file, 1)
    }

    /// A file that begins with the given record.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_first_number(mut file: W, first: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&FileHeader::block(0, first, DIRTY))?;
        Ok(EvtxWriter {
            file,
            chunk: vec![0; ChunkHeader::LEN],
            tables: ChunkTables::default(),
            chunks: 0,
            first_number: first,
            next_number: first,
            last_record: None,
            failed: false,
        })
    }

    /// The number that the next record gets.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Writes an event as the next record, and gives its number. `written` is the time in the
    /// record's header; the event's own stands in it.
    ///
    /// # Errors
    /// [`EvtxWriteError::Event`] where the event can't be written, after which others can; else nothing
    /// more can be written: the file is full or has failed, or no record number is left.
    pub fn write(
        &mut self,
        fragment: &Fragment<'_>,
        written: EventTime,
    ) -> Result<u64, EvtxWriteError> {
        self.write_by(written, &|tables, chunk, end| tables.write(fragment, chunk, end))
    }

    /// The same for an event that is packed.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_packed(
        &mut self,
        packed: Packed<'_>,
        written: EventTime,
    ) -> Result<u64, EvtxWriteError> {
        self.write_by(written, &|tables, chunk, end| tables.write_packed(packed, chunk, end))
    }

    fn write_by(&mut self, written: EventTime, event: Event<'_>) -> Result<u64, EvtxWriteError> {
        if self.failed {
            return Err(EvtxWriteError::BrokenOff);
        }
        let next = self.next_number.checked_add(1).ok_or(EvtxWriteError::Numbers)?;
        match self.append(event, written) {
            // It may fit in a chunk of its own.
            Err(WriteError::TooLarge { .. } | WriteError::ValueTooLong(_))
                if self.last_record.is_some() =>
            {
                if self.chunks >= u16::MAX - 1 {
                    return Err(EvtxWriteError::Full);
                }
                self.end_chunk()?;
                self.append(event, written)?;
            }
            outcome => outcome?,
        }
        Ok(std::mem::replace(&mut self.next_number, next))
    }

    /// Writes what is left and the file's header, and gives the file back.
    ///
    /// # Errors
    /// The file can't be written, or couldn't before.
    pub fn finish(mut self) -> Result<W, EvtxWriteError> {
        if self.failed {
            return Err(EvtxWriteError::BrokenOff);
        }
        // Windows has one chunk even in an empty log.
        if self.last_record.is_some() || self.chunks == 0 {
            self.end_chunk()?;
        }
        self.failed = true;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&FileHeader::block(self.chunks, self.next_number, 0))?;
        self.file.flush()?;
        Ok(self.file)
    }

    /// Writes a record into the chunk, or nothing.
    fn append(&mut self, event: Event<'_>, written: EventTime) -> Result<(), WriteError> {
        let start = self.chunk.len();
        self.chunk.extend_from_slice(RECORD_MAGIC);
        self.chunk.extend_from_slice(&[0; 4]);
        self.chunk.extend_from_slice(&self.next_number.to_le_bytes());
        self.chunk.extend_from_slice(&written.as_filetime().to_le_bytes());
        let end = CHUNK_SIZE - RECORD_TRAILER - (RECORD_ALIGNMENT - 1);
        if let Err(error) = event(&mut self.tables, &mut self.chunk, end) {
            self.chunk.truncate(start);
            return Err(error);
        }
        let binxml = self.chunk.len() - start - RECORD_HEADER;
        let size = (RECORD_HEADER + binxml + RECORD_TRAILER).next_multiple_of(RECORD_ALIGNMENT);
        self.chunk.resize(start + size - RECORD_TRAILER, 0);
        self.chunk.extend_from_slice(&(size as u32).to_le_bytes());
        self.chunk[start + 4..start + 8].copy_from_slice(&(size as u32).to_le_bytes());
        self.last_record = Some(start);
        Ok(())
    }

    /// Writes the chunk with its header, and begins another.
    fn end_chunk(&mut self) -> Result<(), EvtxWriteError> {
        // A chunk without records counts from nothing to the number before it.
        let first = if self.last_record.is_some() { self.first_number } else { 1 };
        let header = ChunkHeader {
            first_number: first,
            first_id: first,
            free_space: self.chunk.len(),
            records_checksum: crc32fast::hash(&self.chunk[ChunkHeader::LEN..]),
            has_checksums: true,
        };
        let last_number = if self.last_record.is_some() { self.next_number - 1 } else { u64::MAX };
        let header = header.to_bytes(
            last_number,
            self.last_record.unwrap_or(0),
            self.tables.strings(),
            self.tables.templates(),
        );
        self.chunk[..ChunkHeader::LEN].copy_from_slice(&header);
        self.chunk.resize(CHUNK_SIZE, 0);
        self.failed = true;
        self.file.write_all(&self.chunk)?;
        self.failed = false;
        self.chunks += 1;
        self.chunk.clear();
        self.chunk.resize(ChunkHeader::LEN, 0);
        self.tables = ChunkTables::default();
        self.first_number = self.next_number;
        self.last_record = None;
        Ok(())
    }
}
