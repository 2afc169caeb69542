//! An `.evtx` file as its chunks, in the order of their records.

use std::io;
use std::sync::Arc;

use crate::chunk::{CHUNK_SIZE, Chunk, RECORD_HEADER, RECORD_MAGIC};
use crate::classic;
use crate::damage::{Damage, DamageKind};
use crate::header::{ChunkHeader, FileHeader, u32_at, u64_at};
use crate::read_at::ReadAt;

/// An `.evtx` file.
pub struct EvtxLog {
    file: Arc<dyn ReadAt>,
    /// Where the first chunk begins.
    first_chunk: u64,
    /// How many chunks there are, the last perhaps in part.
    chunks: u64,
    /// Which chunk has the oldest records: when a log is full, it goes on at its beginning.
    oldest: u64,
    /// How many chunks the log has, and the identifier of its next record, as the header of a log says
    /// that was closed.
    used: Option<(u64, u64)>,
    dirty: bool,
    damage: Vec<Damage>,
}

/// Why a file can't be read as a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is of the format before Windows Vista.
    #[error("this is a log of Windows NT to 2003 (.evt), not an .evtx file")]
    OldFormat,
    /// It is something else.
    #[error("this is not an event log (.evtx or .evt) file")]
    NotALog,
}

/// The header of a chunk, and that of its first record, in bytes.
const CHUNK_START: usize = ChunkHeader::LEN + RECORD_HEADER;

