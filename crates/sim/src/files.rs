//! Logs out of `.evtx` files, as a simulated server sends them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use quarry_binxml::Decoder;
use quarry_binxml::write::{Fragment, templated, wire};
use quarry_event::{Event, EventTime, Field, FieldSource};
use quarry_logfile::{EvtxLog, Item, OpenError};

/// The logs of some files, which any number of servers share.
///
/// A file's events are in the log that each names as its channel. They keep their record numbers,
/// except where a log has had that number or a higher one: there numbers go on. They keep their
/// computers' names, too.
#[derive(Debug, Default)]
pub struct FileLogs {
    pub(crate) logs: BTreeMap<String, FileLog>,
    skipped: u64,
}

/// The records of one log.
#[derive(Debug, Default)]
pub(crate) struct FileLog {
    /// In ascending order of the numbers.
    pub(crate) records: Vec<FileRecord>,
    bytes: Vec<u8>,
}

/// A record in [`FileLog::bytes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRecord {
    pub(crate) number: u64,
    pub(crate) time: EventTime,
    start: usize,
    end: usize,
}

/// What a record's number stays below.
const MAX_NUMBER: u64 = 1 << 48;

/// A file that can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It can't be opened as a file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no log.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl FileLogs {
    /// Adds a file's events.
    ///
    /// # Errors
    /// [`FileError`]. Damage in the file is no error; [`skipped`](Self::skipped) counts it.
    pub fn add(&mut self, path: &Path) -> Result<(), FileError> {
        let log = EvtxLog::open(std::fs::File::open(path)?)?;
        let (mut buffer, mut items) = (Vec::new(), Vec::new());
        let mut decoder = Decoder::new();
        for n in 0..log.chunks() {
            let Ok(chunk) = log.chunk(n, &mut buffer) else {
                self.skipped += 1;
                continue;
            };
            chunk.items(&mut items);
            let mut records = decoder.chunk(chunk.bytes());
            for item in &items {
                let Item::Record(header) = item else {
                    self.skipped += 1;
                    continue;
                };
                let Ok(record) = records.event(header.binxml.clone()) else {
                    self.skipped += 1;
                    continue;
                };
                let channel = record.field(Field::Channel).to_string();
                let event = Event::from_source(&record);
                let log = self.logs.entry(channel).or_default();
                if !log.push(header.number, header.written, &event) {
                    self.skipped += 1;
                }
            }
        }
        Ok(())
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.logs.values().map(|log| log.records.len() as u64).sum()
    }

    /// How many records, or damaged places, were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl FileLog {
    /// False for an event that can't be written.
    fn push(&mut self, number: u64, time: EventTime, event: &Event) -> bool {
        let start = self.bytes.len();
        if encode(event, &mut self.bytes).is_none() {
            return false;
        }
        let least = self.records.last().map_or(1, |last| last.number + 1);
        // A number from damage must not leave none for those behind it.
        let number = if number < MAX_NUMBER { number.max(least) } else { least };
        let end = self.bytes.len();
        self.records.push(FileRecord { number, time, start, end });
        true
    }

    pub(crate) fn binxml(&self, record: FileRecord) -> &[u8] {
        &self.bytes[record.start..record.end]
    }
}

/// Appends an event as MS-EVEN6 sends it; nothing for one that can't be written.
pub(crate) fn encode(event: &Event, out: &mut Vec<u8>) -> Option<()> {
    // What doesn't go into a template's values goes as it is.
    let fragment = match templated(event) {
        Ok(templated) => Fragment::from(templated),
        Err(_) => Fragment::Element((&event.root).into()),
    };
    wire(&fragment, out).ok()
}
