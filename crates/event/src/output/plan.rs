//! What the events of a [kind](PartialSource::kind) have alike in the columns that were chosen, made once: a
//! computer's name, a provider, and the names of members around them are one text. Of an event only what is
//! its own is looked at.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::PartialSource;

/// How rows are made of columns.
pub(super) trait Row<S: PartialSource> {
    /// How many columns there are.
    fn columns(&self) -> usize;

    /// Writes what stands before a column's value.
    fn before(&self, column: usize, out: &mut Vec<u8>);

    /// Writes a column's value, if what is known of an event is enough; otherwise something may have been
    /// written.
    fn value(&mut self, column: usize, source: &S, out: &mut Vec<u8>) -> bool;

    /// Writes what stands after the last column.
    fn end(&self, out: &mut Vec<u8>);

    /// Whether a column's value is the same for all events of the event's kind.
    fn is_fixed(&self, column: usize, source: &S) -> bool;
}

/// Which columns were chosen, and how they are written: no two choices have one number.
#[derive(Debug)]
pub(super) struct Choice(u64);

impl Choice {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Choice(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The plans of a thread: one for each hash of a kind.
#[derive(Default, Debug)]
pub(super) struct Plans(Vec<Option<Plan>>);

/// The row of an event of a kind: text, and then the value of a column, again and again.
#[derive(Debug)]
struct Plan {
    choice: u64,
    kind: u64,
    steps: Vec<(Vec<u8>, usize)>,
    end: Vec<u8>,
}

impl Plans {
    /// Plans that are kept.
    const MOST: usize = 64;
    /// The bytes of a value beyond which it is written anew for each event.
    const MOST_BYTES: usize = 512;

    /// Writes the row of an event, if what is known of it is enough; otherwise something may have been written.
    #[inline]
    pub(super) fn write<S: PartialSource, R: Row<S>>(
        &mut self,
        choice: &Choice,
        mut row: R,
        source: &S,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(kind) = source.kind() else {
            let mut values = 0..row.columns();
            let is_known = values.all(|column| {
                row.before(column, out);
                value(&mut row, column, source, out)
            });
            row.end(out);
            return is_known;
        };
        let place = kind as usize % Self::MOST;
        let plan = match self.0.get(place) {
            Some(Some(plan)) if plan.kind == kind && plan.choice == choice.0 => plan,
            _ => self.make(choice, kind, &mut row, source),
        };
        for (before, column) in &plan.steps {
            out.extend_from_slice(before);
            if !row.value(*column, source, out) {
                return false;
            }
        }
        out.extend_from_slice(&plan.end);
        true
    }

    #[cold]
    fn make<S: PartialSource, R: Row<S>>(
        &mut self,
        choice: &Choice,
        kind: u64,
        row: &mut R,
        source: &S,
    ) -> &Plan {
        let (mut steps, mut text) = (Vec::new(), Vec::new());
        for column in 0..row.columns() {
            row.before(column, &mut text);
            let start = text.len();
            let is_written = row.is_fixed(column, source)
                && value(row, column, source, &mut text)
                && text.len() - start <= Self::MOST_BYTES;
            if !is_written {
                text.truncate(start);
                steps.push((std::mem::take(&mut text), column));
            }
        }
        row.end(&mut text);
        self.0.resize_with(Self::MOST, || None);
        let plan = Plan { choice: choice.0, kind, steps, end: text };
        self.0[kind as usize % Self::MOST].insert(plan)
    }
}

/// [`Row::value`] where few events come.
#[inline(never)]
fn value<S: PartialSource>(
    row: &mut impl Row<S>,
    column: usize,
    source: &S,
    out: &mut Vec<u8>,
) -> bool {
    row.value(column, source, out)
}
