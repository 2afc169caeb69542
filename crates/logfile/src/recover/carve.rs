//! Finding records in anything: images of disks, memory dumps, what is left of a file.
//!
//! Nothing but the records themselves is relied on. A record of an `.evtx` file has a signature,
//! its size before and after it, and BinXML between; one of an `.evt` file has as much. Records
//! that stand one right after the other, with numbers that do so too, are a [`Run`]; so are those
//! of one chunk with damaged ones between.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::{self, Finder};
use quarry_binxml::place_in_chunk;
use quarry_event::EventTime;

use super::run::{Format, Run};
use crate::chunk::{CHUNK_SIZE, RECORD_HEADER, RECORD_MAGIC, RECORD_TRAILER, RecordHeader};
use crate::evt::{MAX_EVT_RECORD, evt_record};
use crate::header::{ChunkHeader, u32_at, u64_at};
use crate::read_at::ReadAt;

/// How much is searched in a step, in bytes.
const STEP: usize = 4 << 20;

/// The longest run, in bytes: what a chunk has room for. One record of an `.evt` file may be
/// longer.
const LONGEST_RUN: usize = CHUNK_SIZE - ChunkHeader::LEN;

/// What follows the size of a record of an `.evt` file.
const EVT_MAGIC: &[u8; 4] = &crate::classic::SIGNATURE;

/// Which records are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// Those of either format.
    All,
    /// Those of `.evtx` files.
    Evtx,
}

/// Searches ranges of a file, from one to the next, in the memory of one step. Each byte is
/// searched once, and none is of two records.
pub(crate) struct Carver {
    file: Arc<dyn ReadAt>,
    /// What is still to be searched, the last first.
    ranges: Vec<Range<u64>>,
    wanted: Wanted,
    evtx: Finder<'static>,
    evt: Finder<'static>,
    /// Bytes of the file from `start` on. Those before `at` were searched.
    window: Vec<u8>,
    start: u64,
    at: u64,
    /// The run that may go on.
    run: Option<Growing>,
}

/// A run that is being put together.
struct Growing {
    run: Run,
    last: u64,
}

impl Carver {
    /// Searches these ranges of a file, which are apart and in order.
    pub(crate) fn new(file: Arc<dyn ReadAt>, mut ranges: Vec<Range<u64>>, wanted: Wanted) -> Self {
        ranges.reverse();
        let at = ranges.last().map_or(0, |range| range.start);
        Carver {
            file,
            ranges,
            wanted,
            evtx: Finder::new(RECORD_MAGIC),
            evt: Finder::new(EVT_MAGIC),
            window: Vec::new(),
            start: at,
            at,
            run: None,
        }
    }

    /// Searches on for a step and adds the runs that have ended. Gives whether there is more to
    /// search.
    pub(crate) fn step(&mut self, runs: &mut Vec<Run>) -> io::Result<bool> {
        let Some(range) = self.ranges.last().cloned() else { return Ok(false) };
        if self.at >= range.end {
            self.end_range(runs);
            return Ok(!self.ranges.is_empty());
        }
        let is_all = self.fill(range.end)?;
        let here = (self.at - self.start) as usize;
        // A record that begins later may not be in the window whole.
        let until = if is_all { self.window.len() } else { self.window.len() - MAX_EVT_RECORD };
        let window = std::mem::take(&mut self.window);
        let searched = self.search(&window, here, until, runs);
        self.window = window;
        self.at = self.start + searched as u64;
        if is_all {
            self.at = range.end;
        }
        Ok(true)
    }

    /// Has the window begin a little before the current position, and fills it up to the end of
    /// the range or a step and a record. Says whether it goes up to the end.
    fn fill(&mut self, end: u64) -> io::Result<bool> {
        // The header of a chunk stands before its first record.
        let keep = self.at.saturating_sub(ChunkHeader::LEN as u64);
        let have = self.start..self.start + self.window.len() as u64;
        if have.contains(&keep) {
            self.window.drain(..(keep - self.start) as usize);
        } else {
            self.window.clear();
        }
        self.start = keep;
        let filled = self.window.len();
        let most = ChunkHeader::LEN + STEP + MAX_EVT_RECORD;
        let len = (end - self.start).min(most as u64) as usize;
        if filled < len {
            self.window.resize(len, 0);
            let from = self.start + filled as u64;
            let read = self.file.read_full_at(&mut self.window[filled..], from)?;
            self.window.truncate(filled + read);
            if filled + read < len {
                return Ok(true);
            }
        }
        Ok(self.start + len as u64 >= end)
    }

