//! The headers of a file and of a chunk.

/// Reads a little-endian number at a place that is known to be inside.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// The flag of a file or chunk that was not closed as it should be.
const DIRTY: u32 = 1;
/// The flag of a file or chunk without checksums.
const NO_CHECKSUM: u32 = 4;

/// The header of a file: 128 bytes that mean something, in a block of 4096.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileHeader {
    /// Where the first chunk begins.
    pub(crate) block_size: u64,
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
            dirty: flags & DIRTY != 0,
            checksum_is_right: flags & NO_CHECKSUM != 0
                || crc32fast::hash(&bytes[..120]) == u32_at(bytes, 124),
        })
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

    /// Whether a chunk's header has its checksum: of its first 120 bytes and of the offsets.
    pub(crate) fn checksum_is_right(chunk: &[u8]) -> bool {
        let (Some(first), Some(second)) = (chunk.get(..120), chunk.get(128..Self::LEN)) else {
            return false;
        };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(first);
        hasher.update(second);
        hasher.finalize() == u32_at(chunk, 124)
    }
}
