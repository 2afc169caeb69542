//! Printed events that wait until all have come.

use std::io::{self, BufReader, Read, Seek, Write};

/// Printed events in order: in memory, and in a temporary file where that is too little.
pub(crate) struct Spool {
    file: tempfile::SpooledTempFile,
}

impl Default for Spool {
    fn default() -> Self {
        /// What is kept in memory, in bytes.
        const MEMORY: usize = 16 << 20;
        Spool { file: tempfile::spooled_tempfile(MEMORY) }
    }
}

impl Spool {
    pub(crate) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(&(text.len() as u64).to_le_bytes())?;
        self.file.write_all(text)
    }

    /// Hands on what was written, a piece at a time.
    pub(crate) fn each(mut self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let end = self.file.stream_position()?;
        self.file.rewind()?;
        let mut file = BufReader::with_capacity(1 << 16, self.file);
        let mut at = 0;
        let mut text = Vec::new();
        while at < end {
            let mut len = [0; 8];
            file.read_exact(&mut len)?;
            let len = u64::from_le_bytes(len);
            at += 8 + len;
            text.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
            file.read_exact(&mut text)?;
            take(&text)?;
        }
        Ok(())
    }
}
