//! The headers of a file and of a chunk.

/// Reads a little-endian number at a place that is known to be inside.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// The flag of a file or chunk that was not closed as it should be.
pub(crate) const DIRTY: u32 = 1;
/// The flag of a file or chunk without checksums.
const NO_CHECKSUM: u32 = 4;

/// The header of a file: 128 bytes that mean something, in a block of 4096.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileHeader {
    /// Where the first chunk begins.
    pub(crate) block_size: u64,
    /// The number of the next record to be written.
    pub(crate) next_number: u64,
    pub(crate) chunks: u64,
    pub(crate) dirty: bool,
    pub(crate) checksum_is_right: bool,
}

impl FileHeader {
    pub(crate) const MAGIC: &[u8; 8] = b"ElfFile\0";
    pub(crate) const LEN: usize = 128;
    /// The size of the block, which every version has had so far.
    pub(crate) const BLOCK_SIZE: u64 = 4096;

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::LEN || !bytes.starts_with(Self::MAGIC) {
            return None;
        }
        let flags = u32_at(bytes, 120);
        let block_size = u64::from(u32_at(bytes, 40) & 0xffff);
        Some(FileHeader {
            block_size: if block_size < Self::LEN as u64 { Self::BLOCK_SIZE } else { block_size },
            next_number: u64_at(bytes, 24),
            chunks: (u32_at(bytes, 40) >> 16).into(),
            dirty: flags & DIRTY != 0,
            checksum_is_right: flags & NO_CHECKSUM != 0
                || crc32fast::hash(&bytes[..120]) == u32_at(bytes, 124),
        })
    }

    /// The whole block, for a log that has not wrapped.
    pub(crate) fn block(chunks: u16, next_number: u64, flags: u32) -> Vec<u8> {
        let mut block = vec![0; Self::BLOCK_SIZE as usize];
        block[..8].copy_from_slice(Self::MAGIC);
        // The oldest chunk is 0; then comes the number of the newest.
        block[16..24].copy_from_slice(&u64::from(chunks.saturating_sub(1)).to_le_bytes());
        block[24..32].copy_from_slice(&next_number.to_le_bytes());
        block[32..36].copy_from_slice(&(Self::LEN as u32).to_le_bytes());
        block[36..38].copy_from_slice(&1u16.to_le_bytes()); // Version 3.1.
        block[38..40].copy_from_slice(&3u16.to_le_bytes());
        block[40..42].copy_from_slice(&(Self::BLOCK_SIZE as u16).to_le_bytes());
        block[42..44].copy_from_slice(&chunks.to_le_bytes());
        block[120..124].copy_from_slice(&flags.to_le_bytes());
        let checksum = crc32fast::hash(&block[..120]);
        block[124..128].copy_from_slice(&checksum.to_le_bytes());
        block
    }
}

/// The header of a chunk: 128 bytes, then the offsets of its strings and templates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkHeader {
    pub(crate) first_number: u64,
    pub(crate) free_space: usize,
    pub(crate) records_checksum: u32,
    pub(crate) has_checksums: bool,
}

impl ChunkHeader {
    pub(crate) const MAGIC: &[u8; 8] = b"ElfChnk\0";
    /// Where the records begin.
    pub(crate) const LEN: usize = 512;

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 128 || !bytes.starts_with(Self::MAGIC) {
            return None;
        }
        Some(ChunkHeader {
            first_number: u64_at(bytes, 8),
            free_space: u32_at(bytes, 48) as usize,
            records_checksum: u32_at(bytes, 52),
            has_checksums: u32_at(bytes, 120) & NO_CHECKSUM == 0,
        })
    }

    /// The header of a chunk with checksums. The offsets are those of its last record and of the
    /// first string and template of each list.
    pub(crate) fn to_bytes(
        self,
        last_number: u64,
        last_record: usize,
        strings: &[u32; 64],
        templates: &[u32; 32],
    ) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(Self::MAGIC);
        // The numbers of the records, and once more as their identifiers.
        for at in [8, 24] {
            bytes[at..at + 8].copy_from_slice(&self.first_number.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&last_number.to_le_bytes());
        }
        bytes[40..44].copy_from_slice(&128u32.to_le_bytes()); // The header before the offsets.
        bytes[44..48].copy_from_slice(&(last_record as u32).to_le_bytes());
        bytes[48..52].copy_from_slice(&(self.free_space as u32).to_le_bytes());
        bytes[52..56].copy_from_slice(&self.records_checksum.to_le_bytes());
        // Windows sets this in every chunk, those of files that it has closed included.
        bytes[120..124].copy_from_slice(&DIRTY.to_le_bytes());
        for (place, offset) in bytes[128..].chunks_exact_mut(4).zip(strings.iter().chain(templates))
        {
            place.copy_from_slice(&offset.to_le_bytes());
        }
        let checksum = Self::checksum(&bytes).unwrap_or_default();
        bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Whether a chunk's header has its checksum: of its first 120 bytes and of the offsets.
    pub(crate) fn checksum_is_right(chunk: &[u8]) -> bool {
        Self::checksum(chunk).is_some_and(|checksum| checksum == u32_at(chunk, 124))
    }

    fn checksum(chunk: &[u8]) -> Option<u32> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(chunk.get(..120)?);
        hasher.update(chunk.get(128..Self::LEN)?);
        Some(hasher.finalize())
    }
}
