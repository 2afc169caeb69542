//! Reading many sources once, each over as many connections as it takes.

use std::time::Duration;

use quarry_event::filter::Glob;
use quarry_eventlog::{Batch, Batches, EventLog, LogError, LogName, MAX_LOGS, Query, Strength};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::budget::Room;
use crate::connection::{Connection, ConnectionReport, Connections, Fleet, run_each};
use crate::control::{Control, Stopped};
use crate::failure::{Cause, Failure};
use crate::job::{Job, Prepare, Request, SourceId};
use crate::options::Options;
use crate::source::Source;
use crate::survey::literal;

/// Reports on their way. Their bytes are bounded by the budget.
const REPORTS: usize = 256;

/// What happens while a fleet is read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report {
    /// The source is connected; again, if it is read in another way from now on.
    Opened {
        /// Which.
        source: SourceId,
    },
    /// Records of a source, in their order, or what of it can't be read.
    Batch {
        /// Which.
        source: SourceId,
        /// The records; a [`BatchReader`](quarry_eventlog::BatchReader) decodes them.
        batch: Batch,
        /// What the batch takes of the budget. Keep it as long as the batch or what was made of
        /// it; reading stands still when all is taken.
        room: Room,
    },
    /// The source's connection was lost and is made again.
    Retrying {
        /// Which.
        source: SourceId,
        /// How it was lost.
        error: Failure,
        /// How long is waited before.
        pause: Duration,
    },
    /// The source is done: no more of it comes.
    Ended {
        /// Which.
        source: SourceId,
        /// What failed of it, nothing if all went well. What came before counts.
        failures: Vec<Failure>,
        /// Logs that were found by a glob and can't be read.
        left_out: Vec<Failure>,
        /// How it went.
        health: Health,
    },
}

/// How it went with a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// How long the first connection took, the logon included; nothing if there was none.
    pub connected_in: Option<Duration>,
    /// How long it took in all, without waiting for its turn.
    pub took: Duration,
    /// Records that came.
    pub records: u64,
    /// Bytes of records that came.
    pub bytes: u64,
    /// How often its connection was lost and made again.
    pub retries: u32,
    /// How much of the filter the source takes: less than all of it where it refused the query.
    pub strength: Strength,
}

impl Health {
    /// As far as the connections tell.
    pub(crate) fn of<R: ConnectionReport>(
        connections: &Connections<'_, R>,
        began: Instant,
    ) -> Self {
        Health {
            connected_in: connections.connected_in(),
            took: began.elapsed(),
            retries: connections.retries(),
            ..Health::default()
        }
    }
}

impl ConnectionReport for Report {
    fn opened(source: SourceId) -> Option<Self> {
        Some(Report::Opened { source })
    }

    fn lost(source: SourceId, error: Failure, pause: Duration) -> Option<Self> {
        Some(Report::Retrying { source, error, pause })
    }
}

/// A fleet that is being read: a stream of [`Report`]s. Dropping it ends the reading.
#[derive(Debug)]
pub struct Scan {
    reports: mpsc::Receiver<Report>,
    control: Control,
}

impl Scan {
    /// Begins to read sources, of each what its job says. Needs a tokio runtime with I/O and time;
    /// one with several threads unseals what comes on several cores.
    pub fn begin(jobs: Vec<Job>, options: Options) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS);
        let control = Control::new(jobs.len());
        let fleet = Fleet::once(&options, sender);
        run_each(jobs, fleet, control.stops(options.deadline), |fleet, job, id, stops| {
            Box::pin(async move {
                let connections = Connections::new(fleet, &*job.source, id);
                let mut reader = Reader::new(&connections, job.prepare.as_deref());
                match stops.race(reader.read(&job.request)).await {
                    Ok(()) | Err(Stopped::Skipped) => {}
                    Err(Stopped::Deadline) => reader.fail(Cause::Deadline),
                    Err(Stopped::All) => return,
                }
                fleet.report(reader.finish()).await;
            })
        });
        Scan { reports, control }
    }

    /// The next report; nothing when all sources are done.
    pub async fn next(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// The same, for a thread outside of the runtime.
    ///
    /// # Panics
    /// On a thread of the runtime.
    pub fn blocking_next(&mut self) -> Option<Report> {
        self.reports.blocking_recv()
    }

    /// The next report, if there is one already.
    pub fn try_next(&mut self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// What ends it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.control.stop();
    }
}

/// Reads one source: its logs, over as many connections as it takes.
struct Reader<'a> {
    connection: Connection<'a, Report>,
    prepare: Option<&'a dyn Prepare>,
    began: Instant,
    records: u64,
    bytes: u64,
    strength: Strength,
    /// Logs that were asked for by name and can't be read, and those that a glob found.
    failures: Vec<Failure>,
    left_out: Vec<Failure>,
}

