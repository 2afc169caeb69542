//! What the commands that read sources have in common: what the sources stand for, reading them,
//! and telling on standard error how it goes and how it went.

mod report;
mod setup;
mod summary;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use encoding_rs::Encoding;
use quarry_collect::{
    CursorError, CursorStore, FileCursors, FleetInput, NoTexts, Pipeline, RunError, Searched,
    Selection, Sink, SourceId, Stage, Summary, Work,
};
use quarry_eventlog::{Direction, EventLog, LogError};
use quarry_fleet::{Ask, FollowOptions, Health};
use tokio::runtime::Runtime;

use crate::args::{ServerArgs, SourceArgs, TerminalArgs, WorkArgs};
use crate::console::{Console, Progress, grouped};
use crate::error::{Closed, Failure, plain};
use crate::filter::{Missing, Wanted};
use crate::hints;
use crate::input::{FileOptions, Files, Input};
use crate::interrupt;
use crate::network;
use crate::servers::{Server, Servers};
use crate::source::{Inputs, expand};
use crate::texts::RunTexts;

pub use setup::Setup;
use summary::names;

/// Warnings of one source that are shown each.
const MAX_WARNINGS: u64 = 10;

/// Sources, how they are read and how that goes.
pub struct Run {
    /// What is told goes there.
    pub console: Console,
    /// What has become of the sources that were read.
    pub summary: Summary,
    /// Texts on the command line that stand for no source.
    mistakes: u64,
    /// Whether sources are followed: nothing is summed up then, and nothing put off.
    follows: bool,
    /// Warnings of each source, by name.
    warnings: HashMap<String, u64>,
    options: quarry_fleet::Options,
    threads: NonZeroUsize,
    /// The order of records.
    pub direction: Direction,
    /// Whether files are read in the order of time: see [`Pipeline::by_time`].
    by_time: bool,
    /// How files are read.
    pub file_options: FileOptions,
    /// The files, once they are read.
    files: Option<Arc<Files>>,
    /// The code page of ANSI strings.
    pub ansi: &'static Encoding,
    /// What knows message text for the sources' events.
    pub texts: RunTexts,
    /// The names that are asked for.
    missing: Option<Missing>,
    /// Whether servers are read of which no log was named.
    has_usual_logs: bool,
    /// What each source is called that was opened, by its place.
    sources: BTreeMap<SourceId, String>,
    /// Of each source whose events' messages were searched its name, and how many had none.
    searched: HashMap<SourceId, (String, Searched)>,
    /// Servers without message text.
    without_texts: Vec<NoTexts>,
    runtime: Option<Runtime>,
}

impl Drop for Run {
    fn drop(&mut self) {
        // A name that is being looked up isn't waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Run {
    /// Nothing that was read yet.
    pub fn new(terminal: &TerminalArgs, work: &WorkArgs, direction: Direction) -> Self {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Run {
            console: Console::of(terminal),
            summary: Summary::default(),
            mistakes: 0,
            follows: false,
            warnings: HashMap::new(),
            options: quarry_fleet::Options::default(),
            threads: work.threads.unwrap_or_else(cores),
            direction,
            by_time: false,
            file_options: FileOptions { recover: false, tell_copies: true },
            files: None,
            ansi: encoding_rs::WINDOWS_1252,
            texts: RunTexts::default(),
            missing: None,
            has_usual_logs: false,
            sources: BTreeMap::new(),
            searched: HashMap::new(),
            without_texts: Vec::new(),
            runtime: None,
        }
    }

    /// What the sources stand for. Passwords are asked for here, before anything is shown.
    ///
    /// # Errors
    /// The inventory can't be read, or options contradict each other.
    pub fn inputs(
        &mut self,
        sources: &SourceArgs,
        servers: &ServerArgs,
    ) -> Result<Inputs, Failure> {
        self.options = options(servers);
        let inputs = expand(&sources.sources, &mut Servers::new(servers, &self.console)?);
        for failure in inputs.failed_servers.iter().chain(&inputs.mistakes) {
            self.console.error(failure);
        }
        self.summary.add_unread(0, inputs.failed_servers.len() as u64);
        self.mistakes += inputs.mistakes.len() as u64;
        interrupt::catch(&self.console);
        Ok(inputs)
    }

    /// What each source is called that was opened, by its place.
    pub fn sources(&self) -> &BTreeMap<SourceId, String> {
        &self.sources
    }

    /// Servers that are asked something, without other sources.
    pub fn expect_servers(&mut self, args: &ServerArgs) {
        self.options = options(args);
        interrupt::catch(&self.console);
    }

    /// Reads the sources once.
    ///
    /// # Errors
    /// No more can be taken.
    pub fn read<W: Work, K: Sink<Output = W::Output, Error = Closed>>(
        &mut self,
        inputs: Inputs,
        selection: &Arc<Selection>,
        work: &W,
        sink: &mut K,
    ) -> Result<(), Closed> {
        let wanted = Wanted { files: Arc::clone(selection), servers: Arc::clone(selection) };
        self.read_through(inputs, &wanted, (), work, sink)
    }

    /// The same, through a stage.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_through<S: Stage, W: Work, K: Sink<Output = W::Output, Error = Closed>>(
        &mut self,
        inputs: Inputs,
        wanted: &Wanted,
        stage: S,
        work: &W,
        sink: &mut K,
    ) -> Result<(), Closed> {
        let (mut files, mut failed) = (Vec::new(), 0);
        let mut texts = Vec::new();
        for input in inputs.files {
            match input {
                Input::Failed(failure) => {
                    failed += 1;
                    self.console.error(&failure);
                }
                Input::File(path) => {
                    texts.push(self.texts.of_file(&path, &self.console));
                    files.push(Input::File(path));
                }
                input => {
                    texts.push(self.texts.shared());
                    files.push(input);
                }
            }
        }
        self.summary.add_unread(failed, 0);
        let files = Arc::new(Files::new(files, self.file_options));
        self.files = Some(Arc::clone(&files));
        let files = Files::inputs(&files, &wanted.files).into_iter().zip(texts);
        let files = files.map(|(file, texts)| file.with_texts(texts)).collect();
        self.console.start_progress();
        let mut pipeline = Pipeline::scan(files).direction(self.direction).by_time(self.by_time);
        if !inputs.servers.is_empty() {
            let server = |server| self.texts.server(server, &wanted.servers);
            let servers = inputs.servers.into_iter().map(server).collect();
            let options = self.options.clone();
            pipeline = pipeline.and_servers(self.runtime()?.handle(), servers, options);
        }
        self.run(pipeline.stage(stage), work, sink, None)
    }

