//! Files as jobs: one after the other, or all their batches in the order of time.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use quarry_event::EventTime;
use quarry_eventlog::{Batch, BatchReader, Direction, FileLog};
use quarry_fleet::Room;

use super::jobs::{BatchJob, Job, Skips};
use crate::sink::{Notice, Turn};
use crate::source::{FileInput, Source, SourceId};
use crate::stop::Stop;

/// Files that are open at once where they are read in the order of time: about half of what a process may have.
const MOST_OPEN: usize = if cfg!(target_os = "macos") { 128 } else { 512 };

/// Batches that are put into that order. With more, files are read one after the other.
const MOST_BATCHES: u64 = 200_000;

/// The files of a run. Asking for the next job may wait for a file to be opened.
pub(super) struct Files {
    inputs: std::iter::Enumerate<std::vec::IntoIter<FileInput>>,
    direction: Direction,
    /// Whether they are still to be put into the order of time.
    is_to_be_planned: bool,
    /// What is next, before the other files.
    planned: VecDeque<Job>,
    /// Files that were opened, and come before those that weren't.
    opened: VecDeque<(Arc<Source>, FileLog)>,
    open: Option<(Arc<Source>, Box<dyn Iterator<Item = Batch> + Send>)>,
}

impl Files {
    pub(super) fn new(inputs: Vec<FileInput>, direction: Direction, by_time: bool) -> Self {
        Files {
            inputs: inputs.into_iter().enumerate(),
            direction,
            is_to_be_planned: by_time,
            planned: VecDeque::new(),
            opened: VecDeque::new(),
            open: None,
        }
    }

    /// How many files there are to begin with.
    pub(super) fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether the next job needn't be waited for. To open a file may take long: it may be a pipe.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some() || !self.planned.is_empty()
    }

    pub(super) fn next(&mut self, skips: &Skips, stop: &Stop) -> Option<Job> {
        if std::mem::take(&mut self.is_to_be_planned) {
            self.plan(stop);
        }
        while let Some(job) = self.planned.pop_front() {
            let is_skipped = matches!(&job, Job::Batch(batch) if skips.is_skipped(batch.source.id));
            if !is_skipped {
                return Some(job);
            }
        }
        if let Some((source, batches)) = &mut self.open {
            let is_skipped = skips.is_skipped(source.id);
            if let Some(batch) = (!is_skipped).then(|| batches.next()).flatten() {
                return Some(job(source, batch, None));
            }
            let source = Arc::clone(source);
            self.open = None;
            return Some(Job::Notices(source, vec![Notice::Ended]));
        }
        let opened = match self.opened.pop_front() {
            Some(opened) => Ok(opened),
            None => open(self.inputs.next()?, stop)?,
        };
        Some(match opened {
            Ok((source, file)) => {
                self.open = Some((Arc::clone(&source), Box::new(file.batches(self.direction))));
                Job::Notices(source, vec![Notice::Opened])
            }
            Err(failed) => failed,
        })
    }

    /// Opens all files, and puts their batches into the order of time, so far as these files can be open at
    /// once and read twice. Otherwise those that were opened come first, one after the other.
    fn plan(&mut self, stop: &Stop) {
        if self.inputs.len() > MOST_OPEN {
            return;
        }
        let mut parts = 0;
        let mut can_be_read_twice = true;
        while can_be_read_twice && let Some(input) = self.inputs.next() {
            match open(input, stop) {
                Some(Ok((source, file))) => {
                    parts += file.parts();
                    can_be_read_twice = file.is_on_disk() && parts <= MOST_BATCHES;
                    self.opened.push_back((source, file));
                }
                Some(Err(failed)) => self.planned.push_back(failed),
                None => return,
            }
        }
        if can_be_read_twice {
            self.put_in_order(stop);
        }
    }

    /// Makes jobs of all that were opened.
    fn put_in_order(&mut self, stop: &Stop) {
        let mut reader = BatchReader::default();
        let mut batches = Vec::new();
        // How many batches each file still has.
        let mut left: HashMap<SourceId, usize> = HashMap::new();
        for (source, file) in self.opened.drain(..) {
            let mut notices = vec![Notice::Opened];
            for batch in file.batches(self.direction) {
                if stop.is_set() {
                    return;
                }
                let times = reader.times(&batch);
                let edge = match self.direction {
                    Direction::Forward => times.map(|times| *times.start()).unwrap_or_default(),
                    Direction::Backward => {
                        times.map_or(EventTime::from_filetime(u64::MAX), |times| *times.end())
                    }
                };
                let turn = Turn { edge, place: batches.len() as u64 };
                batches.push((turn, Arc::clone(&source), batch));
                *left.entry(source.id).or_default() += 1;
            }
            if !left.contains_key(&source.id) {
                notices.push(Notice::Ended);
            }
            self.planned.push_back(Job::Notices(source, notices));
        }
        match self.direction {
            Direction::Forward => batches.sort_by_key(|&(turn, ..)| turn),
            Direction::Backward => {
                batches.sort_by_key(|&(turn, ..)| (Reverse(turn.edge), turn.place))
            }
        }
        for (turn, source, batch) in batches {
            self.planned.push_back(job(&source, batch, Some(turn)));
            if let Some(left) = left.get_mut(&source.id) {
                *left -= 1;
                if *left == 0 {
                    self.planned.push_back(Job::Notices(source, vec![Notice::Ended]));
                }
            }
        }
    }
}

/// Opens a file; or gives what is to be told of it, or nothing when the run is stopped meanwhile.
fn open(
    (place, input): (usize, FileInput),
    stop: &Stop,
) -> Option<Result<(Arc<Source>, FileLog), Job>> {
    let FileInput { name, selection, texts, open } = input;
    let (id, shown) = (SourceId(place), name.clone());
    let (host, log, remote) = (None, None, None);
    let mut source = Source { id, name, shown, host, log, remote, selection, texts };
    Some(match open(stop) {
        Ok(file) => {
            source.log = Some(file.name().0.clone());
            Ok((Arc::new(source), file))
        }
        // A pipe that was waited for.
        Err(_) if stop.is_set() => return None,
        Err(error) => Err(Job::Notices(Arc::new(source), vec![Notice::FileFailed(error)])),
    })
}

fn job(source: &Arc<Source>, batch: Batch, turn: Option<Turn>) -> Job {
    let source = Arc::clone(source);
    Job::Batch(BatchJob { source, log: None, batch, cursor: None, room: Room::default(), turn })
}
