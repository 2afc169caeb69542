//! When a source that failed is tried again: after which errors, and after what pause.
//!
//! There is one policy for all who open sources. Pauses grow with each failure in a row, and are
//! drawn at random, so that sources that were lost together do not come back together: however
//! many they are, about [`RATE`] of them a second do.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quarry_eventlog::LogError;
use quarry_rpc::{Blame, Error as RpcError, NetworkErrorKind, Stage};

/// Sources a second that come back, of many that were lost together: at least so many, at most
/// twice that.
const RATE: u32 = 200;

/// The pause after a credential was refused a second time in a row by a source that had accepted
/// it, and between two attempts of all sources once the credential's gate is closed. Accounts are
/// locked after some wrong passwords within a time, which is 30 minutes in most domains, and this may
/// be one of them: at most two attempts fall into such a time.
pub(crate) const CREDENTIAL_PAUSE: Duration = Duration::from_secs(30 * 60);

/// How long a source is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Persistence {
    /// So many times in a row, and only if it was reached at all.
    Times(u32),
    /// For ever, once it was open. Before that, as long as only the network or the source itself
    /// is in the way: a server that is down comes back some day, a name that is wrong doesn't get
    /// right.
    Forever,
}

/// What is known of a source, or of one of its logs, when it has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct History {
    /// Failures in a row before this one.
    pub(crate) failures: u32,
    /// Those among them that refused the credential.
    pub(crate) refusals: u32,
    /// The source was open once.
    pub(crate) was_open: bool,
    /// What was asked of it was granted once, such as a subscription to a log.
    pub(crate) was_served: bool,
}

/// The policy, and how many sources are waiting now.
#[derive(Debug)]
pub(crate) struct Retry {
    persistence: Persistence,
    first_pause: Duration,
    longest_pause: Duration,
    waiting: AtomicUsize,
    random: RandomState,
}

impl Retry {
    pub(crate) fn new(
        persistence: Persistence,
        first_pause: Duration,
        longest_pause: Duration,
    ) -> Self {
        let (waiting, random) = (AtomicUsize::new(0), RandomState::new());
        Retry { persistence, first_pause, longest_pause, waiting, random }
    }

    /// Whether another attempt makes sense after an error.
    pub(crate) fn allows(&self, error: &LogError, history: History) -> bool {
        match self.persistence {
            Persistence::Times(times) => {
                history.failures < times && may_recover_soon(error, history.was_open)
            }
            Persistence::Forever => may_recover_ever(error, history),
        }
    }

