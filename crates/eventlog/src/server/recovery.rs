//! How a query goes on after a batch that was too large, or behind a gap: what a server's query
//! and one of this machine have in common. It calls nobody; whoever uses it opens and seeks.

use std::time::Duration;

use crate::batch::Batch;
use crate::damage::Damage;
use crate::log::Bookmark;

use super::position::Position;

/// Answers in a row without anything new and without having waited.
pub(crate) const MAX_EMPTY: u32 = 8;

/// How long to wait at least before asking again where there was nothing.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Times that a query may be opened again before a record comes: a batch of 1,024 can be halved
/// ten times, and the log may wrap meanwhile.
const MAX_REOPENED: u32 = 16;

/// Records in a row that may be too large to be given.
pub(crate) const MAX_SKIPPED: u32 = 1024;

/// What became of a seek.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sought {
    Found,
    /// There is no such place.
    Nowhere,
}

/// What has happened since the last record.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// What is to be told before the next records.
    damage: Vec<Damage>,
    /// The next batch may begin with records that have come already.
    pub(crate) resumed: bool,
    reopened: u32,
    /// Records that were too large.
    skipped: u32,
    /// Those are counted from the first record on, as the last that came is gone.
    pub(crate) counts_from_first: bool,
    /// Records are gone behind the last that came, which was told.
    is_gap_told: bool,
}

impl Recovery {
    /// A new record came.
    pub(crate) fn came(&mut self) {
        (self.reopened, self.skipped) = (0, 0);
        (self.counts_from_first, self.is_gap_told) = (false, false);
    }

    /// What is to be told before the next records, if anything.
    pub(crate) fn take_damage(&mut self) -> Option<Batch> {
        let damage = std::mem::take(&mut self.damage);
        (!damage.is_empty()).then(|| Batch::damage(damage))
    }

    /// Whether the query may be opened again.
    pub(crate) fn may_reopen(&mut self) -> bool {
        self.reopened += 1;
        self.reopened <= MAX_REOPENED
    }

    /// Tells that records are gone behind the last that came. Once: it is the same until a record
    /// comes.
    pub(crate) fn tell_gap(&mut self, position: &Position) {
        if !std::mem::replace(&mut self.is_gap_told, true) {
            let (log, after) = position.last();
            self.damage.push(Damage::Overwritten { log, after });
        }
    }

    /// Whether one more record may be passed that can't be given. What it takes to come to that
    /// is no more than an answer that was due, so the query may be opened again.
    pub(crate) fn may_skip(&mut self) -> bool {
        self.reopened = 0;
        self.skipped < MAX_SKIPPED
    }

    /// The record from which those are counted that can't be given; the first where there is
    /// none.
    pub(crate) fn counted_from(&self, position: &Position) -> Option<Bookmark> {
        position.bookmark().cloned().filter(|_| !self.counts_from_first)
    }

    /// The record that was counted from is gone, too. False if a gap was told there already.
    pub(crate) fn count_anew(&mut self) -> bool {
        if !self.is_gap_told {
            self.skipped = 0;
        }
        !self.is_gap_told
    }

    /// Tells of a record that can't be given. The place behind it, from where is counted.
    pub(crate) fn skip(&mut self, position: &Position, from: Option<&Bookmark>) -> i64 {
        let (log, after) = position.last();
        self.damage.push(Damage::TooLarge { log, after });
        self.skipped += 1;
        // The bookmark's own record is at 0.
        i64::from(self.skipped) + i64::from(from.is_some())
    }
}
