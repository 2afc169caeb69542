//! A log file as an [`EventLog`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_event::{EventTime, Field, FieldSource};
use quarry_logfile::{EvtxLog, OpenError, ReadAt};

use crate::batch::{Batch, BatchReader, Visitor};
use crate::damage::Damage;
use crate::error::LogError;
use crate::follower::Follower;
use crate::log::{Batches, BoxFuture, Direction, EventLog, LogInfo, LogName, Query, Subscription};

/// An `.evtx` file. It has one log, named after the file, whatever the channels of its events.
pub struct FileLog {
    source: String,
    name: Arc<LogName>,
    log: Arc<EvtxLog>,
    /// Where it can be opened again, to see what it has become.
    path: Option<PathBuf>,
}

impl FileLog {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let name = log_name(path);
        let mut log = FileLog::new(path.to_string_lossy().into_owned(), name, File::open(path)?)?;
        log.path = Some(path.to_owned());
        Ok(log)
    }

    /// A log in a file, or in anything that can be read at a position.
    pub fn new(
        source: String,
        name: LogName,
        file: impl ReadAt + 'static,
    ) -> Result<Self, OpenError> {
        let log = Arc::new(EvtxLog::open(file)?);
        Ok(FileLog { source, name: Arc::new(name), log, path: None })
    }

    /// The name of the log.
    pub fn name(&self) -> &LogName {
        &self.name
    }

    /// The file.
    pub fn file(&self) -> &EvtxLog {
        &self.log
    }

    /// The file's batches, one after the other: what is wrong with it as a whole, and a batch for
    /// each chunk. None of them is read yet.
    pub fn batches(&self, direction: Direction) -> FileBatches {
        FileBatches {
            name: Arc::clone(&self.name),
            log: Arc::clone(&self.log),
            direction,
            next: 0,
            told_damage: false,
        }
    }
}

/// The name of the log that a file was saved from: Windows writes `/` as `%4` in a file's name.
fn log_name(path: &Path) -> LogName {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    LogName(stem.replace("%4", "/"))
}

/// A bookmark isn't used: a file is read whole.
impl EventLog for FileLog {
    fn source(&self) -> &str {
        &self.source
    }

    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>> {
        Box::pin(async { Ok(vec![LogName::clone(&self.name)]) })
    }

    fn info<'a>(&'a self, log: &'a LogName) -> BoxFuture<'a, Result<LogInfo, LogError>> {
        Box::pin(async move {
            self.check_name(log)?;
            let mut reader = BatchReader::default();
            let mut survey = Survey::default();
            for batch in self.batches(Direction::Forward) {
                reader.read(&batch, &mut survey);
            }
            Ok(survey.info)
        })
    }

    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            match &*query.logs {
                [log] => self.check_name(log)?,
                logs => return Err(LogError::HowManyLogs(logs.len())),
            }
            Ok(Box::new(self.batches(query.direction)) as Box<dyn Batches>)
        })
    }

    fn subscribe<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            match &*subscription.logs {
                [log] => self.check_name(log)?,
                logs => return Err(LogError::HowManyLogs(logs.len())),
            }
            let Some(path) = &self.path else {
                return Err(LogError::NotFollowed);
            };
            let follower = Follower::new(path.clone(), &self.name, &self.log, &subscription.start);
            Ok(Box::new(follower) as Box<dyn Batches>)
        })
    }
}

impl FileLog {
    fn check_name(&self, log: &LogName) -> Result<(), LogError> {
        if *log == *self.name { Ok(()) } else { Err(LogError::NoSuchLog(log.clone())) }
    }
}

/// The batches of a file. See [`FileLog::batches`].
pub struct FileBatches {
    name: Arc<LogName>,
    log: Arc<EvtxLog>,
    direction: Direction,
    next: u64,
    told_damage: bool,
}

impl Iterator for FileBatches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if !std::mem::replace(&mut self.told_damage, true) && !self.log.damage().is_empty() {
            return Some(Batch::damage(self.log.damage().iter().map(|&d| d.into()).collect()));
        }
        let chunks = self.log.chunks();
        let at = self.next;
        if at >= chunks {
            return None;
        }
        self.next += 1;
        let n = match self.direction {
            Direction::Forward => at,
            Direction::Backward => chunks - 1 - at,
        };
        Some(Batch::chunk(Arc::clone(&self.name), Arc::clone(&self.log), n, self.direction))
    }
}

impl Batches for FileBatches {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(std::future::ready(Iterator::next(self).map(Ok)))
    }
}

/// Counts events and keeps the first and last of their times.
#[derive(Default)]
struct Survey {
    info: LogInfo,
}

impl Visitor for Survey {
    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, _log_record: Option<u64>) {
        self.info.records += 1;
        if let Some(time) = event.field(Field::TimeCreated).as_time() {
            let LogInfo { oldest, newest, .. } = &mut self.info;
            *oldest = Some(oldest.map_or(time, |oldest: EventTime| oldest.min(time)));
            *newest = Some(newest.map_or(time, |newest: EventTime| newest.max(time)));
        }
    }

    fn damage(&mut self, damage: &Damage) {
        self.info.damage.push(damage.clone());
    }
}
