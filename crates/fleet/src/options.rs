//! What a fleet may use, and for how long.

use std::time::Duration;

/// What a [`Scan`](crate::Scan) or an [`Ask`](crate::Ask) may use at once, and for how long.
///
/// These are budgets rather than slots: a server that hangs holds next to nothing, and the others
/// go on.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Sources open at once, at least 1.
    pub connections: usize,
    /// Connections being made at once, at least 1. Those to black holes take their whole time-out.
    pub connecting: usize,
    /// Bytes of records asked for, on their way or not yet used, over all sources.
    pub bytes_in_flight: usize,
    /// How often a lost connection is made again before a record comes.
    pub retries: u32,
    /// The pause before the first retry; it doubles with each.
    pub first_pause: Duration,
    /// When all has to be done, from the beginning.
    pub deadline: Option<Duration>,
}

impl Default for Options {
    /// 2,500 connections, which may all be being made; 64 MiB in flight; 3 retries after 0.3, 0.6
    /// and 1.2 s; no deadline.
    fn default() -> Self {
        Options {
            connections: CONNECTIONS,
            connecting: CONNECTIONS,
            bytes_in_flight: BYTES_IN_FLIGHT,
            retries: 3,
            first_pause: FIRST_PAUSE,
            deadline: None,
        }
    }
}

/// A setter for each public field: the same field has the same setter in [`Options`] and
/// [`FollowOptions`].
macro_rules! setters {
    ($of:ty: $($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        impl $of {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
    // What both have.
    (shared $of:ty: $($more:tt)*) => {
        setters! {
            $of:
            /// Sets how many connections are being made at once.
            connecting: usize,
            /// Sets the bytes of records in flight over all sources.
            bytes_in_flight: usize,
            /// Sets the pause before the first retry.
            first_pause: Duration,
            /// Sets when all has to be done, from the beginning; `None` for no deadline.
            deadline: Option<Duration>,
            $($more)*
        }
    };
}

setters! {
    shared Options:
    /// Sets how many sources are open at once.
    connections: usize,
    /// Sets how often a lost connection is made again before a record comes.
    retries: u32,
}

/// What a [`Follow`](crate::Follow) may use at once, and for how long.
///
/// Every source that is followed stays open, and one that is lost is tried again until it comes
/// back, so there is no number of connections and none of retries.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct FollowOptions {
    /// As in [`Options::connecting`].
    pub connecting: usize,
    /// As in [`Options::bytes_in_flight`].
    pub bytes_in_flight: usize,
    /// The pause before the first retry; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause before a retry.
    pub longest_pause: Duration,
    /// When the following ends, from its beginning.
    pub deadline: Option<Duration>,
    /// How long a log's new records may gather at their source after some have come, before the next
    /// are asked for: fewer answers, each with more records.
    pub gather: Duration,
}

impl Default for FollowOptions {
    /// 256 connections being made; 64 MiB in flight; pauses of 0.3 to 30 s; no deadline; records that
    /// come right after others gather for 0.2 s.
    fn default() -> Self {
        FollowOptions {
            connecting: CONNECTING,
            bytes_in_flight: BYTES_IN_FLIGHT,
            first_pause: FIRST_PAUSE,
            longest_pause: LONGEST_PAUSE,
            deadline: None,
            gather: GATHER,
        }
    }
}

setters! {
    shared FollowOptions:
    /// Sets the longest pause before a retry.
    longest_pause: Duration,
    /// Sets how long new records may gather at their source.
    gather: Duration,
}

/// Of a large fleet as many that those who don't answer have taken their time when the others are read.
const CONNECTIONS: usize = 2500;
const CONNECTING: usize = 256;
const BYTES_IN_FLIGHT: usize = 64 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// Nobody who looks sees it, and a busy log is asked a quarter as often.
const GATHER: Duration = Duration::from_millis(200);
/// The longest pause before a retry, unless another is asked for.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
