//! Reads sources with all cores, and hands on what was made of them in the order of the sources
//! and of their records, so that the output is the same with any number of threads.

use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use quarry_event::{FieldSource, Origin, PartialSource};
use quarry_eventlog::{Batch as Raw, BatchReader, Direction, FileLog, LogName, Visitor, pool};
use quarry_logfile::{Damage, DamageKind, OpenError};

use crate::error::{Failure, plain};
use crate::source::Input;

/// What is done with events, on any thread.
pub(crate) trait Work: Sync {
    /// What a thread has for itself.
    type Worker;
    /// What is made of a batch.
    type Output: Output;

    fn worker(&self) -> Self::Worker;

    /// Whether an event is wanted, so far as its fields tell: see [`Visitor::wants`].
    fn wants<S: PartialSource>(
        &self,
        worker: &mut Self::Worker,
        event: &S,
        output: &Self::Output,
    ) -> bool;

    /// Takes an event.
    fn event<S: FieldSource>(
        &self,
        worker: &mut Self::Worker,
        event: &S,
        origin: &Origin<'_>,
        output: &mut Self::Output,
    );
}

/// What is made of a batch; it is used again for another one.
pub(crate) trait Output: Default + Send {
    fn clear(&mut self);
}

/// How sources are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    pub(crate) threads: NonZeroUsize,
    pub(crate) direction: Direction,
    /// Set when reading shall end.
    pub(crate) stop: &'a AtomicBool,
}

/// What the caller is told, in order.
pub(crate) enum Report<'r, O> {
    /// The next records of a source; the first batch, when it was opened, has none.
    Batch { source: &'r Open, batch: &'r mut Batch<O> },
    /// The source was read to its end, or can't be read.
    End { result: Result<(), Failure> },
}

/// What was made of some records.
#[derive(Default)]
pub(crate) struct Batch<O> {
    pub(crate) records: u64,
    pub(crate) damage: Vec<Damage>,
    pub(crate) output: O,
}

/// What the caller wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    Go,
    /// No more of this source; it counts as read.
    Skip,
    Stop,
}

/// A source that is open.
pub(crate) struct Open {
    /// Its place among the inputs.
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) log: String,
}

/// The next thing to do.
enum Task {
    Begin(Arc<Open>),
    Batch(Arc<Open>, Raw),
    End(Result<(), Failure>),
}

/// What it came to.
enum Done<O> {
    Batch(Arc<Open>, Batch<O>),
    End(Result<(), Failure>),
}

/// Reads inputs, until the caller or `options.stop` ends it.
pub(crate) fn read<W: Work>(
    inputs: Vec<Input>,
    options: Options<'_>,
    work: &W,
    take: &mut dyn FnMut(Report<'_, W::Output>) -> Next,
) {
    // The source whose rest nobody wants.
    let skipped = AtomicUsize::new(usize::MAX);
    let tasks =
        Tasks { inputs: inputs.into_iter().enumerate(), open: None, options, skipped: &skipped };
    let spare = Mutex::new(Vec::new());
    pool::in_order(
        options.threads,
        tasks,
        || (BatchReader::default(), work.worker()),
        |(reader, worker), task| match task {
            Task::End(result) => Done::End(result),
            Task::Begin(open) => Done::Batch(open, Batch::default()),
            Task::Batch(open, raw) => {
                let mut batch: Batch<W::Output> =
                    spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
                reader.read(&raw, &mut Reading { work, worker, open: &open, batch: &mut batch });
                Done::Batch(open, batch)
            }
        },
        |done| {
            let next = match done {
                Done::End(result) => take(Report::End { result }),
                Done::Batch(open, mut batch) => {
                    let mut next = Next::Go;
                    if skipped.load(Ordering::Relaxed) != open.index {
                        next = take(Report::Batch { source: &open, batch: &mut batch });
                    }
                    if next == Next::Skip {
                        skipped.store(open.index, Ordering::Relaxed);
                    }
                    batch.records = 0;
                    batch.damage.clear();
                    batch.output.clear();
                    spare.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
                    next
                }
            };
            match next {
                Next::Stop => ControlFlow::Break(()),
                Next::Go | Next::Skip => ControlFlow::Continue(()),
            }
        },
    );
}

/// The inputs as tasks, in order.
struct Tasks<'a> {
    inputs: std::iter::Enumerate<std::vec::IntoIter<Input>>,
    open: Option<(Arc<Open>, Box<dyn Iterator<Item = Raw> + Send>)>,
    options: Options<'a>,
    skipped: &'a AtomicUsize,
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        if self.options.stop.load(Ordering::Relaxed) {
            return None;
        }
        if let Some((open, batches)) = &mut self.open {
            let skipped = self.skipped.load(Ordering::Relaxed) == open.index;
            if let Some(batch) = (!skipped).then(|| batches.next()).flatten() {
                return Some(Task::Batch(Arc::clone(open), batch));
            }
            self.open = None;
            return Some(Task::End(Ok(())));
        }
        let (index, input) = self.inputs.next()?;
        match open(input, self.options.stop) {
            Ok((name, file)) => {
                let log = file.name().0.clone();
                let batches = Box::new(file.batches(self.options.direction));
                let open = Arc::new(Open { index, name, log });
                self.open = Some((Arc::clone(&open), batches));
                Some(Task::Begin(open))
            }
            Err(failure) => Some(Task::End(Err(failure))),
        }
    }
}

