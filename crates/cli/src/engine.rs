//! Reads sources with all cores, and hands on what was made of them. Files come in their order,
//! and in that of their records, so that the output is the same with any number of threads;
//! servers come as they answer, each in the order of its records.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use encoding_rs::Encoding;
use quarry_binxml::Decoder;
use quarry_event::{FieldSource, Origin, PartialSource};
use quarry_eventlog::{Batch as Raw, BatchReader, Damage, Direction, EventLog as _, Visitor, pool};
use quarry_fleet::{Control, Room};

use crate::error::Failure;
use crate::input::{FileOptions, Files, Input};
use crate::live::Live;
use crate::servers::Server;

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
        open: &Open,
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
    /// How files are read.
    pub(crate) files: FileOptions,
    /// The code page of ANSI strings.
    pub(crate) ansi: &'static Encoding,
    /// Set when reading shall end.
    pub(crate) stop: &'a AtomicBool,
}

/// What the caller is told, in order.
pub(crate) enum Report<'r, O> {
    /// A source was opened; a server perhaps again, to be read in another way.
    Opened { source: &'r Open },
    /// The next records of a source.
    Batch { source: &'r Open, batch: &'r mut Batch<O> },
    /// The connection to a server was lost, and is made again.
    Retrying { error: quarry_fleet::Failure },
    /// A source was read to its end, or can't be read.
    End { end: End },
}

/// How the reading of a source ended.
pub(crate) enum End {
    File(Result<(), Failure>),
    Server(ServerEnd),
}

/// How the reading of a server ended.
pub(crate) struct ServerEnd {
    /// None if all went well.
    pub(crate) failures: Vec<quarry_fleet::Failure>,
    /// Logs that nobody named and that can't be read.
    pub(crate) left_out: Vec<quarry_fleet::Failure>,
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
    /// Its place among all sources.
    pub(crate) index: usize,
    pub(crate) name: String,
    /// The log; of a server, each record says it.
    pub(crate) log: String,
    pub(crate) server: Option<Server>,
    /// Nobody wants the rest.
    skipped: AtomicBool,
}

impl Open {
    fn of_server(index: usize, server: Server) -> Self {
        let name = server.address().to_owned();
        let skipped = AtomicBool::new(false);
        Open { index, name, log: String::new(), server: Some(server), skipped }
    }

    pub(crate) fn is_server(&self) -> bool {
        self.server.is_some()
    }

    /// The server's name, of a server.
    pub(crate) fn host(&self) -> Option<&str> {
        self.server.as_ref().map(|server| server.name())
    }
}

/// Servers that are being read, and what is known of them, in the fleet's order.
pub(crate) struct Servers {
    live: Live,
    servers: Vec<Server>,
    /// The place of the first among all sources.
    first: usize,
    /// As they were opened last.
    open: Vec<Option<Arc<Open>>>,
}

impl Servers {
    pub(crate) fn new(live: Live, servers: Vec<Server>, first: usize) -> Self {
        let open = servers.iter().map(|_| None).collect();
        Servers { live, servers, first, open }
    }

    /// What a fleet's report gives to do.
    fn task(&mut self, report: quarry_fleet::Report) -> Option<Task> {
        use quarry_fleet::Report as Fleet;
        Some(match report {
            Fleet::Opened { source } => {
                let server = Server::clone(&self.servers[source.index()]);
                let open = Arc::new(Open::of_server(self.first + source.index(), server));
                self.open[source.index()] = Some(Arc::clone(&open));
                Task::Begin(open)
            }
            Fleet::Batch { source, batch, room } => {
                Task::Batch(Arc::clone(self.open[source.index()].as_ref()?), batch, room)
            }
            Fleet::Retrying { error, .. } => Task::Retrying(error),
            Fleet::Ended { failures, left_out, .. } => {
                Task::End(End::Server(ServerEnd { failures, left_out }))
            }
            _ => return None,
        })
    }
}

/// The next thing to do.
enum Task {
    Begin(Arc<Open>),
    Batch(Arc<Open>, Raw, Room),
    Retrying(quarry_fleet::Failure),
    End(End),
}

/// What it came to.
enum Done<O> {
    Begin(Arc<Open>),
    Batch(Arc<Open>, Batch<O>, Room),
    Retrying(quarry_fleet::Failure),
    End(End),
}

