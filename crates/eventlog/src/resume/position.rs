//! Where a reader stands in a result set: what makes a bookmark, and what shows that nothing
//! comes twice.

use quarry_event::EventTime;

use super::cursor::{Fetched, Place};
use crate::batch::Batch;
use crate::types::{Bookmark, BookmarkEntry, Cursor, Direction, LogName, RecordId};

/// The last record of each log of a result set.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    direction: Direction,
    /// The last record of each log.
    last: Vec<(LogName, Option<Cursor>)>,
    /// The log that the very last record is from.
    current: usize,
    bookmark: Option<Bookmark>,
}

impl Position {
    /// At the beginning, or after a bookmark.
    pub(crate) fn new(logs: Vec<LogName>, direction: Direction, after: Option<&Bookmark>) -> Self {
        let entry = |log: &LogName| after?.of(log);
        let current = logs.iter().position(|log| entry(log).is_some_and(|e| e.is_current));
        let last =
            logs.iter().map(|log| (log.clone(), entry(log).map(|entry| entry.cursor))).collect();
        Position { direction, last, current: current.unwrap_or(0), bookmark: after.cloned() }
    }

    /// The bookmark after the last record.
    pub(crate) fn bookmark(&self) -> Option<&Bookmark> {
        self.bookmark.as_ref()
    }

    /// The log and number of the last record. Of a single log, its name also before the first.
    pub(crate) fn last(&self) -> (Option<LogName>, Option<RecordId>) {
        match (&*self.last, self.last.get(self.current)) {
            // Number 0 stands before the first record.
            (_, Some((log, Some(cursor)))) if cursor.record.0 > 0 => {
                (Some(log.clone()), Some(cursor.record))
            }
            ([(log, _)], _) => (Some(log.clone()), None),
            _ => (None, None),
        }
    }

    /// Whether a log of the result set, by its place, has this name.
    pub(crate) fn is_log(&self, log: usize, name: Option<&LogName>) -> bool {
        self.last.get(log).is_some_and(|(log, _)| Some(log) == name)
    }

    /// The one log that is read from its oldest record on, where there are not several. After a
    /// record that is gone it goes on with the oldest that is left.
    pub(crate) fn only_log_forwards(&self) -> Option<&LogName> {
        match (&*self.last, self.direction) {
            ([(log, _)], Direction::Forward) => Some(log),
            _ => None,
        }
    }

    /// Whether records that came after a seek begin with one that has the number of the last, and
    /// isn't it: the log was recreated.
    pub(crate) fn is_another(&self, fetched: &Fetched) -> bool {
        let Some(first) = fetched.places.first() else { return false };
        match self.last.get(first.log) {
            Some((_, Some(last))) => {
                last.record == first.record && last.is_another(fetched.times[0])
            }
            _ => false,
        }
    }

    /// Forgets what was read: it was another log's.
    pub(crate) fn forget(&mut self) {
        self.last.iter_mut().for_each(|(_, last)| *last = None);
        self.bookmark = None;
    }

    /// Takes the record with the last one's number for that one, whatever its time.
    pub(crate) fn trust(&mut self) {
        self.last
            .iter_mut()
            .filter_map(|(_, last)| last.as_mut())
            .for_each(|last| last.time = None);
    }

