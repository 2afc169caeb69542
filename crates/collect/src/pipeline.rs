//! Sources in, deliveries out.

mod decode;
mod files;
mod jobs;
mod order;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use encoding_rs::Encoding;
use quarry_eventlog::{Direction, LogName};
use quarry_fleet::{Follow, FollowOptions, FollowRequest, Job, Request, Scan};
use tokio::runtime::Handle;

use crate::cursor::{CursorError, CursorStore, LogCursor};
use crate::sink::{Delivery, Next, Notice, Observer, Output, Sink, Stage, Work};
use crate::source::{FileInput, FleetInput, Source, SourceId};
use crate::stop::Stop;
use crate::summary::Summary;
use decode::{Decoding, Part, Worker};
use files::Files;
use jobs::{Jobs, Origin};

/// The default of [`Pipeline::output_bytes`].
const OUTPUT_BYTES: usize = 16 << 20;

/// How long what was acknowledged may go unsaved. After a kill that much comes again.
const UNSAVED: Duration = Duration::from_millis(500);

/// Sources that are to be read, and how.
///
/// It runs on the thread that calls [`run`](Pipeline::run), and on threads of its own. In a program
/// of tasks, run it with `tokio::task::spawn_blocking`, and let the sink send into a bounded
/// channel: while nobody receives, nothing is read.
#[derive(Debug)]
pub struct Pipeline<S = (), O = ()> {
    files: Vec<FileInput>,
    fleet: Vec<FleetInput>,
    mode: Mode,
    stage: S,
    observer: O,
    threads: NonZeroUsize,
    ansi: &'static Encoding,
    direction: Direction,
    by_time: bool,
    output_bytes: usize,
    stop: Stop,
}

/// How the sources of the fleet are read.
#[derive(Debug)]
enum Mode {
    /// There are none.
    None,
    Scan(Handle, quarry_fleet::Options),
    Follow(Handle, FollowOptions, u64),
}

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError<E> {
    /// The sink could take no more.
    #[error("nothing more can be taken")]
    Sink(E),
    /// Cursors can't be saved.
    #[error(transparent)]
    Cursor(CursorError),
}

impl Pipeline {
    /// Reads files once, one after the other.
    pub fn scan(files: Vec<FileInput>) -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Pipeline {
            files,
            fleet: Vec::new(),
            mode: Mode::None,
            stage: (),
            observer: (),
            threads,
            ansi: encoding_rs::WINDOWS_1252,
            direction: Direction::Forward,
            by_time: false,
            output_bytes: OUTPUT_BYTES,
            stop: Stop::default(),
        }
    }

    /// Follows sources: their last records, `last` at most of each log that has no cursor
    /// ([`EVERY_RECORD`](quarry_fleet::EVERY_RECORD) for all), and then new ones for ever.
    pub fn follow(
        runtime: &Handle,
        sources: Vec<FleetInput>,
        last: u64,
        options: FollowOptions,
    ) -> Self {
        let mode = Mode::Follow(runtime.clone(), options, last);
        Pipeline { fleet: sources, mode, ..Pipeline::scan(Vec::new()) }
    }

    /// Reads servers besides, all at once, on a runtime with I/O and time; one with several threads
    /// unseals what comes on several cores.
    #[must_use]
    pub fn and_servers(
        self,
        runtime: &Handle,
        servers: Vec<FleetInput>,
        options: quarry_fleet::Options,
    ) -> Self {
        Pipeline { fleet: servers, mode: Mode::Scan(runtime.clone(), options), ..self }
    }
}

impl<S: Stage, O: Observer> Pipeline<S, O> {
    /// Adds a stage, after those there are.
    #[must_use]
    pub fn stage<T: Stage>(self, stage: T) -> Pipeline<(S, T), O> {
        self.with(|first, observer| ((first, stage), observer))
    }

    /// Sets the observer of the run, in place of the one before.
    #[must_use]
    pub fn observer<T: Observer>(self, observer: T) -> Pipeline<S, T> {
        self.with(|stage, _| (stage, observer))
    }

