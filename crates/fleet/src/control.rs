//! What ends the work on a fleet, or on a source of it, before it is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::job::SourceId;

/// Ends a scan, a question or a follower, or the work on one of its sources.
#[derive(Clone, Debug)]
pub struct Control {
    all: CancellationToken,
    each: Arc<[CancellationToken]>,
}

impl Control {
    pub(crate) fn new(sources: usize) -> Self {
        let all = CancellationToken::new();
        let each = (0..sources).map(|_| CancellationToken::new()).collect();
        Control { all, each }
    }

    /// Ends everything: no further report is made.
    pub fn stop(&self) {
        self.all.cancel();
    }

    /// Ends a source; it counts as one that went well. Reports that are on their way still come.
    pub fn skip(&self, source: SourceId) {
        if let Some(source) = self.each.get(source.index()) {
            source.cancel();
        }
    }

    /// What can end the work on each source.
    pub(crate) fn stops(&self, deadline: Option<Duration>) -> Vec<Stops> {
        let deadline = deadline.map(|time| Instant::now() + time);
        let stops = |this: &CancellationToken| Stops {
            all: self.all.clone(),
            this: this.clone(),
            deadline,
        };
        self.each.iter().map(stops).collect()
    }
}

/// What can end the work on a source.
pub(crate) struct Stops {
    all: CancellationToken,
    this: CancellationToken,
    deadline: Option<Instant>,
}

pub(crate) enum Stopped {
    All,
    Skipped,
    Deadline,
}

impl Stops {
    /// Does the work, unless it is to be ended before.
    pub(crate) async fn race<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
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
