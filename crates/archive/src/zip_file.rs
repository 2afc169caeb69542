//! Zip archives.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::ArchiveError;
use crate::limits::Limits;
use crate::name::{Member, member_kind, shown};
use crate::spool::{self, Budget, Spooled};
use crate::{Packing, gzip, zstd};

/// A zip archive that is open.
pub struct ZipFile {
    opened: Mutex<Opened>,
    entries: Vec<Entry>,
}

struct Opened {
    archive: ZipArchive<Counted>,
    budget: Budget,
    /// The bytes that entries were unpacked to. One that is unpacked again costs nothing more.
    spent: HashMap<usize, u64>,
}

/// A log in an archive, or another archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its place in the archive's directory.
    index: usize,
    /// Its name in the archive with its folders, as it is shown. It is no path.
    pub name: String,
    /// What its name says that it is.
    pub kind: Member,
}

impl ZipFile {
    /// Opens an archive and finds the logs in it, in the order of the archive's directory.
    ///
    /// # Errors
    /// [`ArchiveError`]: the directory is damaged or too large.
    pub fn open(mut file: File) -> Result<Self, ArchiveError> {
        let size = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let left = Arc::new(AtomicU64::new(Limits::DIRECTORY));
        let counted = Counted { file, left: Arc::clone(&left) };
        let archive = ZipArchive::new(counted).map_err(|e| match left.load(Ordering::Relaxed) {
            0 => ArchiveError::Entries,
            _ => unreadable(e),
        })?;
        left.store(u64::MAX, Ordering::Relaxed);
        if archive.len() > Limits::ENTRIES {
            return Err(ArchiveError::Entries);
        }
        let mut entries = Vec::new();
        for index in 0..archive.len() {
            let Some(name) = archive.name_for_index(index) else { continue };
            let name = shown(&name.map_err(unreadable)?);
            let Some(kind) = member_kind(&name) else { continue };
            if name.len() > Limits::NAME {
                return Err(ArchiveError::Name);
            }
            entries.push(Entry { index, name, kind });
        }
        let opened = Opened { archive, budget: Budget::of(size), spent: HashMap::new() };
        Ok(ZipFile { opened: Mutex::new(opened), entries })
    }

    /// The logs in the archive, and other archives.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Unpacks an entry, for as long as `is_wanted` says so; one that is compressed by itself too.
    ///
    /// # Errors
    /// [`ArchiveError`], which concerns the entry alone, but for [`ArchiveError::TooLarge`]: what is
    /// allowed is allowed for the archive as a whole.
    pub fn unpack(
        &self,
        entry: &Entry,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Spooled, ArchiveError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let Opened { archive, budget, spent } = &mut *opened;
        budget.refund(spent.remove(&entry.index).unwrap_or(0));
        let before = *budget;
        let mut packed = archive.by_index(entry.index).map_err(unreadable)?;
        let spooled = match entry.kind {
            Member::Log => spool::copy(&mut packed, budget, is_wanted),
            Member::Packed(Packing::Gzip) => spool::copy(&mut gzip(packed), budget, is_wanted),
            Member::Packed(Packing::Zstd) => {
                spool::copy(&mut zstd::Frames::new(packed), budget, is_wanted)
            }
            Member::Packed(Packing::Zip) | Member::Archive => Err(ArchiveError::Nested),
        };
        spent.insert(entry.index, budget.spent_since(&before));
        spooled
    }
}

fn unreadable(error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            ArchiveError::Zip("it ends too soon".to_owned())
        }
        ZipError::Io(e) => ArchiveError::Io(e),
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) | ZipError::InvalidPassword => {
            ArchiveError::Encrypted
        }
        ZipError::CompressionMethodNotSupported(method) => ArchiveError::Method(method.to_string()),
        ZipError::UnsupportedArchive(what) => ArchiveError::Method(what.to_owned()),
        other => ArchiveError::Zip(other.to_string()),
    }
}

impl std::fmt::Debug for ZipFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZipFile").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

/// A file of which only so many bytes may be read.
#[derive(Debug)]
struct Counted {
    file: File,
    left: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == u64::MAX {
            return self.file.read(buffer);
        }
        if left == 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..len])?;
        self.left.store(left - read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
