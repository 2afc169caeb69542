//! A log file as an [`EventLog`].

mod follower;
mod recovery;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_event::{EventTime, Field, FieldSource, RecordId};
use quarry_logfile::{DamageKind, Definitions, EvtLog, EvtxLog, OpenError, ReadAt};

use crate::batch::{Batch, BatchReader, Visitor};
use crate::log::{Batches, BoxFuture, Detail, EventLog, LogInfo};
use crate::types::{Damage, Direction, LogError, LogName, Query, Subscription};
use follower::Follower;
use recovery::{Recovery, survey};

/// An `.evtx` or `.evt` file. It has one log, named after the file, whatever the channels of its
/// events.
pub struct FileLog {
    source: String,
    name: Arc<LogName>,
    log: LogFile,
    /// Whether what has been given up is wanted too.
    recover: bool,
    /// Template definitions of other sources, for what is recovered.
    others: Option<Arc<Definitions>>,
    /// A file that has records of this one, too.
    copy_of: Option<String>,
    /// How to see what it has become.
    again: Option<Again>,
}

/// How a file is looked at again.
#[derive(Debug)]
enum Again {
    /// It is opened by its path, whatever is there then.
    Path(PathBuf),
    /// It stays open: nobody here may be able to open it.
    Kept(File),
}

impl Again {
    fn open(&self) -> std::io::Result<File> {
        match self {
            Again::Path(path) => File::open(path),
            Again::Kept(file) => file.try_clone(),
        }
    }

    fn try_clone(&self) -> std::io::Result<Self> {
        Ok(match self {
            Again::Path(path) => Again::Path(path.clone()),
            Again::Kept(file) => Again::Kept(file.try_clone()?),
        })
    }
}

/// A file of either format.
#[derive(Clone)]
enum LogFile {
    Evtx(Arc<EvtxLog>),
    /// With the channel that its events are of; empty where nobody knows.
    Evt(Arc<EvtLog>, Arc<str>),
    /// No log: something that may have records in it.
    Other(Arc<dyn ReadAt>),
}

impl LogFile {
    /// Opens a file by what is in it.
    fn open(file: impl ReadAt + 'static, name: &LogName) -> Result<Self, OpenError> {
        match EvtxLog::is_one(&file)? || !EvtLog::is_one(&file)? {
            true => EvtxLog::open(file).map(|log| LogFile::Evtx(Arc::new(log))),
            false => {
                EvtLog::open(file).map(|log| LogFile::Evt(Arc::new(log), channel(name).into()))
            }
        }
    }

    /// How many parts it has, which can be read each by itself.
    fn parts(&self) -> u64 {
        match self {
            LogFile::Evtx(log) => log.chunks(),
            LogFile::Evt(log, _) => log.blocks(),
            LogFile::Other(_) => 0,
        }
    }

    fn damage(&self) -> &[quarry_logfile::Damage] {
        match self {
            LogFile::Evtx(log) => log.damage(),
            LogFile::Evt(log, _) => log.damage(),
            LogFile::Other(_) => &[],
        }
    }
}

/// The channel that an `.evt` file's events are of: its records don't say. Windows has given the
/// files of its own logs these names; those of other logs, and saved ones, are called as the log.
fn channel(name: &LogName) -> &str {
    const FILES: [(&str, &str); 11] = [
        ("AppEvent", "Application"),
        ("SecEvent", "Security"),
        ("SysEvent", "System"),
        ("DnsEvent", "DNS Server"),
        ("NTDS", "Directory Service"),
        ("NtFrs", "File Replication Service"),
        ("Internet", "Internet Explorer"),
        ("WindowsPowerShell", "Windows PowerShell"),
        ("FwdEvents", "ForwardedEvents"),
        ("DFSR", "DFS Replication"),
        ("HrwEvents", "HardwareEvents"),
    ];
    // What is not a file's name says nothing.
    if name.0 == "-" || name.0.contains(['/', '\\']) {
        return "";
    }
    let known = FILES.iter().find(|(file, _)| name.0.eq_ignore_ascii_case(file));
    known.map_or(&name.0, |(_, channel)| channel)
}

