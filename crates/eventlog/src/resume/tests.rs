//! Result sets of a source that does what it likes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use quarry_even::ResultSetRecord;
use quarry_even::wire::EventBatch;
use quarry_event::EventTime;
use quarry_event::filter::Filter;
use tokio::time::Instant;

use super::cursor::{
    Answer, Fetched, Place, Rest, ResultCursor, SeekTo, Sought, SubscriptionCursor,
};
use super::{Ladder, ResumingQuery, ResumingSubscription};
use crate::batch::Batch;
use crate::log::Batches;
use crate::types::{
    Bookmark, Cursor, Damage, Direction, Hole, LogError, LogName, Query, ReadOptions, RecordId,
    Start,
};

/// Records of some logs, by the log's place and the number, as a server sends them. They hold no
/// event.
pub(super) fn fetched(records: &[(u32, u64)], logs: usize) -> Fetched {
    let (mut buffer, mut sizes) = (Vec::new(), Vec::new());
    for &(log, number) in records {
        let before = buffer.len();
        let mut ids = vec![0; logs.max(log as usize + 1)];
        ids[log as usize] = number;
        quarry_even::encode_record(&mut buffer, &[0x0f], &[], &ids, log, false);
        sizes.push((buffer.len() - before) as u32);
    }
    let names: Vec<LogName> = (0..logs).map(|n| LogName(n.to_string())).collect();
    let batch = Batch::wire(EventBatch::contiguous(sizes, buffer).unwrap(), names.into());
    let place = |&(log, number)| Place { log: log as usize, record: RecordId(number) };
    Fetched { batch, places: records.iter().map(place).collect(), times: [None, None] }
}

/// What a batch of such records holds.
pub(super) fn numbers(batch: &Batch) -> Vec<(u32, u64)> {
    let place = |bytes| ResultSetRecord::parse(bytes).unwrap().position;
    let records = batch.wire_records().into_iter().map(place);
    records.map(|place| (place.current_channel, place.record_id())).collect()
}

/// What happens to a log while it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Nothing,
    /// So many of the oldest records go.
    Wraps(u64),
    /// All records go, and so many come.
    Cleared(u64),
    /// The result set is lost, and no record.
    Lost,
    Searches,
    Appended(u64),
}

/// A log whose records are numbered without gaps.
#[derive(Debug)]
struct Log {
    oldest: u64,
    newest: u64,
    /// Records that can't be sent.
    huge: BTreeSet<u64>,
    /// The most records that can be sent at once.
    most: u32,
    events: VecDeque<Event>,
    /// All have another time than before.
    recreated: u64,
}

impl Log {
    fn new(newest: u64, huge: &[u64], most: u32, events: Vec<Event>) -> Arc<Mutex<Self>> {
        let (huge, events) = (huge.iter().copied().collect(), events.into());
        Arc::new(Mutex::new(Log { oldest: 1, newest, huge, most, events, recreated: 0 }))
    }

    /// Lets the next thing happen, whether one has.
    fn happens(&mut self) -> Event {
        let event = self.events.pop_front().unwrap_or(Event::Nothing);
        match event {
            Event::Wraps(records) => {
                self.oldest = (self.oldest + records).min(self.newest + 1);
            }
            Event::Cleared(records) => {
                self.oldest = self.newest + 1;
                self.newest += records;
            }
            Event::Appended(records) => self.newest += records,
            Event::Nothing | Event::Lost | Event::Searches => {}
        }
        event
    }

    fn time(&self, record: u64) -> Option<EventTime> {
        Some(EventTime::from_filetime(record * EventTime::SECOND + self.recreated))
    }

    fn has(&self, record: u64) -> bool {
        (self.oldest..=self.newest).contains(&record)
    }

    /// The records from one on, as an answer.
    fn send(&self, at: u64, count: u32, direction: Direction) -> (Answer, u64) {
        let step = if direction == Direction::Forward { 1 } else { u64::MAX };
        let mut records = Vec::new();
        let mut next = at;
        while self.has(next) && records.len() < count as usize {
            records.push(next);
            next = next.wrapping_add(step);
        }
        let is_too_large = records.len() > self.most as usize;
        if records.is_empty() {
            return (Answer::End, at);
        }
        if is_too_large || records.iter().any(|record| self.huge.contains(record)) {
            return (Answer::TooLarge(LogError::Nonsense("too large")), next);
        }
        let places: Vec<(u32, u64)> = records.iter().map(|record| (0, *record)).collect();
        let mut fetched = fetched(&places, 1);
        let ends = [records[0], records[records.len() - 1]];
        fetched.times = ends.map(|record| self.time(record));
        (Answer::Records(fetched), next)
    }
}

