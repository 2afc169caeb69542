//! Asking many sources something at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use quarry_eventlog::{EventLog, LogError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connection::{ConnectionReport, Connections, Fleet, run_each};
use crate::control::{Control, Stopped};
use crate::failure::{Cause, Failure};
use crate::job::{Job, SourceId};
use crate::options::Options;
use crate::scan::Health;
use crate::source::Source;

/// Answers on their way.
const REPORTS: usize = 256;

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

/// Nobody hears of opened sources and retries.
impl<T> ConnectionReport for Answer<T> {
    fn opened(_: SourceId) -> Option<Self> {
        None
    }

    fn lost(_: SourceId, _: Failure, _: Duration) -> Option<Self> {
        None
    }
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
        let control = Control::new(sources.len());
        let stops = control.stops(options.deadline);
        let fleet = Fleet::once(&options, sender);
        let question = Arc::new(question);
        run_each(Job::each(sources, ()), fleet, stops, move |fleet, job, id, stops| {
            let question = Arc::clone(&question);
            Box::pin(async move {
                let (source, began) = (&*job.source, Instant::now());
                let connections = Connections::new(fleet, source, id);
                let mut connection = connections.connection();
                let result = match stops.race(connection.ask(|log| question(id, log))).await {
                    Ok(answer) => answer.map_err(|error| Failure::of(source, &error, 0)),
                    Err(Stopped::Deadline) => Err(Failure::new(source, Cause::Deadline, 0)),
                    Err(Stopped::All | Stopped::Skipped) => return,
                };
                let health = Health::of(&connections, began);
                fleet.report(Answer { source: id, result, health }).await;
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