    /// Searches a window for records that begin from `from` to `until`. Gives where the search
    /// has come to.
    fn search(&mut self, window: &[u8], from: usize, until: usize, runs: &mut Vec<Run>) -> usize {
        let evtx = self.evtx.clone();
        let evt = self.evt.clone();
        let find = |finder: &Finder<'_>, from: usize, ahead: usize| {
            let end = (until + ahead + 3).min(window.len());
            let bytes = window.get(from + ahead..end).unwrap_or_default();
            finder.find(bytes).map(|found| from + found)
        };
        let mut at = from;
        let mut next_evtx = find(&evtx, at, 0);
        let mut next_evt = (self.wanted == Wanted::All).then(|| find(&evt, at, 4)).flatten();
        loop {
            let Some(place) = next_evtx.into_iter().chain(next_evt).min() else {
                return at.max(until);
            };
            let found = match next_evtx == Some(place) {
                true => evtx_record(window, place).map(|(len, number)| {
                    self.take_evtx(window, place, len, number, runs);
                    len
                }),
                false => evt_record(&window[place..]).map(|(len, number)| {
                    self.take_evt(place, len, number, runs);
                    len
                }),
            };
            at = place + found.unwrap_or(1);
            if next_evtx.is_some_and(|next| next < at) {
                next_evtx = find(&evtx, at, 0);
            }
            if next_evt.is_some_and(|next| next < at) {
                next_evt = find(&evt, at, 4);
            }
        }
    }

    fn take_evtx(
        &mut self,
        window: &[u8],
        at: usize,
        len: usize,
        number: u64,
        runs: &mut Vec<Run>,
    ) {
        let offset = self.start + at as u64;
        let binxml = at + RECORD_HEADER..at + len - RECORD_TRAILER;
        let place = || match at.checked_sub(ChunkHeader::LEN) {
            Some(header) if window[header..].starts_with(ChunkHeader::MAGIC) => {
                Some(ChunkHeader::LEN)
            }
            _ => place_in_chunk(&window[binxml.clone()])?.checked_sub(RECORD_HEADER),
        };
        if let Some(Growing { run, last }) = &mut self.run
            && let Format::Evtx { place: begin } = run.format
            && goes_on(run.end(), *last, offset, number, begin.is_some())
            && (offset - run.offset) as usize + len <= LONGEST_RUN
        {
            let before = (offset - run.offset) as usize;
            // Where this one is says where the run begins.
            let begins = || place()?.checked_sub(before).filter(|at| is_in_chunk(*at, before));
            let is_apart = run.end() != offset;
            // After damage it may be one of another chunk.
            let fits = !is_apart || place().is_none_or(|place| begin == place.checked_sub(before));
            let begin = begin.or_else(begins);
            if fits && begin.is_none_or(|place| is_in_chunk(place, before + len)) {
                run.len = (before + len) as u32;
                run.format = Format::Evtx { place: begin };
                *last = number;
                return;
            }
        }
        self.end_run(runs);
        let place = place().filter(|place| is_in_chunk(*place, len));
        let run = Run { offset, len: len as u32, format: Format::Evtx { place } };
        self.run = Some(Growing { run, last: number });
    }

    fn take_evt(&mut self, at: usize, len: usize, number: u32, runs: &mut Vec<Run>) {
        let offset = self.start + at as u64;
        let number = number.into();
        if let Some(Growing { run, last }) = &mut self.run
            && run.format == Format::Evt
            && run.end() == offset
            && run.len as usize + len <= LONGEST_RUN
        {
            run.len += len as u32;
            *last = number;
            return;
        }
        self.end_run(runs);
        let run = Run { offset, len: len as u32, format: Format::Evt };
        self.run = Some(Growing { run, last: number });
    }

    fn end_run(&mut self, runs: &mut Vec<Run>) {
        runs.extend(self.run.take().map(|growing| growing.run));
    }

    fn end_range(&mut self, runs: &mut Vec<Run>) {
        self.end_run(runs);
        self.ranges.pop();
        if let Some(next) = self.ranges.last() {
            self.at = next.start;
        }
    }
}

/// Whether a record is of the run that ends at `end` with the record `last`: it follows, or the bytes
/// between have room for the records that are missing. These are damaged, then; but only where it
/// is known where the chunk begins is more known of the record than it says itself.
fn goes_on(end: u64, last: u64, offset: u64, number: u64, is_in_chunk: bool) -> bool {
    const LEAST: u64 = (RECORD_HEADER + RECORD_TRAILER) as u64;
    let Some(missing) = number.checked_sub(last).and_then(|ahead| ahead.checked_sub(1)) else {
        return false;
    };
    match offset.checked_sub(end) {
        Some(0) => missing == 0,
        Some(gap) => is_in_chunk && missing <= gap / LEAST,
        None => false,
    }
}

/// Whether a run can stand at a place in a chunk.
fn is_in_chunk(place: usize, len: usize) -> bool {
    place >= ChunkHeader::LEN && place + len <= CHUNK_SIZE
}

/// The size and number of the record that stands whole at a place.
fn evtx_record(bytes: &[u8], at: usize) -> Option<(usize, u64)> {
    let bytes = bytes.get(at..)?;
    if bytes.len() < RECORD_HEADER || !bytes.starts_with(RECORD_MAGIC) {
        return None;
    }
    let len = u32_at(bytes, 4) as usize;
    let is_whole = (RECORD_HEADER + RECORD_TRAILER + 1..=LONGEST_RUN.min(bytes.len()))
        .contains(&len)
        && u32_at(bytes, len - RECORD_TRAILER) as usize == len;
    // A fragment header, which each event of Windows has, or what may stand without.
    let begins = is_whole && matches!(bytes[RECORD_HEADER], 0x0f | 0x0c | 0x01 | 0x41);
    begins.then(|| (len, u64_at(bytes, 8)))
}

/// The records of a run of the `.evtx` format, whose bytes begin at `place` of a buffer.
pub(super) fn evtx_records(buffer: &[u8], place: usize, offset: u64) -> Vec<RecordHeader> {
    let mut records = Vec::new();
    let mut at = place;
    loop {
        if let Some((len, number)) = evtx_record(buffer, at) {
            records.push(RecordHeader {
                offset: offset + (at - place) as u64,
                number,
                written: EventTime::from_filetime(u64_at(buffer, at + 16)),
                binxml: at + RECORD_HEADER..at + len - RECORD_TRAILER,
            });
            at += len;
            continue;
        }
        // What is damaged in between is no record.
        let rest = buffer.get(at + 1..).unwrap_or_default();
        match memmem::find(rest, RECORD_MAGIC) {
            Some(next) => at += 1 + next,
            None => return records,
        }
    }
}
