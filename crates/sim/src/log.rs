//! A log of a simulated server: generated, out of files, or appended at run time.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use quarry_event::EventTime;

use crate::files::{FileLog, FileLogs};
use crate::generate::{CHANNELS, Catalog, Particulars, mix};

/// The most records that can be appended to a log; older ones are then dropped.
pub const MAX_APPENDED: usize = 1 << 20;

/// What `forwarded` events' own record ids are ahead of their numbers.
const FOREIGN: u64 = 1_000_000;

pub(crate) struct Log {
    pub(crate) name: String,
    state: RwLock<State>,
}

/// Where generated events come from.
pub(crate) struct Generator {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) server: u64,
    /// The computer's name in UTF-16.
    pub(crate) computer: Arc<[u8]>,
    /// The time of the newest event there is at the start.
    pub(crate) newest: EventTime,
    /// 100 ns units from one event to the next.
    pub(crate) every: u64,
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) forwarded: bool,
}

/// The records that a log has at the start.
pub(crate) enum Base {
    Empty,
    /// Those of one of [`CHANNELS`].
    Generated(Arc<Generator>, usize),
    /// Those of a log of files.
    File(Arc<FileLogs>, String),
}

pub(crate) struct State {
    base: Base,
    appended: VecDeque<Appended>,
    /// The number of the first of `appended`, or of the next to come.
    appended_from: u64,
    /// The bytes of `appended`, and the most that there may be.
    bytes: usize,
    most_bytes: usize,
    /// The first number that is still there, if there is any.
    pub(crate) oldest: u64,
    /// The number that the next record gets.
    pub(crate) next: u64,
    /// How often it was cleared.
    pub(crate) cleared: u64,
    last_write: EventTime,
}

struct Appended {
    time: EventTime,
    binxml: Box<[u8]>,
}

