//! Following many sources: their last records, and then new ones as they come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quarry_event::filter::{Filter, Glob, Matcher};
use quarry_eventlog::{
    Batch, BatchReader, Batches, Bookmark, Direction, EventLog, LogError, LogName, Query, Start,
    Subscription,
};
use quarry_rpc::Blame;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::budget::{Budget, Room};
use crate::failure::Failure;
use crate::options::Options;
use crate::reader::literal;
use crate::source::Source;

/// Reports on their way. Their bytes are bounded by the budget.
const REPORTS: usize = 256;

/// The most records of a log that are given before the new ones.
pub const MAX_LAST: u64 = 10_000;

/// The longest pause before a connection is made again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What to follow.
#[derive(Clone, Default)]
pub struct FollowRequest {
    /// The logs, as in [`Request`](crate::Request); a glob is looked up when a source is opened.
    pub logs: Vec<Glob>,
    /// What is wanted. Sources may send more: test what comes.
    pub filter: Filter,
    /// What tests it, to count the last records; nothing where all pass.
    pub matcher: Option<Matcher>,
    /// How many of the last records that pass come first, of a log without a cursor. At most
    /// [`MAX_LAST`].
    pub last: u64,
    /// Where to go on: the number of the last record that is not wanted any more, by the source's
    /// address and the log.
    pub cursors: HashMap<(String, LogName), u64>,
}

/// What happens while sources are followed. They are named by their place in the list.
#[derive(Debug)]
#[non_exhaustive]
pub enum FollowReport {
    /// A log is being followed, or is again after its connection was lost.
    Following {
        /// Which source.
        source: usize,
        /// Which log.
        log: LogName,
        /// The cursor behind which new records come.
        cursor: u64,
    },
    /// Records of a log, in their order.
    Batch {
        /// Which source.
        source: usize,
        /// Which log.
        log: LogName,
        /// The records.
        batch: Batch,
        /// How many of the batch's first records that pass the filter are not wanted: they are
        /// before the last ones that are.
        skip: u64,
        /// Records with a greater number are not wanted: they come again.
        upto: u64,
        /// The cursor behind the batch, when it is used up.
        cursor: Option<u64>,
        /// As in [`Report::Batch`](crate::Report::Batch).
        room: Room,
    },
    /// Records that nobody has read are gone: the log was cleared or has wrapped.
    Gap {
        /// Which source.
        source: usize,
        /// Which log.
        log: LogName,
        /// The first that is missing.
        first: u64,
        /// The last that is missing; nothing where numbers began again.
        last: Option<u64>,
    },
    /// The connection was lost, or the source can't be reached; it is tried again.
    Lost {
        /// Which source.
        source: usize,
        /// Why.
        error: Failure,
    },
    /// The log, or all of the source, is given up: the logon is refused, or there is no such log.
    Failed {
        /// Which source.
        source: usize,
        /// Why.
        failure: Failure,
    },
}

/// Sources that are being followed: a stream of [`FollowReport`]s. Dropping it ends that.
#[derive(Debug)]
pub struct Follow {
    reports: mpsc::Receiver<FollowReport>,
    stop: CancellationToken,
}

impl Follow {
    /// Begins to follow sources, on the current tokio runtime.
    pub fn begin(sources: Vec<Arc<dyn Source>>, request: FollowRequest, options: Options) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS);
        let stop = CancellationToken::new();
        let budget = Budget::new(&options);
        let shared = Arc::new(Shared { request, options, budget, reports: sender });
        for (index, source) in sources.into_iter().enumerate() {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = follow_source(&shared, source, index) => {}
                }
            });
        }
        Follow { reports, stop }
    }

    /// The next report; nothing when all sources have failed.
    pub async fn next(&mut self) -> Option<FollowReport> {
        self.reports.recv().await
    }

    /// The next report, if there is one already.
    pub fn try_next(&mut self) -> Option<FollowReport> {
        self.reports.try_recv().ok()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Shared {
    request: FollowRequest,
    options: Options,
    budget: Budget,
    reports: mpsc::Sender<FollowReport>,
}

impl Shared {
    async fn tell(&self, report: FollowReport) {
        // Nobody listens when it is being dropped, and this task with it.
        let _ = self.reports.send(report).await;
    }
}

/// Follows the logs of a source, each over a connection of its own: each waits by itself.
async fn follow_source(shared: &Shared, source: Arc<dyn Source>, index: usize) {
    let asked = match shared.request.logs.is_empty() {
        true => source.logs().to_vec(),
        false => shared.request.logs.clone(),
    };
    let mut logs: Vec<LogName> = asked.iter().filter_map(literal).collect();
    if asked.iter().any(|pattern| literal(pattern).is_none()) {
        let mut line = Line::new(shared, &*source, index);
        let known = loop {
            match line.open().await {
                Err(failure) => {
                    return shared.tell(FollowReport::Failed { source: index, failure }).await;
                }
                Ok(log) => match log.logs().await {
                    Ok(known) => break known,
                    Err(error) => {
                        if let Err(failure) = line.lost(error).await {
                            return shared
                                .tell(FollowReport::Failed { source: index, failure })
                                .await;
                        }
                    }
                },
            }
        };
        let is_meant = |name: &LogName| {
            asked.iter().any(|pattern| literal(pattern).is_none() && pattern.is_match(&name.0))
        };
        logs.extend(known.into_iter().filter(is_meant));
    }
    let follow = |log| follow_log(shared, &*source, index, log);
    futures_util::future::join_all(logs.into_iter().map(follow)).await;
}

async fn follow_log(shared: &Shared, source: &dyn Source, index: usize, log: LogName) {
    let cursor = shared.request.cursors.get(&(source.address().to_owned(), log.clone())).copied();
    let mut follower = Follower { line: Line::new(shared, source, index), log, cursor };
    if let Err(failure) = follower.run().await {
        shared.tell(FollowReport::Failed { source: index, failure }).await;
    }
}

/// A source's connection, made again as often as it is lost.
struct Line<'a> {
    shared: &'a Shared,
    source: &'a dyn Source,
    index: usize,
    open: Option<Arc<dyn EventLog>>,
    was_open: bool,
    tries: u32,
}

