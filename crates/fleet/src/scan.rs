//! Reading many sources at once.

use std::future::Future;
use std::sync::Arc;

use quarry_eventlog::{Batch, BoxFuture, EventLog, LogError};
use tokio::sync::mpsc;

use crate::budget::{Budget, Room};
use crate::control::{Control, Stopped, Stops};
use crate::failure::{Cause, Failure};
use crate::job::{Job, SourceId};
use crate::options::Options;
use crate::reader::{Health, Reader, Shared};
use crate::source::Source;

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
        /// How long is waited before, at most.
        pause: std::time::Duration,
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
        let budget = Budget::of_scan(&options);
        let shared = Arc::new(Shared { options, budget, reports: sender });
        spawn_all(jobs, shared, &control, move |shared, job, id, stops| {
            Box::pin(async move {
                let source = &*job.source;
                let mut reader = Reader::new(shared, source, id);
                match stops.race(reader.read(&job.request)).await {
                    Ok(()) | Err(Stopped::Skipped) => {}
                    Err(Stopped::Deadline) => {
                        let records = reader.health.records;
                        reader.failures.push(Failure::new(source, Cause::Deadline, records));
                    }
                    Err(Stopped::All) => return,
                }
                let (failures, left_out, health) = reader.finish();
                let report = Report::Ended { source: id, failures, left_out, health };
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
    pub source: SourceId,
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
        Q: Fn(SourceId, Arc<dyn EventLog>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, LogError>> + Send,
    {
        let (sender, answers) = mpsc::channel(REPORTS);
        // Nobody hears of opened sources and retries.
        let (reports, _) = mpsc::channel(1);
        let jobs: Vec<Job<()>> = Job::each(sources, ());
        let control = Control::new(jobs.len());
        let budget = Budget::of_scan(&options);
        let shared = Arc::new(Shared { options, budget, reports });
        let question = Arc::new(question);
        spawn_all(jobs, shared, &control, move |shared, job, id, stops| {
            let (question, sender) = (Arc::clone(&question), sender.clone());
            Box::pin(async move {
                let source = &*job.source;
                let mut reader = Reader::new(shared, source, id);
                let result = match stops.race(reader.ask(|log| question(id, log))).await {
                    Ok(answer) => answer.map_err(|error| Failure::of(source, &error, 0)),
                    Err(Stopped::Deadline) => Err(Failure::new(source, Cause::Deadline, 0)),
                    Err(Stopped::All | Stopped::Skipped) => return,
                };
                let (_, _, health) = reader.finish();
                let _ = sender.send(Answer { source: id, result, health }).await;
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

/// A task for each source, which begins when its turn comes.
fn spawn_all<R, F>(jobs: Vec<Job<R>>, shared: Arc<Shared>, control: &Control, work: F)
where
    R: Send + Sync + 'static,
    F: for<'a> Fn(&'a Shared, &'a Job<R>, SourceId, Stops) -> BoxFuture<'a, ()>,
    F: Send + Sync + 'static,
{
    let stops = control.stops(shared.options.deadline);
    let work = Arc::new(work);
    for (place, (job, stops)) in jobs.into_iter().zip(stops).enumerate() {
        let (shared, work) = (Arc::clone(&shared), Arc::clone(&work));
        tokio::spawn(async move {
            // One that is stopped while it waits is told so when it begins.
            let _turn = stops.race(shared.budget.connection()).await;
            work(&shared, &job, SourceId(place), stops).await;
        });
    }
}
