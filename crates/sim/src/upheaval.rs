//! Servers that restart and whose logs grow, wrap and are cleared, at random: what a reader that misses
//! nothing has to live through.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc;
use std::time::Duration;

use fastrand::Rng;

use crate::{SimError, SimServer};

/// The number of the last record of each log, by its server's name and its own.
type Last = BTreeMap<(String, String), u64>;

/// What happens to some servers and logs, and the number of the last record of each.
pub struct Upheaval<'s> {
    servers: &'s [SimServer],
    logs: &'s [&'s str],
    random: Rng,
    last: Last,
}

impl std::fmt::Debug for Upheaval<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upheaval").field("last", &self.last).finish_non_exhaustive()
    }
}

impl<'s> Upheaval<'s> {
    /// Servers and logs of theirs, of which each has `records` records so far. The same happens for the
    /// same seed.
    pub fn new(servers: &'s [SimServer], logs: &'s [&'s str], records: u64, seed: u64) -> Self {
        let places = servers.iter().flat_map(|server| {
            logs.iter().map(|log| ((server.name().to_owned(), (*log).to_owned()), records))
        });
        Upheaval { servers, logs, random: Rng::with_seed(seed), last: places.collect() }
    }

    /// Has something happen again and again, after random pauses of so many milliseconds, while `live` runs
    /// on this thread. What came of that, and the number of the last record of each log, by its server's
    /// name and its own: every server runs in the end, and each log has one more record, which shows what
    /// was lost before it.
    ///
    /// # Errors
    /// A server that doesn't have a log of that name.
    pub fn during<T>(
        mut self,
        pause: Range<u64>,
        live: impl FnOnce() -> T,
    ) -> Result<(T, Last), SimError> {
        std::thread::scope(|scope| {
            // It is dropped however `live` ends, by a panic too.
            let (over, is_over) = mpsc::channel::<()>();
            let upheaval = scope.spawn(move || {
                loop {
                    self.step()?;
                    let pause = Duration::from_millis(self.random.u64(pause.clone()));
                    if is_over.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Disconnected) {
                        return self.end();
                    }
                }
            });
            let lived = live();
            drop(over);
            match upheaval.join() {
                Ok(last) => Ok((lived, last?)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// One thing happens to one log: mostly it grows by a few records, seldom by many; its server stops
    /// or starts; it is cleared; its oldest records are overwritten.
    fn step(&mut self) -> Result<(), SimError> {
        let server = &self.servers[self.random.usize(..self.servers.len())];
        let log = self.logs[self.random.usize(..self.logs.len())];
        match self.random.u8(..40) {
            0 => server.stop(),
            1..=3 => server.start(),
            4 => {
                let count = self.random.u64(..4);
                self.append(server, log, count)?;
                server.clear(log)?;
            }
            5 => {
                let count = self.random.u64(1..=30);
                let last = self.append(server, log, count)?;
                server.wrap(log, last.saturating_sub(self.random.u64(..20)))?;
            }
            6 => {
                self.append(server, log, 200)?;
            }
            _ => {
                let count = self.random.u64(1..=8);
                self.append(server, log, count)?;
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Last, SimError> {
        for server in self.servers {
            server.start();
            for log in self.logs {
                self.append(server, log, 1)?;
            }
        }
        Ok(self.last)
    }

    fn append(&mut self, server: &SimServer, log: &str, count: u64) -> Result<u64, SimError> {
        server.append_generated(log, count)?;
        let last = self.last.entry((server.name().to_owned(), log.to_owned())).or_default();
        *last += count;
        Ok(*last)
    }
}
