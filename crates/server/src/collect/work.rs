//! Rows of the table, made of events on every core.

use std::sync::Arc;

use quarry_collect::{Found, Output, Work};
use quarry_event::{EventTime, FieldSource};
use quarry_store::{EventMeta, Rows, StoreError};

/// Makes a row of each event.
#[derive(Debug)]
pub(crate) struct MakeRows {
    /// Names of event data with a column of their own.
    pub(crate) columns: Arc<[String]>,
}

/// The most bytes of rows whose memory is kept to be used again.
const MOST_KEPT: usize = 128 << 10;

/// Rows of some events of a log.
#[derive(Debug, Default)]
pub(crate) struct Made {
    rows: Option<Rows>,
    /// When the first of the events was read: they are of one batch.
    received: Option<EventTime>,
    /// Why the first of those that couldn't be made was not.
    pub(crate) failed: Option<StoreError>,
}

impl Made {
    /// The rows, where there are any.
    pub(crate) fn rows(&mut self) -> Option<&mut Rows> {
        self.rows.as_mut().filter(|rows| !rows.is_empty())
    }
}

impl Work for MakeRows {
    type Worker = ();
    type Output = Made;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), event: &S, found: &Found<'_>, made: &mut Made) {
        let result = match &mut made.rows {
            Some(rows) => Ok(rows),
            none => Rows::new(&self.columns).map(|rows| none.insert(rows)),
        };
        let received = *made.received.get_or_insert_with(now);
        let meta = EventMeta { origin: found.origin, received, texts: found.texts };
        if let Err(error) = result.and_then(|rows| rows.event(event, &meta)) {
            made.failed.get_or_insert(error);
        }
    }
}

/// The time now.
pub(crate) fn now() -> EventTime {
    EventTime::from_timestamp(jiff::Timestamp::now())
}

impl Output for Made {
    fn bytes(&self) -> usize {
        self.rows.as_ref().map_or(0, Rows::bytes)
    }

    fn clear(&mut self) {
        self.failed = None;
        self.received = None;
        self.rows = self.rows.take().filter(|rows| rows.bytes() <= MOST_KEPT);
        self.rows.iter_mut().for_each(Rows::clear);
    }

    fn truncate(&mut self, events: u64) {
        if let Some(rows) = &mut self.rows {
            rows.truncate(usize::try_from(events).unwrap_or(usize::MAX));
        }
    }
}
