//! Records that were found one right after the other, and the reading of them.

use std::io;
use std::ops::Range;

use super::carve::evtx_records;
use crate::chunk::{CHUNK_SIZE, RecordHeader};
use crate::evt::evt_record;
use crate::read_at::ReadAt;

/// Records that stand one right after the other in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Where it begins, in bytes from the beginning of the file.
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) len: u32,
    pub(crate) format: Format,
}

/// Which kind of file the records are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Evtx {
        /// Where the run begins in its chunk, where that is known.
        place: Option<usize>,
    },
    Evt,
}

/// The records of a run, in the buffer that it was read into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunRecords {
    /// Of an `.evtx` file. The buffer is as much of their chunk as is known, for
    /// [`Decoder::chunk`](quarry_binxml::Decoder::chunk).
    Evtx {
        /// The records.
        records: Vec<RecordHeader>,
        /// The part of the chunk that they are, which was written in one go.
        generation: Range<usize>,
    },
    /// Of an `.evt` file: where each is in the buffer. Each is one that
    /// [`ClassicRecord::salvage`](crate::classic::ClassicRecord::salvage) can read.
    Evt(Vec<Range<usize>>),
}

impl Run {
    /// Where it begins, in bytes from the beginning of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How long it is, in bytes.
    pub fn size(&self) -> u64 {
        self.len.into()
    }

    /// Whether its place in its chunk is known: what stands in it at its first use can be found.
    pub(crate) fn has_place(&self) -> bool {
        matches!(self.format, Format::Evtx { place: Some(_) })
    }

    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }

    /// Reads the run into a buffer.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn read(&self, file: &dyn ReadAt, buffer: &mut Vec<u8>) -> io::Result<RunRecords> {
        let place = match self.format {
            // Where nothing is known of the chunk, no offset in it leads anywhere.
            Format::Evtx { place } => place.unwrap_or(CHUNK_SIZE),
            Format::Evt => 0,
        };
        buffer.clear();
        buffer.resize(place + self.len as usize, 0);
        let read = file.read_full_at(&mut buffer[place..], self.offset)?;
        buffer.truncate(place + read);
        Ok(match self.format {
            Format::Evtx { .. } => RunRecords::Evtx {
                records: evtx_records(buffer, place, self.offset),
                generation: place..buffer.len(),
            },
            Format::Evt => {
                let mut records = Vec::new();
                let mut at = 0;
                while let Some((len, _)) = evt_record(&buffer[at..]) {
                    records.push(at..at + len);
                    at += len;
                }
                RunRecords::Evt(records)
            }
        })
    }
}
