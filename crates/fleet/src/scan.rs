//! Reading many sources at once.

use std::time::Duration;

use quarry_eventlog::Batch;
use tokio::sync::mpsc;

use crate::budget::Room;
use crate::connection::{ConnectionReport, Connections, Fleet, run_each};
use crate::control::{Control, Stopped};
use crate::failure::{Cause, Failure};
use crate::job::{Job, SourceId};
use crate::options::Options;
use crate::reader::{Health, Reader};

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
