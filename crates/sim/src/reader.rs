//! Where a query or subscription stands in its logs, and what comes next there.

use quarry_even::{Bookmark, SeekFlags, Win32Error};
use tokio::time::Instant;

use crate::log::State;
use crate::plan::{Plan, Testers};

/// Records that are looked at before others get their turn.
pub(crate) const SLICE: u64 = 128;

/// A position in each of a query's logs.
pub(crate) struct Reader {
    pub(crate) plan: Plan,
    pub(crate) reverse: bool,
    places: Vec<Place>,
    /// What was missed goes unseen, as in a subscription that isn't strict.
    pub(crate) skips_gaps: bool,
    /// When a slow server has the batch that it is at.
    pub(crate) due: Option<Instant>,
}

/// A position in one log: between two records.
#[derive(Clone, Copy)]
struct Place {
    /// Records with this number and higher ones are ahead, lower ones behind (for one who reads
    /// newest first, the other way round).
    at: u64,
    /// How often the log had been cleared.
    cleared: u64,
    /// The last record that came, for the bookmark data.
    last: u64,
}

/// What is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peek {
    Record {
        channel: usize,
        number: u64,
        /// How many records of the log come before it in the reader's order.
        ordinal: u64,
    },
    End,
    /// The log was cleared, or has wrapped past the position.
    Stale,
}

/// Where to begin.
pub(crate) enum Start<'b> {
    First,
    /// Behind all there is.
    End,
    After(&'b Bookmark),
}

impl Reader {
    pub(crate) fn new(plan: Plan, reverse: bool, start: &Start<'_>) -> Self {
        let places = plan
            .channels
            .iter()
            .map(|channel| {
                let state = channel.log.read();
                match start {
                    Start::First => Place::first(&state, reverse),
                    Start::End => Place::first(&state, !reverse),
                    Start::After(bookmark) => {
                        Place::after(&state, reverse, bookmark, &channel.log.name)
                    }
                }
            })
            .collect();
        Self { plan, reverse, places, skips_gaps: false, due: None }
    }

    /// The next record, selected or not: of several logs' the one that was written first (or last).
    pub(crate) fn peek(&mut self) -> Peek {
        self.peek_to(self.reverse)
    }

    fn peek_to(&mut self, down: bool) -> Peek {
        let mut best: Option<(u64, usize, u64, u64)> = None;
        let several = self.places.len() > 1;
        for (n, (place, channel)) in self.places.iter_mut().zip(&self.plan.channels).enumerate() {
            let state = channel.log.read();
            let gone = !self.reverse && place.at < state.oldest;
            if self.skips_gaps {
                place.at = place.at.max(state.oldest);
                place.cleared = state.cleared;
            } else if place.cleared != state.cleared || gone {
                return Peek::Stale;
            }
            let next = if down { state.before(place.at) } else { state.after(place.at) };
            let Some(number) = next else { continue };
            let time = if several { state.time(number).as_filetime() } else { 0 };
            let key = if down { u64::MAX - time } else { time };
            if best.is_none_or(|(best, ..)| key < best) {
                let ordinal = if down { state.next - 1 - number } else { number - state.oldest };
                best = Some((key, n, number, ordinal));
            }
        }
        best.map_or(Peek::End, |(_, channel, number, ordinal)| Peek::Record {
            channel,
            number,
            ordinal,
        })
    }

    /// Goes past a record.
    pub(crate) fn pass(&mut self, channel: usize, number: u64) {
        self.pass_to(channel, number, self.reverse);
    }

    fn pass_to(&mut self, channel: usize, number: u64, down: bool) {
        self.places[channel].at = if down { number } else { number + 1 };
    }

    /// Notes that a record came, for the bookmark data of it and of those to come.
    pub(crate) fn came(&mut self, channel: usize, number: u64) {
        self.places[channel].last = number;
    }

    /// The last record of each log that came, for bookmark data.
    pub(crate) fn record_ids(&self, ids: &mut Vec<u64>) {
        ids.clear();
        ids.extend(self.places.iter().map(|place| place.last));
    }

    /// Reads a record that is there, and whether it is selected.
    pub(crate) fn test(
        &self,
        channel: usize,
        number: u64,
        testers: &Testers,
        binxml: &mut Vec<u8>,
        subqueries: &mut Vec<u32>,
    ) -> bool {
        binxml.clear();
        self.plan.channels[channel].log.read().binxml(number, binxml);
        self.plan.selects(channel, binxml, testers, subqueries)
    }

