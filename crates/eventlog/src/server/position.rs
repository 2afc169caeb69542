//! Where a reader stands in a result set: what makes a bookmark, and what shows that nothing
//! comes twice.

use quarry_even::wire::EventBatch;
use quarry_even::{Bookmark, BookmarkEntry, ResultSetRecord};

use crate::error::LogError;
use crate::log::{Direction, LogName};

/// The last record of each log of a result set.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    direction: Direction,
    /// The number of the last record of each log, and whether the very last is that log's.
    last: Vec<(LogName, Option<u64>)>,
    current: usize,
    bookmark: Option<Bookmark>,
}

impl Position {
    /// At the beginning, or behind a bookmark.
    pub(crate) fn new(logs: Vec<LogName>, direction: Direction, after: Option<&Bookmark>) -> Self {
        let entry = |log: &LogName| {
            after?.entries.iter().find(|entry| entry.channel.eq_ignore_ascii_case(&log.0))
        };
        let current = logs.iter().position(|log| entry(log).is_some_and(|e| e.is_current));
        let last =
            logs.iter().map(|log| (log.clone(), entry(log).map(|entry| entry.record_id))).collect();
        Position { direction, last, current: current.unwrap_or(0), bookmark: after.cloned() }
    }

    /// The bookmark behind the last record.
    pub(crate) fn bookmark(&self) -> Option<&Bookmark> {
        self.bookmark.as_ref()
    }

    /// The log and number of the last record.
    pub(crate) fn last(&self) -> (Option<LogName>, Option<u64>) {
        match self.last.get(self.current) {
            Some((log, Some(number))) => (Some(log.clone()), Some(*number)),
            _ => (None, None),
        }
    }

    /// The one log that is read from its oldest record on, where there are not several. Behind a
    /// record that is gone it goes on with the oldest that is left.
    pub(crate) fn only_log_forwards(&self) -> Option<&LogName> {
        match (&*self.last, self.direction) {
            ([(log, _)], Direction::Forward) => Some(log),
            _ => None,
        }
    }

    /// Takes a batch: checks it whole, and leaves out what had come before already. After a seek
    /// that comes about (`resumed`); else it is the server's fault, which could go on for ever.
    pub(crate) fn advance(
        &mut self,
        batch: EventBatch,
        resumed: bool,
    ) -> Result<EventBatch, LogError> {
        let mut again = Vec::new();
        for (n, bytes) in batch.records().enumerate() {
            let record = ResultSetRecord::parse(bytes).map_err(quarry_even::Error::from)?;
            let current = record.position.current_channel as usize;
            if !self.take(current, record.position.record_id(), resumed)? {
                again.push(n);
            }
        }
        if again.len() < batch.len() {
            self.settle();
        }
        if again.is_empty() {
            return Ok(batch);
        }
        let (offsets, sizes, buffer) = batch.into_parts();
        let kept = |values: Vec<u32>| {
            let mut again = again.iter().peekable();
            let keep = |(n, _): &(usize, u32)| again.next_if_eq(&n).is_none();
            values.into_iter().enumerate().filter(keep).map(|(_, value)| value).collect::<Vec<_>>()
        };
        // What lay within the buffer still does.
        let batch = EventBatch::new(kept(offsets), kept(sizes), buffer);
        batch.map_err(|_| LogError::Nonsense("a record outside of its batch"))
    }

    /// Takes a record of one of the logs, by its place, unless it had come before already.
    pub(crate) fn take(
        &mut self,
        current: usize,
        number: u64,
        resumed: bool,
    ) -> Result<bool, LogError> {
        let Some((_, last)) = self.last.get_mut(current) else {
            return Err(LogError::Nonsense("a record of a log that was not asked for"));
        };
        let is_next = match (self.direction, *last) {
            (_, None) => true,
            (Direction::Forward, Some(last)) => number > last,
            (Direction::Backward, Some(last)) => number < last,
        };
        if is_next {
            *last = Some(number);
            self.current = current;
        } else if !resumed {
            return Err(LogError::Nonsense("records whose numbers are out of order"));
        }
        Ok(is_next)
    }

    /// Sets the bookmark behind the records that were taken.
    pub(crate) fn settle(&mut self) {
        self.bookmark = Some(self.make_bookmark());
    }

    fn make_bookmark(&self) -> Bookmark {
        let entries = self.last.iter().enumerate().filter_map(|(n, (log, last))| {
            let is_current = n == self.current;
            last.map(|record_id| BookmarkEntry { channel: log.0.clone(), record_id, is_current })
        });
        Bookmark { entries: entries.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(records: &[(u32, u64)], logs: usize) -> EventBatch {
        let mut buffer = Vec::new();
        let mut sizes = Vec::new();
        for &(log, number) in records {
            let before = buffer.len();
            let mut ids = vec![0; logs];
            ids[log as usize] = number;
            quarry_even::encode_record(&mut buffer, &[0x0f], &[], &ids, log, false);
            sizes.push((buffer.len() - before) as u32);
        }
        EventBatch::contiguous(sizes, buffer).unwrap()
    }

    fn numbers(batch: &EventBatch) -> Vec<(u32, u64)> {
        let parse = |bytes| ResultSetRecord::parse(bytes).unwrap().position;
        batch.records().map(parse).map(|p| (p.current_channel, p.record_id())).collect()
    }

    fn logs(names: &[&str]) -> Vec<LogName> {
        names.iter().copied().map(LogName::from).collect()
    }

    #[test]
    fn a_bookmark_has_the_last_record_of_each_log() {
        let mut position = Position::new(logs(&["A", "B", "C"]), Direction::Forward, None);
        assert_eq!(position.bookmark(), None);
        position.advance(batch(&[(0, 5), (1, 900), (0, 6)], 3), false).unwrap();
        let entry = |channel: &str, record_id, is_current| BookmarkEntry {
            channel: channel.into(),
            record_id,
            is_current,
        };
        let expected = [entry("A", 6, true), entry("B", 900, false)];
        assert_eq!(position.bookmark().unwrap().entries, expected);
        assert_eq!(position.last(), (Some("A".into()), Some(6)));
    }

    #[test]
    fn after_a_seek_what_has_come_is_left_out_and_otherwise_it_is_an_error() {
        let after = Bookmark::single("a", 7);
        for (direction, fresh) in [(Direction::Forward, 8), (Direction::Backward, 6)] {
            let mut position = Position::new(logs(&["A"]), direction, Some(&after));
            let came = position.advance(batch(&[(0, 7), (0, fresh)], 1), true).unwrap();
            assert_eq!(numbers(&came), [(0, fresh)]);
            let wrong = position.advance(batch(&[(0, 7)], 1), false);
            assert!(matches!(wrong, Err(LogError::Nonsense(_))), "{wrong:?}");
        }
    }

    #[test]
    fn a_log_that_was_not_asked_for_is_an_error() {
        let mut position = Position::new(logs(&["A"]), Direction::Forward, None);
        assert!(position.advance(batch(&[(1, 7)], 2), false).is_err());
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
                let fresh = position.advance(batch(&records[start..to.max(start)], 3), true).unwrap();
                came.extend(numbers(&fresh));
                after = position.bookmark().cloned();
                from = to.max(start).max(from);
            }
            prop_assert_eq!(came, records);
        }
    }
}