/// A result set of such a log.
struct Results {
    log: Arc<Mutex<Log>>,
    direction: Direction,
    at: u64,
    is_lost: bool,
}

impl Results {
    fn new(log: &Arc<Mutex<Log>>, direction: Direction) -> Self {
        let mut results = Results { log: Arc::clone(log), direction, at: 0, is_lost: false };
        results.rewind();
        results
    }

    fn rewind(&mut self) {
        let log = self.log.lock().unwrap();
        self.at = if self.direction == Direction::Forward { log.oldest } else { log.newest };
        self.is_lost = false;
    }
}

impl ResultCursor for Results {
    async fn next(&mut self, count: u32) -> Result<Answer, LogError> {
        let mut log = self.log.lock().unwrap();
        match log.happens() {
            Event::Searches => return Ok(Answer::Searching),
            Event::Lost => self.is_lost = true,
            _ => {}
        }
        self.is_lost |= self.direction == Direction::Forward && self.at < log.oldest;
        if self.is_lost {
            return Ok(Answer::Stale(LogError::Overwritten));
        }
        let (answer, next) = log.send(self.at, count, self.direction);
        self.at = next;
        Ok(answer)
    }

    async fn seek(&mut self, to: SeekTo<'_>) -> Result<Sought, LogError> {
        let log = self.log.lock().unwrap();
        let step = |from: u64, by: u32| match self.direction {
            Direction::Forward => from + u64::from(by),
            Direction::Backward => from.wrapping_sub(by.into()),
        };
        let first = if self.direction == Direction::Forward { log.oldest } else { log.newest };
        let number = |bookmark: &Bookmark| bookmark.entries[0].cursor.record.0;
        let at = match to {
            SeekTo::First(by) => step(first, by),
            SeekTo::Exactly(after, by) => {
                if !log.has(number(after)) {
                    return Ok(Sought::Nowhere);
                }
                step(number(after), by)
            }
            SeekTo::Near(after) => number(after).clamp(log.oldest, log.newest + 1),
        };
        let may_be_end = matches!(to, SeekTo::First(0) | SeekTo::Near(_));
        if !log.has(at) && !may_be_end {
            return Ok(Sought::Nowhere);
        }
        self.at = at;
        Ok(Sought::Found)
    }

    async fn reopen(&mut self) -> Result<(), LogError> {
        self.rewind();
        Ok(())
    }

    async fn oldest(&mut self, _: &LogName) -> Result<Option<RecordId>, LogError> {
        let log = self.log.lock().unwrap();
        Ok((log.oldest <= log.newest).then_some(RecordId(log.oldest)))
    }

    async fn close(self) {}
}

/// A subscription to such a log.
struct Pull {
    log: Arc<Mutex<Log>>,
    at: u64,
    is_strict: bool,
}

impl SubscriptionCursor for Pull {
    async fn next(&mut self, count: u32) -> Result<Answer, LogError> {
        let mut log = self.log.lock().unwrap();
        if log.happens() == Event::Searches {
            return Ok(Answer::Searching);
        }
        if self.at < log.oldest {
            if self.is_strict {
                return Err(LogError::Overwritten);
            }
            self.at = log.oldest;
        }
        let (answer, next) = log.send(self.at, count, Direction::Forward);
        self.at = next;
        Ok(answer)
    }

    async fn rest(&mut self, begun: Instant) -> Rest {
        tokio::time::sleep_until(begun + Duration::from_secs(20)).await;
        Rest::Heartbeat
    }

    async fn reopen(&mut self, after: Option<&Bookmark>, is_strict: bool) -> Result<(), LogError> {
        let log = self.log.lock().unwrap();
        self.at = match after {
            Some(after) if is_strict && !log.has(after.entries[0].cursor.record.0) => {
                return Err(LogError::Overwritten);
            }
            Some(after) => after.entries[0].cursor.record.0 + 1,
            None => log.oldest,
        };
        Ok(())
    }

    async fn close(self) {}
}

/// What came, in order.
#[derive(Default, Debug)]
struct Came {
    records: Vec<u64>,
    holes: Vec<Hole>,
    /// Records that are reported as too large.
    too_large: u64,
    error: Option<LogError>,
}

impl Came {
    fn take(&mut self, batches: &dyn Batches, batch: &Batch) {
        self.records.extend(numbers(batch).iter().map(|(_, number)| *number));
        for damage in batch.reported() {
            let (Damage::Overwritten(hole) | Damage::TooLarge(hole)) = damage else { panic!() };
            self.too_large += hole.records.unwrap_or(0);
            self.holes.push(hole.clone());
        }
        // Whoever goes on there misses nothing of what came, and of what did not.
        let bookmark = batches.bookmark().map(|bookmark| bookmark.entries[0].cursor.record.0);
        assert_eq!(bookmark.filter(|record| *record > 0), self.records.last().copied());
    }

