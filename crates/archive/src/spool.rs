//! What was unpacked, and the bounds on it.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};

use quarry_logfile::ReadAt;

use crate::error::ArchiveError;
use crate::limits::Limits;

/// A file that was unpacked: in memory, or a temporary one without a name.
#[derive(Debug)]
pub struct Spooled(Kept);

#[derive(Debug)]
enum Kept {
    Memory(Cursor<Vec<u8>>),
    File(File),
}

impl ReadAt for Spooled {
    fn size(&self) -> io::Result<u64> {
        match &self.0 {
            Kept::Memory(bytes) => bytes.size(),
            Kept::File(file) => file.size(),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.0 {
            Kept::Memory(bytes) => bytes.read_at(buffer, offset),
            Kept::File(file) => file.read_at(buffer, offset),
        }
    }
}

/// What may still be unpacked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    allowed: u64,
    left: u64,
}

impl Budget {
    /// Of an archive or a compressed file of a size in bytes.
    pub(crate) fn of(packed: u64) -> Self {
        let allowed = packed.saturating_mul(Limits::RATIO).saturating_add(Limits::FREE);
        let allowed = allowed.min(Limits::UNPACKED);
        Budget { allowed, left: allowed }
    }

    /// Gives back what was spent on something.
    pub(crate) fn refund(&mut self, bytes: u64) {
        self.left = self.left.saturating_add(bytes).min(self.allowed);
    }

    /// The bytes that were spent since it was another.
    pub(crate) fn spent_since(&self, before: &Budget) -> u64 {
        before.left.saturating_sub(self.left)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(ArchiveError::TooLarge { allowed: self.allowed }),
        }
    }
}

/// Copies what a reader unpacks, as far as the budget goes and for as long as it is wanted.
pub(crate) fn copy(
    unpacked: &mut dyn Read,
    budget: &mut Budget,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Spooled, ArchiveError> {
    let mut buffer = vec![0; 256 << 10];
    let mut memory = Vec::new();
    let mut file: Option<File> = None;
    loop {
        if !is_wanted() {
            return Err(ArchiveError::Interrupted);
        }
        let read = match unpacked.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(damaged(e)),
        };
        budget.spend(read)?;
        let bytes = &buffer[..read];
        match &mut file {
            Some(file) => file.write_all(bytes)?,
            None if memory.len() + read <= Limits::IN_MEMORY => memory.extend_from_slice(bytes),
            None => {
                let mut new = tempfile::tempfile()?;
                new.write_all(&memory)?;
                new.write_all(bytes)?;
                memory = Vec::new();
                file = Some(new);
            }
        }
    }
    Ok(Spooled(match file {
        Some(file) => Kept::File(file),
        None => Kept::Memory(Cursor::new(memory)),
    }))
}

/// A decoder's errors are of what is packed, but for those of the file it is in.
fn damaged(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::Other => ArchiveError::Damaged(error.to_string()),
        _ => ArchiveError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(spooled: &Spooled) -> Vec<u8> {
        let mut bytes = vec![0; spooled.size().unwrap() as usize];
        let read = spooled.read_full_at(&mut bytes, 0).unwrap();
        assert_eq!(read, bytes.len());
        bytes
    }

    #[test]
    fn what_is_small_is_kept_in_memory_and_what_is_large_in_a_file() {
        for (size, in_file) in
            [(1000, false), (Limits::IN_MEMORY, false), (Limits::IN_MEMORY + 1, true)]
        {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut budget = Budget::of(0);
            let spooled = copy(&mut &*bytes, &mut budget, &|| true).unwrap();
            assert_eq!(matches!(spooled.0, Kept::File(_)), in_file);
            assert_eq!(all(&spooled), bytes);
        }
    }

    #[test]
    fn more_than_the_budget_is_refused_before_it_is_kept() {
        let mut budget = Budget { allowed: 1000, left: 1000 };
        let error = copy(&mut io::repeat(1), &mut budget, &|| true).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge { allowed: 1000 }), "{error}");
    }

    #[test]
    fn the_budget_grows_with_what_is_packed_and_has_an_end() {
        assert_eq!(Budget::of(0).allowed, Limits::FREE);
        assert_eq!(Budget::of(1 << 20).allowed, Limits::FREE + (200 << 20));
        assert_eq!(Budget::of(u64::MAX).allowed, Limits::UNPACKED);
    }

    #[test]
    fn unpacking_ends_when_nobody_wants_it() {
        let mut budget = Budget::of(0);
        let error = copy(&mut io::repeat(1), &mut budget, &|| false).unwrap_err();
        assert!(matches!(error, ArchiveError::Interrupted));
    }
}
