//! A source's connection: opened, read in another way where that is needed, and made again as
//! often as it is lost. Whoever needs a source has it from here: a scan, a question, a follower.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use quarry_eventlog::{BoxFuture, EventLog, LogError};
use quarry_rpc::Blame;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, info, info_span};

use crate::budget::Budget;
use crate::control::Stops;
use crate::failure::Failure;
use crate::job::{Job, SourceId};
use crate::options::{FollowOptions, LONGEST_PAUSE, Options};
use crate::retry::{History, Persistence, Retry, Waiting};
use crate::source::Source;

/// The most logs of a source of which each has a connection of its own. Where there are more,
/// they share some, if the source lets several calls wait at once.
const MAX_OWN: usize = 8;

/// What all sources of a fleet share while something is done with them.
pub(crate) struct Fleet<R> {
    pub(crate) budget: Budget,
    pub(crate) retry: Retry,
    /// As in [`FollowOptions::gather`].
    pub(crate) gather: Duration,
    pub(crate) reports: mpsc::Sender<R>,
}

impl<R> Fleet<R> {
    /// To be read or asked something once.
    pub(crate) fn once(options: &Options, reports: mpsc::Sender<R>) -> Self {
        let persistence = Persistence::Times(options.retries);
        let retry = Retry::new(persistence, options.first_pause, LONGEST_PAUSE);
        Fleet { budget: Budget::of_scan(options), retry, gather: Duration::ZERO, reports }
    }

    /// To be followed.
    pub(crate) fn for_ever(options: &FollowOptions, reports: mpsc::Sender<R>) -> Self {
        let FollowOptions { first_pause, longest_pause, gather, .. } = *options;
        let retry = Retry::new(Persistence::Forever, first_pause, longest_pause);
        Fleet { budget: Budget::of_follow(options), retry, gather, reports }
    }

    pub(crate) async fn report(&self, report: R) {
        // Nobody listens when it is being dropped, and this task with it.
        let _ = self.reports.send(report).await;
    }
}

/// Does the work of each job in a task of its own, which begins when its turn comes.
pub(crate) fn run_each<J, R, F>(jobs: Vec<Job<J>>, fleet: Fleet<R>, stops: Vec<Stops>, work: F)
where
    J: Send + Sync + 'static,
    R: Send + 'static,
    F: for<'a> Fn(&'a Fleet<R>, &'a Job<J>, SourceId, Stops) -> BoxFuture<'a, ()>,
    F: Send + Sync + 'static,
{
    let (fleet, work) = (Arc::new(fleet), Arc::new(work));
    for (place, (job, stops)) in jobs.into_iter().zip(stops).enumerate() {
        let (fleet, work) = (Arc::clone(&fleet), Arc::clone(&work));
        let span = info_span!("source", name = job.source.name());
        let task = async move {
            // One that is stopped while it waits is told so when it begins.
            let _turn = stops.race(fleet.budget.connection()).await;
            work(&fleet, &job, SourceId(place), stops).await;
        };
        tokio::spawn(task.instrument(span));
    }
}

/// What is reported of connections, by those who report it.
pub(crate) trait ConnectionReport: Sized {
    /// The source is open; again, if it is read in another way from now on.
    fn opened(source: SourceId) -> Option<Self>;

    /// The source can't be reached or was lost, and is tried again after a pause.
    fn lost(source: SourceId, error: Failure, pause: Duration) -> Option<Self>;
}

/// The connections to one source: one, or one for each of its logs, or as many as they need
/// together.
pub(crate) struct Connections<'a, R> {
    fleet: &'a Fleet<R>,
    source: &'a dyn Source,
    id: SourceId,
    /// Whether several logs use one.
    are_shared: bool,
    open: Mutex<Vec<Open>>,
    /// Held while one is made; the last error, and when that was.
    connecting: tokio::sync::Mutex<Option<(Instant, LogError)>>,
    was_open: AtomicBool,
    /// That it is open was reported, as it is read now.
    is_reported: AtomicBool,
    /// Something came of it.
    is_read: AtomicBool,
    connected_in: OnceLock<Duration>,
    retries: AtomicU32,
}

