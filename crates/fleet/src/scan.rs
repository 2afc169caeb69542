//! Reading many sources at once.

use std::future::Future;
use std::sync::Arc;

use quarry_event::filter::{Filter, Glob};
use quarry_eventlog::{Batch, BoxFuture, Direction, EventLog, LogError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::{Budget, Room};
use crate::failure::{Cause, Failure};
use crate::options::Options;
use crate::reader::{Health, Reader, Shared};
use crate::source::Source;

/// Reports on their way. Their bytes are bounded by the budget.
const REPORTS: usize = 256;

/// What to read of each source.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The logs, by name or glob; none for those that each source has by default. One that is
    /// named and can't be read is a failure of its source; one that a glob found and can't be read
    /// is left out, and told.
    pub logs: Vec<Glob>,
    /// The order of each source's records.
    pub direction: Direction,
    /// What is wanted. Sources may send more: test what comes.
    pub filter: Filter,
    /// How many records of a source are wanted, where there is a limit. More may come;
    /// [`Control::skip`] ends a source.
    pub limit: Option<u64>,
}

/// What happens while a fleet is read. Sources are named by their place in the list.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report {
    /// The source is connected; again, if it is read in another way from now on.
    Opened {
        /// Which.
        source: usize,
    },
    /// Records of a source, in their order, or what of it can't be read.
    Batch {
        /// Which.
        source: usize,
        /// The records; a [`BatchReader`](quarry_eventlog::BatchReader) decodes them.
        batch: Batch,
        /// What the batch takes of the budget. Keep it as long as the batch or what was made of
        /// it; reading stands still when all is taken.
        room: Room,
    },
    /// The source's connection was lost and is made again.
    Retrying {
        /// Which.
        source: usize,
        /// How it was lost.
        error: Failure,
        /// How long is waited before, at most.
        pause: std::time::Duration,
    },
    /// The source is done: no more of it comes.
    Ended {
        /// Which.
        source: usize,
        /// What failed of it, nothing if all went well. What came before counts.
        failures: Vec<Failure>,
        /// Logs that were found by a glob and can't be read.
        left_out: Vec<Failure>,
        /// How it went.
        health: Health,
    },
}

/// A fleet that is being read: a stream of [`Report`]s. Dropping it ends the reading.
#[derive(Debug)]
pub struct Scan {
    reports: mpsc::Receiver<Report>,
    control: Control,
}

/// Ends a scan, or a source of it.
#[derive(Clone, Debug)]
pub struct Control {
    all: CancellationToken,
    each: Arc<[CancellationToken]>,
}

impl Control {
    /// Ends the scan: no further report is made.
    pub fn stop(&self) {
        self.all.cancel();
    }

    /// Ends a source; it counts as one that went well. Reports that are on their way still come.
    pub fn skip(&self, source: usize) {
        if let Some(source) = self.each.get(source) {
            source.cancel();
        }
    }
}