impl<'a> Line<'a> {
    fn new(shared: &'a Shared, source: &'a dyn Source, index: usize) -> Self {
        Line { shared, source, index, open: None, was_open: false, tries: 0 }
    }

    async fn open(&mut self) -> Result<Arc<dyn EventLog>, Failure> {
        loop {
            if let Some(log) = &self.open {
                return Ok(Arc::clone(log));
            }
            let connecting = self.shared.budget.connecting().await;
            let opened = self.source.open().await;
            drop(connecting);
            match opened {
                Ok(log) => {
                    self.was_open = true;
                    self.open = Some(log);
                }
                Err(error) => self.lost(error).await?,
            }
        }
    }

    /// After an error: waits, so that the source can be opened again; or says why that is of no
    /// use. A server that is down comes back some day, a wrong password does not get right.
    async fn lost(&mut self, error: LogError) -> Result<(), Failure> {
        let failure = Failure::of(self.source, &error, 0);
        let is_final = match error.blame() {
            Blame::Credential | Blame::Us => true,
            Blame::Refusal => !error.is_transient(),
            Blame::Network | Blame::Peer => false,
        };
        if is_final {
            return Err(failure);
        }
        self.open = None;
        let pause = self.shared.options.first_pause.saturating_mul(1 << self.tries.min(10));
        self.tries += 1;
        self.shared.tell(FollowReport::Lost { source: self.index, error: failure }).await;
        tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
        Ok(())
    }
}

/// Follows one log.
struct Follower<'a> {
    line: Line<'a>,
    log: LogName,
    /// The last record that came, or that isn't wanted.
    cursor: Option<u64>,
}

