//! Reads files with all cores, and hands on what was made of them in the order of the files and
//! of their records, so that the output is the same with any number of threads.
//!
//! A batch is a chunk. Threads take chunks in order and make an output of each; the caller gets
//! the outputs in the same order. No thread is more than a few chunks ahead of the caller, which
//! bounds the memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use quarry_binxml::Decoder;
use quarry_event::{FieldSource, Origin};
use quarry_logfile::{Damage, DamageKind, EvtxLog, Item, OpenError};

use crate::error::{Failure, plain};
use crate::source::{Input, log_of};

/// What is done with events, on any thread.
pub(crate) trait Work: Sync {
    /// What a thread has for itself.
    type Worker;
    /// What is made of a batch.
    type Output: Output;

    fn worker(&self) -> Self::Worker;

    /// Takes an event; breaks when no more of the batch are wanted.
    fn event<S: FieldSource>(
        &self,
        worker: &mut Self::Worker,
        event: &S,
        origin: &Origin<'_>,
        output: &mut Self::Output,
    ) -> ControlFlow<()>;
}

/// What is made of a batch; it is used again for another one.
pub(crate) trait Output: Default + Send {
    fn clear(&mut self);
}

/// How files are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    pub(crate) threads: usize,
    /// From the newest record to the oldest.
    pub(crate) reverse: bool,
    /// Set when reading shall end.
    pub(crate) stop: &'a AtomicBool,
}

/// What the caller is told, in order.
pub(crate) enum Report<'r, O> {
    /// The next records of a source.
    Batch { source: usize, name: &'r str, batch: &'r mut Batch<O> },
    /// The source was read to its end, or can't be read.
    End { source: usize, result: Result<(), Failure> },
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
struct Open {
    index: usize,
    log: EvtxLog,
    name: String,
    log_name: String,
}

/// The next thing to do. `source` is the place of the input in the list.
enum Task {
    Chunk(Arc<Open>, u64),
    /// The damage of the file as a whole, which is reported before its first chunk.
    Start(Arc<Open>),
    End(usize, Result<(), Failure>),
}

