//! Reading at a position, from many threads at once.

use std::fs::File;
use std::io;

/// Bytes that can be read at any position.
pub trait ReadAt: Send + Sync {
    /// How many bytes there are now.
    ///
    /// # Errors
    /// The system can't say.
    fn size(&self) -> io::Result<u64>;

    /// Reads from `offset` on, as many bytes as there are and fit, and says how many.
    ///
    /// # Errors
    /// The system can't read there. Bytes that aren't there are no error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills the buffer from `offset` on, as far as there are bytes, and says how far.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), but for [`io::ErrorKind::Interrupted`], after which it is tried
    /// again.
    fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, buffer, offset)
    }
}

impl<B: AsRef<[u8]> + Send + Sync> ReadAt for io::Cursor<B> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.get_ref().as_ref().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.get_ref().as_ref();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = buffer.len().min(bytes.len() - from);
        buffer[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }
}
