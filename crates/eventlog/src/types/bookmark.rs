//! Places in logs: where a reader stands, and where one begins.

use quarry_event::{EventTime, RecordId};

use super::LogName;

/// Where a reader stands in one log: on the last record that it has read.
///
/// Numbers begin again in a log that was recreated, so a number alone may name another record than
/// the one that was read. The record's time tells the two apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Cursor {
    /// The record's number; 0 before the first record.
    pub record: RecordId,
    /// The record's time, as its source has it: `TimeCreated` from a server or this machine, the
    /// record header's from a file. `None` where it isn't known, and then isn't compared.
    pub time: Option<EventTime>,
}

impl Cursor {
    /// A record of which only the number is known.
    pub fn at(record: impl Into<RecordId>) -> Self {
        Cursor { record: record.into(), time: None }
    }

    /// Whether the record of this number, which has the time `found`, can't be the cursor's.
    pub(crate) fn is_another(&self, found: Option<EventTime>) -> bool {
        matches!((self.time, found), (Some(time), Some(found)) if time != found)
    }
}

impl From<u64> for Cursor {
    fn from(number: u64) -> Self {
        Cursor::at(number)
    }
}

impl From<RecordId> for Cursor {
    fn from(record: RecordId) -> Self {
        Cursor::at(record)
    }
}

/// Where a reader stands in each log of its query.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bookmark {
    /// One for each log of which something was read.
    pub entries: Vec<BookmarkEntry>,
}

/// Where a reader stands in one log of its query.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BookmarkEntry {
    /// The log.
    pub log: LogName,
    /// The last record that was read of it.
    pub cursor: Cursor,
    /// Whether the last record of all is this log's.
    pub is_current: bool,
}

impl Bookmark {
    /// A bookmark in a single log.
    pub fn single(log: impl Into<LogName>, cursor: impl Into<Cursor>) -> Self {
        let entry = BookmarkEntry { log: log.into(), cursor: cursor.into(), is_current: true };
        Bookmark { entries: vec![entry] }
    }

    /// Where the reader stands in a log; names of logs ignore case.
    pub fn of(&self, log: &LogName) -> Option<&BookmarkEntry> {
        self.entries.iter().find(|entry| entry.log.0.eq_ignore_ascii_case(&log.0))
    }

    /// Where the reader stands in the log that the last record of all is from.
    pub fn current(&self) -> Option<&BookmarkEntry> {
        match &*self.entries {
            [only] => Some(only),
            entries => entries.iter().find(|entry| entry.is_current),
        }
    }

    /// Writes the XML that servers and Windows read (MS-EVEN6 2.2.14).
    pub(crate) fn to_xml(&self) -> String {
        let entry = |entry: &BookmarkEntry| quarry_even::BookmarkEntry {
            channel: entry.log.0.clone(),
            record_id: entry.cursor.record.0,
            is_current: entry.is_current,
        };
        quarry_even::Bookmark { entries: self.entries.iter().map(entry).collect() }.to_xml()
    }
}
