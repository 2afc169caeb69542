//! `.evt` files: the logs of Windows NT to 2003, which hold [classic](crate::classic) records.
//!
//! A file is a header and a ring. Records follow one another in the ring, and where one doesn't
//! fit before the end of the file it goes on after the header. A record of its own kind marks
//! where the newest one ends, and knows where the oldest one begins; new records overwrite it and
//! are followed by another. While a log is open its header is stale: then that record counts.
//!
//! What lies between the end of the newest record and the beginning of the oldest is slack. Often
//! it still holds records that the log has given up, or that a cleared log had.
//!
//! Facts of the format: the headers that Microsoft documents (`ELF_LOGFILE_HEADER`,
//! `ELF_EOF_RECORD`, `EVENTLOGRECORD`), and the documentation of libevt.

mod header;
mod index;
mod locate;
mod span;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use crate::classic::ClassicRecord;
use crate::damage::{Damage, DamageKind};
use crate::log::OpenError;
use crate::read_at::ReadAt;
use index::{Block, Kind, index};
use locate::{Located, locate};
use span::Span;
pub(crate) use walk::record as evt_record;
use walk::{Piece, Walker};

/// The largest record that is read, in bytes. Windows writes none of over 256 KiB.
pub const MAX_EVT_RECORD: usize = 1 << 20;

/// An `.evt` file.
pub struct EvtLog {
    file: Arc<dyn ReadAt>,
    /// Where the log's records are, and where slack is, in the order of their time.
    live: Vec<Span>,
    slack: Vec<Span>,
    blocks: Vec<Block>,
    has_lost_header: bool,
    damage: Vec<Damage>,
}

/// A record of a block, or damage where one should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EvtItem {
    /// A record that [`ClassicRecord::salvage`] can read.
    Record {
        /// Where it begins, in bytes from the beginning of the file.
        offset: u64,
        /// Its number in the log.
        number: u32,
        /// Its bytes, in the block's.
        bytes: Range<usize>,
        /// Whether its size stands before and after it.
        is_whole: bool,
        /// Whether it is of slack.
        recovered: bool,
    },
    /// Damage.
    Damage(Damage),
}

impl EvtLog {
    /// Opens a file, and finds its records. What grows after its end from now on is not read.
    ///
    /// # Errors
    /// [`OpenError`], where this is no such file.
    pub fn open(file: impl ReadAt + 'static) -> Result<Self, OpenError> {
        let Located { live, slack, before, damage } = locate(&file)?;
        let blocks = index(&file, &live, before, false)?;
        let has_lost_header = !locate::has_signature(&file)?;
        Ok(EvtLog { file: Arc::new(file), live, slack, blocks, has_lost_header, damage })
    }

