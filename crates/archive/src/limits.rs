//! Every bound on what an archive can make the reader do.

/// Bounds on archives and compressed files.
#[derive(Clone, Copy, Debug)]
pub struct Limits;

impl Limits {
    /// Entries of an archive, of any kind.
    pub const ENTRIES: usize = 100_000;
    /// Bytes of an archive that are read to find its entries.
    pub const DIRECTORY: u64 = 16 << 20;
    /// Bytes of an entry's name, with its folders.
    pub const NAME: usize = 4096;
    /// Bytes that all of an archive, or a compressed file, may unpack to, however large it is.
    pub const UNPACKED: u64 = 1 << 40;
    /// Bytes that may be unpacked of each packed one, past [`FREE`](Self::FREE). Deflate can't
    /// do more than 1,032; logs come to 10 or 20, and those that have little in them to more.
    pub const RATIO: u64 = 200;
    /// Bytes that may be unpacked whatever the ratio is.
    pub const FREE: u64 = 256 << 20;
    /// Bytes that are unpacked into memory; more go to a temporary file without a name.
    pub const IN_MEMORY: usize = 16 << 20;
    /// Bytes of memory that a Zstandard frame may ask for as its window.
    pub const ZSTD_WINDOW: u64 = 128 << 20;
}