    /// The same sources, with another stage and observer.
    fn with<T, U>(self, change: impl FnOnce(S, O) -> (T, U)) -> Pipeline<T, U> {
        let Pipeline {
            files,
            fleet,
            mode,
            stage,
            observer,
            threads,
            ansi,
            direction,
            by_time,
            output_bytes,
            stop,
        } = self;
        let (stage, observer) = change(stage, observer);
        Pipeline {
            files,
            fleet,
            mode,
            stage,
            observer,
            threads,
            ansi,
            direction,
            by_time,
            output_bytes,
            stop,
        }
    }

    /// Decodes on so many threads; as many as there are cores, if nothing is said.
    #[must_use]
    pub fn threads(self, threads: NonZeroUsize) -> Self {
        Pipeline { threads, ..self }
    }

    /// The code page of ANSI strings in events; 1252, if nothing is said.
    #[must_use]
    pub fn ansi(self, ansi: &'static Encoding) -> Self {
        Pipeline { ansi, ..self }
    }

    /// The order of records. What is followed comes in order in any case.
    #[must_use]
    pub fn direction(self, direction: Direction) -> Self {
        Pipeline { direction, ..self }
    }

    /// Reads files in the order of their events' times, rather than one after the other, where there are files
    /// only, all of which lie on a disk: what has the earliest event comes first; or what has the latest,
    /// backwards. Each delivery says in [`turn`](Delivery::turn) what time everything before it is over, so that
    /// whoever sorts events needn't keep all of them. Records are looked at twice, for their times first.
    #[must_use]
    pub fn by_time(self, by_time: bool) -> Self {
        Pipeline { by_time, ..self }
    }

    /// How many bytes of output may wait for their turn; 16 MiB, if nothing is said. Each thread has
    /// up to 256 KiB and the output of one event in hand besides.
    #[must_use]
    pub fn output_bytes(self, bytes: usize) -> Self {
        Pipeline { output_bytes: bytes, ..self }
    }

    /// What ends the run before its time.
    #[must_use]
    pub fn stop(self, stop: Stop) -> Self {
        Pipeline { stop, ..self }
    }

    /// Reads the sources until all have ended, the sink wants no more, or the run is stopped. Blocks
    /// the calling thread, which takes the deliveries. Without cursors, following begins with the
    /// last records each time. Returns what has become of the sources, however the run ended.
    ///
    /// # Errors
    /// [`RunError`]: the sink's error, or that of saving cursors. Those that were acknowledged
    /// before the sink failed are saved, if the sink can still make durable what they stand for.
    ///
    /// # Panics
    /// On a thread of a runtime; or if the work, a stage, the sink or the observer panics.
    pub fn run<W: Work, K: Sink<Output = W::Output>>(
        self,
        work: &W,
        sink: &mut K,
        cursors: Option<&mut dyn CursorStore>,
    ) -> (Summary, Result<(), RunError<K::Error>>) {
        let names = self.fleet.iter().map(|input| input.source.name().to_owned());
        let mut run = Run {
            summary: Summary::new(self.files.len(), names),
            sink,
            observer: self.observer,
            cursors,
            unsaved: None,
            left: HashMap::new(),
            files: self.files.len(),
        };
        // Ends what waits for sources when the sink wants no more.
        let halt = Stop::default();
        let origin = begin(&self.mode, &self.fleet, self.direction, run.cursors.as_deref());
        let by_time = self.by_time && self.fleet.is_empty();
        let files = Files::new(self.files, self.direction, by_time);
        let jobs = Jobs::new(files, self.fleet, origin, [self.stop.clone(), halt.clone()]);
        let skips = jobs.skips();
        let spare = Mutex::new(Vec::new());
        let (stage, stop, ansi) = (&self.stage, &self.stop, self.ansi);
        let decoding = Decoding { work, stage, stop, ansi, spare: &spare };
        let mut result = Ok(());
        let mut cut = Cut::default();
        order::in_order(
            order::Limits { threads: self.threads, bytes: self.output_bytes },
            jobs,
            || Worker::new(&decoding),
            |worker, job, parts| decoding.job(worker, job, parts),
            |part| {
                let next = match part {
                    Some(Part::Notice(source, notice)) => run.notice(&source, notice),
                    Some(Part::Cursor(source, cursor)) => {
                        if !cut.has(source.id, Some(&cursor.log)) {
                            run.acknowledge(cursor);
                        }
                        Ok(Next::Go)
                    }
                    Some(Part::Delivery { mut delivery, is_cut }) => {
                        let id = delivery.source.id;
                        let is_passed = skips.is_skipped(id) || cut.has(id, delivery.log.as_ref());
                        let next = match is_passed {
                            true => Ok(Next::Go),
                            false => run.take(&mut delivery),
                        };
                        if is_cut {
                            cut.0.insert((id, delivery.log.clone()));
                        }
                        if matches!(next, Ok(Next::Skip)) {
                            skips.skip(id);
                        }
                        decoding.use_again(delivery.output);
                        next
                    }
                    None => run.progress(true).map(|()| Next::Go),
                };
                while let Some(source) = run.sink.dismisses() {
                    skips.skip(source);
                }
                match next.and_then(|next| run.save_when_due().map(|()| next)) {
                    Ok(Next::Go | Next::Skip) => return ControlFlow::Continue(()),
                    Ok(Next::Stop) => {}
                    Err(error) => result = Err(error),
                }
                halt.set();
                ControlFlow::Break(())
            },
        );
        let saved = run.save();
        tracing::debug!(records = run.summary.records, matched = run.summary.matched, "run ended");
        // What ended the run matters more than what came of it.
        (run.summary, result.and(saved))
    }
}

