//! One source, read once: its logs, over as many connections as it takes.

use std::time::Duration;

use quarry_event::filter::Glob;
use quarry_eventlog::{Batches, EventLog, LogError, LogName, MAX_LOGS, Query, Strength};
use tokio::time::Instant;

use crate::connection::{Connection, Connections, Fleet};
use crate::failure::{Cause, Failure};
use crate::job::{Prepare, Request};
use crate::scan::Report;
use crate::source::Source;

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
    pub(crate) fn of<R: crate::connection::ConnectionReport>(
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

/// Reads one source.
pub(crate) struct Reader<'a> {
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
    pub(crate) fn new(
        connections: &'a Connections<'a, Report>,
        prepare: Option<&'a dyn Prepare>,
    ) -> Self {
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
    pub(crate) async fn read(&mut self, request: &Request) {
        if let Err(error) = self.read_logs(request).await {
            self.failures.push(Failure::of(self.source(), &error, self.records));
        }
    }

    /// It is over before all was read.
    pub(crate) fn fail(&mut self, cause: Cause) {
        self.failures.push(Failure::new(self.source(), cause, self.records));
    }

    /// The last report.
    pub(crate) fn finish(self) -> Report {
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

/// Adds the logs that patterns mean, of those a source has, to the ones that are named.
pub(crate) fn add_meant(named: &mut Vec<LogName>, patterns: &[Glob], known: Vec<LogName>) {
    let is_meant = |name: &LogName| {
        let is_named = named.iter().any(|named| named.0.eq_ignore_ascii_case(&name.0));
        !is_named && patterns.iter().any(|pattern| pattern.is_match(&name.0))
    };
    let meant: Vec<LogName> = known.into_iter().filter(is_meant).collect();
    named.extend(meant);
}

/// The patterns that stand for none of the logs a source has, as names.
pub(crate) fn without_log<'p>(
    patterns: &'p [Glob],
    known: &'p [LogName],
) -> impl Iterator<Item = LogName> + 'p {
    let is_globbing = |pattern: &&Glob| literal(pattern).is_none();
    let has_none = |pattern: &&Glob| !known.iter().any(|name| pattern.is_match(&name.0));
    let none = patterns.iter().filter(is_globbing).filter(has_none);
    none.map(|pattern| pattern.as_str().into())
}

/// A pattern that is a name.
pub(crate) fn literal(pattern: &Glob) -> Option<LogName> {
    let text = pattern.as_str();
    (!text.contains(['*', '?', '[', '{', '\\'])).then(|| text.into())
}
