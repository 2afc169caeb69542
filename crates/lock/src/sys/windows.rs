//! Windows: `LockFileEx` on a private handle that is opened for overlapped I/O, so that a wait can
//! be ended.
//!
//! NT has no conversion of locks: a handle can add a shared lock to its own exclusive one, but not
//! the other way round. So a shared whole-file lock is made of pieces, and an upgrade exchanges
//! one piece at a time while another keeps everybody else out:
//!
//! | held | byte 0 | rest | gate |
//! |---|---|---|---|
//! | shared | shared | shared | – |
//! | exclusive, taken so | all in one exclusive lock of the whole range | | |
//! | exclusive, upgraded | exclusive | exclusive | exclusive |
//!
//! The gate lets one upgrader at a time try. While it exchanges the rest, its shared lock on
//! byte 0 stops everybody who locks byte 0 or the whole range exclusively. While it exchanges
//! byte 0, its exclusive lock on the rest stops all but those who lock byte 0 alone. The rest
//! is taken before byte 0 and released after it, so that nobody holds byte 0 without the rest.

use std::{
    fs::{File, OpenOptions},
    io::{self, SeekFrom},
    os::windows::{
        fs::OpenOptionsExt,
        io::{AsRawHandle, FromRawHandle, OwnedHandle},
    },
    path::Path,
    ptr, thread,
    time::Duration,
};

use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING, ERROR_HANDLE_EOF, ERROR_IO_PENDING,
        GENERIC_READ, GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
    },
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OVERLAPPED, FILE_ID_INFO,
        FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FileIdInfo,
        GetFileInformationByHandle, GetFileInformationByHandleEx, ReOpenFile, ReadFile, WriteFile,
    },
    System::{
        IO::{GetOverlappedResult, OVERLAPPED},
        SystemInformation::{ComputerNamePhysicalDnsHostname, GetComputerNameExW},
        Threading::CreateEventW,
    },
};

use super::{UpgradeError, windows_wait};
use crate::{Access, Mode, Wait, region::Region};

/// A timed wait is one overlapped request, cancelled at its deadline.
pub(crate) const TIMED_WAITS_ASK: bool = false;

/// Where a lock starts, and how many bytes it has.
pub(super) type Span = (u64, u64);

const WHOLE: Span = (0, u64::MAX);
const BYTE_0: Span = (0, 1);
const GATE: Span = (i64::MAX as u64 - 1, 1);
const REST: Span = (1, GATE.0 - 1);
/// In a holder's record: far after its text, which others must be able to read.
const SIGN_OF_LIFE: Span = (1 << 62, 1);

/// A file that was deleted while others have it open can be neither opened nor created until
/// they close it. That is waited for this often, a millisecond each.
const DELETE_PENDING_TRIES: u32 = 200;

/// What a file is, whatever it is called: volume and file number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    volume: u64,
    file: [u8; 16],
}

impl FileId {
    fn of(file: &File) -> io::Result<Self> {
        let handle = file.as_raw_handle();
        let mut id = FILE_ID_INFO::default();
        // SAFETY: the handle is open, and the buffer is of the type and size that the class asks for.
        let known = unsafe {
            GetFileInformationByHandleEx(
                handle,
                FileIdInfo,
                (&raw mut id).cast(),
                size_of::<FILE_ID_INFO>() as u32,
            )
        };
        if known != 0 {
            return Ok(Self { volume: id.VolumeSerialNumber, file: id.FileId.Identifier });
        }
        // FAT and some servers have no 128-bit numbers.
        let mut old = BY_HANDLE_FILE_INFORMATION::default();
        // SAFETY: the handle is open, and the buffer is of the type that the call fills.
        if unsafe { GetFileInformationByHandle(handle, &raw mut old) } == 0 {
            return Err(io::Error::last_os_error());
        }
        let number = u128::from(old.nFileIndexHigh) << 32 | u128::from(old.nFileIndexLow);
        Ok(Self { volume: old.dwVolumeSerialNumber.into(), file: number.to_le_bytes() })
    }
}

