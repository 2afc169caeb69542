//! `--unique`: each event once, however many copies of its log there are.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use quarry_event::text::Plain;
use quarry_event::{Field, FieldSource, Origin};

use crate::console::{Console, grouped};

/// What an event is told by: its computer, channel, record number and time. An event that has no
/// record number is told by the one that it has in the log it was read from.
///
/// It is a hash of 128 bits under a key that each run draws, so that nobody can make two events
/// have the same.
#[derive(Default)]
pub(crate) struct Identifier {
    keys: [RandomState; 2],
}

impl Identifier {
    pub(crate) fn of<S: FieldSource>(
        &self,
        event: &S,
        origin: &Origin<'_>,
        scratch: &mut Vec<u8>,
    ) -> u128 {
        scratch.clear();
        for field in [Field::Computer, Field::Channel] {
            event.field(field).push::<Plain>(scratch);
            scratch.push(0);
        }
        let record =
            event.field(Field::RecordId).as_u64().or(origin.log_record.map(|record| record.0));
        let time = event.field(Field::TimeCreated).as_time().map(|time| time.as_filetime());
        for number in [record, time] {
            scratch.push(number.is_some().into());
            scratch.extend_from_slice(&number.unwrap_or_default().to_le_bytes());
        }
        let [high, low] = self.keys.each_ref().map(|key| u128::from(key.hash_one(&*scratch)));
        high << 64 | low
    }
}

/// The events that were printed.
pub(crate) struct Unique {
    seen: HashSet<u128, BuildHasherDefault<AsItIs>>,
    /// How many are remembered at most.
    most: usize,
    copies: u64,
    is_full: bool,
}

impl Default for Unique {
    fn default() -> Self {
        Unique::of_most(Unique::MOST)
    }
}

impl Unique {
    /// The most events that are remembered: the set then has as many places as 2^25, in 544 MiB.
    const MOST: usize = (1 << 25) / 8 * 7;

    fn of_most(most: usize) -> Self {
        Unique { seen: HashSet::default(), most, copies: 0, is_full: false }
    }

    /// Whether an event is none that was seen before; remembers it. Once there are too many to
    /// remember, events that come for the first time are new each time.
    pub(crate) fn is_new(&mut self, identity: u128) -> bool {
        let is_new = match self.seen.len() < self.most {
            true => self.seen.insert(identity),
            false => {
                let is_new = !self.seen.contains(&identity);
                self.is_full |= is_new;
                is_new
            }
        };
        self.copies += u64::from(!is_new);
        is_new
    }

    /// Says how many copies were left out, and whether all could be.
    pub(crate) fn summarize(&self, console: &Console) {
        if self.copies > 0 {
            console.note(&format!("  {} copies left out", grouped(self.copies)));
        }
        if self.is_full {
            console.warning(&format!(
                "--unique: only the first {} events were remembered; of those after them, copies \
                 are printed too",
                grouped(self.most as u64)
            ));
        }
    }
}

/// Identities are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, identity: u128) {
        self.0 = identity as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarry_event::{Event, RecordId};

    fn event(computer: &str, channel: &str, record: u64, time: &str) -> Event {
        let xml = format!(
            "<Event xmlns='{}'><System><TimeCreated SystemTime='{time}'/><EventRecordID>{record}\
             </EventRecordID><Channel>{channel}</Channel><Computer>{computer}</Computer></System>\
             </Event>",
            Event::NAMESPACE
        );
        quarry_event::testing::event(&xml)
    }

    fn origin(log_record: Option<RecordId>) -> Origin<'static> {
        Origin { source: "a.evtx", host: None, log: "a", log_record, recovered: false }
    }

    #[test]
    fn an_event_is_told_by_computer_channel_record_and_time() {
        let identifier = Identifier::default();
        let origin = origin(None);
        let mut scratch = Vec::new();
        let mut of = |event: &Event| identifier.of(event, &origin, &mut scratch);
        let time = "2026-08-22T10:00:00.1234567Z";
        let one = of(&event("DC01", "System", 7, time));
        assert_eq!(of(&event("DC01", "System", 7, time)), one);
        for other in [
            event("DC02", "System", 7, time),
            event("DC01", "Security", 7, time),
            event("DC01", "System", 8, time),
            event("DC01", "System", 7, "2026-08-22T10:00:00.1234568Z"),
            // What stands in one field and what in the next is told apart.
            event("DC01S", "ystem", 7, time),
        ] {
            assert_ne!(of(&other), one);
        }
    }

    #[test]
    fn an_event_without_a_number_is_told_by_the_one_in_its_log() {
        let identifier = Identifier::default();
        let event = quarry_event::testing::event(&format!(
            "<Event xmlns='{}'><System><Computer>a</Computer></System></Event>",
            Event::NAMESPACE
        ));
        let mut scratch = Vec::new();
        let mut of = |record: Option<u64>| {
            identifier.of(&event, &origin(record.map(RecordId)), &mut scratch)
        };
        assert_eq!(of(Some(1)), of(Some(1)));
        assert_ne!(of(Some(1)), of(Some(2)));
    }

    #[test]
    fn past_the_bound_no_event_is_lost_and_it_is_told() {
        let mut unique = Unique::of_most(2);
        assert!(unique.is_new(1) && unique.is_new(2) && !unique.is_new(1));
        assert!(!unique.is_full);
        assert!(unique.is_new(3) && unique.is_new(3), "too many to remember");
        assert!(!unique.is_new(2));
        assert!(unique.is_full);
        assert_eq!(unique.copies, 2);
    }
}
