//! One record of a log file by its number: `LOG.evtx#812`.

use std::path::Path;

use quarry_event::{Event, FieldSource};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};

use crate::error::Failure;

/// The file and the number that a text names, if it does.
pub fn named(text: &str) -> Option<(&str, u64)> {
    let (path, record) = text.rsplit_once('#')?;
    Some((path, record.parse().ok()?)).filter(|(path, _)| !path.is_empty())
}

/// The event with a number in a file.
///
/// # Errors
/// The file can't be read, or has no such record.
pub fn find(path: &str, record: u64) -> Result<Event, Failure> {
    struct Find {
        record: u64,
        found: Option<Event>,
    }
    impl Visitor for Find {
        fn event<S: FieldSource>(&mut self, event: &S, _: &str, log_record: Option<u64>) {
            if log_record == Some(self.record) && self.found.is_none() {
                self.found = Some(Event::from_source(event));
            }
        }
        fn damage(&mut self, _: &Damage) {}
    }
    let log = FileLog::open(Path::new(path)).map_err(|error| {
        let text = error.to_string();
        // Without the number of the system's error.
        let text = text.split(" (os error ").next().unwrap_or(&text);
        let failure = Failure::new(format!("{path}: {text}"));
        match !Path::new(path).exists() && path.contains(':') {
            true => failure.hint("an event is named by a log file; of a server's, give its time"),
            false => failure.hint("an event is named by a log file and its record: 'LOG.evtx#812'"),
        }
    })?;
    let mut find = Find { record, found: None };
    let mut reader = BatchReader::default();
    for batch in log.batches(Direction::Forward) {
        reader.read(&batch, &mut find);
        if find.found.is_some() {
            break;
        }
    }
    find.found.ok_or_else(|| Failure::new(format!("{path} has no record {record}")))
}