/// Reads files and servers, until the caller or `options.stop` ends it.
pub(crate) fn read<W: Work>(
    inputs: Vec<Input>,
    servers: Option<Servers>,
    options: Options<'_>,
    work: &W,
    take: &mut dyn FnMut(Report<'_, W::Output>) -> Next,
) {
    let control = servers.as_ref().map(|servers| servers.live.control());
    let first_server = servers.as_ref().map(|servers| servers.first);
    let files = Files::new(inputs, options.files);
    let tasks = Tasks { files, next: 0, open: None, servers, options };
    let spare = Mutex::new(Vec::new());
    pool::in_order(
        options.threads,
        tasks,
        || (BatchReader::new(Decoder::with_code_page(options.ansi)), work.worker()),
        |(reader, worker), task| match task {
            Task::End(end) => Done::End(end),
            Task::Retrying(error) => Done::Retrying(error),
            Task::Begin(open) => Done::Begin(open),
            Task::Batch(open, raw, room) => {
                let mut batch: Batch<W::Output> =
                    spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
                reader.read(&raw, &mut Reading { work, worker, open: &open, batch: &mut batch });
                Done::Batch(open, batch, room)
            }
        },
        |done| {
            let next = match done {
                Done::Begin(open) => take(Report::Opened { source: &open }),
                Done::End(end) => take(Report::End { end }),
                Done::Retrying(error) => take(Report::Retrying { error }),
                Done::Batch(open, mut batch, _room) => {
                    let mut next = Next::Go;
                    if !open.skipped.load(Ordering::Relaxed) {
                        next = take(Report::Batch { source: &open, batch: &mut batch });
                    }
                    if next == Next::Skip {
                        skip(&open, control.as_ref(), first_server);
                    }
                    batch.records = 0;
                    batch.damage.clear();
                    batch.output.clear();
                    spare.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
                    next
                }
            };
            match next {
                Next::Stop => {
                    // Whoever waits for a server waits no longer.
                    control.iter().for_each(Control::stop);
                    ControlFlow::Break(())
                }
                Next::Go | Next::Skip => ControlFlow::Continue(()),
            }
        },
    );
}

fn skip(open: &Open, control: Option<&Control>, first_server: Option<usize>) {
    open.skipped.store(true, Ordering::Relaxed);
    if let (true, Some(control), Some(first)) = (open.is_server(), control, first_server) {
        control.skip(quarry_fleet::SourceId(open.index - first));
    }
}

/// What there is to do: the files in their order, and what comes of the servers in between.
struct Tasks<'a> {
    files: Files,
    /// The next of these.
    next: usize,
    open: Option<(Arc<Open>, Box<dyn Iterator<Item = Raw> + Send>)>,
    servers: Option<Servers>,
    options: Options<'a>,
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        let stop = self.options.stop;
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(servers) = &mut self.servers {
            while let Some(report) = servers.live.try_next() {
                if let Some(task) = servers.task(report) {
                    return Some(task);
                }
            }
        }
        if let Some(task) = self.next_of_files() {
            return Some(task);
        }
        let servers = self.servers.as_mut()?;
        loop {
            let report = servers.live.next(stop)?;
            if let Some(task) = servers.task(report) {
                return Some(task);
            }
        }
    }
}

impl Tasks<'_> {
    fn next_of_files(&mut self) -> Option<Task> {
        if let Some((open, batches)) = &mut self.open {
            let skipped = open.skipped.load(Ordering::Relaxed);
            if let Some(batch) = (!skipped).then(|| batches.next()).flatten() {
                return Some(Task::Batch(Arc::clone(open), batch, Room::default()));
            }
            self.open = None;
            return Some(Task::End(End::File(Ok(()))));
        }
        let index = self.next;
        if index >= self.files.len() {
            return None;
        }
        self.next += 1;
        match self.files.open(index, self.options.stop) {
            Ok(file) => {
                let name = file.source().to_owned();
                let log = file.name().0.clone();
                let batches = Box::new(file.batches(self.options.direction));
                let open = Open { index, name, log, server: None, skipped: AtomicBool::new(false) };
                let open = Arc::new(open);
                self.open = Some((Arc::clone(&open), batches));
                Some(Task::Begin(open))
            }
            Err(failure) => Some(Task::End(End::File(Err(failure)))),
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

impl<W: Work> Reading<'_, W> {
    #[inline]
    fn take<S: FieldSource>(
        &mut self,
        event: &S,
        log: &str,
        log_record: Option<u64>,
        recovered: bool,
    ) {
        self.batch.records += 1;
        let (source, host) = (&self.open.name, self.open.host());
        let origin = Origin { source, host, log, log_record, recovered };
        self.work.event(self.worker, event, &origin, &mut self.batch.output);
    }
}

impl<W: Work> Visitor for Reading<'_, W> {
    #[inline]
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        let wanted = self.work.wants(self.worker, event, self.open, &self.batch.output);
        // One that isn't wanted is read all the same.
        self.batch.records += u64::from(!wanted);
        wanted
    }

    #[inline]
    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>) {
        self.take(event, log, log_record, false);
    }

    fn recovered<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>) {
        self.take(event, log, log_record, true);
    }

    fn damage(&mut self, damage: &Damage) {
        self.batch.records += u64::from(damage.is_record());
        self.batch.damage.push(damage.clone());
    }
}
