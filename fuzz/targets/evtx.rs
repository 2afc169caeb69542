//! A whole log file, read forwards and backwards, without and with its slack.

use std::io::Cursor;

use quarry_event::{FieldSource, PartialSource, RecordId};
use quarry_eventlog::{BatchReader, Damage, Direction, FileDamage, FileLog, LogName, Visitor};

use super::use_event::{Known, compare_head, known, use_event};

/// Batches read of a file, so that one run is short.
const BATCHES: usize = 4;

pub fn run(data: &[u8]) {
    read_file(data, false);
    read_file(data, true);
}

pub fn read_file(data: &[u8], recover: bool) {
    let name = LogName("fuzz".to_owned());
    let Ok(log) = FileLog::new("fuzz".to_owned(), name, Cursor::new(data.to_vec())) else { return };
    let log = if recover { log.recovering().expect("it can be read") } else { log };
    let mut reader = BatchReader::default();
    let mut read = |direction| {
        let mut user = User { size: data.len() as u64, numbers: Vec::new(), recover, head: None };
        let mut batches = log.batches(direction);
        for batch in batches.by_ref().take(BATCHES) {
            reader.read(&batch, &mut user);
        }
        // What is recovered comes by itself, and may be in many batches.
        batches.next().is_none().then_some(user.numbers)
    };
    if let (Some(forward), Some(mut backward)) =
        (read(Direction::Forward), read(Direction::Backward))
    {
        backward.reverse();
        assert_eq!(forward, backward);
    }
}

struct User {
    size: u64,
    numbers: Vec<Option<u64>>,
    recover: bool,
    head: Option<Known>,
}

impl Visitor for User {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        self.head = Some(known(event, &[None]));
        true
    }

    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, log_record: Option<RecordId>) {
        use_event(event);
        if let Some(head) = self.head.take() {
            compare_head(&head, &known(event, &[None]));
        }
        self.numbers.push(log_record.map(|record| record.0));
    }

    fn recovered<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
        assert!(self.recover, "nobody asked for slack");
        self.event(event, log, log_record);
    }

    fn damage(&mut self, damage: &Damage) {
        self.head = None;
        let Damage::File(FileDamage(damage)) = damage else { panic!("{damage}: of a file") };
        assert!(damage.offset <= self.size, "{damage}");
        assert!(!damage.to_string().is_empty());
    }
}