/// The logs of which a batch was cut short, by their sources: what comes of them after it isn't
/// taken, so that what was taken has no hole, and the cursor is where that ends.
#[derive(Default)]
struct Cut(HashSet<(SourceId, Option<LogName>)>);

impl Cut {
    fn has(&self, source: SourceId, log: Option<&LogName>) -> bool {
        !self.0.is_empty() && self.0.contains(&(source, log.cloned()))
    }
}

fn begin(
    mode: &Mode,
    fleet: &[FleetInput],
    direction: Direction,
    cursors: Option<&dyn CursorStore>,
) -> Origin {
    match mode {
        Mode::None => Origin::Files,
        Mode::Scan(runtime, options) => {
            let request = |input: &FleetInput| {
                let selection = &input.selection;
                let logs = selection.logs().to_vec();
                let request = Request::new().logs(logs).filter(selection.filter().clone());
                request.direction(direction).limit(selection.limit())
            };
            let _inside = runtime.enter();
            Origin::Scan(runtime.clone(), Scan::begin(each(fleet, request), options.clone()))
        }
        Mode::Follow(runtime, options, last) => {
            let cursors = cursors.map(CursorStore::cursors).unwrap_or_default();
            let request = |input: &FleetInput| {
                let selection = &input.selection;
                // A file has one log, whatever its events say they are of.
                let logs = if input.is_file { &[] } else { selection.logs() };
                let matcher = selection.matcher(input.is_file);
                let request = FollowRequest::new().logs(logs.to_vec()).last(*last);
                request.filter(selection.filter().clone(), matcher).cursors(cursors.clone())
            };
            let _inside = runtime.enter();
            Origin::Follow(runtime.clone(), Follow::begin(each(fleet, request), options.clone()))
        }
    }
}

/// A job for each source. Sources that share a selection share a request.
fn each<R>(fleet: &[FleetInput], request: impl Fn(&FleetInput) -> R) -> Vec<Job<R>> {
    let mut made = HashMap::new();
    let job = |input: &FleetInput| {
        let key = (Arc::as_ptr(&input.selection), input.is_file);
        let request = made.entry(key).or_insert_with(|| Arc::new(request(input)));
        let job = Job::new(input.source.clone(), Arc::clone(request));
        job.prepared(input.prepare.clone()).with_texts(input.texts.clone())
    };
    fleet.iter().map(job).collect()
}

