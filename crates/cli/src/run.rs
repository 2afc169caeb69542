//! What the commands that read sources have in common: what the sources stand for, reading them,
//! and telling on standard error how it goes and how it went.

use std::collections::HashMap;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use encoding_rs::Encoding;
use quarry_collect::{
    Alike, CursorError, CursorStore, Delivery, FileCursors, FleetInput, Next, NoTexts, Notice,
    Output, Pipeline, RunError, Searched, Selection, Sink, Source, Stage, Summary, Work,
};
use quarry_eventlog::{Damage, Direction, EventLog, LogError};
use quarry_fleet::{Ask, FollowOptions, Health, SourceId};
use tokio::runtime::{Builder, Runtime};

use crate::args::{ServerArgs, SourceArgs, TerminalArgs, WorkArgs};
use crate::console::{Console, Progress, grouped};
use crate::detect::Detection;
use crate::error::{Closed, Failure, Outcome, plain};
use crate::filter::Missing;
use crate::hints;
use crate::input::{FileOptions, Files, Input};
use crate::interrupt;
use crate::servers::{Server, Servers};
use crate::source::{Inputs, expand};
use crate::texts::RunTexts;
use crate::unique::Unique;

/// Warnings of one source that are shown each.
const MAX_WARNINGS: u64 = 10;

/// Servers that are named where several have something in common.
const MAX_NAMES: usize = 5;

/// Takes what comes of sources; [`Run`] reports the rest.
pub(crate) trait Take {
    type Output: Output;

    /// A source was opened; a server perhaps again, in another way.
    fn opened(&mut self, _source: &Source) {}

    /// Takes a delivery, whose damage was reported.
    fn take(
        &mut self,
        console: &Console,
        delivery: &mut Delivery<Self::Output>,
    ) -> Result<Next, Closed>;

    /// Nothing more comes of a source.
    fn ended(&mut self, _console: &Console, _source: &Source) -> Result<(), Closed> {
        Ok(())
    }

    /// Makes durable what was taken.
    fn persist(&mut self) -> Result<(), Closed> {
        Ok(())
    }

    /// Fails when nobody wants what is taken, which would else show with the next delivery.
    fn check(&self) -> Result<(), Closed> {
        Ok(())
    }
}

/// What is wanted of files, and of servers.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'s> {
    pub(crate) files: &'s Arc<Selection>,
    pub(crate) servers: &'s Arc<Selection>,
}