struct Open {
    log: Arc<dyn EventLog>,
    users: usize,
    is_lost: bool,
}

impl<'a, R: ConnectionReport> Connections<'a, R> {
    /// For one user at a time.
    pub(crate) fn new(fleet: &'a Fleet<R>, source: &'a dyn Source, id: SourceId) -> Self {
        Connections {
            fleet,
            source,
            id,
            are_shared: false,
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            was_open: AtomicBool::new(false),
            is_reported: AtomicBool::new(false),
            is_read: AtomicBool::new(false),
            connected_in: OnceLock::new(),
            retries: AtomicU32::new(0),
        }
    }

    /// The same, for so many logs at once.
    pub(crate) fn share_among(&mut self, logs: usize) {
        self.are_shared = logs > MAX_OWN;
    }

    /// A connection, which isn't made before it is needed.
    pub(crate) fn connection(&self) -> Connection<'_, R> {
        Connection { of: self, open: None, history: History::default() }
    }

    pub(crate) fn fleet(&self) -> &'a Fleet<R> {
        self.fleet
    }

    pub(crate) fn source(&self) -> &'a dyn Source {
        self.source
    }

    pub(crate) fn id(&self) -> SourceId {
        self.id
    }

    /// How long the first connection took, the logon included; nothing if there was none.
    pub(crate) fn connected_in(&self) -> Option<Duration> {
        self.connected_in.get().copied()
    }

    /// How often a connection was lost and made again.
    pub(crate) fn retries(&self) -> u32 {
        self.retries.load(Ordering::Relaxed)
    }

    /// One that has room for one more user.
    fn join(&self) -> Option<Arc<dyn EventLog>> {
        // A log has at most two calls at once.
        let most = |log: &dyn EventLog| match self.are_shared {
            true => (log.calls_at_once() / 2).max(1),
            false => 1,
        };
        let mut open = self.lock();
        let joined = open.iter_mut().find(|open| !open.is_lost && open.users < most(&*open.log))?;
        joined.users += 1;
        Some(Arc::clone(&joined.log))
    }

    fn leave(&self, log: &Arc<dyn EventLog>, is_lost: bool) {
        let mut open = self.lock();
        if let Some(left) = open.iter_mut().find(|open| Arc::ptr_eq(&open.log, log)) {
            left.users -= 1;
            left.is_lost |= is_lost;
        }
        open.retain(|open| open.users > 0);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Arc<dyn EventLog>, LogError> {
        if let Some(log) = self.join() {
            return Ok(log);
        }
        let asked = Instant::now();
        let mut last = match self.are_shared {
            true => Some(self.connecting.lock().await),
            false => None,
        };
        if let Some(last) = &last {
            if let Some(log) = self.join() {
                return Ok(log);
            }
            // Another log has just tried.
            if let Some((_, error)) = last.as_ref().filter(|(when, _)| *when > asked) {
                return Err(error.clone());
            }
        }
        self.source.prepare().await;
        let connecting = self.fleet.budget.connecting().await;
        let began = Instant::now();
        debug!(account = self.source.account().map(tracing::field::display), "connecting");
        let opened = self.source.open().await;
        drop(connecting);
        match &opened {
            Ok(log) => {
                let took = began.elapsed();
                let protocol = self.source.protocol().map(tracing::field::display);
                match self.was_open.load(Ordering::Relaxed) {
                    false => info!(?took, protocol, "connected"),
                    true => info!(?took, protocol, "connected again"),
                }
                self.was_open.store(true, Ordering::Relaxed);
                let _ = self.connected_in.set(began.elapsed());
                self.lock().push(Open { log: Arc::clone(log), users: 1, is_lost: false });
            }
            Err(error) => {
                if let Some(last) = &mut last {
                    **last = Some((Instant::now(), error.clone()));
                }
            }
        }
        opened
    }

    /// Whether the source is read in another way from now on. What has come already belongs to
    /// the way in which it was read then.
    fn falls_back(&self, error: &LogError) -> bool {
        let falls_back = !self.is_read.load(Ordering::Relaxed) && self.source.falls_back(error);
        if falls_back {
            info!(%error, "read in another way from now on");
            self.is_reported.store(false, Ordering::Relaxed);
        }
        falls_back
    }

    async fn report_opened(&self) {
        if !self.is_reported.swap(true, Ordering::Relaxed)
            && let Some(opened) = R::opened(self.id)
        {
            self.fleet.report(opened).await;
        }
    }
}