    /// The pause after an error, and the place among those who wait. It is to be kept as long as the
    /// pause takes.
    pub(crate) fn pause(&self, error: &LogError, history: History) -> (Duration, Waiting<'_>) {
        let History { failures, refusals, .. } = history;
        let mut longest = self.first_pause.saturating_mul(1 << failures.min(16));
        longest = longest.min(self.longest_pause);
        if error.blame() == Blame::Credential && refusals > 0 {
            longest = longest.max(CREDENTIAL_PAUSE);
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        // The n-th draws from a span that ends n steps from now.
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        longest = longest.max((Duration::from_secs(1) / RATE).saturating_mul(ahead));
        // From half to all of it: 53 bits are what a fraction has.
        let random = self.random.hash_one((ahead, failures, longest)) >> 11;
        let fraction = random as f64 / (1u64 << 53) as f64;
        (longest.mul_f64(0.5 + fraction / 2.0), Waiting { waiting: &self.waiting })
    }
}

/// A place among those who wait.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    waiting: &'a AtomicUsize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether another attempt may do within a minute. A server that was never reached is not waited
/// for; one that was may be starting again. One that has been silent for long would be silent
/// again.
fn may_recover_soon(error: &LogError, was_open: bool) -> bool {
    let at_network = match error {
        LogError::Server(quarry_even::Error::Rpc(RpcError::Network(error))) => Some(error),
        _ => None,
    };
    match at_network {
        Some(error) => match (&error.kind, error.during) {
            (
                NetworkErrorKind::Silent(_)
                | NetworkErrorKind::TooSlow(_)
                | NetworkErrorKind::UnknownHost,
                _,
            ) => false,
            (_, Stage::Resolve | Stage::Connect(_)) => was_open,
            _ => true,
        },
        None => error.is_transient(),
    }
}

/// Whether another attempt may do at any time.
fn may_recover_ever(error: &LogError, history: History) -> bool {
    let History { was_open, was_served, .. } = history;
    match (error, error.blame()) {
        // What we do wrong we would do wrong again.
        (LogError::HowManyLogs(_) | LogError::NotFollowed, _) => false,
        // A file may be replaced.
        (LogError::Open(_), _) => was_open,
        (_, Blame::Us) => false,
        (_, Blame::Network | Blame::Peer) => true,
        (_, Blame::Credential) => was_open,
        // A server that starts has no event log, and no channels of services, for a while.
        (LogError::Server(_), Blame::Refusal) => was_open || error.is_transient(),
        (_, Blame::Refusal) => was_served,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quarry_even::Error as CallError;
    use quarry_rpc::{FaultStatus, LogonRefusal, NetworkError, UsageError};

    use super::*;

    const FIRST: Duration = Duration::from_millis(300);
    const LONGEST: Duration = Duration::from_secs(30);

    fn retry(persistence: Persistence) -> Retry {
        Retry::new(persistence, FIRST, LONGEST)
    }

    fn after(failures: u32) -> History {
        History { failures, ..History::default() }
    }

    fn network(during: Stage, kind: NetworkErrorKind) -> LogError {
        of_rpc(RpcError::Network(NetworkError { during, kind }))
    }

    fn of_rpc(error: RpcError) -> LogError {
        LogError::Server(CallError::Rpc(error))
    }

    fn reset() -> LogError {
        network(Stage::Call, NetworkErrorKind::Reset)
    }

    #[test]
    fn pauses_grow_to_the_longest_and_are_drawn_from_the_second_half() {
        let retry = retry(Persistence::Forever);
        for (failures, longest) in [(0, 0.3), (1, 0.6), (3, 2.4), (7, 30.0), (u32::MAX, 30.0)] {
            let longest = Duration::from_secs_f64(longest);
            let pauses: BTreeSet<_> =
                (0..100).map(|_| retry.pause(&reset(), after(failures)).0).collect();
            assert!(pauses.iter().all(|pause| *pause >= longest / 2 && *pause <= longest));
        }
    }

    #[test]
    fn of_those_who_wait_each_draws_another_pause_and_all_come_back_at_a_steady_rate() {
        let retry = retry(Persistence::Forever);
        let (mut pauses, _waiting): (Vec<_>, Vec<_>) =
            (0..5000).map(|_| retry.pause(&reset(), History::default())).unzip();
        pauses.sort_unstable();
        let last = *pauses.last().unwrap();
        assert!(last > Duration::from_secs(20) && last <= Duration::from_secs(25), "{last:?}");
        // The first of all have no more than the pause that one alone has.
        assert!(pauses[0] <= FIRST);
        for second in 0..25 {
            let from = Duration::from_secs(second);
            let within =
                |pause: &&Duration| **pause >= from && **pause < from + Duration::from_secs(1);
            let count = pauses.iter().filter(within).count();
            assert!(count <= 2 * RATE as usize, "{count} in second {second}");
        }
    }

    #[test]
    fn whoever_has_waited_makes_room_for_the_next() {
        let retry = retry(Persistence::Forever);
        let waiting: Vec<_> =
            (0..5000).map(|_| retry.pause(&reset(), History::default()).1).collect();
        drop(waiting);
        assert!(retry.pause(&reset(), History::default()).0 <= FIRST);
    }

    #[test]
    fn a_refused_credential_is_tried_again_once_and_then_no_sooner_than_in_minutes() {
        let retry = retry(Persistence::Forever);
        let refused = of_rpc(RpcError::LogonRefused(LogonRefusal::Rejected));
        let lost = after(1);
        assert!(retry.pause(&refused, lost).0 <= 2 * FIRST);
        let refused_before = History { refusals: 1, ..lost };
        assert!(retry.pause(&refused, refused_before).0 >= CREDENTIAL_PAUSE / 2);
        assert!(retry.pause(&reset(), refused_before).0 <= 2 * FIRST);
    }

    #[test]
    fn a_scan_tries_again_what_was_lost_so_many_times_and_not_what_was_never_reached() {
        let retry = retry(Persistence::Times(2));
        let refused = network(Stage::Connect(135), NetworkErrorKind::Refused);
        let open = History { was_open: true, ..History::default() };
        assert!(retry.allows(&reset(), History::default()));
        assert!(!retry.allows(&reset(), History { failures: 2, ..open }));
        assert!(!retry.allows(&refused, History::default()));
        assert!(retry.allows(&refused, open));
        let silent = network(Stage::Call, NetworkErrorKind::Silent(LONGEST));
        assert!(!retry.allows(&silent, open));
        assert!(!retry.allows(&LogError::NoSuchLog("X".into()), open));
    }

    #[test]
    fn a_follower_gives_nothing_up_that_it_had_open() {
        let retry = retry(Persistence::Forever);
        let new = History::default();
        let open = History { was_open: true, ..new };
        let served = History { was_served: true, ..open };
        let denied = of_rpc(RpcError::LogonRefused(LogonRefusal::Rejected));
        let not_served = of_rpc(RpcError::Fault(FaultStatus::OP_RANGE));
        let missing = LogError::NoSuchLog("X".into());
        let (access, query) = (LogError::AccessDenied("X".into()), || LogError::QueryRefused {
            log: "X".into(),
            status: quarry_even::Win32Error(15001),
        });
        // (error, never open, open before, followed before)
        for (error, expected) in [
            (reset(), [true, true, true]),
            (network(Stage::Bind, NetworkErrorKind::Reset), [true, true, true]),
            (network(Stage::Connect(135), NetworkErrorKind::Refused), [true, true, true]),
            (of_rpc(RpcError::Fault(FaultStatus::SERVER_TOO_BUSY)), [true, true, true]),
            (denied, [false, true, true]),
            (not_served, [false, true, true]),
            (missing, [false, false, true]),
            (access, [false, false, true]),
            (query(), [false, false, true]),
            (LogError::NotFollowed, [false, false, false]),
            (of_rpc(RpcError::Usage(UsageError::State("x"))), [false, false, false]),
        ] {
            let allowed = [new, open, served].map(|history| retry.allows(&error, history));
            assert_eq!(allowed, expected, "{error}");
        }
        // However often.
        assert!(retry.allows(&reset(), History { failures: u32::MAX, ..open }));
    }
}
