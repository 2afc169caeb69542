//! How far each log of each source has been read, and how a table keeps it.
//!
//! A bookmark is two Delta `txn` actions: `SOURCE|LOG`, whose version is the generation and the
//! record's number, and `SOURCE|LOG|time`, whose version is the record's FILETIME. The first is what
//! the fence compares; it never goes down.

use quarry_event::{EventTime, RecordId};

use crate::StoreError;

/// How far a log has been read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bookmark {
    /// The source, as events name it.
    pub source: String,
    /// The log there.
    pub log: String,
    /// How often the log was created anew or cleared, since its numbers begin again then.
    pub generation: u32,
    /// The number of the last record that was read; 0 before the first.
    pub record: RecordId,
    /// That record's time, where its source gave one.
    pub time: Option<EventTime>,
}

/// How far rows that are pushed bring a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// The source, as events name it.
    pub source: String,
    /// The log there.
    pub log: String,
    /// The last record that the rows have, or that nobody wants, and its time.
    pub to: (RecordId, Option<EventTime>),
    /// Whether the log was created anew or cleared since the last move, so that numbers began again.
    pub new_generation: bool,
}

/// A log of a source.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) source: String,
    pub(crate) log: String,
}

/// Where a log's bookmark is: generation and number in one, and the record's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mark {
    pub(crate) value: i64,
    pub(crate) time: Option<EventTime>,
}

/// The bits of a record's number.
const RECORD_BITS: u32 = 40;
const TIME: &str = "time";

impl Key {
    pub(crate) fn new(source: &str, log: &str) -> Self {
        Key { source: source.to_owned(), log: log.to_owned() }
    }

    /// The identifier of the action that the fence compares.
    pub(crate) fn app_id(&self) -> String {
        format!("{}|{}", escape(&self.source), escape(&self.log))
    }

    /// The identifier of the action that has the time.
    pub(crate) fn time_id(&self) -> String {
        format!("{}|{TIME}", self.app_id())
    }

    /// The key of an action, and whether it is the one with the time; nothing for an action that is
    /// no bookmark.
    pub(crate) fn parse(app_id: &str) -> Option<(Key, bool)> {
        let mut parts = app_id.split('|');
        let key = Key { source: unescape(parts.next()?), log: unescape(parts.next()?) };
        match (parts.next(), parts.next()) {
            (None, _) => Some((key, false)),
            (Some(TIME), None) => Some((key, true)),
            _ => None,
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('|', "%7C")
}

fn unescape(text: &str) -> String {
    text.replace("%7C", "|").replace("%25", "%")
}

impl Mark {
    pub(crate) fn generation(self) -> u32 {
        u32::try_from(self.value >> RECORD_BITS).unwrap_or_default()
    }

    pub(crate) fn record(self) -> u64 {
        (self.value & ((1 << RECORD_BITS) - 1)) as u64
    }

    pub(crate) fn bookmark(self, key: &Key) -> Bookmark {
        Bookmark {
            source: key.source.clone(),
            log: key.log.clone(),
            generation: self.generation(),
            record: RecordId(self.record()),
            time: self.time,
        }
    }

    /// Where a move brings a log.
    pub(crate) fn moved(self, to: &Move) -> Result<Mark, StoreError> {
        let too_large = |what: String| StoreError::TooLarge {
            source_name: to.source.clone(),
            log: to.log.clone(),
            what,
        };
        let (RecordId(record), time) = to.to;
        if record >> RECORD_BITS != 0 {
            return Err(too_large(format!("record {record}")));
        }
        let generation = i64::from(self.generation()) + i64::from(to.new_generation);
        if generation >> (63 - RECORD_BITS) != 0 {
            return Err(too_large(format!("generation {generation}")));
        }
        let value = generation << RECORD_BITS | record as i64;
        if value < self.value {
            return Err(StoreError::Backwards {
                source_name: to.source.clone(),
                log: to.log.clone(),
                at: self.record(),
                to: record,
            });
        }
        Ok(Mark { value, time })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(record: u64, new_generation: bool) -> Move {
        Move { source: "s".into(), log: "l".into(), to: (RecordId(record), None), new_generation }
    }

    proptest! {
        #[test]
        fn any_source_and_log_come_back_from_their_identifier(
            source in "[ -~|%é]{0,12}", log in "[ -~|%é]{0,12}"
        ) {
            let key = Key::new(&source, &log);
            prop_assert_eq!(Key::parse(&key.app_id()), Some((key.clone(), false)));
            prop_assert_eq!(Key::parse(&key.time_id()), Some((key, true)));
        }

        #[test]
        fn a_bookmark_never_goes_down(moves in prop::collection::vec((0..1u64 << 41, any::<bool>()), 0..20)) {
            let mut mark = Mark::default();
            for (record, new_generation) in moves {
                let generation = mark.generation();
                match mark.moved(&to(record, new_generation)) {
                    Ok(next) => {
                        prop_assert!(next.value >= mark.value);
                        prop_assert_eq!(next.record(), record);
                        prop_assert_eq!(next.generation(), generation + u32::from(new_generation));
                        mark = next;
                    }
                    Err(StoreError::TooLarge { .. }) => prop_assert!(record >= 1 << 40),
                    Err(StoreError::Backwards { .. }) => {
                        prop_assert!(record < mark.record() && !new_generation);
                    }
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
        }
    }

    #[test]
    fn other_actions_are_no_bookmarks() {
        for app_id in ["", "quarry-log:x", "a|b|c", "a|b|time|x"] {
            assert_eq!(Key::parse(app_id), None, "{app_id}");
        }
    }

    #[test]
    fn generations_end() {
        let last = Mark { value: i64::MAX, time: None };
        assert!(matches!(last.moved(&to(0, true)), Err(StoreError::TooLarge { .. })));
    }
}