/// A connection to a source, for one user: made when it is needed, and made again as often as it
/// is lost.
pub(crate) struct Connection<'a, R: ConnectionReport> {
    of: &'a Connections<'a, R>,
    open: Option<Arc<dyn EventLog>>,
    /// Since something came.
    history: History,
}

impl<R: ConnectionReport> Drop for Connection<'_, R> {
    fn drop(&mut self) {
        self.leave(false);
    }
}

impl<'a, R: ConnectionReport> Connection<'a, R> {
    /// The connections of which this is one.
    pub(crate) fn of(&self) -> &'a Connections<'a, R> {
        self.of
    }

    /// The source, opened if it isn't.
    ///
    /// # Errors
    /// [`LogError`]: it can't be opened, and another attempt makes no sense.
    pub(crate) async fn open(&mut self) -> Result<Arc<dyn EventLog>, LogError> {
        loop {
            if let Some(log) = &self.open {
                return Ok(Arc::clone(log));
            }
            match self.of.connect().await {
                Ok(log) => {
                    // Before it is reported: whoever gives that up leaves what is joined.
                    self.open = Some(log);
                    self.history.refusals = 0;
                    self.of.report_opened().await;
                }
                Err(error) => self.failed(error).await?,
            }
        }
    }

    /// What was asked of the source was granted: from now on a refusal of it isn't final.
    pub(crate) fn served(&mut self) {
        self.history.was_served = true;
    }

    /// An answer came, with records or without.
    pub(crate) fn answered(&mut self, records: u64) {
        self.history.failures = 0;
        if records > 0 {
            self.of.is_read.store(true, Ordering::Relaxed);
        }
    }

    /// Asks something of the source, again if its connection is lost.
    ///
    /// # Errors
    /// [`LogError`]: as of [`open`](Self::open), or the last answer.
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
                Err(error) => self.failed(error).await?,
            }
        }
    }

    /// Gives the connection up, for all who use it if it is lost.
    pub(crate) fn leave(&mut self, is_lost: bool) {
        if let Some(log) = self.open.take() {
            self.of.leave(&log, is_lost);
        }
    }

    /// After an error: waits, so that the source can be opened again.
    ///
    /// # Errors
    /// [`LogError`]: the same, if that is of no use. The connection stays open as it is.
    pub(crate) async fn failed(&mut self, error: LogError) -> Result<(), LogError> {
        let Connections { fleet, source, id, .. } = *self.of;
        if self.of.falls_back(&error) {
            self.leave(true);
            return Ok(());
        }
        self.history.was_open = self.of.was_open.load(Ordering::Relaxed);
        if !fleet.retry.allows(&error, self.history) {
            debug!(%error, history = ?self.history, "not tried again");
            return Err(error);
        }
        self.leave(!error.leaves_connection_usable());
        self.of.retries.fetch_add(1, Ordering::Relaxed);
        let (pause, _waiting) = self.next_pause(&error);
        info!(%error, ?pause, failures = self.history.failures, "lost, and tried again");
        if let Some(lost) = R::lost(id, Failure::of(source, &error, 0), pause) {
            fleet.report(lost).await;
        }
        tokio::time::sleep(pause).await;
        if error.blame() == Blame::Credential {
            source.reconsider_credential();
        }
        Ok(())
    }

    /// Waits as after an error, where that isn't one of the connection.
    pub(crate) async fn pause(&mut self, error: &LogError) {
        let (pause, _waiting) = self.next_pause(error);
        tokio::time::sleep(pause).await;
    }

    fn next_pause(&mut self, error: &LogError) -> (Duration, Waiting<'a>) {
        let paused = self.of.fleet.retry.pause(error, self.history);
        let refusals = u32::from(error.blame() == Blame::Credential);
        self.history.failures = self.history.failures.saturating_add(1);
        self.history.refusals = self.history.refusals.saturating_add(refusals);
        paused
    }
}