impl Scan {
    /// Begins to read sources. Needs a tokio runtime with I/O and time; one with several threads
    /// unseals what comes on several cores.
    pub fn begin(sources: Vec<Arc<dyn Source>>, request: Request, options: Options) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS);
        let control = Control::new(sources.len());
        let budget = Budget::new(&options);
        let shared = Arc::new(Shared { options, budget, reports: sender });
        let request = Arc::new(request);
        spawn_all(sources, shared, &control, move |shared, source, index, stops| {
            let request = Arc::clone(&request);
            Box::pin(async move {
                let mut reader = Reader::new(shared, source, index);
                match stops.race(reader.read(&request)).await {
                    Ok(()) | Err(Stopped::Skipped) => {}
                    Err(Stopped::Deadline) => {
                        let records = reader.health.records;
                        reader.failures.push(Failure::new(source, Cause::Deadline, records));
                    }
                    Err(Stopped::All) => return,
                }
                let (failures, left_out, health) = reader.finish();
                let report = Report::Ended { source: index, failures, left_out, health };
                let _ = shared.reports.send(report).await;
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

/// What came of a question to a source.
#[derive(Debug)]
pub struct Answer<T> {
    /// Which source.
    pub source: usize,
    /// The answer.
    pub result: Result<T, Failure>,
    /// How it went.
    pub health: Health,
}

/// Asks each source something, within the same budgets and with the same retries as a scan; the
/// answers come as they come.
#[derive(Debug)]
pub struct Ask<T> {
    answers: mpsc::Receiver<Answer<T>>,
    control: Control,
}

impl<T: Send + 'static> Ask<T> {
    /// Begins to ask. The question is asked again when a connection was lost.
    pub fn begin<Q, F>(sources: Vec<Arc<dyn Source>>, options: Options, question: Q) -> Self
    where
        Q: Fn(usize, Arc<dyn EventLog>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, LogError>> + Send,
    {
        let (sender, answers) = mpsc::channel(REPORTS);
        // Nobody hears of opened sources and retries.
        let (reports, _) = mpsc::channel(1);
        let control = Control::new(sources.len());
        let budget = Budget::new(&options);
        let shared = Arc::new(Shared { options, budget, reports });
        let question = Arc::new(question);
        spawn_all(sources, shared, &control, move |shared, source, index, stops| {
            let (question, sender) = (Arc::clone(&question), sender.clone());
            Box::pin(async move {
                let mut reader = Reader::new(shared, source, index);
                let result = match stops.race(reader.ask(|log| question(index, log))).await {
                    Ok(answer) => answer.map_err(|error| Failure::of(source, &error, 0)),
                    Err(Stopped::Deadline) => Err(Failure::new(source, Cause::Deadline, 0)),
                    Err(Stopped::All | Stopped::Skipped) => return,
                };
                let (_, _, health) = reader.finish();
                let _ = sender.send(Answer { source: index, result, health }).await;
            })
        });
        Ask { answers, control }
    }

    /// The next answer; nothing when all sources have answered or failed.
    pub async fn next(&mut self) -> Option<Answer<T>> {
        self.answers.recv().await
    }

    /// The same, for a thread outside of the runtime.
    ///
    /// # Panics
    /// On a thread of the runtime.
    pub fn blocking_next(&mut self) -> Option<Answer<T>> {
        self.answers.blocking_recv()
    }
}

impl<T> Ask<T> {
    /// What ends it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

impl<T> Drop for Ask<T> {
    fn drop(&mut self) {
        self.control.stop();
    }
}

impl Control {
    fn new(sources: usize) -> Self {
        let all = CancellationToken::new();
        let each = (0..sources).map(|_| CancellationToken::new()).collect();
        Control { all, each }
    }
}

/// What can end the reading of a source.
struct Stops {
    all: CancellationToken,
    this: CancellationToken,
    deadline: Option<Instant>,
}

enum Stopped {
    All,
    Skipped,
    Deadline,
}

impl Stops {
    /// Does it, unless it is to be ended before.
    async fn race<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.all.cancelled() => Err(Stopped::All),
            () = self.this.cancelled() => Err(Stopped::Skipped),
            () = deadline => Err(Stopped::Deadline),
            done = work => Ok(done),
        }
    }
}

/// A task for each source, which begins when its turn comes.
fn spawn_all<F>(sources: Vec<Arc<dyn Source>>, shared: Arc<Shared>, control: &Control, read: F)
where
    F: for<'a> Fn(&'a Shared, &'a dyn Source, usize, Stops) -> BoxFuture<'a, ()>,
    F: Send + Sync + 'static,
{
    let deadline = shared.options.deadline.map(|time| Instant::now() + time);
    let read = Arc::new(read);
    for (index, (source, this)) in sources.into_iter().zip(control.each.iter()).enumerate() {
        let stops = Stops { all: control.all.clone(), this: this.clone(), deadline };
        let (shared, read) = (Arc::clone(&shared), Arc::clone(&read));
        tokio::spawn(async move {
            // One that is stopped while it waits is told so when it begins.
            let _turn = stops.race(shared.budget.connection()).await;
            read(&shared, &*source, index, stops).await;
        });
    }
}
