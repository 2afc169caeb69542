//! A log's connection to its source: made again as often as it is lost, and shared with other logs
//! where there are many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quarry_eventlog::{EventLog, LogError};
use quarry_rpc::Blame;
use tokio::time::Instant;

use super::{FollowReport, Shared};
use crate::failure::Failure;
use crate::job::SourceId;
use crate::source::Source;

/// The most logs of a source of which each has a connection of its own. Where there are more,
/// they share some, if the source lets several calls wait at once.
const MAX_OWN: usize = 8;

/// The connections to a source.
#[derive(Default)]
pub(super) struct Lines {
    /// Whether several logs use one.
    are_shared: bool,
    open: Mutex<Vec<OpenLine>>,
    /// Held while one is made; the last error, and when that was.
    connecting: tokio::sync::Mutex<Option<(Instant, LogError)>>,
}

struct OpenLine {
    log: Arc<dyn EventLog>,
    users: usize,
    is_lost: bool,
}

impl Lines {
    /// For so many logs.
    pub(super) fn new(logs: usize) -> Self {
        Lines { are_shared: logs > MAX_OWN, ..Lines::default() }
    }

    /// A connection that has room for one more log.
    fn join(&self) -> Option<Arc<dyn EventLog>> {
        // A log has at most two calls at once.
        let most = |log: &dyn EventLog| match self.are_shared {
            true => (log.calls_at_once() / 2).max(1),
            false => 1,
        };
        let mut open = self.open();
        let line = open.iter_mut().find(|line| !line.is_lost && line.users < most(&*line.log))?;
        line.users += 1;
        Some(Arc::clone(&line.log))
    }

    fn add(&self, log: &Arc<dyn EventLog>) {
        self.open().push(OpenLine { log: Arc::clone(log), users: 1, is_lost: false });
    }

    fn leave(&self, log: &Arc<dyn EventLog>, is_lost: bool) {
        let mut open = self.open();
        if let Some(line) = open.iter_mut().find(|line| Arc::ptr_eq(&line.log, log)) {
            line.users -= 1;
            line.is_lost |= is_lost;
        }
        open.retain(|line| line.users > 0);
    }

    fn open(&self) -> MutexGuard<'_, Vec<OpenLine>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log's connection to its source, made again as often as it is lost.
pub(super) struct Line<'a> {
    pub(super) shared: &'a Shared,
    lines: &'a Lines,
    pub(super) source: &'a dyn Source,
    pub(super) id: SourceId,
    open: Option<Arc<dyn EventLog>>,
    was_open: bool,
    /// Since something came.
    pub(super) tries: u32,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.leave(false);
    }
}

impl<'a> Line<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        lines: &'a Lines,
        source: &'a dyn Source,
        id: SourceId,
    ) -> Self {
        Line { shared, lines, source, id, open: None, was_open: false, tries: 0 }
    }

    /// The connection, made if there is none.
    pub(super) async fn open(&mut self) -> Result<Arc<dyn EventLog>, Failure> {
        loop {
            if let Some(log) = &self.open {
                return Ok(Arc::clone(log));
            }
            match self.connect().await {
                Ok(log) => {
                    self.was_open = true;
                    self.open = Some(log);
                }
                Err(error) => self.lost(error).await?,
            }
        }
    }

    async fn connect(&self) -> Result<Arc<dyn EventLog>, LogError> {
        if let Some(log) = self.lines.join() {
            return Ok(log);
        }
        let asked = Instant::now();
        let mut last = match self.lines.are_shared {
            true => Some(self.lines.connecting.lock().await),
            false => None,
        };
        if let Some(last) = &last {
            if let Some(log) = self.lines.join() {
                return Ok(log);
            }
            // Another log has just tried.
            if let Some((_, error)) = last.as_ref().filter(|(when, _)| *when > asked) {
                return Err(error.clone());
            }
        }
        self.source.prepare().await;
        let connecting = self.shared.budget.connecting().await;
        let opened = self.source.open().await;
        drop(connecting);
        match &opened {
            Ok(log) => self.lines.add(log),
            Err(error) => {
                if let Some(last) = &mut last {
                    **last = Some((Instant::now(), error.clone()));
                }
            }
        }
        opened
    }

    /// Gives the connection up, for all who use it if it is lost.
    pub(super) fn leave(&mut self, is_lost: bool) {
        if let Some(log) = self.open.take() {
            self.lines.leave(&log, is_lost);
        }
    }

    /// After an error: waits, so that the source can be opened again; or says why that is of no
    /// use. A server that is down comes back some day, a wrong password does not get right.
    pub(super) async fn lost(&mut self, error: LogError) -> Result<(), Failure> {
        if self.source.falls_back(&error) {
            self.leave(true);
            return Ok(());
        }
        self.leave(!error.leaves_connection_usable());
        let failure = Failure::of(self.source, &error, 0);
        let is_final = match (&error, error.blame()) {
            (_, Blame::Credential) => true,
            (_, Blame::Network | Blame::Peer) => false,
            // A server that starts up has no event log for a while, and a file may be replaced.
            (LogError::Server(_) | LogError::Open(_), _) => !self.was_open && !error.is_transient(),
            (_, Blame::Refusal | Blame::Us) => true,
        };
        if is_final {
            return Err(failure);
        }
        self.shared.tell(FollowReport::Lost { source: self.id, error: failure }).await;
        self.pause().await;
        Ok(())
    }

    /// Waits, longer each time.
    pub(super) async fn pause(&mut self) {
        let pause = self.shared.options.first_pause.saturating_mul(1 << self.tries.min(10));
        self.tries += 1;
        tokio::time::sleep(pause.min(self.shared.options.longest_pause)).await;
    }
}