/// What the calling thread keeps.
struct Run<'s, 'c, K, O> {
    summary: Summary,
    sink: &'s mut K,
    observer: O,
    cursors: Option<&'c mut dyn CursorStore>,
    /// Since when cursors were acknowledged that aren't saved.
    unsaved: Option<Instant>,
    /// Of sources with a limit, how many events are still wanted.
    left: HashMap<SourceId, u64>,
    /// How many files come before the fleet.
    files: usize,
}

impl<K: Sink, O: Observer> Run<'_, '_, K, O> {
    fn take(&mut self, delivery: &mut Delivery<K::Output>) -> Result<Next, RunError<K::Error>> {
        let mut is_last = false;
        if let Some(wanted) = self.wanted(&delivery.source) {
            if *wanted < delivery.matched {
                delivery.matched = *wanted;
                delivery.output.truncate(*wanted);
            }
            *wanted -= delivery.matched;
            is_last = *wanted == 0;
        }
        self.summary.records += delivery.records;
        self.summary.matched += delivery.matched;
        self.summary.late += delivery.late.min(delivery.matched);
        let holes = delivery.damage.iter().filter(|damage| damage.is_hole());
        self.summary.holes += holes.count() as u64;
        let Delivery { records, matched, .. } = *delivery;
        tracing::trace!(source = delivery.source.shown, records, matched, "delivery");
        self.observer.delivery(delivery);
        let next = self.sink.take(delivery).map_err(RunError::Sink)?;
        if let Some(cursor) = delivery.cursor.take() {
            self.acknowledge(cursor);
        }
        self.progress(false)?;
        Ok(if is_last && next == Next::Go { Next::Skip } else { next })
    }

    fn wanted(&mut self, source: &Source) -> Option<&mut u64> {
        let limit = source.selection().limit()?;
        Some(self.left.entry(source.id).or_insert(limit))
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<Next, RunError<K::Error>> {
        let server = source.id.of_fleet(self.files).map(|id| id.index());
        match (&notice, server) {
            (Notice::FileFailed(_), _) => self.summary.file_ended(false),
            (Notice::Ended, None) => self.summary.file_ended(true),
            (Notice::Ended, Some(server)) => self.summary.ended(server),
            (Notice::Failed(failure), Some(server)) => {
                self.summary.failed(server, failure.clone());
            }
            (Notice::Following { .. }, Some(server)) => self.summary.followed(server),
            (Notice::Lost(_), Some(server)) => self.summary.lost(server),
            (Notice::Gap { .. }, _) => self.summary.holes += 1,
            _ => {}
        }
        tracing::debug!(source = source.shown, ?notice);
        self.observer.notice(source, &notice);
        self.sink.notice(source, notice).map_err(RunError::Sink)?;
        self.progress(false)?;
        Ok(Next::Go)
    }

    fn progress(&mut self, is_idle: bool) -> Result<(), RunError<K::Error>> {
        self.observer.progress(&self.summary);
        self.sink.tick(is_idle).map_err(RunError::Sink)
    }

    fn acknowledge(&mut self, cursor: LogCursor) {
        if let Some(cursors) = &mut self.cursors {
            cursors.acknowledge(cursor);
            self.unsaved.get_or_insert_with(Instant::now);
        }
    }

    fn save_when_due(&mut self) -> Result<(), RunError<K::Error>> {
        match self.unsaved {
            Some(since) if since.elapsed() >= UNSAVED => self.save(),
            _ => Ok(()),
        }
    }

    /// Saves the cursors, when what they stand for is durable.
    fn save(&mut self) -> Result<(), RunError<K::Error>> {
        if let (Some(cursors), Some(_)) = (&mut self.cursors, self.unsaved) {
            self.sink.persist().map_err(RunError::Sink)?;
            tracing::debug!("cursors are saved");
            cursors.save().map_err(RunError::Cursor)?;
            self.unsaved = None;
        }
        Ok(())
    }
}
