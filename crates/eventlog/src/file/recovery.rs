//! The batches of a file from which records are recovered: it is gone over first, for what stands
//! outside of its chunks and for the templates that are anywhere in it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use quarry_logfile::{DamageKind, Definitions, Run, Survey};

use super::LogFile;
use crate::batch::{Batch, Found};
use crate::types::{Direction, LogName};

/// The most runs that are kept, in 24 bytes each. Where there are more, those before are read
/// before it is searched on, with the templates that were seen so far.
const MOST_RUNS: usize = 4 << 20;

/// The bytes and the runs that a batch has at least, where there are more.
const BATCH_BYTES: u64 = 128 << 10;
const BATCH_RUNS: usize = 256;

/// The batches of a file, with those of what is recovered from it.
pub(crate) struct Recovery {
    name: Arc<LogName>,
    log: LogFile,
    direction: Direction,
    state: State,
    ready: VecDeque<Batch>,
}

enum State {
    Searching(Box<Survey>),
    Reading(Plan),
    Ended,
}

/// What is to be read once the file was gone over.
struct Plan {
    found: Arc<Found>,
    groups: Vec<Range<usize>>,
    /// The chunks, as the log counts them, in whose place there is none.
    no_chunks: Vec<u64>,
    next: u64,
}

impl Recovery {
    /// Begins to go over a file. `others` are definitions of other sources.
    pub(crate) fn new(
        name: Arc<LogName>,
        log: LogFile,
        direction: Direction,
        others: Option<&Arc<Definitions>>,
    ) -> Self {
        let mut ready = VecDeque::new();
        let state = match survey(&log, others) {
            Ok(Some(survey)) => State::Searching(Box::new(survey)),
            Ok(None) => State::Reading(Plan::default()),
            Err(e) => {
                ready.push_back(unreadable(&e));
                State::Reading(Plan::default())
            }
        };
        Recovery { name, log, direction, state, ready }
    }

    /// Searches on, until something is ready.
    fn search(&mut self, mut survey: Box<Survey>) -> State {
        let more = survey.step().unwrap_or_else(|e| {
            self.ready.push_back(unreadable(&e));
            false
        });
        if more && survey.runs() < MOST_RUNS {
            // A sign of life.
            self.ready.push_back(Batch::empty());
            return State::Searching(survey);
        }
        let found = Arc::new(Found {
            file: Arc::clone(survey.file()),
            runs: survey.take_runs(),
            definitions: Arc::new(survey.definitions().clone()),
        });
        let groups = groups(&found.runs);
        if !more {
            let no_chunks = survey.no_chunks().to_vec();
            return State::Reading(Plan { found, groups, no_chunks, next: 0 });
        }
        let batch = |runs| self.found(&found, runs);
        let batches: Vec<Batch> = match self.direction {
            Direction::Forward => groups.into_iter().map(batch).collect(),
            Direction::Backward => groups.into_iter().rev().map(batch).collect(),
        };
        self.ready.extend(batches);
        State::Searching(survey)
    }

    fn found(&self, found: &Arc<Found>, runs: Range<usize>) -> Batch {
        Batch::found(Arc::clone(&self.name), Arc::clone(found), runs, self.direction)
    }

    /// The `n`th batch of all, the oldest first: what was found anywhere, the slack of the chunks,
    /// which is older than what any has now, and the log's own records.
    fn batch(&self, plan: &Plan, n: u64) -> Option<Batch> {
        let groups = plan.groups.len() as u64;
        if n < groups {
            return Some(self.found(&plan.found, plan.groups[n as usize].clone()));
        }
        let n = n - groups;
        let parts = self.log.parts();
        let (name, direction) = (Arc::clone(&self.name), self.direction);
        Some(match &self.log {
            LogFile::Evtx(log) => {
                let slack = n < parts;
                let n = n % parts;
                // What is there was found by the search.
                if slack && plan.no_chunks.binary_search(&n).is_ok() {
                    return None;
                }
                let definitions = Arc::clone(&plan.found.definitions);
                Batch::chunk_recovered(name, Arc::clone(log), n, direction, slack, definitions)
            }
            LogFile::Evt(log, channel) => {
                Batch::evt(name, Arc::clone(channel), Arc::clone(log), n, direction)
            }
            LogFile::Other(_) => return None,
        })
    }

    /// How many batches there are of all.
    fn batches(&self, plan: &Plan) -> u64 {
        let passes = match self.log {
            LogFile::Evtx(_) => 2,
            LogFile::Evt(..) | LogFile::Other(_) => 1,
        };
        plan.groups.len() as u64 + passes * self.log.parts()
    }
}

impl Iterator for Recovery {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Some(batch);
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Searching(survey) => self.state = self.search(survey),
                State::Reading(mut plan) => {
                    let all = self.batches(&plan);
                    if plan.next >= all {
                        return None;
                    }
                    let n = match self.direction {
                        Direction::Forward => plan.next,
                        Direction::Backward => all - 1 - plan.next,
                    };
                    plan.next += 1;
                    self.ready.extend(self.batch(&plan, n));
                    self.state = State::Reading(plan);
                }
                State::Ended => return None,
            }
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        let found = Found {
            file: Arc::new(std::io::Cursor::new([0u8; 0])),
            runs: Vec::new(),
            definitions: Arc::default(),
        };
        Plan { found: Arc::new(found), groups: Vec::new(), no_chunks: Vec::new(), next: 0 }
    }
}

/// What goes over a file, where it can have what its own records don't tell.
pub(crate) fn survey(
    log: &LogFile,
    others: Option<&Arc<Definitions>>,
) -> std::io::Result<Option<Survey>> {
    let definitions = match others {
        Some(others) => Definitions::with_others(Arc::clone(others)),
        None => Definitions::default(),
    };
    Ok(match log {
        LogFile::Evtx(log) => Some(Survey::of_log(Arc::clone(log), definitions)),
        LogFile::Other(file) => Some(Survey::of_file(Arc::clone(file), definitions)?),
        // The slack of one is among its blocks; where it has no header, it may be an image.
        LogFile::Evt(log, _) if log.has_lost_header() => {
            Some(Survey::for_evtx(Arc::clone(log.file()), definitions)?)
        }
        LogFile::Evt(..) => None,
    })
}

/// Parts of runs, each enough for a batch.
fn groups(runs: &[Run]) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (n, run) in runs.iter().enumerate() {
        bytes += run.size();
        if bytes >= BATCH_BYTES || n + 1 - start >= BATCH_RUNS {
            groups.push(start..n + 1);
            (start, bytes) = (n + 1, 0);
        }
    }
    if start < runs.len() {
        groups.push(start..runs.len());
    }
    groups
}

fn unreadable(error: &std::io::Error) -> Batch {
    let kind = DamageKind::Io(error.kind());
    Batch::damage(vec![quarry_logfile::Damage { offset: 0, record: None, kind }.into()])
}
