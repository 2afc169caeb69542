#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod limits;
mod name;
mod spool;
mod zip_file;
mod zstd;

use std::io::{self, Read};

use quarry_logfile::ReadAt;

pub use error::ArchiveError;
pub use limits::Limits;
pub use name::{Member, member_kind};
pub use spool::Spooled;
pub use zip_file::{Entry, ZipFile};

use spool::Budget;

/// How a file is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Packing {
    /// One file, compressed by gzip (RFC 1952).
    Gzip,
    /// One file, compressed by Zstandard (RFC 8878).
    Zstd,
    /// A zip archive of any number of files.
    Zip,
}

impl Packing {
    /// Tells the packing of a file by the bytes that it begins with, of which it takes four.
    pub fn of(start: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Packing); 4] = [
            (b"\x1f\x8b", Packing::Gzip),
            (b"\x28\xb5\x2f\xfd", Packing::Zstd),
            (b"PK\x03\x04", Packing::Zip),
            // An archive without files.
            (b"PK\x05\x06", Packing::Zip),
        ];
        MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, packing)| *packing)
    }
}

/// Unpacks a file that is compressed by itself, for as long as `is_wanted` says so.
///
/// # Errors
/// [`ArchiveError`]: what is packed is damaged, larger than [`Limits`] allow, or a zip archive,
/// which is not one file.
pub fn unpack(
    packing: Packing,
    packed: &dyn ReadAt,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Spooled, ArchiveError> {
    let mut budget = Budget::of(packed.size()?);
    let packed = io::BufReader::with_capacity(BUFFER, FromStart { file: packed, at: 0 });
    match packing {
        Packing::Gzip => spool::copy(&mut gzip(packed), &mut budget, is_wanted),
        Packing::Zstd => spool::copy(&mut zstd::Frames::new(packed), &mut budget, is_wanted),
        Packing::Zip => Err(ArchiveError::Nested),
    }
}

/// Each of the members that gzip may have put one after the other.
fn gzip(packed: impl Read) -> impl Read {
    flate2::read::MultiGzDecoder::new(packed)
}

/// What is read of a packed file at a time, in bytes.
const BUFFER: usize = 64 << 10;

/// Reads a file from its beginning, wherever others are in it.
struct FromStart<'f> {
    file: &'f dyn ReadAt,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
