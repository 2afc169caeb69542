//! Following many sources: their last records, and then new ones as they come.

mod follower;

use std::time::Duration;

use quarry_eventlog::{Batch, Cursor, LogError, LogName, RecordId};
use tokio::sync::mpsc;

use crate::budget::Room;
use crate::connection::{ConnectionReport, Connections, Fleet, run_each};
use crate::control::Control;
use crate::failure::Failure;
use crate::job::{FollowRequest, Job, SourceId};
use crate::options::FollowOptions;
use crate::survey::{add_meant, literal, without_log};
use follower::follow_log;

/// Reports on their way. Their bytes are bounded by the budget.
const REPORTS: usize = 256;

/// The most records of a log that are given before the new ones, unless all are.
pub const MAX_LAST: u64 = 10_000;

/// As a number of last records: all that a log has.
pub const EVERY_RECORD: u64 = u64::MAX;

/// What happens while sources are followed.
#[derive(Debug)]
#[non_exhaustive]
pub enum FollowReport {
    /// The source is connected; again, if it is read in another way from now on.
    Opened {
        /// Which.
        source: SourceId,
    },
    /// A log is being followed, or is again after its connection was lost; or nothing up to the
    /// cursor is wanted.
    Following {
        /// Which source.
        source: SourceId,
        /// Which log.
        log: LogName,
        /// The cursor after which new records come.
        cursor: Cursor,
    },
    /// Records of a log, in their order; those among them that don't pass the filter too.
    Batch {
        /// Which source.
        source: SourceId,
        /// Which log.
        log: LogName,
        /// The records.
        batch: Batch,
        /// The cursor after the batch, once all of it is used.
        cursor: Option<Cursor>,
        /// As in [`Report::Batch`](crate::Report::Batch).
        room: Room,
    },
    /// Records that nobody has read are gone: the log was cleared or has wrapped. Some may not
    /// have passed the filter, which nobody can tell any more.
    Gap {
        /// Which source.
        source: SourceId,
        /// Which log.
        log: LogName,
        /// The first that is missing.
        first: RecordId,
        /// The last that is missing; nothing where numbers began again.
        last: Option<RecordId>,
    },
    /// The connection was lost, or the source can't be reached; it is tried again.
    Lost {
        /// Which source.
        source: SourceId,
        /// Why.
        error: Failure,
        /// How long is waited before.
        pause: Duration,
    },
    /// A log that a glob stands for, and that can't be followed.
    LeftOut {
        /// Which source.
        source: SourceId,
        /// Why.
        failure: Failure,
    },
    /// The log, or all of the source, is given up: the logon is refused, or there is no such log.
    Failed {
        /// Which source.
        source: SourceId,
        /// Why.
        failure: Failure,
    },
}

impl ConnectionReport for FollowReport {
    fn opened(source: SourceId) -> Option<Self> {
        Some(FollowReport::Opened { source })
    }

    fn lost(source: SourceId, error: Failure, pause: Duration) -> Option<Self> {
        Some(FollowReport::Lost { source, error, pause })
    }
}

/// Sources that are being followed: a stream of [`FollowReport`]s. Dropping it ends that.
#[derive(Debug)]
pub struct Follow {
    reports: mpsc::Receiver<FollowReport>,
    control: Control,
}

impl Follow {
    /// Begins to follow sources, of each what its job says. Needs a tokio runtime as
    /// [`Scan::begin`](crate::Scan::begin) does.
    pub fn begin(jobs: Vec<Job<FollowRequest>>, options: FollowOptions) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS);
        let control = Control::new(jobs.len());
        let stops = control.stops(options.deadline);
        let fleet = Fleet::for_ever(&options, sender);
        run_each(jobs, fleet, stops, |fleet, job, id, stops| {
            Box::pin(async move {
                // Whoever ends it, by whatever means, knows that it has ended.
                let _ = stops.race(follow_source(fleet, job, id)).await;
            })
        });
        Follow { reports, control }
    }

    /// What ends it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The next report; nothing when all sources have failed or been ended, or at the deadline.
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
        self.control.stop();
    }
}

/// Follows the logs of a source.
async fn follow_source(fleet: &Fleet<FollowReport>, job: &Job<FollowRequest>, id: SourceId) {
    let Job { source, request, .. } = job;
    let asked = if request.logs.is_empty() { source.logs() } else { &request.logs };
    let mut connections = Connections::new(fleet, &**source, id);
    let mut logs: Vec<LogName> = asked.iter().filter_map(literal).collect();
    let named = logs.len();
    if asked.iter().any(|pattern| literal(pattern).is_none()) {
        let known = connections.connection().ask(|log| async move { log.logs().await }).await;
        match known {
            Ok(known) => {
                for name in without_log(asked, &known) {
                    let failure = Failure::of(&**source, &LogError::NoSuchLog(name), 0);
                    fleet.report(FollowReport::Failed { source: id, failure }).await;
                }
                add_meant(&mut logs, asked, known);
            }
            Err(error) => {
                let failure = Failure::of(&**source, &error, 0);
                return fleet.report(FollowReport::Failed { source: id, failure }).await;
            }
        }
    }
    connections.share_among(logs.len());
    let follow = |(n, log)| follow_log(&connections, job, log, n < named);
    futures_util::future::join_all(logs.into_iter().enumerate().map(follow)).await;
}