/// Reads inputs, until the caller or `options.stop` ends it.
pub(crate) fn read<W: Work>(
    inputs: Vec<Input>,
    options: Options<'_>,
    work: &W,
    take: &mut dyn FnMut(Report<'_, W::Output>) -> Next,
) {
    let queue = Queue::new(inputs, options);
    if options.threads <= 1 {
        let mut thread = Thread::new(work, options.reverse);
        let mut batch = Batch::default();
        while let Some(task) = queue.begin().next() {
            let done = thread.run(task, &mut batch);
            if queue.deliver(done, &mut batch, take) == Next::Stop {
                return;
            }
        }
        return;
    }

    let ahead = options.threads * 4;
    let shared = Shared {
        state: Mutex::new(State { begun: 0, delivered: 0, stopped: false }),
        changed: Condvar::new(),
        spare: Mutex::new(Vec::new()),
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            let sender = sender.clone();
            let (queue, shared) = (&queue, &shared);
            scope.spawn(move || {
                let _guard = StopOnPanic(shared);
                let mut thread = Thread::new(work, options.reverse);
                while let Some((number, task)) = shared.task(queue, ahead) {
                    let mut batch = lock(&shared.spare).pop().unwrap_or_default();
                    let done = thread.run(task, &mut batch);
                    if sender.send((number, done, batch)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = 0u64;
        for (number, done, batch) in receiver {
            early.insert(number, (done, batch));
            while let Some((done, mut batch)) = early.remove(&expected) {
                expected += 1;
                let next = queue.deliver(done, &mut batch, take);
                batch.clear();
                lock(&shared.spare).push(batch);
                let mut state = lock(&shared.state);
                state.delivered = expected;
                state.stopped |= next == Next::Stop;
                shared.changed.notify_all();
                if next == Next::Stop {
                    return;
                }
            }
        }
    });
}

impl<O: Output> Batch<O> {
    fn clear(&mut self) {
        self.records = 0;
        self.damage.clear();
        self.output.clear();
    }
}

/// What a task came to.
enum Done {
    Batch(Arc<Open>),
    End(usize, Result<(), Failure>),
}

/// The inputs as tasks, in order.
struct Queue<'a> {
    cursor: Mutex<Cursor>,
    options: Options<'a>,
    /// The source whose rest nobody wants.
    skipped: Mutex<Option<usize>>,
}

struct Cursor {
    inputs: std::iter::Enumerate<std::vec::IntoIter<Input>>,
    open: Option<(Arc<Open>, u64)>,
}

/// The turn to take a task.
struct Turn<'q> {
    cursor: MutexGuard<'q, Cursor>,
    queue: &'q Queue<'q>,
}

impl<'a> Queue<'a> {
    fn new(inputs: Vec<Input>, options: Options<'a>) -> Self {
        let cursor = Cursor { inputs: inputs.into_iter().enumerate(), open: None };
        Queue { cursor: Mutex::new(cursor), options, skipped: Mutex::new(None) }
    }

    fn begin(&self) -> Turn<'_> {
        Turn { cursor: lock(&self.cursor), queue: self }
    }

    fn deliver<O: Output>(
        &self,
        done: Done,
        batch: &mut Batch<O>,
        take: &mut dyn FnMut(Report<'_, O>) -> Next,
    ) -> Next {
        let next = match done {
            Done::Batch(open) => {
                let source = open.index;
                if *lock(&self.skipped) == Some(source) {
                    return Next::Go;
                }
                let next = take(Report::Batch { source, name: &open.name, batch });
                if next == Next::Skip {
                    *lock(&self.skipped) = Some(source);
                }
                next
            }
            Done::End(source, result) => take(Report::End { source, result }),
        };
        batch.clear();
        next
    }
}

impl Turn<'_> {
    fn next(mut self) -> Option<Task> {
        let Queue { options, skipped, .. } = self.queue;
        if options.stop.load(Ordering::Relaxed) {
            return None;
        }
        let cursor = &mut *self.cursor;
        if let Some((open, n)) = &mut cursor.open {
            let chunks = open.log.chunks();
            if *n < chunks && *lock(skipped) != Some(open.index) {
                let chunk = if options.reverse { chunks - 1 - *n } else { *n };
                *n += 1;
                return Some(Task::Chunk(Arc::clone(open), chunk));
            }
            let index = open.index;
            cursor.open = None;
            return Some(Task::End(index, Ok(())));
        }
        let (index, input) = cursor.inputs.next()?;
        match open(index, input, options.stop) {
            Ok(open) => {
                let open = Arc::new(open);
                cursor.open = Some((Arc::clone(&open), 0));
                Some(Task::Start(open))
            }
            Err(failure) => Some(Task::End(index, Err(failure))),
        }
    }
}

/// What threads that read together have in common.
struct Shared<O> {
    state: Mutex<State>,
    changed: Condvar,
    spare: Mutex<Vec<Batch<O>>>,
}

struct State {
    /// Tasks taken, and those of them that were handed on.
    begun: u64,
    delivered: u64,
    stopped: bool,
}

impl<O> Shared<O> {
    /// The next task and its number, when the caller has come near enough.
    fn task(&self, queue: &Queue<'_>, ahead: usize) -> Option<(u64, Task)> {
        let mut state = lock(&self.state);
        while !state.stopped && state.begun >= state.delivered + ahead as u64 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return None;
        }
        // Both locks are held for a moment, so that numbers are in the order of the tasks.
        let turn = queue.begin();
        let number = state.begun;
        state.begun += 1;
        drop(state);
        match turn.next() {
            Some(task) => Some((number, task)),
            None => {
                lock(&self.state).stopped = true;
                self.changed.notify_all();
                None
            }
        }
    }
}

/// Lets the others end when a thread panics, for which they would wait forever.
struct StopOnPanic<'s, O>(&'s Shared<O>);

impl<O> Drop for StopOnPanic<'_, O> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.state).stopped = true;
            self.0.changed.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread works with.
