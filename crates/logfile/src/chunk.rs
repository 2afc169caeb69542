//! A chunk and the records in it.

use std::ops::Range;

use memchr::memmem;
use quarry_event::EventTime;

use crate::damage::{Damage, DamageKind};
use crate::header::{ChunkHeader, u32_at, u64_at};

/// The size of every chunk.
pub const CHUNK_SIZE: usize = 65_536;

pub(crate) const RECORD_MAGIC: &[u8; 4] = b"**\0\0";
/// Signature, size, number and time before the BinXML.
pub(crate) const RECORD_HEADER: usize = 24;
/// The size again, after it.
pub(crate) const RECORD_TRAILER: usize = 4;

/// A chunk's bytes, or as many of them as the file has.
#[derive(Clone, Copy)]
pub struct Chunk<'b> {
    bytes: &'b [u8],
    offset: u64,
    dirty: bool,
    /// Whether the file's header says that it isn't used.
    unused: bool,
}

/// What stands before a record's BinXML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordHeader {
    /// Where the record begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// The record's number in this log.
    pub number: u64,
    /// When the record was written. The event's own time can be another.
    pub written: EventTime,
    /// Where the BinXML is in the chunk.
    pub binxml: Range<usize>,
}

/// A record, or damage where one should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A record.
    Record(RecordHeader),
    /// Damage.
    Damage(Damage),
}

impl<'b> Chunk<'b> {
    pub(crate) fn new(bytes: &'b [u8], offset: u64, dirty: bool, unused: bool) -> Self {
        Chunk { bytes, offset, dirty, unused }
    }

    /// The chunk whole, for [`Decoder::chunk`](quarry_binxml::Decoder::chunk).
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// Where the chunk begins, in bytes from the beginning of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether it is one: by its header, or by a record where the first one stands.
    pub(crate) fn is_one(&self) -> bool {
        ChunkHeader::parse(self.bytes).is_some()
            || self.record_at(ChunkHeader::LEN, self.bytes.len()).is_some()
    }

    fn damage(&self, at: usize, kind: DamageKind) -> Item {
        Item::Damage(Damage { offset: self.offset + at as u64, record: None, kind })
    }

    /// The records and the damage, in the order they stand in.
    pub fn items(&self, items: &mut Vec<Item>) {
        items.clear();
        if self.unused {
            return;
        }
        let header = ChunkHeader::parse(self.bytes);
        let mut end = self.bytes.len();
        let mut header_is_right = false;
        match header {
            Some(header) => {
                header_is_right =
                    !header.has_checksums || ChunkHeader::checksum_is_right(self.bytes);
                if !header_is_right {
                    items.push(self.damage(0, DamageKind::ChunkHeaderChecksum));
                } else if (ChunkHeader::LEN..=CHUNK_SIZE).contains(&header.free_space) {
                    end = end.min(header.free_space);
                    let records = self.bytes.get(ChunkHeader::LEN..header.free_space);
                    let is_right = |records| crc32fast::hash(records) == header.records_checksum;
                    // A dirty file's last chunk is one whose checksum is still to be written.
                    if header.has_checksums && !self.dirty && !records.is_none_or(is_right) {
                        items.push(self.damage(0, DamageKind::RecordsChecksum));
                    }
                }
            }
            None if is_zero(self.bytes) => return,
            None if self.record_at(ChunkHeader::LEN, end).is_some() => {
                items.push(self.damage(0, DamageKind::ChunkSignature));
            }
            None => {
                items.push(self.damage(0, DamageKind::NoChunk));
                return;
            }
        }
        let mut at = ChunkHeader::LEN.min(end);
        let mut last = header.map(|header| header.first_id.wrapping_sub(1));
        let mut newest: Option<(u64, EventTime)> = None;
        while at < end {
            if let Some(record) = self.record_at(at, end) {
                // Where the end isn't known, what was there before follows the newest record.
                if !header_is_right {
                    let (number, written) = (record.number, record.written);
                    let is_older =
                        |newest: (u64, EventTime)| number <= newest.0 && written < newest.1;
                    if newest.is_some_and(is_older) {
                        break;
                    }
                    newest = newest.max(Some((number, written)));
                }
                at = record.binxml.end + RECORD_TRAILER;
                last = Some(record.number);
                items.push(Item::Record(record));
                continue;
            }
            let rest = &self.bytes[at..end];
            let has_magic = rest.starts_with(RECORD_MAGIC);
            if !has_magic && (rest.len() < RECORD_HEADER || is_zero(rest)) {
                break;
            }
            let next = self.find_record(at + 1, end);
            if let Some(record) = self.damaged_record(at, next.unwrap_or(end), last) {
                at = record.binxml.end;
                last = Some(record.number);
                items.push(Item::Damage(Damage {
                    offset: record.offset,
                    record: last,
                    kind: DamageKind::RecordSize,
                }));
                items.push(Item::Record(record));
                continue;
            }
            // Behind the last record of a chunk whose end isn't known is what was there before.
            if next.is_none() && !header_is_right && !has_magic {
                break;
            }
            let next = next.unwrap_or(end);
            if self.bytes.len() == CHUNK_SIZE || next < end {
                let skipped = (next - at) as u64;
                items.push(self.damage(at, DamageKind::NoRecord { skipped }));
            }
            at = next;
        }
        if self.dirty && header_is_right {
            self.behind_the_end(at.max(end), last, items);
        }
        if self.bytes.len() < CHUNK_SIZE {
            let missing = (CHUNK_SIZE - self.bytes.len()) as u64;
            items.push(self.damage(self.bytes.len(), DamageKind::Truncated { missing }));
        }
    }

