//! Where the records of an `.evt` file are: from the oldest to the record that ends the log.
//!
//! In a file that was closed the header says both. In one that wasn't, or that is damaged, this
//! finds out: the end is where the chain of records from the header's end comes to, or else where
//! the record that marks it is found; the oldest record is where that one says, or the header, or
//! else where the run of numbers begins that leads to the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use memchr::memmem;

use super::header::{EndRecord, Header, SIGNATURE};
use super::span::Span;
use super::walk::{Piece, record, walk};
use crate::classic::{FIXED_LEN, MIN_RECORD_LEN};
use crate::damage::{Damage, DamageKind};
use crate::log::OpenError;
use crate::read_at::ReadAt;

/// Where records begin.
const START: u64 = Header::LEN as u64;

/// How far a file without its signature is searched for records, in bytes.
const SEARCHED: usize = 256 << 10;

/// How many of what may be the record that marks the end are looked at. Those that were left over
/// stand in the gaps of cleared logs, so there are few.
const MOST_ENDS: usize = 1 << 16;

/// A record that was written so many seconds before the one that stands before the gap before it is
/// of a log that was cleared. Clocks are set back by less.
const CLOCKS_DIFFER: u32 = 3600;

/// The parts of a file.
pub(super) struct Located {
    pub(super) live: Vec<Span>,
    pub(super) slack: Vec<Span>,
    /// The number before the oldest record's.
    pub(super) before: Option<u32>,
    pub(super) damage: Vec<Damage>,
}

/// Whether a file is an `.evt` file: by its signature, or by a whole record near its beginning.
pub(super) fn is_evt(file: &impl ReadAt) -> io::Result<bool> {
    if has_signature(file)? {
        return Ok(true);
    }
    let mut start = vec![0; SEARCHED];
    let read = file.read_full_at(&mut start, 0)?;
    start.truncate(read);
    let mut places = memmem::find_iter(&start, SIGNATURE).filter_map(|place| place.checked_sub(4));
    Ok(places.any(|place| record(&start[place..]).is_some()))
}

/// Whether a file begins with the signature of a header.
pub(super) fn has_signature(file: &impl ReadAt) -> io::Result<bool> {
    let mut start = [0; 8];
    Ok(file.read_full_at(&mut start, 0)? == 8 && &start[4..] == SIGNATURE)
}

/// Finds the parts of a file.
pub(super) fn locate(file: &impl ReadAt) -> Result<Located, OpenError> {
    let size = file.size()?;
    let mut start = [0; Header::LEN];
    let read = file.read_full_at(&mut start, 0)?;
    if read == 0 {
        return Err(OpenError::Empty);
    }
    let mut damage = Vec::new();
    if read < Header::LEN && start.get(4..8) == Some(SIGNATURE) {
        let kind = DamageKind::Cut { missing: (Header::LEN - read) as u64 };
        damage.push(Damage { offset: read as u64, record: None, kind });
        return Ok(Located { live: Vec::new(), slack: Vec::new(), before: None, damage });
    }
    let header = Header::parse(&start[..read]);
    if header.is_none() && !is_evt(file)? {
        return Err(OpenError::NotALog);
    }
    if !header.is_some_and(|header| header.is_right) {
        damage.push(Damage { offset: 0, record: None, kind: DamageKind::FileHeader });
    }
    let ring = Ring { file, end: ring_end(file, size, header)? };
    let cut = header.and_then(|header| ring.missing(&header));
    if let Some(missing) = cut {
        let kind = DamageKind::Cut { missing };
        damage.push(Damage { offset: size, record: None, kind });
    }
    let end = ring.find_end(header)?;
    let Some((at, end)) = end else {
        return ring.without_end(header, cut.is_some(), damage);
    };
    // A header of a log that is open is stale.
    let is_stale = header.is_none_or(|header| header.is_dirty);
    if end.end != at || header.is_some_and(|header| !is_stale && header.end != at) {
        damage.push(Damage { offset: at, record: None, kind: DamageKind::EndOfLog });
    }
    let behind = ring.wrapped(at + EndRecord::LEN as u64);
    let (oldest, is_sure) = match ring.find_oldest(at, &end, header)? {
        Some(found) => found,
        None => (ring.begin_of_run(behind, at)?, false),
    };
    if !is_sure && cut.is_none() {
        damage.push(Damage { offset: oldest, record: None, kind: DamageKind::OldestRecord });
    }
    // What a cut file has before the cut doesn't go on after its header.
    let live = match cut.is_some() && oldest > at {
        true => vec![Span::one(oldest, ring.end), Span::one(START, at)],
        false => vec![ring.span(oldest, at)],
    };
    let slack = vec![ring.span(behind, oldest.min(ring.end))];
    let before = (end.oldest != 0).then(|| end.oldest.wrapping_sub(1));
    Ok(Located { live, slack, before, damage })
}