/// Sources, how they are read and how that goes.
pub(crate) struct Run {
    pub(crate) console: Console,
    pub(crate) summary: Summary,
    /// Texts on the command line that stand for no source.
    mistakes: u64,
    /// Whether sources are followed: nothing is summed up then, and nothing put off.
    follows: bool,
    /// Warnings of each source, by name.
    warnings: HashMap<String, u64>,
    options: quarry_fleet::Options,
    threads: NonZeroUsize,
    pub(crate) direction: Direction,
    /// How files are read, and the files once they are.
    pub(crate) file_options: FileOptions,
    files: Option<Arc<Files>>,
    /// The code page of ANSI strings.
    pub(crate) ansi: &'static Encoding,
    /// What knows message text for the sources' events.
    pub(crate) texts: RunTexts,
    /// Of each source whose events' messages were searched its name, and how many had none.
    searched: HashMap<usize, (String, Searched)>,
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
    pub(crate) fn new(terminal: &TerminalArgs, work: &WorkArgs, direction: Direction) -> Self {
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
            file_options: FileOptions { recover: false, tell_copies: true },
            files: None,
            ansi: encoding_rs::WINDOWS_1252,
            texts: RunTexts::default(),
            searched: HashMap::new(),
            without_texts: Vec::new(),
            runtime: None,
        }
    }

    /// What the sources stand for. Passwords are asked for here, before anything is shown.
    pub(crate) fn inputs(
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
        interrupt::catch(&mut self.console);
        Ok(inputs)
    }

    /// Servers that are asked something, without other sources.
    pub(crate) fn expect_servers(&mut self, args: &ServerArgs) {
        self.options = options(args);
        interrupt::catch(&mut self.console);
    }

    /// Reads the sources once.
    pub(crate) fn read<W: Work, T: Take<Output = W::Output>>(
        &mut self,
        inputs: Inputs,
        selection: &Arc<Selection>,
        work: &W,
        take: &mut T,
    ) -> Result<(), Closed> {
        let wanted = Wanted { files: selection, servers: selection };
        self.read_through(inputs, &wanted, (), work, take)
    }

    /// The same, through a stage.
    pub(crate) fn read_through<S: Stage, W: Work, T: Take<Output = W::Output>>(
        &mut self,
        inputs: Inputs,
        wanted: &Wanted<'_>,
        stage: S,
        work: &W,
        take: &mut T,
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
        let files = Files::inputs(&files, wanted.files).into_iter().zip(texts);
        let files = files.map(|(file, texts)| file.with_texts(texts)).collect();
        self.console.start_progress();
        let mut pipeline = Pipeline::scan(files).direction(self.direction);
        if !inputs.servers.is_empty() {
            let server = |server| self.texts.server(server, wanted.servers);
            let servers = inputs.servers.into_iter().map(server).collect();
            let options = self.options.clone();
            pipeline = pipeline.and_servers(self.runtime()?.handle(), servers, options);
        }
        self.run(pipeline.stage(stage), work, take, None)
    }

    /// Follows the sources, and keeps cursors if there are any to keep.
    pub(crate) fn follow<S: Stage, W: Work, T: Take<Output = W::Output>>(
        &mut self,
        sources: Vec<FleetInput>,
        stage: S,
        last: u64,
        cursors: Option<&mut FileCursors>,
        work: &W,
        take: &mut T,
    ) -> Result<(), Closed> {
        self.follows = true;
        let options = FollowOptions::default().deadline(self.options.deadline);
        let pipeline = Pipeline::follow(self.runtime()?.handle(), sources, last, options);
        let pipeline = pipeline.stage(stage);
        self.run(pipeline, work, take, cursors.map(|cursors| cursors as &mut dyn CursorStore))
    }

    fn run<S: Stage, W: Work, T: Take<Output = W::Output>>(
        &mut self,
        pipeline: Pipeline<S>,
        work: &W,
        take: &mut T,
        cursors: Option<&mut dyn CursorStore>,
    ) -> Result<(), Closed> {
        let pipeline =
            pipeline.threads(self.threads).ansi(self.ansi).stop(interrupt::stop().clone());
        let mut reporting = Reporting { run: self, take };
        let (summary, result) = pipeline.run(work, &mut reporting, cursors);
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
    pub(crate) fn ask<T, Q, F>(
        &mut self,
        servers: &[Server],
        question: Q,
        mut take: impl FnMut(&mut Self, usize, T, Health) -> Vec<quarry_fleet::Failure>,
    ) -> Result<(), Closed>
    where
        T: Send + 'static,
        Q: Fn(SourceId, Arc<dyn EventLog>) -> F + Send + Sync + 'static,
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
            let threads = self.threads.get();
            let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
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
    pub(crate) fn warn(&mut self, source: &str, what: &dyn Display) {
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
    pub(crate) fn left_out(&mut self, failure: &quarry_fleet::Failure) {
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

    /// Says which events are without their text, and why.
    fn sum_up_texts(&self) {
        let late = self.summary.late;
        if late > 0 {
            let (events, are, their) = match late {
                1 => ("event", "is", "its"),
                _ => ("events", "are", "their"),
            };
            let limit = self.texts.patience().as_secs_f64();
            self.console.note(&format!(
                "  {} {events} {are} without {their} text, which didn't come in {limit} s",
                grouped(late)
            ));
        }
        let mut reasons: Vec<&str> =
            self.without_texts.iter().map(|without| &*without.why).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for why in reasons {
            let alike = self.without_texts.iter().filter(|without| without.why == why);
            let sources = names(alike.map(|without| &*without.source)).unwrap_or_default();
            self.console.note(&format!("  no message text: {why}: {sources}"));
        }
        let is_blind =
            |searched: &Searched| searched.without > 0 && searched.without == searched.all;
        let mut blind: Vec<_> =
            self.searched.iter().filter(|(_, (_, searched))| is_blind(searched)).collect();
        blind.sort_by_key(|(index, _)| **index);
        if let Some(sources) = names(blind.iter().map(|(_, (name, _))| &**name)) {
            self.console.note(&format!(
                "  only values were searched, as no message text is known of {sources}"
            ));
        }
    }

    /// How it went, once it has been said: the names that no event had, the sum, and the events that
    /// were left out because they had come before. `ended` is how the output ended.
    pub(crate) fn conclude(
        &self,
        ended: Result<(), Closed>,
        missing: &Missing,
        unique: &Unique,
        rules: Option<&Detection>,
    ) -> Result<Outcome, Failure> {
        match ended {
            Err(Closed::Failed(failure)) => return Err(failure),
            // Whoever closed the pipe has seen enough.
            Err(Closed::Pipe) => {}
            Ok(()) => {
                missing.warn(&self.console);
                self.summarize();
                if let Some(rules) = rules {
                    rules.summarize(self);
                }
                unique.summarize(&self.console);
            }
        }
        Ok(self.outcome())
    }

    /// How it went.
    pub(crate) fn outcome(&self) -> Outcome {
        let Summary { files, servers, matched, holes, .. } = &self.summary;
        Outcome {
            matched: *matched > 0,
            read: files.read + servers.read,
            failed: files.failed + servers.failed,
            holes: *holes,
            mistakes: self.mistakes,
            interrupted: interrupt::is_set(),
        }
    }

    /// Says how it went.
    pub(crate) fn summarize(&self) {
        let Summary { records, matched, .. } = self.summary;
        let name = if records == 1 { "record" } else { "records" };
        self.sum_up(&[format!("{} {name}, {} matched", grouped(records), grouped(matched))]);
    }

    /// Says how it went with servers of which no records were read.
    pub(crate) fn summarize_servers(&self) {
        self.sum_up(&[]);
    }

    /// Says who was not connected when what is followed was interrupted.
    pub(crate) fn summarize_awaited(&self) {
        if let Some(awaited) = names(self.summary.awaited()) {
            self.console.note(&format!("not connected: {awaited}"));
        }
    }

    fn sum_up(&self, records: &[String]) {
        if self.summary.files.all + self.summary.servers.all == 0 {
            return;
        }
        let kinds = [
            (&self.summary.files, "file", "files", "read"),
            (&self.summary.servers, "server", "servers", "answered"),
        ];
        let mut parts = Vec::new();
        for (tally, one, many, done) in kinds {
            if tally.all > 0 {
                let (read, all) = (grouped(tally.read), grouped(tally.all));
                let name = if tally.all == 1 { one } else { many };
                let mut text = format!("{read} of {all} {name} {done}");
                if tally.failed > 0 {
                    text.push_str(&format!(", {} failed", grouped(tally.failed)));
                }
                parts.push(text);
            }
        }
        parts.extend_from_slice(records);
        let is_interrupted = interrupt::is_set();
        let before = if is_interrupted { "interrupted: " } else { "" };
        self.console.note(&format!("{before}{}", parts.join("; ")));
        if let (true, Some(awaited)) = (is_interrupted, names(self.summary.awaited())) {
            self.console.note(&format!("  still waited for: {awaited}"));
        }
        self.sum_up_texts();
        for Alike { what, failures } in self.summary.failures_alike() {
            let sources = names(failures.iter().map(|failure| &*failure.source));
            self.console.note(&format!("  {what}: {}", sources.unwrap_or_default()));
            // A remedy that names a server names the first, as an example.
            if let Some(remedy) = failures.first().copied().and_then(hints::remedy) {
                self.console.note(&format!("    {remedy}"));
            }
        }
    }
}

/// Takes what a pipeline delivers, and reports the rest.
struct Reporting<'r, T> {
    run: &'r mut Run,
    take: &'r mut T,
}

impl<T: Take> Sink for Reporting<'_, T> {
    type Output = T::Output;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<T::Output>) -> Result<Next, Closed> {
        for damage in std::mem::take(&mut delivery.damage) {
            let source = &delivery.source.shown;
            match damage {
                Damage::Copy { .. } => {
                    let hint = "quarry scan --unique prints each event once";
                    self.run.warn(source, &format_args!("{damage} ({hint})"));
                }
                // However quiet it is, as for gaps.
                damage if damage.is_hole() => self.run.tell(source, &damage, Console::caution),
                damage => self.run.warn(source, &damage),
            }
        }
        let searched = delivery.searched;
        if searched.all > 0 && self.run.texts.are_wanted() {
            let Source { index, shown, .. } = &*delivery.source;
            let (_, all) = self
                .run
                .searched
                .entry(*index)
                .or_insert_with(|| (shown.clone(), Searched::default()));
            all.all += searched.all;
            all.without += searched.without;
        }
        self.take.take(&self.run.console, delivery)
    }

    fn persist(&mut self) -> Result<(), Closed> {
        self.take.persist()
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), Closed> {
        let name = &source.shown;
        match notice {
            Notice::Opened => {
                if let Some(remote) = source.remote.as_ref().filter(|_| source.is_server()) {
                    self.run.opened(&**remote);
                }
                self.take.opened(source);
            }
            Notice::Ended => self.take.ended(&self.run.console, source)?,
            Notice::Following { log, again: true } => {
                self.run.console.note(&format!("{name}: following {log} again"));
            }
            // All of them, whatever else is wrong: nothing else tells that records are missing.
            Notice::Gap { log, first, last: Some(last) } => {
                self.run.console.caution(&format!(
                    "gap: records {first} to {last} of {log} on {name} were overwritten"
                ));
            }
            Notice::Gap { log, first, last: None } => {
                self.run.console.caution(&format!(
                    "gap: {log} on {name} was cleared and counts anew; records from {first} on may \
                     be missing"
                ));
            }
            Notice::Lost(error) if self.run.follows => {
                self.run.console.warning(&format!("{error}; trying again"));
            }
            Notice::Lost(error) => {
                let what = error.what();
                self.run.warn(&error.source, &format_args!("{what}; trying again"));
            }
            Notice::Weakened(strength) => self
                .run
                .console
                .detail(|| format!("{name}: refuses the filter, and sends {strength}")),
            Notice::LeftOut(failure) => self.run.left_out(&failure),
            Notice::Failed(failure) => self.run.server_failed(&failure),
            Notice::FileFailed(error) => {
                let told = self.run.files.as_ref().and_then(|files| files.failure(source.index));
                let failure = told.unwrap_or_else(|| Failure::new(format!("{name}: {error}")));
                self.run.console.error(&failure);
            }
            _ => {}
        }
        Ok(())
    }

    fn progress(&mut self, summary: &Summary, is_idle: bool) -> Result<(), Closed> {
        self.run.look_for_texts();
        self.run.show_progress(summary);
        if is_idle { self.take.check() } else { Ok(()) }
    }
}

/// Opens a cursor file.
pub(crate) fn cursors(path: &Path) -> Result<FileCursors, Failure> {
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

/// Some names, if there are any.
fn names<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let (mut shown, mut more) = (Vec::new(), 0u64);
    for name in names {
        match shown.len() < MAX_NAMES {
            true => shown.push(name),
            false => more += 1,
        }
    }
    let text = shown.join(", ");
    match (shown.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(text),
        (false, more) => Some(format!("{text} and {} more", grouped(more))),
    }
}

/// What the options say of how servers are read.
pub(crate) fn options(args: &ServerArgs) -> quarry_fleet::Options {
    let options = quarry_fleet::Options::default().deadline(args.deadline);
    match args.connections {
        Some(connections) => options.connections(connections.get()),
        None => options,
    }
}