    /// Follows the sources, and keeps cursors if there are any to keep.
    ///
    /// # Errors
    /// No more can be taken, or cursors can't be kept.
    pub fn follow<S: Stage, W: Work, K: Sink<Output = W::Output, Error = Closed>>(
        &mut self,
        sources: Vec<FleetInput>,
        stage: S,
        last: u64,
        cursors: Option<&mut FileCursors>,
        work: &W,
        sink: &mut K,
    ) -> Result<(), Closed> {
        self.follows = true;
        let options = FollowOptions::default().deadline(self.options.deadline);
        let pipeline = Pipeline::follow(self.runtime()?.handle(), sources, last, options);
        let pipeline = pipeline.stage(stage);
        self.run(pipeline, work, sink, cursors.map(|cursors| cursors as &mut dyn CursorStore))
    }

    fn run<S: Stage, W: Work, K: Sink<Output = W::Output, Error = Closed>>(
        &mut self,
        pipeline: Pipeline<S>,
        work: &W,
        sink: &mut K,
        cursors: Option<&mut dyn CursorStore>,
    ) -> Result<(), Closed> {
        let pipeline =
            pipeline.threads(self.threads).ansi(self.ansi).stop(interrupt::stop().clone());
        let (summary, result) = pipeline.observer(&mut *self).run(work, sink, cursors);
        self.summary.add(summary);
        self.texts.save(&self.console);
        self.end();
        result.map_err(|error| match error {
            RunError::Sink(closed) => closed,
            RunError::Cursor(error) => Closed::Failed(cursor_failure(&error)),
            other => Closed::Failed(Failure::new(other.to_string())),
        })
    }