struct Thread<'w, W: Work> {
    work: &'w W,
    worker: W::Worker,
    decoder: Decoder,
    chunk: Vec<u8>,
    items: Vec<Item>,
    reverse: bool,
}

impl<'w, W: Work> Thread<'w, W> {
    fn new(work: &'w W, reverse: bool) -> Self {
        Thread {
            work,
            worker: work.worker(),
            decoder: Decoder::new(),
            chunk: Vec::new(),
            items: Vec::new(),
            reverse,
        }
    }

    fn run(&mut self, task: Task, batch: &mut Batch<W::Output>) -> Done {
        match task {
            Task::End(source, result) => return Done::End(source, result),
            Task::Start(open) => {
                batch.damage.extend_from_slice(open.log.damage());
                Done::Batch(open)
            }
            Task::Chunk(open, n) => {
                self.chunk(&open, n, batch);
                Done::Batch(open)
            }
        }
    }

    fn chunk(&mut self, open: &Open, n: u64, batch: &mut Batch<W::Output>) {
        let chunk = match open.log.chunk(n, &mut self.chunk) {
            Ok(chunk) => chunk,
            Err(damage) => return batch.damage.push(damage),
        };
        chunk.items(&mut self.items);
        if self.reverse {
            self.items.reverse();
        }
        let mut decoder = self.decoder.chunk(chunk.bytes());
        let mut origin =
            Origin { source: &open.name, host: None, log: &open.log_name, log_record: None };
        for item in &self.items {
            let header = match item {
                Item::Record(header) => header,
                Item::Damage(damage) => {
                    batch.damage.push(*damage);
                    continue;
                }
            };
            batch.records += 1;
            origin.log_record = Some(header.number);
            match decoder.event(header.binxml.clone()) {
                Ok(event) => {
                    let output = &mut batch.output;
                    if self.work.event(&mut self.worker, &event, &origin, output).is_break() {
                        return;
                    }
                }
                Err(e) => batch.damage.push(Damage {
                    offset: header.offset,
                    record: Some(header.number),
                    kind: DamageKind::Record(e),
                }),
            }
        }
    }
}

fn open(index: usize, input: Input, stop: &AtomicBool) -> Result<Open, Failure> {
    let (name, log_name, file) = match input {
        Input::Failed(failure) => return Err(failure),
        Input::Stdin => ("-".to_owned(), "-".to_owned(), open_stdin(stop)),
        Input::File(path) => {
            let name = path.display().to_string();
            (name, log_of(&path), open_file(&path, stop))
        }
    };
    let log = file.map_err(OpenError::Io).and_then(EvtxLog::open);
    match log {
        Ok(log) => Ok(Open { index, log, name, log_name }),
        Err(e) => Err(refusal(&name, &e)),
    }
}

/// Why a file can't be read as a log, and what to do.
fn refusal(name: &str, error: &OpenError) -> Failure {
    let shown = if name == "-" { "standard input" } else { name };
    match error {
        OpenError::Io(e) => Failure::new(format!("{shown}: {}", plain(e))),
        OpenError::Empty => Failure::new(format!("{shown}: {error}")),
        OpenError::OldFormat => Failure::new(format!("{shown}: {error}"))
            .hint("Event Viewer can open it and save it as .evtx"),
        _ => Failure::new(format!("{shown}: {error}"))
            .hint("is it compressed? unpack it first, or pipe it: zcat FILE | quarry scan -"),
    }
}

fn open_file(path: &Path, stop: &AtomicBool) -> io::Result<File> {
    let file = File::open(path)?;
    // A pipe that the shell gives a name.
    if file.metadata()?.is_file() { Ok(file) } else { spool(file, stop) }
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
    spool(io::stdin(), stop)
}

/// Copies what is read from a pipe to a temporary file, of which any part can be read.
fn spool(mut from: impl io::Read + Send + 'static, stop: &AtomicBool) -> io::Result<File> {
    let (sender, receiver) = mpsc::channel();
    // A read from a pipe can't be interrupted, so another thread waits in it.
    std::thread::spawn(move || {
        let copy = tempfile::tempfile().and_then(|mut file| {
            io::copy(&mut from, &mut file)?;
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
