//! One record of a log file by its number: `LOG.evtx#812`.

use std::path::Path;

use quarry_event::{Event, Field, FieldSource, RecordId};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};

use crate::error::Failure;

/// The file and the number that a text names, if it does.
pub fn named(text: &str) -> Option<(&str, u64)> {
    let (path, record) = text.rsplit_once('#')?;
    Some((path, record.parse().ok()?)).filter(|(path, _)| !path.is_empty())
}

/// The event with a number in a file: the record's in the file, or else the one that the event itself
/// has, which differs where a log was exported.
///
/// # Errors
/// The file can't be read, has no such record, or several events have that number.
pub fn find(path: &str, record: u64) -> Result<Event, Failure> {
    struct Find {
        record: u64,
        found: Option<Event>,
        /// The first event that has the number itself, and how many do.
        own: Option<Event>,
        owners: u64,
    }
    impl Visitor for Find {
        fn event<S: FieldSource>(&mut self, event: &S, _: &str, log_record: Option<RecordId>) {
            if log_record == Some(RecordId(self.record)) && self.found.is_none() {
                self.found = Some(Event::from_source(event));
            } else if event.field(Field::RecordId).as_u64() == Some(self.record) {
                self.owners += 1;
                self.own.get_or_insert_with(|| Event::from_source(event));
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
    let mut find = Find { record, found: None, own: None, owners: 0 };
    let mut reader = BatchReader::default();
    for batch in log.batches(Direction::Forward) {
        reader.read(&batch, &mut find);
        if find.found.is_some() {
            break;
        }
    }
    match (find.found, find.own, find.owners) {
        (Some(event), ..) | (None, Some(event), 1) => Ok(event),
        (None, Some(_), owners) => Err(Failure::new(format!(
            "{path} has no record {record}, and {owners} events with this number"
        ))
        .hint("name the record by its number in the file, as `log_record` has it")),
        (None, None, _) => Err(Failure::new(format!("{path} has no record {record}"))),
    }
}