/// The file that a path means, if there is one.
pub(crate) fn id_of_path(path: &Path) -> io::Result<Option<FileId>> {
    let opened =
        OpenOptions::new().access_mode(0).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path);
    match opened {
        Ok(file) => FileId::of(&file).map(Some),
        // A deleted file that somebody still has open.
        Err(error) if is_delete_pending(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Only NFS on Unix asks for that.
pub(crate) fn needs_write_access(_: &io::Error) -> bool {
    false
}

pub(crate) struct Handle {
    file: File,
    /// Signalled when a request on `file` is done. One request is under way at a time.
    event: OwnedHandle,
    id: FileId,
    /// Overlapped handles have no file position of their own.
    position: u64,
    pieces: Pieces,
}

/// What a held whole-file lock is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pieces {
    Shared,
    Exclusive,
    Upgraded,
}

impl Handle {
    pub(crate) fn open(path: &Path, access: Access, create: bool) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            match open_once(path, access, create) {
                Err(error) if is_delete_pending(&error) && tries < DELETE_PENDING_TRIES => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                other => return Self::new(other?),
            }
        }
    }

    pub(crate) fn from_file(file: File) -> io::Result<Self> {
        let reopen = |access| {
            let share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
            // SAFETY: the handle is open; the call has no other conditions.
            let new =
                unsafe { ReOpenFile(file.as_raw_handle(), access, share, FILE_FLAG_OVERLAPPED) };
            if new == INVALID_HANDLE_VALUE {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the call made the handle for us, and nobody else has it.
            Ok(unsafe { File::from_raw_handle(new) })
        };
        Self::new(reopen(GENERIC_READ | GENERIC_WRITE).or_else(|_| reopen(GENERIC_READ))?)
    }

    fn new(file: File) -> io::Result<Self> {
        let id = FileId::of(&file)?;
        // SAFETY: no security attributes and no name are given; the call has no other conditions.
        let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call made the handle for us, and nobody else has it.
        let event = unsafe { OwnedHandle::from_raw_handle(event) };
        Ok(Self { file, event, id, position: 0, pieces: Pieces::Exclusive })
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Takes the lock; false if it could not be had in the time given.
    pub(crate) fn lock(&mut self, region: Region, mode: Mode, wait: Wait) -> io::Result<bool> {
        match (region, mode) {
            (Region::Range(_), _) => self.take(span(region), mode, wait),
            (Region::Whole, Mode::Exclusive) => {
                self.pieces = Pieces::Exclusive;
                self.take(WHOLE, mode, wait)
            }
            (Region::Whole, Mode::Shared) => {
                self.pieces = Pieces::Shared;
                if !self.take(REST, mode, wait)? {
                    return Ok(false);
                }
                let taken = self.take(BYTE_0, mode, wait);
                if !matches!(taken, Ok(true)) {
                    self.release(REST)?;
                }
                taken
            }
        }
    }

    pub(crate) fn unlock(&mut self, region: Region) -> io::Result<()> {
        match (region, self.pieces) {
            (Region::Range(_), _) => self.release(span(region)),
            (Region::Whole, Pieces::Exclusive) => self.release(WHOLE),
            (Region::Whole, Pieces::Shared) => {
                let first = self.release(BYTE_0);
                first.and(self.release(REST))
            }
            (Region::Whole, Pieces::Upgraded) => {
                let first = self.release(BYTE_0);
                first.and(self.release(REST)).and(self.release(GATE))
            }
        }
    }

    /// Adds the shared lock and takes the exclusive one away from under it. Of two locks of one
    /// handle on the same range, the exclusive one is released first.
    pub(crate) fn downgrade(&mut self, region: Region) -> io::Result<()> {
        match (region, self.pieces) {
            (Region::Range(_), _) => {
                self.add_shared(span(region))?;
                self.release(span(region))
            }
            (Region::Whole, Pieces::Shared) => Ok(()),
            (Region::Whole, Pieces::Exclusive) => {
                self.add_shared(REST)?;
                self.add_shared(BYTE_0)?;
                self.release(WHOLE)?;
                self.pieces = Pieces::Shared;
                Ok(())
            }
            (Region::Whole, Pieces::Upgraded) => {
                self.add_shared(REST)?;
                self.add_shared(BYTE_0)?;
                self.release(BYTE_0)?;
                self.release(REST)?;
                self.release(GATE)?;
                self.pieces = Pieces::Shared;
                Ok(())
            }
        }
    }

    pub(crate) fn try_upgrade(&mut self, region: Region) -> Result<bool, UpgradeError> {
        if region != Region::Whole {
            return Err(UpgradeError::Unavailable("Windows has no conversion of range locks"));
        }
        let failed = UpgradeError::Failed;
        if !self.take(GATE, Mode::Exclusive, Wait::Never).map_err(failed)? {
            return Ok(false);
        }
        self.release(REST).map_err(failed)?;
        let alone = self.take(REST, Mode::Exclusive, Wait::Never);
        if !matches!(alone, Ok(true)) {
            // With byte 0 and the gate in our hands, nobody can have taken the rest exclusively.
            let back = self.take(REST, Mode::Shared, Wait::Never);
            self.release(GATE).map_err(failed)?;
            return match (alone, back) {
                (Ok(_), Ok(true)) => Ok(false),
                (Err(error), Ok(true)) => Err(failed(error)),
                _ => {
                    let _ = self.release(BYTE_0);
                    Err(UpgradeError::Lost)
                }
            };
        }
        let exchanged =
            self.release(BYTE_0).and_then(|()| self.take(BYTE_0, Mode::Exclusive, Wait::Never));
        if matches!(exchanged, Ok(true)) {
            self.pieces = Pieces::Upgraded;
            return Ok(true);
        }
        let _ = self.release(REST);
        let _ = self.release(GATE);
        Err(UpgradeError::Lost)
    }

    fn add_shared(&mut self, span: Span) -> io::Result<()> {
        if self.take(span, Mode::Shared, Wait::Never)? {
            Ok(())
        } else {
            Err(io::Error::other("a shared lock was refused to the holder of the exclusive one"))
        }
    }

    fn take(&mut self, span: Span, mode: Mode, wait: Wait) -> io::Result<bool> {
        windows_wait::lock(&self.file, &self.event, span, mode, wait)
    }

    fn release(&mut self, span: Span) -> io::Result<()> {
        windows_wait::unlock(&self.file, span)
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    pub(crate) fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        self.transfer(|file, overlapped| {
            // SAFETY: the buffer has at least `most` bytes and outlives the request, which
            // `transfer` sees to its end.
            unsafe { ReadFile(file, buffer.as_mut_ptr(), most, ptr::null_mut(), overlapped) }
        })
    }

    pub(crate) fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let most = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        self.transfer(|file, overlapped| {
            // SAFETY: as for reading.
            unsafe { WriteFile(file, buffer.as_ptr(), most, ptr::null_mut(), overlapped) }
        })
    }

    pub(crate) fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let new = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.len()?.checked_add_signed(offset),
        };
        self.position = new.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }

    /// Starts a read or a write at the position, waits until it is done, and moves on by it.
    fn transfer(
        &mut self,
        start: impl FnOnce(HANDLE, *mut OVERLAPPED) -> i32,
    ) -> io::Result<usize> {
        let mut overlapped = windows_wait::overlapped_at(self.position, self.event.as_raw_handle());
        let file = self.file.as_raw_handle();
        let mut count = 0;
        let started = start(file, &raw mut overlapped);
        // SAFETY: reads this thread's last error only.
        let mut error = if started == 0 { unsafe { GetLastError() } } else { ERROR_IO_PENDING };
        if error == ERROR_IO_PENDING {
            // SAFETY: the request is under way or done on this handle and this structure, and
            // the call returns only when it is done.
            let done = unsafe { GetOverlappedResult(file, &overlapped, &raw mut count, 1) };
            // SAFETY: reads this thread's last error only.
            error = if done == 0 { unsafe { GetLastError() } } else { 0 };
        }
        match error {
            0 => {
                self.position += u64::from(count);
                Ok(count as usize)
            }
            ERROR_HANDLE_EOF => Ok(0),
            error => Err(io::Error::from_raw_os_error(error as i32)),
        }
    }
}

