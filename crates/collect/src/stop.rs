//! What ends a run before its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Ends a run from any thread or task: Ctrl-C, a request whose client has gone. Clones are one and
/// the same. What was decoded by then is still handed on.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What is looked at for each record: the token would be locked.
    is_set: AtomicBool,
    token: CancellationToken,
}

impl Stop {
    /// Ends the run. Returns whether this is the first time.
    pub fn set(&self) -> bool {
        let is_first = !self.0.is_set.swap(true, Ordering::Relaxed);
        self.0.token.cancel();
        is_first
    }

    /// Whether the run is to end.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::Relaxed)
    }

    /// What is looked at for each record.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0.is_set
    }

    /// Waits until the run is to end.
    pub async fn wait(&self) {
        self.0.token.cancelled().await;
    }
}
