//! How long to wait between two attempts where the system has no better way.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(16);

/// Pauses that double from 50 µs to 16 ms.
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }

    /// Sleeps, but not past the deadline. False once the deadline has passed.
    pub(crate) fn sleep_until(&mut self, deadline: Option<Instant>) -> bool {
        let pause = self.pause();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return false;
        }
        std::thread::sleep(left.map_or(pause, |left| left.min(pause)));
        true
    }
}