impl FileLog {
    /// Opens a file.
    ///
    /// # Errors
    /// [`OpenError`]: it can't be read, or is no log.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let name = LogName::of_file(path);
        let mut log = FileLog::new(path.to_string_lossy().into_owned(), name, File::open(path)?)?;
        log.again = Some(Again::Path(path.to_owned()));
        Ok(log)
    }

    /// A file that somebody else has opened, who may what this program may not. It can be followed as
    /// long as it is the same file; what takes its place isn't seen.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of_open(path: &Path, file: File) -> Result<Self, OpenError> {
        let kept = file.try_clone()?;
        let mut log =
            FileLog::new(path.to_string_lossy().into_owned(), LogName::of_file(path), file)?;
        log.again = Some(Again::Kept(kept));
        Ok(log)
    }

    /// A log in a file, or in anything that can be read at a position.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn new(
        source: String,
        name: LogName,
        file: impl ReadAt + 'static,
    ) -> Result<Self, OpenError> {
        let log = LogFile::open(file, &name)?;
        Ok(FileLog {
            source,
            name: Arc::new(name),
            log,
            recover: false,
            others: None,
            copy_of: None,
            again: None,
        })
    }

    /// A file of any kind, from which records are recovered: a log as [`recovering`] has it, and of
    /// anything else, an image of a disk or a memory dump, the records that are anywhere in it.
    ///
    /// [`recovering`]: Self::recovering
    ///
    /// # Errors
    /// The file can't be read, or is empty.
    pub fn of_any(
        source: String,
        name: LogName,
        file: impl ReadAt + 'static,
    ) -> Result<Self, OpenError> {
        if file.size()? == 0 {
            return Err(OpenError::Empty);
        }
        if EvtxLog::is_one(&file)? || EvtLog::is_one(&file)? {
            return FileLog::new(source, name, file)?.recovering();
        }
        let log = LogFile::Other(Arc::new(file));
        Ok(FileLog {
            source,
            name: Arc::new(name),
            log,
            recover: true,
            others: None,
            copy_of: None,
            again: None,
        })
    }

    /// The log with the records too that it has given up, which a [`Visitor`] is given as
    /// [`recovered`](Visitor::recovered). It can't be followed so.
    ///
    /// Its batches of before give none, so it can't have any any more.
    ///
    /// # Errors
    /// The file can't be read, or there are batches of it.
    pub fn recovering(mut self) -> Result<Self, OpenError> {
        self.recover = true;
        if let LogFile::Evt(log, _) = &mut self.log {
            let in_use = || std::io::Error::from(std::io::ErrorKind::ResourceBusy);
            Arc::get_mut(log).ok_or_else(in_use)?.recover()?;
        }
        Ok(self)
    }

    /// What tells files that are copies of one log, or of parts of it: one thing that both have.
    pub fn beginnings(&self) -> Vec<(u64, u64)> {
        match &self.log {
            LogFile::Evtx(log) => log.beginnings(),
            LogFile::Evt(log, _) => log.beginning().into_iter().collect(),
            LogFile::Other(_) => Vec::new(),
        }
    }

    /// Has the log tell, as [`Damage::Copy`], that another file has records of it too.
    pub fn set_copy_of(&mut self, other: String) {
        self.copy_of = Some(other);
    }

    /// Has template definitions of other sources serve records whose own are gone. Such a record
    /// is reported as [`DamageKind::BorrowedTemplate`].
    pub fn set_other_definitions(&mut self, others: Arc<Definitions>) {
        self.others = Some(others);
    }

    /// The template definitions that are anywhere in the file, for
    /// [`set_other_definitions`](Self::set_other_definitions) of others. Reads the file whole,
    /// until `is_wanted` says that nobody wants them any more.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn definitions(&self, is_wanted: impl Fn() -> bool) -> std::io::Result<Definitions> {
        let Some(mut survey) = survey(&self.log, None)? else { return Ok(Definitions::default()) };
        while is_wanted() && survey.step()? {
            survey.take_runs();
        }
        Ok(survey.definitions().clone())
    }

    /// The name of the log.
    pub fn name(&self) -> &LogName {
        &self.name
    }

    /// How many parts the file has: chunks of an `.evtx` file, and of an `.evt` file about as much.
    pub fn parts(&self) -> u64 {
        self.log.parts()
    }

    /// Whether it is a file as it lies on a disk, rather than one that was unpacked or came through a pipe.
    pub fn is_on_disk(&self) -> bool {
        self.again.is_some()
    }

    /// The file's batches, one after the other: what is wrong with it as a whole, and a batch for
    /// each part. None of them is read yet. Where records are recovered, empty batches come first,
    /// while the file is searched.
    pub fn batches(&self, direction: Direction) -> FileBatches {
        let (name, log) = (Arc::clone(&self.name), self.log.clone());
        let recovery = self
            .recover
            .then(|| Recovery::new(name, log, direction, self.others.as_ref()))
            .map(Box::new);
        FileBatches {
            name: Arc::clone(&self.name),
            log: self.log.clone(),
            recovery,
            copy_of: self.copy_of.clone(),
            direction,
            next: 0,
            told_damage: false,
        }
    }
}

/// A bookmark isn't used: a file is read whole.
impl EventLog for FileLog {
    fn source(&self) -> &str {
        &self.source
    }

    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>> {
        Box::pin(async { Ok(vec![LogName::clone(&self.name)]) })
    }

    fn info<'a>(&'a self, log: &'a LogName, _: Detail) -> BoxFuture<'a, Result<LogInfo, LogError>> {
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
            let Some(again) = self.again.as_ref().filter(|_| !self.recover) else {
                return Err(LogError::NotFollowed);
            };
            let again = again.try_clone().map_err(OpenError::from)?;
            let follower = Follower::new(again, &self.name, &self.log, &subscription.start)?;
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
    log: LogFile,
    recovery: Option<Box<Recovery>>,
    copy_of: Option<String>,
    direction: Direction,
    next: u64,
    told_damage: bool,
}

impl Iterator for FileBatches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if !std::mem::replace(&mut self.told_damage, true) {
            // What is slack is shown rather than reported.
            let is_shown =
                |kind| matches!(kind, DamageKind::UnusedChunks { .. }) && self.recovery.is_some();
            let damage = self.log.damage().iter().filter(|damage| !is_shown(damage.kind));
            let copy = self.copy_of.take().map(|of| Damage::Copy { of });
            let damage: Vec<Damage> = damage.map(|&damage| damage.into()).chain(copy).collect();
            if !damage.is_empty() {
                return Some(Batch::damage(damage));
            }
        }
        if let Some(recovery) = &mut self.recovery {
            return recovery.next();
        }
        let all = self.log.parts();
        let at = self.next;
        if at >= all {
            return None;
        }
        self.next += 1;
        let n = match self.direction {
            Direction::Forward => at,
            Direction::Backward => all - 1 - at,
        };
        let (name, direction) = (Arc::clone(&self.name), self.direction);
        match &self.log {
            LogFile::Evtx(log) => Some(Batch::chunk(name, Arc::clone(log), n, direction)),
            LogFile::Evt(log, channel) => {
                Some(Batch::evt(name, Arc::clone(channel), Arc::clone(log), n, direction))
            }
            LogFile::Other(_) => None,
        }
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
    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, _log_record: Option<RecordId>) {
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