    /// Whether a record came, or lies in a hole.
    fn accounts_for(&self, record: u64) -> bool {
        let is_in = |hole: &Hole| {
            let ends = (hole.after.map(|id| id.0), hole.before.map(|id| id.0));
            match ends {
                (Some(a), Some(b)) => (a.min(b) + 1..a.max(b)).contains(&record),
                (Some(a), None) => record != a,
                (None, Some(b)) => record != b,
                (None, None) => true,
            }
        };
        self.records.contains(&record) || self.holes.iter().any(is_in)
    }
}

async fn read(log: &Arc<Mutex<Log>>, query: &Query) -> Came {
    let text = Ladder::new(&query.logs, &Filter::default()).into_text();
    let cursor = Results::new(log, query.direction);
    let (logs, options) = (query.logs.clone(), ReadOptions::default());
    let mut batches = ResumingQuery::begin(cursor, query, &text, logs, options).await.unwrap();
    let mut came = Came::default();
    while let Some(next) = Batches::next(&mut batches).await {
        match next {
            Ok(batch) => came.take(&batches, &batch),
            Err(error) => came.error = Some(error),
        }
    }
    came
}

fn of_one_log(direction: Direction) -> Query {
    Query::new("0".into(), direction)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => Just(Event::Nothing),
        2 => (1u64..30).prop_map(Event::Wraps),
        1 => (0u64..20).prop_map(Event::Cleared),
        1 => Just(Event::Lost),
        1 => Just(Event::Searches),
        1 => (1u64..20).prop_map(Event::Appended),
    ];
    prop::collection::vec(event, 0..8)
}

proptest! {
    #[test]
    fn every_record_of_a_query_comes_once_or_lies_in_a_hole_that_is_reported(
        newest in 0u64..120,
        huge in prop::collection::vec(1u64..140, 0..8),
        most in 1u32..60,
        events in events(),
    ) {
        let is_calm = !events.iter().any(|event| {
            matches!(event, Event::Wraps(_) | Event::Cleared(_) | Event::Lost)
        });
        let log = Log::new(newest, &huge, most, events);
        let came = run(read(&log, &of_one_log(Direction::Forward)));
        let log = log.lock().unwrap();
        prop_assert!(came.error.is_none(), "{:?}", came);
        prop_assert!(came.records.is_sorted_by(|a, b| a < b), "{:?}", came);
        prop_assert!(came.records.iter().all(|record| !log.huge.contains(record)));
        for record in 1..=log.newest {
            prop_assert!(came.accounts_for(record), "{} of {:?}", record, came);
        }
        if is_calm {
            let huge = log.huge.iter().filter(|record| **record <= log.newest).count();
            prop_assert_eq!(came.too_large, huge as u64);
            prop_assert_eq!(came.records.len() + huge, log.newest as usize);
        }
    }

    #[test]
    fn every_record_of_a_query_backwards_comes_once_or_lies_in_a_hole_or_was_overwritten(
        newest in 0u64..120,
        huge in prop::collection::vec(1u64..140, 0..8),
        most in 1u32..60,
        wraps in prop::collection::vec(
            prop_oneof![2 => Just(Event::Nothing), 1 => (1u64..20).prop_map(Event::Wraps)], 0..6),
    ) {
        let log = Log::new(newest, &huge, most, wraps);
        let came = run(read(&log, &of_one_log(Direction::Backward)));
        let log = log.lock().unwrap();
        prop_assert!(came.error.is_none(), "{:?}", came);
        prop_assert!(came.records.is_sorted_by(|a, b| a > b), "{:?}", came);
        for record in log.oldest..=newest {
            prop_assert!(came.accounts_for(record), "{} of {:?}", record, came);
        }
    }

    #[test]
    fn every_record_of_a_subscription_comes_once_or_lies_in_a_hole_until_it_fails(
        newest in 0u64..120,
        huge in prop::collection::vec(1u64..140, 0..8),
        most in 1u32..60,
        events in events(),
        is_strict: bool,
    ) {
        let is_calm = !events.iter().any(|e| matches!(e, Event::Wraps(_) | Event::Cleared(_)));
        let log = Log::new(newest, &huge, most, events);
        let start = match is_strict {
            true => Start::Oldest,
            false => Start::AfterOrLater(Bookmark::single("0", 0)),
        };
        let text = Ladder::new(&["0".into()], &Filter::default()).into_text();
        let cursor = Pull { log: Arc::clone(&log), at: 1, is_strict };
        let mut batches = ResumingSubscription::new(
            cursor, text, vec!["0".into()], &start, None, ReadOptions::default());
        let mut came = Came::default();
        run(async {
            let mut beats = 0;
            while let Some(next) = Batches::next(&mut batches).await {
                match next {
                    Ok(batch) if batch.is_empty() => beats += 1,
                    Ok(batch) => came.take(&batches, &batch),
                    Err(error) => came.error = Some(error),
                }
                if beats > 12 { break }
            }
        });
        let log = log.lock().unwrap();
        prop_assert!(came.records.is_sorted_by(|a, b| a < b), "{:?}", came);
        let end = match &came.error {
            Some(LogError::Overwritten) if is_strict => came.records.last().copied().unwrap_or(0),
            Some(error) => panic!("{error}"),
            None => log.newest,
        };
        let is_left = |record: &u64| is_calm || is_strict || *record >= log.oldest;
        for record in (1..=end).filter(is_left) {
            prop_assert!(came.accounts_for(record), "{} of {:?}", record, came);
        }
    }
}