/// Where the ring ends: with the file, but for zeros that were put after it.
fn ring_end(file: &impl ReadAt, size: u64, header: Option<Header>) -> io::Result<u64> {
    let Some(header) = header.filter(|header| header.is_right) else { return Ok(size.max(START)) };
    let max = header.max_size;
    if max >= size || max < START.max(header.begin).max(header.end) {
        return Ok(size.max(START));
    }
    let mut buffer = vec![0; SEARCHED];
    let mut at = max;
    while at < size {
        let read = file.read_full_at(&mut buffer, at)?;
        if read == 0 || buffer[..read].iter().any(|&byte| byte != 0) {
            return Ok(size);
        }
        at += read as u64;
    }
    Ok(max)
}

/// The ring of records.
struct Ring<'f> {
    file: &'f dyn ReadAt,
    end: u64,
}

impl Ring<'_> {
    /// How many bytes are missing that the header knows of.
    fn missing(&self, header: &Header) -> Option<u64> {
        let has_wrapped = header.begin > header.end;
        let needed = match has_wrapped {
            // It had its greatest size then, which may be wrong where the end isn't.
            true if header.begin >= self.end => header.max_size,
            true => return None,
            false => header.end + EndRecord::LEN as u64,
        };
        // The end may stand across the end of the file.
        let is_split = !has_wrapped && header.end <= self.end && header.begin > START;
        (header.is_right && needed > self.end && !is_split).then(|| needed - self.end)
    }

    /// An offset, of which what is past the end goes on after the header.
    fn wrapped(&self, offset: u64) -> u64 {
        if offset > self.end { START + (offset - self.end) } else { offset }
    }

    /// What lies from one offset to another.
    fn span(&self, from: u64, to: u64) -> Span {
        match from <= to {
            true => Span::one(from, to),
            false => Span::two((from, self.end), (START, to)),
        }
    }

    /// All of it, from an offset on.
    fn from(&self, offset: u64) -> Span {
        Span::two((offset, self.end), (START, offset))
    }

    fn has(&self, offset: u64) -> bool {
        (START..self.end).contains(&offset)
    }

    /// Reads the record that marks the end, where it stands at an offset.
    fn end_at(&self, offset: u64) -> io::Result<Option<EndRecord>> {
        if !self.has(offset) {
            return Ok(None);
        }
        let mut bytes = [0; EndRecord::LEN];
        let read = self.from(offset).read(self.file, 0, &mut bytes)?;
        Ok(EndRecord::parse(&bytes[..read]))
    }

    fn find_end(&self, header: Option<Header>) -> io::Result<Option<(u64, EndRecord)>> {
        if let Some(header) = header.filter(|header| self.has(header.end)) {
            if let Some(end) = self.end_at(header.end)? {
                return Ok(Some((header.end, end)));
            }
            let at = self.end_of_chain(header.end, header.next)?;
            if let Some(end) = self.end_at(at)? {
                return Ok(Some((at, end)));
            }
        }
        self.search_end()
    }

    /// Where the records end that were written since the header was.
    fn end_of_chain(&self, from: u64, first: u32) -> io::Result<u64> {
        let span = self.from(from);
        let mut end = 0;
        walk(self.file, &span, Some(first.wrapping_sub(1)), |at, piece, last| {
            let goes_on = match piece {
                Piece::Record { number, .. } => last.is_none_or(|l| number == l.wrapping_add(1)),
                Piece::Padding { .. } => true,
                Piece::Torn { .. } | Piece::Skip { .. } => false,
            };
            if goes_on {
                end = at + piece.len() as u64;
            }
            goes_on
        })?;
        // There may be filling, before which no record begins any more.
        Ok(self.wrapped_start(span.offset(end)))
    }

    fn wrapped_start(&self, offset: u64) -> u64 {
        if offset >= self.end { START } else { offset }
    }

    /// Looks everywhere. A cleared log counts from 1 again, so an old one may know higher numbers:
    /// the real one is the one that names the records which lead to it, or else that after the
    /// record that was written last.
    fn search_end(&self) -> io::Result<Option<(u64, EndRecord)>> {
        let ends = self.all_ends()?;
        let begins: BTreeSet<u64> = ends.values().map(|end| end.begin).collect();
        // Which run of records is at a place where one may be meant to begin, with its number.
        let mut begun: BTreeMap<u64, (u64, u32, usize)> = BTreeMap::new();
        let mut older = BTreeSet::new();
        // When the first records of runs were written, without those before a later one.
        let (mut starts, mut latest) = (0usize, Vec::<(usize, u32)>::new());
        let mut best: Option<((u8, bool, u32, u32), u64)> = None;
        let (mut run, mut last): (u64, Option<(u32, u64)>) = (0, None);
        // Twice around, as no place is known to be in no record.
        let span = Span::two((START, self.end), (START, self.end));
        walk(self.file, &span, None, |position, piece, _| {
            let at = self.wrapped_start(span.offset(position));
            // The second time round, all that may lead to it was seen.
            let is_second = position >= self.end - START;
            if let Some(end) = ends.get(&at).filter(|_| is_second) {
                let newest = last.filter(|(last, _)| last.wrapping_add(1) == end.next);
                let written = newest.map_or(0, |(_, at)| self.written(&span, at));
                let begin = begun.get(&end.begin);
                let latest_since = |start: usize| {
                    let behind = latest.partition_point(|(n, _)| *n < start);
                    latest.get(behind).map_or(0, |(_, written)| *written)
                };
                let is_empty = end.begin == at && [0, end.next].contains(&end.oldest);
                let rank = match (newest, begin) {
                    _ if is_empty => 2,
                    (Some(_), Some(&(of, number, _))) if (of, number) == (run, end.oldest) => 2,
                    // A log that was cleared later has written among its records.
                    (Some(_), Some(&(.., start))) if latest_since(start) > written => {
                        older.insert(at);
                        0
                    }
                    (Some(_), _) => 1,
                    (None, _) => 0,
                };
                let found = (rank, end.end == at, written, end.next);
                if !older.contains(&at) && best.is_none_or(|best| found > best.0) {
                    best = Some((found, at));
                }
            }
            match piece {
                Piece::Record { number, .. } => {
                    if last.is_none_or(|(last, _)| number != last.wrapping_add(1)) {
                        run += 1;
                        starts += 1;
                        let written = self.written(&span, position);
                        while latest.pop_if(|(_, before)| *before <= written).is_some() {}
                        latest.push((starts, written));
                    }
                    last = Some((number, position));
                    if begins.contains(&at) {
                        begun.insert(at, (run, number, starts));
                    }
                }
                Piece::Padding { .. } => {}
                Piece::Torn { .. } | Piece::Skip { .. } => {
                    run += 1;
                    last = None;
                }
            }
            true
        })?;
        let others = || ends.iter().filter(|(at, _)| !older.contains(at));
        let any = || others().max_by_key(|(at, end)| (end.end == **at, end.next));
        let best = best.map(|(_, at)| at).or_else(|| any().map(|(at, _)| *at));
        Ok(best.and_then(|at| Some((at, *ends.get(&at)?))))
    }

    /// When a record was written, in seconds; 0 where that can't be read.
    fn written(&self, span: &Span, position: u64) -> u32 {
        let mut bytes = [0; FIXED_LEN];
        match span.read(self.file, position, &mut bytes) {
            Ok(FIXED_LEN) => crate::header::u32_at(&bytes, 16),
            _ => 0,
        }
    }

    /// All that look like a record that marks the end, as far as they are not too many.
    fn all_ends(&self) -> io::Result<BTreeMap<u64, EndRecord>> {
        let mut ends = BTreeMap::new();
        let mut consider = |at: u64| -> io::Result<()> {
            if ends.len() < MOST_ENDS
                && let Some(end) = self.end_at(at)?
            {
                ends.insert(at, end);
            }
            Ok(())
        };
        // One that is split, first.
        for at in self.end.saturating_sub(EndRecord::LEN as u64 - 1).max(START)..self.end {
            consider(at)?;
        }
        let mut buffer = vec![0; SEARCHED];
        let mut at = START;
        while at < self.end {
            let len = (self.end - at).min(buffer.len() as u64) as usize;
            let read = self.file.read_full_at(&mut buffer[..len], at)?;
            for place in memmem::find_iter(&buffer[..read], EndRecord::MAGIC) {
                if let Some(begin) = (at + place as u64).checked_sub(4) {
                    consider(begin)?;
                }
            }
            if read < EndRecord::LEN {
                break;
            }
            // One may lie across two of these.
            at += (read - EndRecord::LEN + 1) as u64;
            if read < len || at + EndRecord::LEN as u64 > self.end {
                break;
            }
        }
        Ok(ends)
    }

    /// Where the oldest record begins, as the end record or the header says, and whether the
    /// record there is the one that is meant.
    fn find_oldest(
        &self,
        at: u64,
        end: &EndRecord,
        header: Option<Header>,
    ) -> io::Result<Option<(u64, bool)>> {
        let mut best: Option<(u8, u64)> = None;
        let said = [Some(end.begin), header.map(|header| header.begin)];
        for offset in said.into_iter().flatten() {
            let score = match self.oldest_at(offset, at, end, header)? {
                Some(score) => score,
                None => continue,
            };
            if best.is_none_or(|(best, _)| score > best) {
                best = Some((score, offset));
            }
        }
        // Where both say the same, it may be the record that is damaged.
        let agree = header.is_some_and(|header| header.begin == end.begin);
        Ok(best
            .filter(|(score, _)| *score >= 2 || agree)
            .map(|(score, offset)| (offset, score >= 2 || agree)))
    }

    /// How well a place fits as that of the oldest record. Nothing where it can't be.
    fn oldest_at(
        &self,
        offset: u64,
        at: u64,
        end: &EndRecord,
        header: Option<Header>,
    ) -> io::Result<Option<u8>> {
        if offset == at {
            // An empty log.
            let is_empty = end.oldest == 0 || end.oldest == end.next;
            return Ok(is_empty.then_some(3));
        }
        // Not in the record that marks the end either.
        let is_in_end = || {
            let len = self.end - START;
            (offset + len - at) % len < EndRecord::LEN as u64
        };
        if !self.has(offset) || !offset.is_multiple_of(4) || is_in_end() {
            return Ok(None);
        }
        let mut bytes = vec![0; super::MAX_EVT_RECORD];
        let read = self.from(offset).read(self.file, 0, &mut bytes)?;
        let bytes = &bytes[..read];
        if bytes.len() < MIN_RECORD_LEN {
            return Ok(Some(0));
        }
        let number = crate::header::u32_at(bytes, 8);
        let is_oldest = number == end.oldest;
        let is_headers = header.is_some_and(|header| header.oldest == number);
        Ok(Some(match record(bytes).is_some() {
            true if is_oldest => 4,
            true if is_headers => 3,
            false if is_oldest && &bytes[4..8] == SIGNATURE => 2,
            true => 1,
            false => 0,
        }))
    }

    /// Where the run of numbers begins that leads to the end, from after the end all round.
    fn begin_of_run(&self, behind: u64, at: u64) -> io::Result<u64> {
        let span = self.span(behind, at);
        let mut begin = None;
        let mut run = Run::default();
        walk(self.file, &span, None, |position, piece, _| {
            if !run.goes_on(piece) || begin.is_none() && piece.number().is_some() {
                begin = Some(position);
            }
            true
        })?;
        Ok(begin.map_or(at, |begin| span.offset(begin)))
    }

    /// The parts of a file that has lost the record which marks the end.
    fn without_end(
        &self,
        header: Option<Header>,
        is_cut: bool,
        mut damage: Vec<Damage>,
    ) -> Result<Located, OpenError> {
        let begin = match header.filter(|header| self.has(header.begin)) {
            Some(header) if self.is_record(header.begin)? => header.begin,
            _ => self.lowest_run()?,
        };
        let span = match is_cut {
            true => Span::one(begin, self.end),
            false => self.from(begin),
        };
        let mut live = 0;
        let mut run = Run::default();
        let (mut last, mut is_behind_gap) = (None, false);
        walk(self.file, &span, None, |position, piece, _| {
            let mut goes_on = run.goes_on(piece);
            if piece.number().is_none() {
                is_behind_gap |= matches!(piece, Piece::Skip { .. });
                return goes_on;
            }
            if let (Some(last), true) = (last, is_behind_gap) {
                let (before, behind) = (self.written(&span, last), self.written(&span, position));
                goes_on &= behind.saturating_add(CLOCKS_DIFFER) >= before;
            }
            (last, is_behind_gap) = (Some(position), false);
            if goes_on {
                live = position + piece.len() as u64;
            }
            goes_on
        })?;
        let end = self.wrapped_start(span.offset(live));
        if !is_cut {
            let offset = end.min(self.file.size()?);
            damage.push(Damage { offset, record: None, kind: DamageKind::EndOfLog });
        }
        let slack = match live < span.len() {
            true => self.span(end, begin),
            false => self.span(begin, begin),
        };
        Ok(Located { live: vec![span.up_to(live)], slack: vec![slack], before: None, damage })
    }

    fn is_record(&self, offset: u64) -> io::Result<bool> {
        let mut bytes = vec![0; super::MAX_EVT_RECORD];
        let read = self.from(offset).read(self.file, 0, &mut bytes)?;
        Ok(record(&bytes[..read]).is_some())
    }

    /// Where the run with the lowest numbers begins.
    fn lowest_run(&self) -> io::Result<u64> {
        let span = Span::one(START, self.end);
        let mut lowest: Option<(u32, u64)> = None;
        let mut run = Run::default();
        let mut is_first = true;
        walk(self.file, &span, None, |position, piece, _| {
            let goes_on = run.goes_on(piece);
            if let Some(number) = piece.number()
                && (!goes_on || std::mem::take(&mut is_first))
                && lowest.is_none_or(|(low, _)| number < low)
            {
                lowest = Some((number, span.offset(position)));
            }
            true
        })?;
        Ok(lowest.map_or(START, |(_, offset)| offset))
    }
}

/// Numbers that go on from record to record.
#[derive(Default)]
struct Run {
    last: Option<u32>,
    /// Bytes without a record since then.
    skipped: usize,
}

impl Run {
    /// Whether a piece may be of the same log as those before it. Of a gap as many records may be
    /// missing as it has room for.
    fn goes_on(&mut self, piece: Piece) -> bool {
        let Some(number) = piece.number() else {
            self.skipped = self.skipped.saturating_add(piece.len());
            return true;
        };
        let room = 1 + self.skipped / MIN_RECORD_LEN;
        self.skipped = 0;
        match self.last.replace(number) {
            Some(last) => (1..=room).contains(&(number.wrapping_sub(last) as usize)),
            None => true,
        }
    }
}
