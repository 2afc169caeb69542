//! One source: opening it, again if its connection is lost, and reading its logs.

use std::sync::Arc;
use std::time::Duration;

use quarry_event::filter::Glob;
use quarry_eventlog::{Batches, EventLog, LogError, LogName, MAX_LOGS, Query};
use quarry_rpc::{Error as RpcError, NetworkErrorKind, Stage};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::failure::Failure;
use crate::job::{Request, SourceId};
use crate::options::Options;
use crate::scan::Report;
use crate::source::Source;

/// How it went with a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
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
}

/// What all readers of a fleet share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) budget: Budget,
    pub(crate) reports: mpsc::Sender<Report>,
}

/// Reads one source.
pub(crate) struct Reader<'a> {
    shared: &'a Shared,
    source: &'a dyn Source,
    id: SourceId,
    log: Option<Arc<dyn EventLog>>,
    /// That it is open was told.
    is_told: bool,
    tries: u32,
    pub(crate) health: Health,
    began: Instant,
    /// Logs that were asked for by name and can't be read, and those that a glob found.
    pub(crate) failures: Vec<Failure>,
    left_out: Vec<Failure>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(shared: &'a Shared, source: &'a dyn Source, id: SourceId) -> Self {
        Reader {
            shared,
            source,
            id,
            log: None,
            is_told: false,
            tries: 0,
            health: Health::default(),
            began: Instant::now(),
            failures: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Reads what is asked for. What fails goes to `failures`.
    pub(crate) async fn read(&mut self, request: &Request) {
        if let Err(error) = self.read_logs(request).await {
            self.failures.push(Failure::of(self.source, &error, self.health.records));
        }
    }

    /// What failed, what was left out, and how it went.
    pub(crate) fn finish(self) -> (Vec<Failure>, Vec<Failure>, Health) {
        let health = Health { took: self.began.elapsed(), ..self.health };
        (self.failures, self.left_out, health)
    }

    async fn read_logs(&mut self, request: &Request) -> Result<(), LogError> {
        let asked = if request.logs.is_empty() { self.source.logs() } else { &request.logs };
        let logs = self.resolve(asked).await?;
        let mut parts = logs.chunks(MAX_LOGS).peekable();
        while let Some(part) = parts.next() {
            let names: Vec<LogName> = part.iter().map(|(name, _)| name.clone()).collect();
            let last = parts.peek().is_none();
            let before = self.health.records;
            match self.read_query(request, names, last).await {
                Ok(()) => {}
                Err(error) if !error.leaves_connection_usable() => return Err(error),
                // One of them can't be read: each by itself then, so that it fails alone.
                Err(_) if part.len() > 1 && self.health.records == before => {
                    for (name, by_name) in part {
                        let before = self.health.records;
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
        let failure = Failure::of(self.source, error, self.health.records - before);
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
            let known = self.ask(|log| async move { log.logs().await }).await?;
            let mut found = known.into_iter().filter(|name| pattern.is_match(&name.0)).peekable();
            if found.peek().is_none() {
                let error = LogError::NoSuchLog(pattern.as_str().into());
                self.failures.push(Failure::of(self.source, &error, 0));
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
            let log = self.open().await?;
            let mut batches = match log.query(&query).await {
                Ok(batches) => batches,
                Err(error) => {
                    self.lost(error).await?;
                    continue;
                }
            };
            let came = self.health.records;
            let end = self.read_batches(&mut *batches).await;
            query.after = batches.bookmark().cloned().or(query.after);
            if let Some(limit) = &mut query.limit {
                *limit = limit.saturating_sub(self.health.records - came).max(1);
            }
            match end {
                Ok(()) => {
                    // Else the server keeps it until the connection ends.
                    if !last {
                        batches.close().await;
                    }
                    return Ok(());
                }
                Err(error) => self.lost(error).await?,
            }
        }
    }

    async fn read_batches(&mut self, batches: &mut dyn Batches) -> Result<(), LogError> {
        loop {
            let mut room = self.shared.budget.room(batches.expected_bytes()).await;
            let Some(batch) = batches.next().await.transpose()? else { return Ok(()) };
            if batch.is_empty() {
                continue;
            }
            self.tries = 0;
            room.shrink(batch.bytes());
            self.health.records += batch.records();
            self.health.bytes += batch.bytes() as u64;
            let report = Report::Batch { source: self.id, batch, room };
            // Nobody listens when the scan is being dropped, and this task with it.
            let _ = self.shared.reports.send(report).await;
        }
    }

    /// Asks something of the source, again if its connection is lost.
    pub(crate) async fn ask<T, F>(
        &mut self,
        question: impl Fn(Arc<dyn EventLog>) -> F,
    ) -> Result<T, LogError>
    where
        F: Future<Output = Result<T, LogError>>,
    {
        loop {
            let log = self.open().await?;
            match question(log).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.lost(error).await?,
            }
        }
    }

    /// The source, opened if it isn't.
    async fn open(&mut self) -> Result<Arc<dyn EventLog>, LogError> {
        loop {
            if let Some(log) = &self.log {
                return Ok(Arc::clone(log));
            }
            self.source.prepare().await;
            let connecting = self.shared.budget.connecting().await;
            let began = Instant::now();
            let opened = self.source.open().await;
            drop(connecting);
            match opened {
                Ok(log) => {
                    self.health.connected_in.get_or_insert(began.elapsed());
                    if !std::mem::replace(&mut self.is_told, true) {
                        let opened = Report::Opened { source: self.id };
                        let _ = self.shared.reports.send(opened).await;
                    }
                    self.log = Some(log);
                }
                Err(error) => self.lost(error).await?,
            }
        }
    }

    /// After an error: waits, so that the connection can be made again; or gives the error back,
    /// if that is of no use.
    async fn lost(&mut self, error: LogError) -> Result<(), LogError> {
        if self.health.records == 0 && self.source.falls_back(&error) {
            (self.log, self.is_told) = (None, false);
            return Ok(());
        }
        let Options { retries, first_pause, .. } = self.shared.options;
        if self.tries >= retries || !may_retry(&error, self.health.connected_in.is_some()) {
            return Err(error);
        }
        self.log = None;
        let pause = first_pause.saturating_mul(1 << self.tries.min(10));
        self.tries += 1;
        self.health.retries += 1;
        let error = Failure::of(self.source, &error, 0);
        let _ = self.shared.reports.send(Report::Retrying { source: self.id, error, pause }).await;
        tokio::time::sleep(spread(pause, self.source.name())).await;
        Ok(())
    }
}

/// Whether another attempt makes sense. A server that was never reached is not waited for; one
/// that was may be starting again. One that has been silent for long would be silent again.
fn may_retry(error: &LogError, was_open: bool) -> bool {
    let at_network = match error {
        LogError::Server(quarry_even::Error::Rpc(RpcError::Network(error))) => Some(error),
        _ => None,
    };
    match at_network {
        Some(error) => match (&error.kind, error.during) {
            (NetworkErrorKind::Silent(_) | NetworkErrorKind::UnknownHost, _) => false,
            (_, Stage::Resolve | Stage::Connect(_)) => was_open,
            _ => true,
        },
        None => error.is_transient(),
    }
}

/// A pause of half to all of its length, different for each source: those that were lost together
/// don't come back together.
fn spread(pause: Duration, name: &str) -> Duration {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    pause.mul_f64(0.5 + (hash >> 40) as f64 / (1u64 << 25) as f64)
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

/// A pattern that is a name.
pub(crate) fn literal(pattern: &Glob) -> Option<LogName> {
    let text = pattern.as_str();
    (!text.contains(['*', '?', '[', '{', '\\'])).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_from_source_to_source_within_bounds() {
        let pause = Duration::from_secs(1);
        let spreads: std::collections::BTreeSet<_> =
            (0..100).map(|n| spread(pause, &format!("server{n}"))).collect();
        assert!(spreads.len() > 90);
        assert!(spreads.iter().all(|s| *s >= pause / 2 && *s <= pause));
    }
}