fn open_once(path: &Path, access: Access, create: bool) -> io::Result<File> {
    let read_only = || OpenOptions::new().read(true).custom_flags(FILE_FLAG_OVERLAPPED).open(path);
    let read_write = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .custom_flags(FILE_FLAG_OVERLAPPED)
            .open(path)
    };
    match access {
        Access::ReadWrite => match read_write() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                read_only().map_err(|second| {
                    if second.kind() == io::ErrorKind::NotFound { error } else { second }
                })
            }
            other => other,
        },
        Access::ReadOnly => match read_only() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => read_write(),
            other => other,
        },
    }
}

fn is_delete_pending(error: &io::Error) -> bool {
    // Before Windows 10 the one was reported as the other.
    [ERROR_DELETE_PENDING, ERROR_ACCESS_DENIED]
        .map(|code| Some(code as i32))
        .contains(&error.raw_os_error())
}

fn span(region: Region) -> Span {
    match region {
        Region::Whole => WHOLE,
        Region::Range(range) => {
            (range.start(), range.len().unwrap_or(crate::ByteRange::END - range.start()))
        }
    }
}

/// This computer's name on the network.
pub(crate) fn host_name() -> String {
    let mut name = [0u16; 256];
    let mut length = name.len() as u32;
    // SAFETY: the buffer has as many characters as `length` says.
    let known = unsafe {
        GetComputerNameExW(ComputerNamePhysicalDnsHostname, name.as_mut_ptr(), &raw mut length)
    };
    let length = if known == 0 { 0 } else { length as usize };
    String::from_utf16_lossy(name.get(..length).unwrap_or_default())
}

/// Creates the file of a holder's record, and locks a byte of it as a sign of life.
pub(crate) fn create_record(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if windows_wait::try_lock(&file, SIGN_OF_LIFE, Mode::Exclusive)? {
        Ok(file)
    } else {
        Err(io::Error::other("a new file is locked already"))
    }
}

/// Opens what may be a holder's record.
pub(crate) fn open_record(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// Whether the one who wrote the record still has it locked.
pub(crate) fn record_is_live(file: &File) -> io::Result<bool> {
    let free = windows_wait::try_lock(file, SIGN_OF_LIFE, Mode::Shared)?;
    if free {
        windows_wait::unlock(file, SIGN_OF_LIFE)?;
    }
    Ok(!free)
}