    /// Asks the servers something; `take` is given what they answer, and returns which of their
    /// logs, of those that were named, can't be read.
    ///
    /// # Errors
    /// The network can't be used at all.
    pub fn ask<T, Q, F>(
        &mut self,
        servers: &[Server],
        question: Q,
        mut take: impl FnMut(&mut Self, usize, T, Health) -> Vec<quarry_fleet::Failure>,
    ) -> Result<(), Closed>
    where
        T: Send + 'static,
        Q: Fn(quarry_fleet::SourceId, Arc<dyn EventLog>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, LogError>> + Send,
    {
        if servers.is_empty() {
            return Ok(());
        }
        self.console.start_progress();
        let options = self.options.clone();
        let runtime = self.runtime()?.handle().clone();
        let ask = {
            let _inside = runtime.enter();
            Ask::begin(servers.to_vec(), options, question)
        };
        let names = servers.iter().map(|server| server.name().to_owned());
        let mut asked = Summary::new(0, names);
        quarry_collect::ask(&runtime, interrupt::stop(), ask, |answer| {
            let n = answer.source.index();
            let failures = match answer.result {
                Ok(told) => {
                    self.opened(&*servers[n]);
                    take(self, n, told, answer.health)
                }
                Err(failure) => vec![failure],
            };
            for failure in failures {
                self.server_failed(&failure);
                asked.failed(n, failure);
            }
            asked.ended(n);
            self.show_progress(&asked);
        });
        self.summary.add(asked);
        self.end();
        Ok(())
    }

    /// What servers are read by, made when the first is.
    fn runtime(&mut self) -> Result<&Runtime, Closed> {
        if self.runtime.is_none() {
            let runtime = network::runtime(Some(self.threads.get()));
            let failed = |e| Closed::Failed(Failure::io("the network", &e));
            self.runtime = Some(runtime.map_err(failed)?);
        }
        self.runtime.as_ref().ok_or(Closed::Pipe)
    }

    /// A server was opened, in one way or another.
    fn opened(&self, server: &dyn quarry_fleet::Source) {
        self.console.detail(|| {
            let how = match server.protocol() {
                Some(protocol) => protocol.to_string(),
                None if server.is_this_machine() => "the Windows Event Log API".to_owned(),
                None => String::new(),
            };
            let instead = server.passed_over().map_or_else(String::new, |failure| {
                format!(", as MS-EVEN6 can't be had: {}", failure.what())
            });
            format!("{}: {how}{instead}", server.name())
        });
    }

    /// Warns of something about a source, of which the first are shown each.
    pub fn warn(&mut self, source: &str, what: &dyn Display) {
        self.tell(source, what, Console::warning);
    }

    fn tell(&mut self, source: &str, what: &dyn Display, how: fn(&Console, &str)) {
        let warnings = match self.warnings.get_mut(source) {
            Some(warnings) => warnings,
            None => self.warnings.entry(source.to_owned()).or_default(),
        };
        *warnings += 1;
        if self.follows || *warnings <= MAX_WARNINGS {
            how(&self.console, &format!("{source}: {what}"));
        }
    }

    /// A log that nobody named can't be read.
    pub fn left_out(&mut self, failure: &quarry_fleet::Failure) {
        self.warn(&failure.source, &format_args!("left out: {}", failure.what()));
    }

    fn server_failed(&self, failure: &quarry_fleet::Failure) {
        let mut shown = Failure::new(failure.to_string());
        // Else the summary has it, once for all that failed alike.
        shown.hint = hints::remedy(failure).filter(|_| self.follows || self.console.is_quiet());
        self.console.error(&shown);
    }

    fn show_progress(&self, summary: &Summary) {
        self.console.progress(|| {
            let sum = |of: fn(&Summary) -> quarry_collect::Tally| {
                let (done, now) = (of(&self.summary), of(summary));
                let all = done.all + now.all;
                (all > 0).then_some((done.done() + now.done(), all))
            };
            let failed = |summary: &Summary| summary.files.failed + summary.servers.failed;
            Progress {
                files: sum(|summary| summary.files),
                servers: sum(|summary| summary.servers),
                failed: failed(&self.summary) + failed(summary),
                records: self.summary.records + summary.records,
                matched: self.summary.matched + summary.matched,
                awaited: names(summary.awaited()),
            }
        });
    }

    fn end(&mut self) {
        for (source, warnings) in std::mem::take(&mut self.warnings) {
            if warnings > MAX_WARNINGS && !self.follows {
                let more = grouped(warnings - MAX_WARNINGS);
                self.console.warning(&format!("{source}: {more} more places like these"));
            }
        }
        self.console.end_progress();
    }

    /// Says which servers turned out to have no message text: at once of what is followed, and else
    /// when it is summed up.
    fn look_for_texts(&mut self) {
        let without = self.texts.without_texts();
        if self.follows {
            for NoTexts { source, why } in &without {
                self.console.warning(&format!("{source}: no message text: {why}"));
            }
        }
        self.without_texts.extend(without);
    }
}

/// Opens a cursor file.
///
/// # Errors
/// It can't be read, is none, or is another program's at the moment.
pub fn cursors(path: &Path) -> Result<FileCursors, Failure> {
    FileCursors::open(path).map_err(|error| cursor_failure(&error))
}

fn cursor_failure(error: &CursorError) -> Failure {
    match error {
        CursorError::InUse { path, lock } => {
            let shown = path.display();
            Failure::new(format!("{shown} is in use by another quarry tail"))
                .hint(format!("quarry lock --who {}", lock.display()))
        }
        CursorError::NotCursors(_) => {
            Failure::new(error.to_string()).hint("name another file, or delete it to begin anew")
        }
        CursorError::Linked(_) => {
            Failure::new(error.to_string()).hint("copy it, and name the copy")
        }
        CursorError::Io { path, error } => {
            Failure::new(format!("{}: {}", path.display(), plain(error)))
        }
        error => Failure::new(error.to_string()),
    }
}

/// What the options say of how servers are read, as far as the system lets that many be open.
pub fn options(args: &ServerArgs) -> quarry_fleet::Options {
    let options = quarry_fleet::Options::default().deadline(args.deadline);
    let connections = args.connections.map_or(options.connections, std::num::NonZeroUsize::get);
    options.connections(connections.min(network::most_servers()))
}