    /// The whole records in the chunk that are not among its [`items`](Self::items): what is left
    /// of older ones, after its last record and where there is no chunk any more. Names and
    /// templates that they refer to may be overwritten.
    pub fn slack(&self, items: &[Item], slack: &mut Vec<RecordHeader>) {
        slack.clear();
        let mut known = items.iter().filter_map(|item| match item {
            Item::Record(record) => Some(record),
            Item::Damage(_) => None,
        });
        let mut next = known.next();
        let mut at = ChunkHeader::LEN;
        let places = memmem::find_iter(self.bytes, RECORD_MAGIC);
        for place in places {
            while let Some(record) =
                next.filter(|record| record.binxml.start <= place + RECORD_HEADER)
            {
                at = at.max(record.binxml.end);
                next = known.next();
            }
            // Up to the next one that is known already.
            let end = next.map_or(self.bytes.len(), |next| next.binxml.start - RECORD_HEADER);
            if place < at {
                continue;
            }
            if let Some(record) = self.record_at(place, end) {
                at = record.binxml.end + RECORD_TRAILER;
                slack.push(record);
            }
        }
    }

    /// The ranges of the chunk that were written in one go each, for
    /// [`ChunkDecoder::set_generations`](quarry_binxml::ChunkDecoder::set_generations): up to the
    /// last of its [`items`](Self::items), and where the records of its [`slack`](Self::slack)
    /// stand one right after the other and so do their numbers.
    pub fn generations(items: &[Item], slack: &[RecordHeader]) -> Vec<Range<usize>> {
        let ends = items.iter().map(|item| match item {
            Item::Record(record) => record.binxml.end + RECORD_TRAILER,
            Item::Damage(_) => 0,
        });
        let end = ends.max().unwrap_or(0);
        let mut generations = Vec::new();
        if end > ChunkHeader::LEN {
            generations.push(ChunkHeader::LEN..end);
        }
        let mut last = None;
        for record in slack.iter().filter(|record| record.binxml.start >= end) {
            let whole = record.binxml.start - RECORD_HEADER..record.binxml.end + RECORD_TRAILER;
            match generations.last_mut() {
                Some(run) if last == record.number.checked_sub(1) && run.end == whole.start => {
                    run.end = whole.end;
                }
                _ => generations.push(whole),
            }
            last = Some(record.number);
        }
        generations
    }

    /// The records that a dirty file's chunk has after the end that its header knows of: they
    /// were written after it, and their numbers go on where the others end.
    fn behind_the_end(&self, mut at: usize, last: Option<u64>, items: &mut Vec<Item>) {
        let Some(mut last) = last else { return };
        while let Some(record) = self.record_at(at, self.bytes.len()) {
            if Some(record.number) != last.checked_add(1) {
                break;
            }
            last = record.number;
            at = record.binxml.end + RECORD_TRAILER;
            items.push(Item::Record(record));
        }
    }

    /// The record that begins at a place, where there is a whole one.
    fn record_at(&self, at: usize, end: usize) -> Option<RecordHeader> {
        let bytes = self.bytes.get(at..end)?;
        if !bytes.starts_with(RECORD_MAGIC) || bytes.len() < RECORD_HEADER {
            return None;
        }
        let size = u32_at(bytes, 4) as usize;
        if size < RECORD_HEADER + RECORD_TRAILER || size > bytes.len() {
            return None;
        }
        // The size stands after the record too; where it doesn't, the next record has to.
        let again = u32_at(bytes, size - RECORD_TRAILER) as usize == size;
        let next = &bytes[size..];
        if !again && !next.starts_with(RECORD_MAGIC) && !next.is_empty() {
            return None;
        }
        Some(RecordHeader {
            offset: self.offset + at as u64,
            number: u64_at(bytes, 8),
            written: EventTime::from_filetime(u64_at(bytes, 16)),
            binxml: at + RECORD_HEADER..at + size - RECORD_TRAILER,
        })
    }

    /// The record that a damaged size hides, where the number says that it is the next one. It
    /// ends where its size says, or before the next record.
    fn damaged_record(&self, at: usize, next: usize, last: Option<u64>) -> Option<RecordHeader> {
        let bytes = self.bytes.get(at..next)?;
        if !bytes.starts_with(RECORD_MAGIC) || bytes.len() <= RECORD_HEADER {
            return None;
        }
        let number = u64_at(bytes, 8);
        if Some(number) != last?.checked_add(1) {
            return None;
        }
        let size = u32_at(bytes, 4) as usize;
        let len = if size > RECORD_HEADER { size.min(bytes.len()) } else { bytes.len() };
        Some(RecordHeader {
            offset: self.offset + at as u64,
            number,
            written: EventTime::from_filetime(u64_at(bytes, 16)),
            binxml: at + RECORD_HEADER..at + len,
        })
    }

    fn find_record(&self, from: usize, end: usize) -> Option<usize> {
        let bytes = self.bytes.get(from..end)?;
        memmem::find_iter(bytes, RECORD_MAGIC)
            .map(|at| from + at)
            .find(|&at| self.record_at(at, end).is_some())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // In blocks, so that a block is compared at once.
    bytes.chunks(64).all(|block| block.iter().fold(0, |all, &byte| all | byte) == 0)
}