    /// Takes records, without those that had come before already: gives what is left and the place
    /// of its first. After a seek (`resumed`) some may have come; else it is the source's fault,
    /// which could go on for ever.
    ///
    /// # Errors
    /// What makes no sense: numbers out of order, or a log that wasn't asked for.
    pub(crate) fn advance(
        &mut self,
        fetched: Fetched,
        resumed: bool,
    ) -> Result<Option<(Batch, Place)>, &'static str> {
        let Fetched { mut batch, places, times } = fetched;
        let mut is_new = Vec::with_capacity(places.len());
        for place in &places {
            is_new.push(self.take(*place, resumed)?);
        }
        let Some(first) = is_new.iter().position(|is_new| *is_new) else { return Ok(None) };
        // If it isn't new, another one before it is the last.
        let time = times[1].filter(|_| is_new.last() == Some(&true));
        self.settle(time);
        if is_new.contains(&false) {
            batch.keep(&is_new);
        }
        Ok(Some((batch, places[first])))
    }

    /// Takes a record, unless it had come before already.
    fn take(&mut self, place: Place, resumed: bool) -> Result<bool, &'static str> {
        let Some((_, last)) = self.last.get_mut(place.log) else {
            return Err("a record of a log that was not asked for");
        };
        let is_next = match (self.direction, *last) {
            (_, None) => true,
            (Direction::Forward, Some(last)) => place.record > last.record,
            (Direction::Backward, Some(last)) => place.record < last.record,
        };
        if is_next {
            *last = Some(Cursor::from(place.record));
            self.current = place.log;
        } else if !resumed {
            return Err("records whose numbers are out of order");
        }
        Ok(is_next)
    }

    /// Sets the bookmark after the records that were taken, the last of which has this time.
    fn settle(&mut self, time: Option<EventTime>) {
        if let Some((_, Some(last))) = self.last.get_mut(self.current) {
            last.time = time;
        }
        let entries = self.last.iter().enumerate().filter_map(|(n, (log, last))| {
            let is_current = n == self.current;
            last.map(|cursor| BookmarkEntry { log: log.clone(), cursor, is_current })
        });
        self.bookmark = Some(Bookmark { entries: entries.collect() });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{fetched, numbers};
    use super::*;

    fn logs(names: &[&str]) -> Vec<LogName> {
        names.iter().copied().map(LogName::from).collect()
    }

    #[test]
    fn a_bookmark_has_the_last_record_of_each_log_and_its_time() {
        let mut position = Position::new(logs(&["A", "B", "C"]), Direction::Forward, None);
        assert_eq!(position.bookmark(), None);
        assert_eq!(position.last(), (None, None));
        let mut records = fetched(&[(0, 5), (1, 900), (0, 6)], 3);
        let time = EventTime::parse("2026-08-22T10:00:00Z");
        records.times[1] = time;
        position.advance(records, false).unwrap();
        let entry = |log: &str, record, time, is_current| {
            let cursor = Cursor { record: RecordId(record), time };
            BookmarkEntry { log: log.into(), cursor, is_current }
        };
        let expected = [entry("A", 6, time, true), entry("B", 900, None, false)];
        assert_eq!(position.bookmark().unwrap().entries, expected);
        assert_eq!(position.last(), (Some("A".into()), Some(RecordId(6))));
    }

    #[test]
    fn after_a_seek_what_has_come_is_left_out_and_otherwise_it_is_an_error() {
        let after = Bookmark::single("a", 7);
        for (direction, fresh) in [(Direction::Forward, 8), (Direction::Backward, 6)] {
            let mut position = Position::new(logs(&["A"]), direction, Some(&after));
            let (came, first) =
                position.advance(fetched(&[(0, 7), (0, fresh)], 1), true).unwrap().unwrap();
            assert_eq!(numbers(&came), [(0, fresh)]);
            assert_eq!(first, Place { log: 0, record: RecordId(fresh) });
            assert!(position.advance(fetched(&[(0, 7)], 1), true).unwrap().is_none());
            assert!(position.advance(fetched(&[(0, 7)], 1), false).is_err());
        }
    }

    #[test]
    fn a_log_that_was_not_asked_for_is_an_error() {
        let mut position = Position::new(logs(&["A"]), Direction::Forward, None);
        assert!(position.advance(fetched(&[(1, 7)], 2), false).is_err());
    }

    proptest! {
        /// However a reader is interrupted, each record comes once.
        #[test]
        fn resumed_readers_get_each_record_once(
            records in prop::collection::vec(0u32..3, 1..60),
            cuts in prop::collection::vec(0usize..60, 0..5),
            back in 0usize..5,
        ) {
            let names = logs(&["A", "B", "C"]);
            let mut next = [0u64; 3];
            let records: Vec<(u32, u64)> = records.into_iter().map(|log| {
                next[log as usize] += 1;
                (log, next[log as usize])
            }).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c % records.len()).collect();
            cuts.sort_unstable();
            cuts.push(records.len());
            let (mut came, mut from) = (Vec::new(), 0usize);
            let mut after: Option<Bookmark> = None;
            for to in cuts {
                let mut position = Position::new(names.clone(), Direction::Forward, after.as_ref());
                let start = from.saturating_sub(if after.is_some() { back } else { 0 });
                let again = fetched(&records[start..to.max(start)], 3);
                if let Some((fresh, _)) = position.advance(again, true).unwrap() {
                    came.extend(numbers(&fresh));
                }
                after = position.bookmark().cloned();
                from = to.max(start).max(from);
            }
            prop_assert_eq!(came, records);
        }
    }
}
