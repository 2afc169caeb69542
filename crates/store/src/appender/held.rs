//! The logs that an appender holds: where their bookmarks were in the table, and where rows that
//! wait will bring them.

use std::collections::HashMap;

use crate::bookmarks::{Key, Mark};
use crate::wal::Step;
use crate::{Move, StoreError};

/// From where to where a log's bookmark goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// What it has to be before; none where there is none.
    pub(super) from: Option<i64>,
    pub(super) to: Mark,
}

/// The logs of one source.
#[derive(Debug, Default)]
pub(crate) struct Held {
    logs: HashMap<String, Log>,
    /// Whether it was given up, and rows of it wait still.
    released: bool,
}

#[derive(Clone, Debug, Default)]
struct Log {
    /// What the bookmark was in the table when it was last looked at; none where there was none.
    base: Option<i64>,
    /// Where the rows that were pushed bring it.
    at: Option<Mark>,
    /// Whether another process has moved it.
    lost: bool,
}

impl Log {
    fn waits(&self) -> bool {
        !self.lost && self.at.map(|mark| mark.value) != self.base
    }
}

impl Held {
    /// Holds the logs as the table has them, but for those with rows that wait.
    pub(super) fn take(&mut self, table: Vec<(String, Mark)>) {
        self.released = false;
        self.logs.retain(|_, log| log.waits());
        for (name, mark) in table {
            let log = Log { base: Some(mark.value), at: Some(mark), lost: false };
            self.logs.entry(name).or_insert(log);
        }
    }

    /// Gives the source up; says whether no rows of it wait.
    pub(super) fn release(&mut self) -> bool {
        self.released = true;
        !self.logs.values().any(Log::waits)
    }

    /// Where the logs are.
    pub(crate) fn marks(&self, source: &str) -> impl Iterator<Item = (Key, Mark)> {
        let logs = self.logs.iter().filter(|(_, log)| !log.lost);
        logs.filter_map(move |(name, log)| Some((Key::new(source, name), log.at?)))
    }

    /// The way of a move.
    pub(super) fn way(&self, to: &Move) -> Result<Way, StoreError> {
        let log = self.logs.get(&to.log);
        if self.released || log.is_some_and(|log| log.lost) {
            return Err(not_taken(to));
        }
        let at = log.and_then(|log| log.at);
        Ok(Way { from: at.map(|mark| mark.value), to: at.unwrap_or_default().moved(to)? })
    }

    /// Notes that rows wait which bring a log there.
    pub(super) fn advance(&mut self, log: &str, mark: Mark) {
        // The name is copied for a new log only.
        match self.logs.get_mut(log) {
            Some(log) => log.at = Some(mark),
            None => {
                self.logs.insert(log.to_owned(), Log { at: Some(mark), ..Log::default() });
            }
        }
    }

    /// Holds a log for rows that a process before this one has left.
    pub(super) fn replay(&mut self, step: &Step) {
        let log = self.logs.entry(step.key().log).or_insert_with(|| {
            self.released = true;
            Log { base: step.from(), at: None, lost: false }
        });
        log.at = Some(step.to());
    }

    /// Notes that a log's bookmark is in the table.
    pub(super) fn settle(&mut self, log: &str, mark: Mark) {
        if let Some(log) = self.logs.get_mut(log) {
            log.base = Some(mark.value);
        }
    }

    /// Notes that another process has moved a log.
    pub(super) fn lose(&mut self, log: &str) {
        self.logs.entry(log.to_owned()).or_default().lost = true;
    }

    /// Whether the source was given up and nothing of it waits.
    pub(super) fn is_done(&self) -> bool {
        self.released && !self.logs.values().any(Log::waits)
    }
}

pub(super) fn not_taken(to: &Move) -> StoreError {
    StoreError::NotTaken { source_name: to.source.clone(), log: to.log.clone() }
}