impl EvtxLog {
    /// Whether a file is one, by its signature or that of its first chunk.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn is_one(file: &impl ReadAt) -> io::Result<bool> {
        let mut start = [0; 8];
        let read = file.read_full_at(&mut start, 0)?;
        Ok(start[..read] == *FileHeader::MAGIC || starts_with_chunk(file, FileHeader::BLOCK_SIZE)?)
    }

    /// Opens a file, and finds the oldest of its chunks. What grows after its end from now on is
    /// not read.
    ///
    /// # Errors
    /// The file can't be read, or is no `.evtx` file.
    pub fn open(file: impl ReadAt + 'static) -> Result<Self, OpenError> {
        let size = file.size()?;
        let mut start = [0; FileHeader::LEN];
        let read = file.read_full_at(&mut start, 0)?;
        let start = &start[..read];
        if read == 0 {
            return Err(OpenError::Empty);
        }
        let mut damage = Vec::new();
        let mut at_start = |kind| damage.push(Damage { offset: 0, record: None, kind });
        let mut used = None;
        let (first_chunk, dirty) = match FileHeader::parse(start) {
            Some(header) if header.checksum_is_right => {
                used = (!header.dirty).then_some((header.chunks, header.next_id));
                (header.block_size, header.dirty)
            }
            // What such a header says of itself may be the damage.
            Some(header) => {
                at_start(DamageKind::FileHeaderChecksum);
                (FileHeader::BLOCK_SIZE, header.dirty)
            }
            None if start.get(4..8) == Some(&classic::SIGNATURE) => {
                return Err(OpenError::OldFormat);
            }
            None if starts_with_chunk(&file, FileHeader::BLOCK_SIZE)? => {
                at_start(DamageKind::FileHeader);
                (FileHeader::BLOCK_SIZE, true)
            }
            None if start.starts_with(FileHeader::MAGIC) => {
                let missing = FileHeader::BLOCK_SIZE - read as u64;
                at_start(DamageKind::Truncated { missing });
                (FileHeader::BLOCK_SIZE, true)
            }
            None => return Err(OpenError::NotALog),
        };
        let chunks = size.saturating_sub(first_chunk).div_ceil(CHUNK_SIZE as u64);
        // It is counted in 16 bits.
        used = used.filter(|(used, _)| (1..chunks).contains(used) && chunks <= u16::MAX.into());
        let file = Arc::new(file);
        let mut log = EvtxLog { file, first_chunk, chunks, oldest: 0, used, dirty, damage };
        let unused = log.find_oldest()?;
        if let Some((place, chunks)) = unused {
            let offset = log.offset_of(place);
            let kind = DamageKind::UnusedChunks { chunks };
            log.damage.push(Damage { offset, record: None, kind });
        }
        Ok(log)
    }

    /// How many places for a chunk there are. Some may hold none.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// What is wrong with the file as a whole.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The file.
    pub fn file(&self) -> &Arc<dyn ReadAt> {
        &self.file
    }

    /// Where the `n`th of [`chunks`](Self::chunks) begins, in bytes from the beginning of the file.
    pub(crate) fn chunk_offset(&self, n: u64) -> u64 {
        let place = if n < self.chunks { (self.oldest + n) % self.chunks } else { self.chunks };
        self.offset_of(place)
    }

    /// The number of the first record of each chunk, and a checksum of its beginning. A chunk never
    /// changes its first record, so two files that have one alike are copies of one log, or of
    /// parts of it. What can't be read is left out.
    pub fn beginnings(&self) -> Vec<(u64, u64)> {
        /// What is read of a chunk, in bytes.
        const START: usize = 4096;
        let mut start = vec![0; START];
        let mut beginnings = Vec::new();
        for place in 0..self.chunks {
            let Ok(START) = self.file.read_full_at(&mut start, self.offset_of(place)) else {
                continue;
            };
            let record = &start[ChunkHeader::LEN..];
            if record.starts_with(RECORD_MAGIC) && !self.is_unused(place, &start) {
                let len = (u32_at(record, 4) as usize).min(record.len());
                let checksum = crc32fast::hash(&record[..len]);
                beginnings.push((u64_at(record, 8), checksum.into()));
            }
        }
        beginnings
    }

    /// Reads a chunk into a buffer: the `n`th of [`chunks`](Self::chunks), in the order of the
    /// records.
    ///
    /// # Errors
    /// The chunk can't be read, or is no longer there. Damage in a chunk that was read is among its
    /// [items](Chunk::items).
    pub fn chunk<'b>(&self, n: u64, buffer: &'b mut Vec<u8>) -> Result<Chunk<'b>, Damage> {
        let place = if n < self.chunks { (self.oldest + n) % self.chunks } else { self.chunks };
        let offset = self.offset_of(place);
        buffer.resize(CHUNK_SIZE, 0);
        match self.file.read_full_at(buffer, offset) {
            // There was something when the file was opened.
            Ok(0) => Err(Damage { offset, record: None, kind: DamageKind::Gone }),
            Ok(read) => {
                let unused = self.is_unused(place, &buffer[..read]);
                Ok(Chunk::new(&buffer[..read], offset, self.dirty, unused))
            }
            Err(e) => Err(Damage { offset, record: None, kind: DamageKind::Io(e.kind()) }),
        }
    }

    /// Whether the header of a closed log says that a chunk isn't used, and the chunk's records are
    /// older. `chunk` has its header and that of its first record at least.
    fn is_unused(&self, place: u64, chunk: &[u8]) -> bool {
        let Some((_, next)) = self.used.filter(|(used, _)| place >= *used) else { return false };
        let header = ChunkHeader::parse(chunk)
            .filter(|header| !header.has_checksums || ChunkHeader::checksum_is_right(chunk));
        let first = match header {
            Some(header) => Some(header.first_id),
            // It is what the record says of itself, then.
            None => {
                let record = chunk.get(ChunkHeader::LEN..CHUNK_START);
                let record = record.filter(|record| record.starts_with(RECORD_MAGIC));
                record.map(|record| u64_at(record, 8))
            }
        };
        first.is_some_and(|first| first < next)
    }

    fn offset_of(&self, place: u64) -> u64 {
        self.first_chunk.saturating_add(place.saturating_mul(CHUNK_SIZE as u64))
    }

    /// Finds the oldest chunk. Gives the place of the first chunk that isn't used and has records,
    /// and how many there are.
    fn find_oldest(&mut self) -> io::Result<Option<(u64, u64)>> {
        let mut oldest = (u64::MAX, 0);
        let mut unused: Option<(u64, u64)> = None;
        let mut start = [0; CHUNK_START];
        for place in 0..self.chunks {
            // Most are used, and of these little is asked.
            let is_counted = self.used.is_none_or(|(used, _)| place < used);
            // Numbers count from 1: no other chunk is older than that which has it.
            if is_counted && oldest.0 == 1 {
                continue;
            }
            let wanted = if is_counted { 128 } else { CHUNK_START };
            let read = self.file.read_full_at(&mut start[..wanted], self.offset_of(place))?;
            let start = &start[..read];
            let header = ChunkHeader::parse(start);
            // A chunk that was never used counts from nothing.
            let has_records = |header: &ChunkHeader| {
                header.free_space > ChunkHeader::LEN && header.first_number != 0
            };
            if self.is_unused(place, start) {
                if header.is_none_or(|header| has_records(&header)) {
                    unused = Some(unused.map_or((place, 1), |(first, n)| (first, n + 1)));
                }
            } else if let Some(header) = header.filter(has_records)
                && header.first_number < oldest.0
            {
                oldest = (header.first_number, place);
            }
        }
        self.oldest = oldest.1;
        Ok(unused)
    }
}

fn starts_with_chunk(file: &impl ReadAt, offset: u64) -> io::Result<bool> {
    let mut start = [0; 8];
    Ok(file.read_full_at(&mut start, offset)? == 8 && &start == ChunkHeader::MAGIC)
}
