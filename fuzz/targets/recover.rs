//! A file of any kind, searched for records forwards and backwards: each comes once, the same ones
//! either way, and none from outside of the file.

use std::io::Cursor;

use quarry_event::FieldSource;
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, LogName, RecordId, Visitor};

use super::use_event::use_event;

pub fn run(data: &[u8]) {
    let read = |direction| {
        let name = LogName("fuzz".to_owned());
        let log = FileLog::of_any("fuzz".to_owned(), name, Cursor::new(data.to_vec())).ok()?;
        let mut found = Found::default();
        let mut reader = BatchReader::default();
        log.batches(direction).for_each(|batch| reader.read(&batch, &mut found));
        // The templates of a file serve itself as another's.
        assert!(log.definitions(|| true).is_ok());
        Some(found.numbers)
    };
    let (forward, mut backward) = (read(Direction::Forward), read(Direction::Backward));
    if let Some(backward) = &mut backward {
        backward.reverse();
    }
    assert_eq!(forward, backward);
    // A record has 29 bytes at least.
    assert!(forward.is_none_or(|numbers| numbers.len() <= data.len() / 29));
}

#[derive(Default)]
struct Found {
    numbers: Vec<Option<u64>>,
}

impl Visitor for Found {
    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, log_record: Option<RecordId>) {
        use_event(event);
        self.numbers.push(log_record.map(|record| record.0));
    }

    fn recovered<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
        self.event(event, log, log_record);
    }

    fn damage(&mut self, damage: &Damage) {
        assert!(!damage.to_string().is_empty());
    }
}
