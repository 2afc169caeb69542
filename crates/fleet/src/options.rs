//! The budgets.

use std::time::Duration;

/// What a fleet may use at once, and for how long.
///
/// There are budgets rather than slots: a server that hangs holds next to nothing, and the others
/// go on.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// Sources open at once.
    pub connections: usize,
    /// Connections being made at once. Those to black holes take their whole time-out.
    pub connecting: usize,
    /// Bytes of records asked for, on their way or not yet used, over all sources.
    pub bytes_in_flight: usize,
    /// How often a lost connection is made again before a record comes.
    pub retries: u32,
    /// The pause before the first time; it doubles with each.
    pub first_pause: Duration,
    /// When all has to be done, from the beginning.
    pub deadline: Option<Duration>,
}

impl Default for Options {
    /// 1,000 connections, of which 256 are being made; 64 MiB in flight; 3 retries after 0.3,
    /// 0.6 and 1.2 s; no deadline.
    fn default() -> Self {
        Options {
            connections: 1000,
            connecting: 256,
            bytes_in_flight: 64 << 20,
            retries: 3,
            first_pause: Duration::from_millis(300),
            deadline: None,
        }
    }
}