impl Log {
    /// A log that holds so many bytes of records which are appended; then the oldest are overwritten.
    pub(crate) fn new(name: String, base: Base, most_bytes: usize) -> Self {
        let (first, next) = match &base {
            Base::Empty => (1, 1),
            Base::Generated(generator, _) => (generator.first, generator.first + generator.count),
            Base::File(..) => base.file().map_or((1, 1), |log| {
                let number = |record: Option<&crate::files::FileRecord>| record.map(|r| r.number);
                let first = number(log.records.first()).unwrap_or(1);
                (first, number(log.records.last()).map_or(1, |last| last + 1))
            }),
        };
        let mut state = State {
            base,
            appended: VecDeque::new(),
            appended_from: next,
            bytes: 0,
            most_bytes,
            oldest: first,
            next,
            cleared: 0,
            last_write: EventTime::from_filetime(0),
        };
        if let Some(last) = state.before(next) {
            state.last_write = state.time(last);
        }
        Self { name, state: RwLock::new(state) }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Base {
    fn file(&self) -> Option<&FileLog> {
        match self {
            Base::File(logs, name) => logs.logs.get(name),
            _ => None,
        }
    }
}

impl State {
    /// The first record from a number on.
    pub(crate) fn after(&self, from: u64) -> Option<u64> {
        let from = from.max(self.oldest);
        let base_end = self.base_end();
        if from < base_end {
            match &self.base {
                Base::Empty => {}
                Base::Generated(..) => return Some(from),
                Base::File(..) => {
                    let records = &self.base.file()?.records;
                    let at = records.partition_point(|record| record.number < from);
                    if let Some(record) = records.get(at) {
                        return Some(record.number);
                    }
                }
            }
        }
        let from = from.max(self.appended_from);
        (from < self.next).then_some(from)
    }

    /// The last record below a number.
    pub(crate) fn before(&self, below: u64) -> Option<u64> {
        let below = below.min(self.next);
        let number = if below > self.appended_from {
            below - 1
        } else {
            let below = below.min(self.base_end());
            match &self.base {
                Base::Empty => return None,
                Base::Generated(..) => below.checked_sub(1)?,
                Base::File(..) => {
                    let records = &self.base.file()?.records;
                    let at = records.partition_point(|record| record.number < below);
                    records.get(at.checked_sub(1)?)?.number
                }
            }
        };
        (number >= self.oldest).then_some(number)
    }

    /// Whether a record is there.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.after(number) == Some(number)
    }

    /// When a record that is there was written.
    pub(crate) fn time(&self, number: u64) -> EventTime {
        if let Some(appended) = self.appended(number) {
            return appended.time;
        }
        match &self.base {
            Base::Generated(generator, channel) => generator.time(*channel, number),
            _ => self.file_record(number).map_or(self.last_write, |record| record.time),
        }
    }

    /// Appends the event of a record that is there.
    pub(crate) fn binxml(&self, number: u64, out: &mut Vec<u8>) {
        if let Some(appended) = self.appended(number) {
            out.extend_from_slice(&appended.binxml);
            return;
        }
        match &self.base {
            Base::Generated(generator, channel) => generator.write(*channel, number, out),
            _ => {
                if let (Some(log), Some(record)) = (self.base.file(), self.file_record(number)) {
                    out.extend_from_slice(log.binxml(record));
                }
            }
        }
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> u64 {
        let appended = self.next - self.appended_from.max(self.oldest).min(self.next);
        let base = match &self.base {
            Base::Empty => 0,
            Base::Generated(..) => self.base_end().saturating_sub(self.oldest),
            Base::File(..) => self.base.file().map_or(0, |log| {
                let gone = log.records.partition_point(|record| record.number < self.oldest);
                (log.records.len() - gone) as u64
            }),
        };
        base + appended
    }

    /// When the newest record was written; 0 for none ever.
    pub(crate) fn last_write(&self) -> EventTime {
        self.last_write
    }

    /// When the oldest record was written.
    pub(crate) fn first_write(&self) -> EventTime {
        self.after(0).map_or(self.last_write, |number| self.time(number))
    }

    /// Adds a record; its number.
    pub(crate) fn append(&mut self, time: EventTime, binxml: Box<[u8]>) -> u64 {
        let bytes = binxml.len();
        while self.appended.len() >= MAX_APPENDED
            || (!self.appended.is_empty() && self.bytes.saturating_add(bytes) > self.most_bytes)
        {
            self.drop_below(self.appended_from + 1);
        }
        self.bytes += bytes;
        let number = self.next;
        self.appended.push_back(Appended { time, binxml });
        self.next += 1;
        self.last_write = time;
        number
    }

    /// Empties the log. Numbers go on.
    pub(crate) fn clear(&mut self) {
        self.drop_below(self.next);
        self.cleared += 1;
    }

    /// Makes it another log, whose numbers begin anew.
    pub(crate) fn recreate(&mut self) {
        self.clear();
        self.base = Base::Empty;
        (self.appended_from, self.oldest, self.next) = (1, 1, 1);
    }

    /// Drops the records below a number.
    pub(crate) fn drop_below(&mut self, number: u64) {
        self.oldest = self.oldest.max(number.min(self.next));
        while self.appended_from < self.oldest
            && let Some(oldest) = self.appended.pop_front()
        {
            self.bytes -= oldest.binxml.len();
            self.appended_from += 1;
        }
    }

    fn base_end(&self) -> u64 {
        match &self.base {
            Base::Empty => 0,
            Base::Generated(generator, _) => generator.first + generator.count,
            Base::File(..) => {
                let last = self.base.file().and_then(|log| log.records.last());
                last.map_or(0, |last| last.number + 1)
            }
        }
    }

    fn appended(&self, number: u64) -> Option<&Appended> {
        let at = number.checked_sub(self.appended_from)?;
        self.appended.get(usize::try_from(at).ok()?)
    }

    fn file_record(&self, number: u64) -> Option<crate::files::FileRecord> {
        let records = &self.base.file()?.records;
        let at = records.binary_search_by_key(&number, |record| record.number).ok()?;
        records.get(at).copied()
    }
}

impl Generator {
    fn time(&self, channel: usize, number: u64) -> EventTime {
        let last = self.first + self.count.saturating_sub(1);
        let ago = last.saturating_sub(number).saturating_mul(self.every);
        // Not on the dot, and still one after the other.
        let early = mix(self.server ^ channel as u64, number) % self.every.max(1);
        EventTime::from_filetime(
            self.newest.as_filetime().saturating_sub(ago.saturating_add(early)),
        )
    }

    fn write(&self, channel: usize, number: u64, out: &mut Vec<u8>) {
        let time = self.time(channel, number);
        self.write_at(channel, number, time, out);
    }

    /// Appends the generated event of a number, with a time.
    pub(crate) fn write_at(&self, channel: usize, number: u64, time: EventTime, out: &mut Vec<u8>) {
        let foreign;
        let mut event = Particulars {
            server: self.server,
            channel,
            number,
            time,
            computer: &self.computer,
            record_id: Some(number),
        };
        if self.forwarded {
            match number % 3 {
                1 => {
                    let name = format!("client{:02}.sim.test", number % 40);
                    foreign = crate::generate::utf16(&name);
                    event.computer = &foreign;
                    event.record_id = Some(number + FOREIGN);
                }
                2 => event.record_id = None,
                _ => {}
            }
        }
        self.catalog.write(&event, out);
    }
}

/// Which of the logs with generated events a name is.
pub(crate) fn generated_channel(name: &str) -> Option<usize> {
    CHANNELS.iter().position(|channel| channel.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(first: u64, count: u64) -> Log {
        let generator = Generator {
            catalog: Arc::new(Catalog::new(1, None).unwrap()),
            server: 1,
            computer: Arc::default(),
            newest: EventTime::from_filetime(1 << 56),
            every: 300_000_000,
            first,
            count,
            forwarded: false,
        };
        Log::new("System".to_owned(), Base::Generated(Arc::new(generator), 0), usize::MAX)
    }

    /// What is there, found upwards and downwards, one by one and by counting.
    fn numbers(log: &Log) -> Vec<u64> {
        let state = log.read();
        let mut up = Vec::new();
        let mut at = 0;
        while let Some(number) = state.after(at) {
            up.push(number);
            at = number + 1;
        }
        let mut down = Vec::new();
        let mut at = u64::MAX;
        while let Some(number) = state.before(at) {
            down.push(number);
            at = number;
        }
        down.reverse();
        assert_eq!(up, down);
        assert_eq!(up.len() as u64, state.count());
        assert!(up.iter().all(|number| state.has(*number)));
        up
    }

    fn range(from: u64, to: u64) -> Vec<u64> {
        (from..=to).collect()
    }

    #[test]
    fn a_log_is_appended_to_wrapped_and_cleared_and_its_numbers_go_on() {
        let log = generated(1000, 50);
        assert_eq!(numbers(&log), range(1000, 1049));
        for time in 1..=10 {
            log.write().append(EventTime::from_filetime(time), Box::new([time as u8]));
        }
        assert_eq!(numbers(&log), range(1000, 1059));
        let mut bytes = Vec::new();
        log.read().binxml(1053, &mut bytes);
        assert_eq!((bytes, log.read().time(1053)), (vec![4], EventTime::from_filetime(4)));
        log.write().drop_below(1030);
        assert_eq!(numbers(&log), range(1030, 1059));
        log.write().drop_below(1055);
        assert_eq!(numbers(&log), range(1055, 1059));
        log.write().clear();
        assert!(numbers(&log).is_empty());
        assert_eq!(log.write().append(EventTime::from_filetime(1), Box::new([1])), 1060);
        assert_eq!(numbers(&log), [1060]);
        // Neither beyond what there is, nor back.
        log.write().drop_below(5000);
        log.write().drop_below(1);
        assert!(numbers(&log).is_empty());
        assert_eq!(log.read().next, 1061);
    }

    #[test]
    fn an_empty_log_is_appended_to() {
        let log = Log::new("Setup".to_owned(), Base::Empty, usize::MAX);
        assert!(numbers(&log).is_empty());
        log.write().append(EventTime::from_filetime(1), Box::new([1]));
        assert_eq!(numbers(&log), [1]);
    }

    #[test]
    fn a_log_that_is_full_overwrites_its_oldest_records() {
        let log = Log::new("Setup".to_owned(), Base::Empty, 10);
        let append = |bytes: usize| {
            log.write().append(EventTime::from_filetime(1), vec![0; bytes].into());
            numbers(&log)
        };
        assert_eq!((append(4), append(6)), (vec![1], vec![1, 2]));
        assert_eq!((append(1), append(3)), (vec![2, 3], vec![2, 3, 4]));
        assert_eq!((append(7), append(40)), (vec![4, 5], vec![6]), "one is always there");
        log.write().clear();
        assert_eq!((append(5), append(5)), (vec![7], vec![7, 8]));
        log.write().recreate();
        assert_eq!((append(5), append(5)), (vec![1], vec![1, 2]));
    }

    #[test]
    fn generated_events_are_in_order_of_time_up_to_the_newest() {
        let log = generated(7, 500);
        let state = log.read();
        let times: Vec<_> = (7..507).map(|number| state.time(number).as_filetime()).collect();
        assert!(times.is_sorted());
        let last = *times.last().unwrap();
        assert!(last <= 1 << 56 && last > (1 << 56) - 300_000_000);
        assert!((1 << 56) - times[0] >= 499 * 300_000_000);
    }
}
