//! What is missing since the last record that came, and how often a query may be interrupted before
//! the next one. It calls nobody; whoever uses it reopens and seeks.

use std::time::Duration;

use super::cursor::Place;
use super::position::Position;
use crate::batch::Batch;
use crate::types::{Bookmark, Damage, Hole};

/// Answers in a row without anything new and without having waited.
pub(crate) const MAX_EMPTY: u32 = 8;

/// How long to wait at least before asking again where there was nothing.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Times that a query may be opened again before a record comes: a batch of 1,024 can be halved
/// ten times, and the log may wrap meanwhile.
const MAX_REOPENED: u32 = 16;

/// Records in a row that may be too large to be sent.
pub(crate) const MAX_SKIPPED: u32 = 1024;

/// Times that a log may turn out to be recreated under a query.
const MAX_RECREATED: u32 = 3;

/// What is missing since the last record that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Missing {
    /// Records were overwritten, or the log was cleared.
    pub(super) is_overwritten: bool,
    /// Records that were too large to be sent.
    pub(super) too_large: u32,
}

impl Missing {
    /// Reports it as holes between the last record that came and the next, if that has come: one
    /// hole for each reason. Nothing is missing afterwards.
    pub(super) fn take(&mut self, position: &Position, next: Option<Place>) -> Option<Batch> {
        let Missing { is_overwritten, too_large } = std::mem::take(self);
        let (log, after) = position.last();
        let before = next.filter(|next| position.is_log(next.log, log.as_ref()));
        let before = before.map(|next| next.record);
        let hole = |records| Hole { log: log.clone(), after, before, records };
        // The numbers show that nothing was lost after all.
        let is_none = matches!((after, before), (Some(a), Some(b)) if a.0.abs_diff(b.0) == 1);
        let mut damage = Vec::new();
        if is_overwritten && !is_none {
            damage.push(Damage::Overwritten(hole(None)));
        }
        if too_large > 0 {
            damage.push(Damage::TooLarge(hole(Some(too_large.into()))));
        }
        (!damage.is_empty()).then(|| Batch::damage(damage))
    }
}

/// What has happened to a query since the last record that came.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    pub(super) missing: Missing,
    /// The next batch may begin with records that have come already.
    pub(super) resumed: bool,
    reopened: u32,
    /// Records that are passed, counted from the last that came.
    skipped: u32,
    /// They are counted from the first record on, as the last that came is gone.
    pub(super) counts_from_first: bool,
    recreated: u32,
}

impl Recovery {
    /// A new record came.
    pub(super) fn came(&mut self) {
        (self.reopened, self.skipped) = (0, 0);
        self.counts_from_first = false;
    }

    /// Whether the query may be opened again.
    pub(super) fn may_reopen(&mut self) -> bool {
        self.reopened += 1;
        self.reopened <= MAX_REOPENED
    }

    /// Whether one more record may be passed that can't be given. What it takes to come to that
    /// is no more than an answer that was due, so the query may be opened again.
    pub(super) fn may_skip(&mut self) -> bool {
        self.reopened = 0;
        self.skipped < MAX_SKIPPED
    }

    /// Whether the log may once more turn out to be recreated.
    pub(super) fn may_begin_anew(&mut self) -> bool {
        self.recreated += 1;
        self.recreated <= MAX_RECREATED
    }

    /// The record from which those are counted that can't be given; the first where there is
    /// none.
    pub(super) fn counted_from(&self, position: &Position) -> Option<Bookmark> {
        position.bookmark().cloned().filter(|_| !self.counts_from_first)
    }

    /// The record that was counted from is gone, too. False if that was so before.
    pub(super) fn count_anew(&mut self) -> bool {
        if self.missing.is_overwritten {
            return false;
        }
        // Those passed so far are counted again, if they aren't gone as well.
        (self.skipped, self.missing.too_large) = (0, 0);
        true
    }

    /// Passes one more record that can't be given. Returns how many records the one after it is
    /// from where they are counted.
    pub(super) fn skip(&mut self, from: Option<&Bookmark>) -> u32 {
        self.missing.too_large += 1;
        self.skipped += 1;
        // The bookmark's own record is at 0.
        self.skipped + u32::from(from.is_some())
    }
}
