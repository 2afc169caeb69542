//! How long a peer may keep this side waiting, in time in which this side listened.
//!
//! A machine that is busy, or was asleep, comes late to what lies in its sockets. So time is
//! counted in parts, and a part that took longer than it was to take counts as what it was to take:
//! whoever is scheduled once in ten seconds has not listened for ten seconds. And before a peer is
//! given up, the system is asked once more whether anything has come from it.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::error::NetworkErrorKind;

/// In how many parts a limit is waited for.
const PARTS: u32 = 8;
/// The shortest part: what the runtime's timers can tell apart.
const SHORTEST: Duration = Duration::from_millis(1);

/// A bound on the whole of an exchange with a peer, over all the waits in it.
#[derive(Clone, Debug)]
pub struct Patience {
    limit: Duration,
    left: Duration,
    /// What has passed since the peer was heard last.
    quiet: Duration,
}

impl Patience {
    /// A peer has `limit` for all that it is [waited](Self::wait) for.
    pub fn new(limit: Duration) -> Self {
        Self { limit, left: limit, quiet: Duration::ZERO }
    }

    /// Notes that something came of the peer. It gets no time for that, but isn't called silent.
    pub fn heard(&mut self) {
        self.quiet = Duration::ZERO;
    }

    /// Waits for what the peer is to do.
    ///
    /// # Errors
    /// When the whole limit is used up: [`NetworkErrorKind::Silent`] of a peer that was not heard
    /// for the better part of it, else [`NetworkErrorKind::TooSlow`].
    pub async fn wait<F: Future>(&mut self, what: F) -> Result<F::Output, NetworkErrorKind> {
        let mut what = pin!(what);
        loop {
            let part = part_of(self.limit).min(self.left);
            let begun = Instant::now();
            let done = tokio::select! {
                biased;
                done = &mut what => Some(done),
                () = sleep(part) => None,
            };
            let took = begun.elapsed().min(part);
            self.left -= took;
            self.quiet += took;
            if let Some(done) = done {
                return Ok(done);
            }
            if self.left.is_zero() {
                look_at_sockets().await;
                return tokio::select! {
                    biased;
                    done = &mut what => Ok(done),
                    () = std::future::ready(()) => Err(self.over()),
                };
            }
        }
    }

    /// Waits no longer than for one of so many equal parts of the time that is left.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub(crate) async fn wait_for_share<F: Future>(
        &mut self,
        shares: usize,
        what: F,
    ) -> Result<F::Output, NetworkErrorKind> {
        let share = self.left / u32::try_from(shares).unwrap_or(u32::MAX).max(1);
        let mut part = Self { limit: share, left: share, quiet: self.quiet };
        let outcome = part.wait(what).await;
        self.left -= share - part.left;
        self.quiet = part.quiet;
        outcome
    }

    fn over(&self) -> NetworkErrorKind {
        too_late(self.quiet, self.limit, self.limit)
    }
}

/// Waits for so long, in time in which this side listened.
pub(crate) async fn elapse(time: Duration) {
    let _ = Patience::new(time).wait(std::future::pending::<()>()).await;
}

/// The part of a limit after which the clock is looked at.
pub(crate) fn part_of(limit: Duration) -> Duration {
    (limit / PARTS).max(SHORTEST)
}

/// Lets the runtime ask the system what has come: it does so before a task that yields goes on.
pub(crate) async fn look_at_sockets() {
    yield_now().await;
}

/// What to say of a peer that was not heard for `quiet`, may be silent for `limit`, and has had
/// `time` in all.
pub(crate) fn too_late(quiet: Duration, limit: Duration, time: Duration) -> NetworkErrorKind {
    match quiet >= limit / 4 * 3 {
        true => NetworkErrorKind::Silent(limit),
        false => NetworkErrorKind::TooSlow(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(8);

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_one_for_all_waits_and_what_is_heard_in_between_gives_no_time() {
        let begun = Instant::now();
        let mut patience = Patience::new(LIMIT);
        for _ in 0..7 {
            patience.wait(sleep(Duration::from_secs(1))).await.unwrap();
            patience.heard();
        }
        let over = patience.wait(sleep(Duration::from_secs(2))).await;
        assert_eq!(over, Err(NetworkErrorKind::TooSlow(LIMIT)));
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_called_silent() {
        let mut patience = Patience::new(LIMIT);
        patience.wait(sleep(Duration::from_secs(1))).await.unwrap();
        patience.heard();
        let over = patience.wait(std::future::pending::<()>()).await;
        assert_eq!(over, Err(NetworkErrorKind::Silent(LIMIT)));
    }

    #[tokio::test]
    async fn time_in_which_nobody_listened_is_not_counted() {
        let limit = Duration::from_millis(200);
        let mut patience = Patience::new(limit);
        let begun = Instant::now();
        for _ in 0..4 {
            // Sleeps without letting the runtime do anything, as a machine does that is suspended.
            let blocked = async {
                yield_now().await;
                std::thread::sleep(limit);
            };
            patience.wait(blocked).await.expect("a part of the limit each");
        }
        assert!(begun.elapsed() >= 4 * limit);
    }

    #[tokio::test]
    async fn what_lies_in_a_socket_is_found_before_its_sender_is_given_up() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(
            tokio::net::TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
        for _ in 0..50 {
            let mut patience = Patience::new(Duration::from_millis(8));
            // It comes while this thread is busy, and after the whole limit is over.
            let busy = async {
                tokio::time::sleep(Duration::from_millis(6)).await;
                far.write_all(b"x").await.unwrap();
                std::thread::sleep(Duration::from_millis(20));
            };
            let mut byte = [0];
            let (read, ()) = tokio::join!(patience.wait(near.read_exact(&mut byte)), busy);
            read.expect("it had come").unwrap();
        }
    }
}