#[test]
fn a_source_that_searches_for_ever_is_ended_by_the_bound_on_progress() {
    let log = Log::new(10, &[], 50, vec![Event::Searches; 100_000]);
    let came = run(async {
        let began = Instant::now();
        let came = read(&log, &of_one_log(Direction::Forward)).await;
        assert!(began.elapsed() >= ReadOptions::default().progress);
        assert!(began.elapsed() < ReadOptions::default().progress + Duration::from_secs(1));
        came
    });
    assert!(matches!(came.error, Some(LogError::NoProgress(_))), "{came:?}");
}

#[test]
fn a_record_is_progress_and_time_in_which_nobody_asks_does_not_count() {
    let progress = ReadOptions::default().progress;
    // Some records, one at a time; before each the source searches for nine tenths of the bound.
    let beats = (progress.as_millis() / super::recovery::PAUSE.as_millis()) as usize * 9 / 10;
    // Before that it learns that records can be sent one by one.
    let mut events = vec![Event::Nothing; 6];
    for _ in 0..6 {
        events.extend(vec![Event::Searches; beats]);
        events.push(Event::Nothing);
    }
    let log = Log::new(10, &[], 1, events);
    let came = run(read(&log, &of_one_log(Direction::Forward)));
    assert!(came.error.is_none(), "{:?}", came.error);
    assert_eq!(came.records, (1..=10).collect::<Vec<_>>());

    let log = Log::new(10, &[], 50, vec![Event::Searches, Event::Searches]);
    run(async {
        let query = of_one_log(Direction::Forward);
        let text = Ladder::new(&query.logs, &Filter::default()).into_text();
        let cursor = Results::new(&log, Direction::Forward);
        let options = ReadOptions::default();
        let mut batches =
            ResumingQuery::begin(cursor, &query, &text, vec!["0".into()], options).await.unwrap();
        for _ in 0..3 {
            assert!(Batches::next(&mut batches).await.unwrap().is_ok());
            tokio::time::sleep(progress * 2).await;
        }
    });
}

#[test]
fn a_query_that_resumes_in_a_log_that_was_recreated_reports_it_and_reads_the_new_log() {
    let log = Log::new(20, &[], 50, Vec::new());
    let time = log.lock().unwrap().time(12);
    let after = |time| Some(Bookmark::single("0", Cursor { record: RecordId(12), time }));
    let query = |time| Query { after: after(time), ..of_one_log(Direction::Forward) };
    let read = |time| run(async { read_from(&log, &query(time)).await });
    // The record is what it was, or nobody knows what it was.
    for time in [time, None] {
        let came = read(time);
        assert_eq!(came.records, (13..=20).collect::<Vec<_>>());
        assert!(came.holes.is_empty());
    }
    log.lock().unwrap().recreated = 5;
    let came = read(time);
    assert_eq!(came.records, (1..=20).collect::<Vec<_>>());
    let after = Some(RecordId(12));
    assert_eq!(came.holes, [Hole { log: Some("0".into()), after, before: None, records: None }]);
}

/// As [`read`], without a look at the bookmark: it begins where the query does.
async fn read_from(log: &Arc<Mutex<Log>>, query: &Query) -> Came {
    let text = Ladder::new(&query.logs, &Filter::default()).into_text();
    let cursor = Results::new(log, query.direction);
    let (logs, options) = (query.logs.clone(), ReadOptions::default());
    let mut batches = ResumingQuery::begin(cursor, query, &text, logs, options).await.unwrap();
    let mut came = Came::default();
    while let Some(next) = Batches::next(&mut batches).await {
        let batch = next.unwrap();
        came.records.extend(numbers(&batch).iter().map(|(_, number)| *number));
        came.holes.extend(batch.reported().iter().map(|damage| match damage {
            Damage::Overwritten(hole) | Damage::TooLarge(hole) => hole.clone(),
            damage => panic!("{damage}"),
        }));
    }
    came
}