impl<'a> Reader<'a> {
    fn new(connections: &'a Connections<'a, Report>, prepare: Option<&'a dyn Prepare>) -> Self {
        Reader {
            connection: connections.connection(),
            prepare,
            began: Instant::now(),
            records: 0,
            bytes: 0,
            strength: Strength::Filter,
            failures: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Reads what is asked for. What fails is in the report at the end.
    async fn read(&mut self, request: &Request) {
        if let Err(error) = self.read_logs(request).await {
            self.failures.push(Failure::of(self.source(), &error, self.records));
        }
    }

    /// It is over before all was read.
    fn fail(&mut self, cause: Cause) {
        self.failures.push(Failure::new(self.source(), cause, self.records));
    }

    /// The last report.
    fn finish(self) -> Report {
        let connections = self.connection.of();
        let health = Health {
            records: self.records,
            bytes: self.bytes,
            strength: self.strength,
            ..Health::of(connections, self.began)
        };
        let (failures, left_out) = (self.failures, self.left_out);
        Report::Ended { source: connections.id(), failures, left_out, health }
    }

    fn source(&self) -> &'a dyn Source {
        self.connection.of().source()
    }

    fn fleet(&self) -> &'a Fleet<Report> {
        self.connection.of().fleet()
    }

    async fn read_logs(&mut self, request: &Request) -> Result<(), LogError> {
        let asked = if request.logs.is_empty() { self.source().logs() } else { &request.logs };
        let logs = self.resolve(asked).await?;
        let mut parts = logs.chunks(MAX_LOGS).peekable();
        while let Some(part) = parts.next() {
            let names: Vec<LogName> = part.iter().map(|(name, _)| name.clone()).collect();
            let last = parts.peek().is_none();
            let before = self.records;
            match self.read_query(request, names, last).await {
                Ok(()) => {}
                Err(error) if !error.leaves_connection_usable() => return Err(error),
                // One of them can't be read: each by itself then, so that it fails alone.
                Err(_) if part.len() > 1 && self.records == before => {
                    for (name, by_name) in part {
                        let before = self.records;
                        match self.read_query(request, vec![name.clone()], false).await {
                            Ok(()) => {}
                            Err(error) if !error.leaves_connection_usable() => return Err(error),
                            Err(error) => self.log_failed(&error, *by_name, before),
                        }
                    }
                }
                Err(error) => self.log_failed(&error, part.iter().any(|(_, named)| *named), before),
            }
        }
        Ok(())
    }

    fn log_failed(&mut self, error: &LogError, by_name: bool, before: u64) {
        let failure = Failure::of(self.source(), error, self.records - before);
        let failures = if by_name { &mut self.failures } else { &mut self.left_out };
        failures.push(failure);
    }

    /// The logs that patterns stand for, and whether each was named: a name is taken as it is,
    /// without asking for the logs there are.
    async fn resolve(&mut self, patterns: &[Glob]) -> Result<Vec<(LogName, bool)>, LogError> {
        let mut logs: Vec<(LogName, bool)> = Vec::new();
        let mut add = |name: LogName, by_name| {
            if !logs.iter().any(|(log, _)| log.0.eq_ignore_ascii_case(&name.0)) {
                logs.push((name, by_name));
            }
        };
        for pattern in patterns {
            if let Some(name) = literal(pattern) {
                add(name, true);
                continue;
            }
            let known = self.connection.ask(|log| async move { log.logs().await }).await?;
            let mut found = known.into_iter().filter(|name| pattern.is_match(&name.0)).peekable();
            if found.peek().is_none() {
                let error = LogError::NoSuchLog(pattern.as_str().into());
                self.failures.push(Failure::of(self.source(), &error, 0));
            }
            found.for_each(|name| add(name, false));
        }
        Ok(logs)
    }

    /// Reads a query to its end, over as many connections as it takes.
    async fn read_query(
        &mut self,
        request: &Request,
        logs: Vec<LogName>,
        last: bool,
    ) -> Result<(), LogError> {
        let Request { direction, filter, limit, .. } = request;
        let (direction, filter, limit) = (*direction, filter.clone(), *limit);
        let mut query = Query { logs, direction, filter, limit, after: None };
        loop {
            let log = self.connection.open().await?;
            let mut batches = match log.query(&query).await {
                Ok(batches) => {
                    self.strength = self.strength.max(batches.strength());
                    batches
                }
                Err(error) => {
                    self.connection.failed(error).await?;
                    continue;
                }
            };
            let came = self.records;
            let end = self.read_batches(&*log, &mut *batches).await;
            query.after = batches.bookmark().cloned().or(query.after);
            if let Some(limit) = &mut query.limit {
                *limit = limit.saturating_sub(self.records - came).max(1);
            }
            match end {
                Ok(()) => {
                    // Else the server keeps it until the connection ends.
                    if !last {
                        batches.close().await;
                    }
                    return Ok(());
                }
                Err(error) => self.connection.failed(error).await?,
            }
        }
    }

    async fn read_batches(
        &mut self,
        log: &dyn EventLog,
        batches: &mut dyn Batches,
    ) -> Result<(), LogError> {
        loop {
            let mut room = self.fleet().budget.room(batches.expected_bytes()).await;
            let Some(batch) = batches.next().await.transpose()? else { return Ok(()) };
            if batch.is_empty() {
                continue;
            }
            self.connection.answered(batch.records());
            room.shrink(batch.bytes());
            self.records += batch.records();
            self.bytes += batch.bytes() as u64;
            if let Some(prepare) = self.prepare {
                prepare.prepare(log, &batch).await;
            }
            let source = self.connection.of().id();
            self.fleet().report(Report::Batch { source, batch, room }).await;
        }
    }
}