/// A batch while it is read.
struct Reading<'r, W: Work> {
    work: &'r W,
    worker: &'r mut W::Worker,
    open: &'r Open,
    batch: &'r mut Batch<W::Output>,
}

impl<W: Work> Visitor for Reading<'_, W> {
    #[inline]
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        let wanted = self.work.wants(self.worker, event, &self.batch.output);
        // One that isn't wanted is read all the same.
        self.batch.records += u64::from(!wanted);
        wanted
    }

    #[inline]
    fn event<S: FieldSource>(&mut self, event: &S, log_record: Option<u64>) {
        self.batch.records += 1;
        let origin =
            Origin { source: &self.open.name, host: None, log: &self.open.log, log_record };
        self.work.event(self.worker, event, &origin, &mut self.batch.output);
    }

    fn damage(&mut self, damage: &Damage) {
        if let DamageKind::Record(_) = damage.kind {
            self.batch.records += 1;
        }
        self.batch.damage.push(*damage);
    }
}

fn open(input: Input, stop: &AtomicBool) -> Result<(String, FileLog), Failure> {
    let mut regular = None;
    let (name, log) = match input {
        Input::Failed(failure) => return Err(failure),
        Input::Stdin => {
            let name = "-".to_owned();
            let file = open_stdin(stop).map_err(OpenError::Io);
            let log = LogName(name.clone());
            (name.clone(), file.and_then(|file| FileLog::new(name, log, file)))
        }
        Input::File(path) => {
            let log = match is_pipe(&path) {
                // A pipe that the shell gives a name.
                true => spool_file(&path, stop).map_err(OpenError::Io).and_then(|file| {
                    let name = path.display().to_string();
                    FileLog::new(name.clone(), LogName(name), file)
                }),
                false => FileLog::open(&path),
            };
            let name = path.display().to_string();
            regular = Some(path).filter(|path| !is_pipe(path));
            (name, log)
        }
    };
    match log {
        Ok(log) => Ok((name, log)),
        Err(e) => Err(refusal(&name, regular.as_deref(), &e)),
    }
}

/// Why a file can't be read as a log, and what to do.
fn refusal(name: &str, path: Option<&Path>, error: &OpenError) -> Failure {
    let shown = if name == "-" { "standard input" } else { name };
    match error {
        OpenError::Io(e) => Failure::new(format!("{shown}: {}", plain(e))),
        OpenError::OldFormat => Failure::new(format!("{shown}: {error}"))
            .hint("Event Viewer can open it and save it as .evtx"),
        _ => {
            let failure = Failure::new(format!("{shown}: {error}"));
            match path.is_some_and(is_packed) {
                true => failure.hint("it is compressed: unpack it, or pipe it to quarry scan -"),
                false => failure,
            }
        }
    }
}

/// Whether a file begins as archives and compressed files do.
fn is_packed(path: &Path) -> bool {
    const MAGIC: [&[u8]; 6] =
        [b"\x1f\x8b", b"PK\x03\x04", b"7z\xbc\xaf", b"\xfd7zX", b"BZh", b"\x28\xb5\x2f\xfd"];
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut start));
    read.is_ok() && MAGIC.iter().any(|magic| start.starts_with(magic))
}

fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn spool_file(path: &Path, stop: &AtomicBool) -> io::Result<File> {
    // Opening a pipe waits for the other end, too.
    let path = path.to_owned();
    spool(move || File::open(path), stop)
}

/// Standard input as a file: itself where it is one, else a temporary copy.
fn open_stdin(stop: &AtomicBool) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
    }
    spool(|| Ok(io::stdin()), stop)
}

/// Copies what is read from a pipe to a temporary file, of which any part can be read.
fn spool<R: io::Read>(
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
    stop: &AtomicBool,
) -> io::Result<File> {
    let (sender, receiver) = mpsc::channel();
    // A read from a pipe can't be interrupted, so another thread waits in it.
    std::thread::spawn(move || {
        let copy = tempfile::tempfile().and_then(|mut file| {
            io::copy(&mut open()?, &mut file)?;
            Ok(file)
        });
        // Nobody listens when the run was interrupted.
        let _ = sender.send(copy);
    });
    loop {
        match receiver.recv_timeout(std::time::Duration::from_millis(50)) {
            Ok(copy) => return copy,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::Other.into()),
            Err(mpsc::RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}