    /// Moves the position by records that are selected (3.1.4.14).
    ///
    /// # Errors
    /// What Windows answers; the position is then as it was.
    pub(crate) async fn seek(
        &mut self,
        offset: i64,
        bookmark: Option<&Bookmark>,
        flags: SeekFlags,
        testers: &Testers,
    ) -> Result<(), Win32Error> {
        let origin = SeekFlags(flags.0 & 7);
        let strict = flags.contains(SeekFlags::STRICT);
        if flags.0 & !(7 | SeekFlags::STRICT.0) != 0 {
            return Err(Win32Error::INVALID_PARAMETER);
        }
        let before = self.places.clone();
        let outcome = self.try_seek(offset, bookmark, origin, strict, testers).await;
        if outcome.is_err() {
            self.places = before;
        } else {
            self.due = None;
        }
        outcome
    }

    async fn try_seek(
        &mut self,
        offset: i64,
        bookmark: Option<&Bookmark>,
        origin: SeekFlags,
        strict: bool,
        testers: &Testers,
    ) -> Result<(), Win32Error> {
        let reverse = self.reverse;
        let steps = match origin {
            SeekFlags::RELATIVE_TO_FIRST if offset >= 0 => {
                self.place(|state, _| Place::first(state, reverse));
                offset
            }
            SeekFlags::RELATIVE_TO_LAST if offset <= 0 => {
                self.place(|state, _| Place::first(state, !reverse));
                // The last record is one before the end.
                offset.saturating_sub(1)
            }
            SeekFlags::RELATIVE_TO_CURRENT => offset,
            SeekFlags::RELATIVE_TO_BOOKMARK => {
                let bookmark = bookmark.ok_or(Win32Error::INVALID_PARAMETER)?;
                self.seek_bookmark(bookmark, strict)?;
                // Behind the bookmark's record is one past it.
                offset.saturating_sub(1)
            }
            _ => return Err(Win32Error::INVALID_PARAMETER),
        };
        let moved = self.step(steps, testers).await;
        // To the end itself is no miss, except from the first record.
        let missed = moved != steps
            || (origin == SeekFlags::RELATIVE_TO_FIRST && self.is_at_end(testers).await);
        if strict && missed {
            return Err(Win32Error::NOT_FOUND);
        }
        Ok(())
    }

    fn seek_bookmark(&mut self, bookmark: &Bookmark, strict: bool) -> Result<(), Win32Error> {
        let current = bookmark.entries.iter().find(|entry| entry.is_current);
        let current = current.or(bookmark.entries.first()).ok_or(Win32Error::INVALID_PARAMETER)?;
        let same = |name: &str| name.eq_ignore_ascii_case(&current.channel);
        let channel = self.plan.channels.iter().find(|channel| same(&channel.log.name));
        let channel = channel.ok_or(Win32Error::NOT_FOUND)?;
        if strict && !channel.log.read().has(current.record_id) {
            return Err(Win32Error::NOT_FOUND);
        }
        let reverse = self.reverse;
        self.place(|state, name| Place::after(state, reverse, bookmark, name));
        Ok(())
    }

    fn place(&mut self, at: impl Fn(&State, &str) -> Place) {
        for (place, channel) in self.places.iter_mut().zip(&self.plan.channels) {
            *place = at(&channel.log.read(), &channel.log.name);
        }
    }

    /// Moves over so many selected records, ahead or back; how many there were.
    async fn step(&mut self, steps: i64, testers: &Testers) -> i64 {
        let down = self.reverse != (steps < 0);
        let (mut binxml, mut subqueries) = (Vec::new(), Vec::new());
        let (mut moved, mut read) = (0, 0u64);
        while moved != steps {
            let Peek::Record { channel, number, .. } = self.peek_to(down) else { break };
            self.pass_to(channel, number, down);
            if self.plan.selects_all(channel)
                || self.test(channel, number, testers, &mut binxml, &mut subqueries)
            {
                moved += steps.signum();
            }
            read += 1;
            if read.is_multiple_of(SLICE) {
                tokio::task::yield_now().await;
            }
        }
        moved
    }

    async fn is_at_end(&mut self, testers: &Testers) -> bool {
        let before = self.places.clone();
        let moved = self.step(1, testers).await;
        self.places = before;
        moved == 0
    }
}

impl Place {
    fn first(state: &State, reverse: bool) -> Self {
        let at = if reverse { state.next } else { state.oldest };
        Self { at, cleared: state.cleared, last: 0 }
    }

    /// Behind a bookmark; a log that the bookmark doesn't have is yet to be read.
    fn after(state: &State, reverse: bool, bookmark: &Bookmark, name: &str) -> Self {
        let entry = bookmark.entries.iter().find(|entry| entry.channel.eq_ignore_ascii_case(name));
        let Some(entry) = entry else { return Self::first(state, reverse) };
        let at = match reverse {
            true => entry.record_id.min(state.next),
            false => entry.record_id.saturating_add(1).min(state.next).max(state.oldest),
        };
        Self { at, cleared: state.cleared, last: entry.record_id }
    }
}