impl Follower<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let open = self.line.open().await?;
            let Err(error) = self.follow(&*open).await;
            self.line.lost(error).await?;
        }
    }

    async fn follow(&mut self, open: &dyn EventLog) -> Result<std::convert::Infallible, LogError> {
        if self.cursor.is_none() {
            self.begin(open).await?;
        }
        let mut batches = self.subscribe(open).await?;
        let (source, log, cursor) = (self.line.index, self.log.clone(), self.cursor.unwrap_or(0));
        self.line.shared.tell(FollowReport::Following { source, log, cursor }).await;
        loop {
            let mut room = self.line.shared.budget.room(batches.expected_bytes()).await;
            let batch = match batches.next().await {
                Some(batch) => batch?,
                None => return Err(LogError::Nonsense("a subscription that ends")),
            };
            self.line.tries = 0;
            if batch.is_empty() {
                continue;
            }
            room.shrink(batch.bytes());
            let number = batches.bookmark().and_then(|bookmark| self.number(bookmark));
            self.cursor = number.or(self.cursor);
            self.give(batch, 0, u64::MAX, number, room).await;
        }
    }

    async fn give(&self, batch: Batch, skip: u64, upto: u64, cursor: Option<u64>, room: Room) {
        let (source, log) = (self.line.index, self.log.clone());
        let report = FollowReport::Batch { source, log, batch, skip, upto, cursor, room };
        self.line.shared.tell(report).await;
    }

    /// Finds where the log ends now, and gives its last records that are wanted.
    async fn begin(&mut self, open: &dyn EventLog) -> Result<(), LogError> {
        let Some(newest) = self.end(open, Direction::Backward).await? else {
            self.cursor = Some(0);
            return Ok(());
        };
        let FollowRequest { last, filter, matcher, .. } = &self.line.shared.request;
        let wanted = (*last).min(MAX_LAST);
        if wanted > 0 {
            let query = Query {
                filter: filter.clone(),
                limit: Some(wanted),
                ..Query::new(self.log.clone(), Direction::Backward)
            };
            let mut batches = open.query(&query).await?;
            let mut reader = BatchReader::default();
            let mut matcher = matcher.clone();
            let (mut found, mut kept) = (0, Vec::new());
            while found < wanted {
                let room = self.line.shared.budget.room(batches.expected_bytes()).await;
                let Some(batch) = batches.next().await.transpose()? else { break };
                found += count(&mut reader, &mut matcher, &batch, newest);
                kept.push((batch, room));
            }
            batches.close().await;
            let mut skip = found.saturating_sub(wanted);
            while let Some((batch, room)) = kept.pop() {
                let is_last = kept.is_empty();
                let cursor = is_last.then_some(newest);
                let skip = std::mem::take(&mut skip);
                self.give(batch.reversed(), skip, newest, cursor, room).await;
            }
        }
        self.cursor = Some(newest);
        Ok(())
    }

    /// Subscribes behind the cursor, and tells what is gone there.
    async fn subscribe(&mut self, open: &dyn EventLog) -> Result<Box<dyn Batches>, LogError> {
        let cursor = self.cursor.unwrap_or(0);
        let bookmark = || Bookmark::single(self.log.0.clone(), cursor);
        let at = |start| Subscription {
            logs: vec![self.log.clone()],
            filter: self.line.shared.request.filter.clone(),
            start,
        };
        if cursor == 0 {
            return open.subscribe(&at(Start::Oldest)).await;
        }
        match open.subscribe(&at(Start::After(bookmark()))).await {
            Err(LogError::Overwritten) => {}
            subscribed => return subscribed,
        }
        let oldest = self.end(open, Direction::Forward).await?;
        let newest = self.end(open, Direction::Backward).await?;
        let (source, log, first) = (self.line.index, self.log.clone(), cursor + 1);
        let gap = |last| FollowReport::Gap { source, log: log.clone(), first, last };
        match (oldest, newest) {
            // The numbers began again.
            (_, Some(newest)) if newest < cursor => {
                self.line.shared.tell(gap(None)).await;
                self.cursor = Some(0);
                return open.subscribe(&at(Start::Oldest)).await;
            }
            (Some(oldest), _) if oldest > first => {
                self.line.shared.tell(gap(Some(oldest - 1))).await;
                self.cursor = Some(oldest - 1);
            }
            _ => {}
        }
        open.subscribe(&at(Start::AfterOrLater(bookmark()))).await
    }

    /// The number of the log's first record in a direction.
    async fn end(
        &self,
        open: &dyn EventLog,
        direction: Direction,
    ) -> Result<Option<u64>, LogError> {
        let query = Query { limit: Some(1), ..Query::new(self.log.clone(), direction) };
        let mut batches = open.query(&query).await?;
        let mut first = First(None);
        while first.0.is_none() {
            let Some(batch) = batches.next().await.transpose()? else { break };
            BatchReader::default().read(&batch, &mut first);
        }
        batches.close().await;
        Ok(first.0)
    }

    fn number(&self, bookmark: &Bookmark) -> Option<u64> {
        bookmark.entries.iter().find(|entry| entry.is_current).map(|entry| entry.record_id)
    }
}

/// Keeps the number of the first record.
struct First(Option<u64>);

impl quarry_eventlog::Visitor for First {
    fn event<S: quarry_event::FieldSource>(&mut self, _: &S, _: &str, log_record: Option<u64>) {
        self.0 = self.0.or(log_record);
    }

    fn damage(&mut self, damage: &quarry_eventlog::Damage) {
        if let quarry_eventlog::Damage::Record { record, .. } = damage {
            self.0 = self.0.or(Some(*record));
        }
    }
}

/// How many events of a batch pass, of those up to a record.
fn count(
    reader: &mut BatchReader,
    matcher: &mut Option<Matcher>,
    batch: &Batch,
    newest: u64,
) -> u64 {
    let mut counter = Counter { matcher, newest, found: 0 };
    reader.read(batch, &mut counter);
    counter.found
}

struct Counter<'m> {
    matcher: &'m mut Option<Matcher>,
    newest: u64,
    found: u64,
}

impl quarry_eventlog::Visitor for Counter<'_> {
    fn event<S: quarry_event::FieldSource>(&mut self, event: &S, _: &str, number: Option<u64>) {
        let is_old = number.is_none_or(|number| number <= self.newest);
        let mut passes =
            || self.matcher.as_mut().is_none_or(|matcher| matcher.matches(event, None));
        if is_old && passes() {
            self.found += 1;
        }
    }

    fn damage(&mut self, _: &quarry_eventlog::Damage) {}
}