    /// Whether a file is one, by what is in it: also one whose header is damaged.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn is_one(file: &impl ReadAt) -> std::io::Result<bool> {
        locate::is_evt(file)
    }

    /// Reads slack too: its blocks come before the others, for what is in it is older.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn recover(&mut self) -> std::io::Result<()> {
        if self.blocks.iter().any(|block| block.recovered) {
            return Ok(());
        }
        let mut blocks = index(&*self.file, &self.slack, None, true)?;
        blocks.append(&mut self.blocks);
        self.blocks = blocks;
        Ok(())
    }

    /// Whether the file doesn't begin as one does: it [is one](Self::is_one) only by a record in
    /// it, and may be something else that has records.
    pub fn has_lost_header(&self) -> bool {
        self.has_lost_header
    }

    /// The file.
    pub fn file(&self) -> &Arc<dyn ReadAt> {
        &self.file
    }

    /// The number of the oldest record that is whole, and a checksum of it: what tells that two
    /// files are copies of one log.
    pub fn beginning(&self) -> Option<(u64, u64)> {
        let (mut buffer, mut items) = (Vec::new(), Vec::new());
        let first = (0..self.blocks()).find(|n| self.get(*n).is_some_and(|block| !block.recovered));
        self.block(first?, &mut buffer, &mut items);
        items.iter().find_map(|item| match item {
            EvtItem::Record { number, bytes, is_whole: true, .. } => {
                Some(((*number).into(), crc32fast::hash(&buffer[bytes.clone()]).into()))
            }
            _ => None,
        })
    }

    /// What is wrong with the file as a whole.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How many blocks there are: parts of some tens of KiB, that can be read each by itself.
    pub fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// The numbers of a block's first and last whole record, where it has any.
    pub fn numbers(&self, n: u64) -> Option<(u32, u32)> {
        self.get(n)?.numbers
    }

    /// Reads a block into a buffer: its records and damage, in their order.
    pub fn block(&self, n: u64, buffer: &mut Vec<u8>, items: &mut Vec<EvtItem>) {
        items.clear();
        let Some(block) = self.get(n) else { return };
        let spans = if block.recovered { &self.slack } else { &self.live };
        let span = &spans[block.span];
        let damage = |at: u64, record: Option<u32>, kind| {
            let record = record.map(u64::from);
            EvtItem::Damage(Damage { offset: span.offset(at), record, kind })
        };
        if block.kind == Kind::Gap {
            // Slack need not be made of records.
            if !block.recovered {
                items.push(damage(block.at, None, DamageKind::NoRecord { skipped: block.len }));
            }
            return;
        }
        // A block is at most as long as a record more than it is meant to be.
        buffer.resize(block.len as usize, 0);
        match span.read(&*self.file, block.at, buffer) {
            Ok(read) if read == buffer.len() => {}
            Ok(_) => return items.push(damage(block.at, None, DamageKind::Gone)),
            Err(e) => return items.push(damage(block.at, None, DamageKind::Io(e.kind()))),
        }
        let mut walker = Walker::of_block(span, block.at, block.before);
        let mut before = block.before.filter(|_| !block.is_behind_gap);
        while let Some((at, piece)) = walker.next(buffer) {
            let start = (at - block.at) as usize;
            if let Some(number) = piece.number() {
                let jump = before.filter(|before| number != before.wrapping_add(1));
                if let (Some(before), false) = (jump, block.recovered) {
                    items.push(damage(at, Some(number), DamageKind::NumberJump { before }));
                }
            }
            before = match piece {
                Piece::Skip { .. } => None,
                _ => piece.number().or(before),
            };
            let (len, torn) = match piece {
                Piece::Record { len, .. } => (len, false),
                Piece::Torn { len, .. } => (len, true),
                Piece::Skip { len } if !block.recovered => {
                    let skipped = len as u64;
                    items.push(damage(at, None, DamageKind::NoRecord { skipped }));
                    continue;
                }
                Piece::Skip { .. } | Piece::Padding { .. } => continue,
            };
            let own = match torn {
                true => own_bytes(&buffer[start..start + len], at, span, block.recovered),
                false => len,
            };
            let bytes = start..start + own;
            let Some((record, left_out)) = ClassicRecord::salvage(&buffer[bytes.clone()]) else {
                if !block.recovered {
                    let skipped = len as u64;
                    items.push(damage(at, None, DamageKind::NoRecord { skipped }));
                }
                continue;
            };
            let number = record.number();
            let wrong = match left_out {
                _ if torn => Some(DamageKind::RecordSize),
                what => what.map(DamageKind::RecordPart),
            };
            items.extend(wrong.map(|kind| damage(at, Some(number), kind)));
            let (offset, recovered) = (span.offset(at), block.recovered);
            items.push(EvtItem::Record { offset, number, bytes, is_whole: !torn, recovered });
        }
    }

    fn get(&self, n: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(n).ok()?)
    }
}

/// How many of a torn record's bytes may be its own: those before another record or the record that
/// marks the end. What is written goes over older records from their beginning on, so the end of an
/// older one is lost only where it is after the header: there nothing is sure.
fn own_bytes(bytes: &[u8], at: u64, span: &Span, recovered: bool) -> usize {
    let size_before = |place: usize| place.saturating_sub(4);
    let record = bytes.get(8..).and_then(|rest| memmem::find(rest, header::SIGNATURE));
    let end = memmem::find(bytes, header::EndRecord::MAGIC);
    let seam = span.seam().filter(|_| recovered).and_then(|seam| seam.checked_sub(at));
    let ends = [record.map(|place| size_before(place + 8)), end.map(size_before)];
    let seam = seam.and_then(|seam| usize::try_from(seam).ok()).filter(|seam| *seam > 0);
    ends.into_iter().chain([seam]).flatten().fold(bytes.len(), usize::min)
}
