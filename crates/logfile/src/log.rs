//! An `.evtx` file as its chunks, in the order of their records.

use std::io;

use crate::chunk::{CHUNK_SIZE, Chunk};
use crate::damage::{Damage, DamageKind};
use crate::header::{ChunkHeader, FileHeader};
use crate::read_at::ReadAt;

/// An `.evtx` file.
pub struct EvtxLog {
    file: Box<dyn ReadAt>,
    /// Where the first chunk begins.
    first_chunk: u64,
    /// How many chunks there are, the last perhaps in part.
    chunks: u64,
    /// Which chunk has the oldest records: when a log is full, it goes on at its beginning.
    oldest: u64,
    /// How many chunks the log has, and the number of its next record, as the header of a log says
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

/// The signature of an `.evt` file, behind the size of its header.
const EVT_MAGIC: &[u8; 4] = b"LfLe";

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

    /// Opens a file, and finds the oldest of its chunks. What grows behind its end from now on is
    /// not read.
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
                used = (!header.dirty).then_some((header.chunks, header.next_number));
                (header.block_size, header.dirty)
            }
            // What such a header says of itself may be the damage.
            Some(header) => {
                at_start(DamageKind::FileHeaderChecksum);
                (FileHeader::BLOCK_SIZE, header.dirty)
            }
            None if start.get(4..8) == Some(EVT_MAGIC) => return Err(OpenError::OldFormat),
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
        let file = Box::new(file);
        let mut log = EvtxLog { file, first_chunk, chunks, oldest: 0, used, dirty, damage };
        log.oldest = log.find_oldest()?;
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

    /// Reads a chunk into a buffer: the `n`th of [`chunks`](Self::chunks), in the order of the
    /// records.
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

    /// Whether the header of a closed log says that a chunk isn't used, and the chunk is older.
    fn is_unused(&self, place: u64, chunk: &[u8]) -> bool {
        let is_older =
            |next| ChunkHeader::parse(chunk).is_none_or(|chunk| chunk.first_number < next);
        self.used.is_some_and(|(used, next)| place >= used && is_older(next))
    }

    fn offset_of(&self, place: u64) -> u64 {
        self.first_chunk.saturating_add(place.saturating_mul(CHUNK_SIZE as u64))
    }

    fn find_oldest(&self) -> io::Result<u64> {
        let mut oldest = (u64::MAX, 0);
        let mut header = [0; 128];
        for place in 0..self.chunks {
            let read = self.file.read_full_at(&mut header, self.offset_of(place))?;
            // A chunk that was never used counts from nothing.
            if let Some(chunk) = ChunkHeader::parse(&header[..read])
                && chunk.free_space > ChunkHeader::LEN
                && chunk.first_number != 0
                && chunk.first_number < oldest.0
                && !self.is_unused(place, &header[..read])
            {
                oldest = (chunk.first_number, place);
            }
        }
        Ok(oldest.1)
    }
}

fn starts_with_chunk(file: &impl ReadAt, offset: u64) -> io::Result<bool> {
    let mut start = [0; 8];
    Ok(file.read_full_at(&mut start, offset)? == 8 && &start == ChunkHeader::MAGIC)
}
