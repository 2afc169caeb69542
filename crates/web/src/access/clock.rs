//! The clock that sessions and limits go by, which a test can move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A monotonic clock. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Instant),
    /// Milliseconds.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System(Instant::now()))
    }

    /// A clock that stands still until [`advance`](Self::advance) moves it.
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::default()))
    }

    /// The time since the clock was made.
    pub fn now(&self) -> Duration {
        match &self.0 {
            Source::System(start) => start.elapsed(),
            Source::Manual(time) => Duration::from_millis(time.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock on by whole milliseconds. The system's clock is not to be moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(time) = &self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            time.fetch_add(by, Ordering::Relaxed);
        }
    }
}
