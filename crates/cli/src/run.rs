//! What `scan`, `count` and `logs` have in common: reading the sources, and telling on standard
//! error how it goes and how it went.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use encoding_rs::Encoding;
use quarry_eventlog::{Damage, Direction, EventLog, LogError};
use quarry_fleet::{Ask, Request, Source, SourceId};

use crate::args::{ServerArgs, SourceArgs, TerminalArgs, WorkArgs};
use crate::console::{Console, Progress, grouped};
use crate::engine::{self, Batch, End, Next, Open, Options, Report, ServerEnd, Work};
use crate::error::{Failure, Outcome};
use crate::hints;
use crate::input::{FileOptions, Input};
use crate::live::{self, Live};
use crate::servers::{Server, Servers};
use crate::source::{Inputs, expand};

/// Set by Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Warnings of one source that are shown each.
const MAX_WARNINGS: u64 = 10;

/// Servers that are named where those are summed up that failed alike.
const MAX_NAMES: usize = 5;

/// Sources and how they are read.
pub(crate) struct Run {
    pub(crate) console: Console,
    pub(crate) outcome: Outcome,
    pub(crate) records: u64,
    pub(crate) matched: u64,
    files: Tally,
    servers: Tally,
    /// Why servers failed.
    failures: Vec<quarry_fleet::Failure>,
    /// Logs of the server that is being asked.
    failed_logs: Vec<quarry_fleet::Failure>,
    /// Warnings of each source, by name.
    warnings: HashMap<String, u64>,
    budgets: quarry_fleet::Options,
    threads: NonZeroUsize,
    direction: Direction,
    /// How files are read.
    pub(crate) file_options: FileOptions,
    /// The code page of ANSI strings.
    pub(crate) ansi: &'static Encoding,
}

/// Sources of a kind, and what has become of them.
#[derive(Clone, Copy, Default)]
struct Tally {
    all: u64,
    read: u64,
    failed: u64,
}

/// Takes a batch of a source, and says how many events matched.
type Take<'t, O> = dyn FnMut(&Console, &Open, &mut Batch<O>) -> (u64, Next) + 't;

impl Run {
    pub(crate) fn new(terminal: &TerminalArgs, work: &WorkArgs, direction: Direction) -> Self {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Run {
            console: Console::of(terminal),
            outcome: Outcome::default(),
            records: 0,
            matched: 0,
            files: Tally::default(),
            servers: Tally::default(),
            failures: Vec::new(),
            failed_logs: Vec::new(),
            warnings: HashMap::new(),
            budgets: quarry_fleet::Options::default(),
            threads: work.threads.unwrap_or_else(cores),
            direction,
            file_options: FileOptions { recover: false, tell_copies: true },
            ansi: encoding_rs::WINDOWS_1252,
        }
    }

    /// What the sources stand for. Passwords are asked for here, before anything is shown.
    pub(crate) fn inputs(
        &mut self,
        sources: &SourceArgs,
        servers: &ServerArgs,
    ) -> Result<Inputs, Failure> {
        self.budgets = live::budgets(servers);
        let inputs = expand(&sources.sources, &mut Servers::new(servers, &self.console)?);
        self.files.all = inputs.files.len() as u64;
        self.servers.failed = inputs.failed_servers.len() as u64;
        self.servers.all = inputs.servers.len() as u64 + self.servers.failed;
        inputs.failed_servers.iter().for_each(|failure| self.console.error(failure));
        catch_interrupts(&mut self.console);
        Ok(inputs)
    }

    /// What Ctrl-C sets.
    pub(crate) fn interrupted() -> &'static AtomicBool {
        &INTERRUPTED
    }

    /// Servers that are asked something, without other sources.
    pub(crate) fn expect_servers(&mut self, args: &ServerArgs, servers: usize) {
        self.budgets = live::budgets(args);
        self.servers.all = servers as u64;
        catch_interrupts(&mut self.console);
    }

    /// Why servers failed so far.
    pub(crate) fn failures(&self) -> &[quarry_fleet::Failure] {
        &self.failures
    }

    /// Reads the sources. `take` is given each batch with its source, in order, and
    /// says how many events of it matched, and what next.
    pub(crate) fn read<W: Work>(
        &mut self,
        inputs: Inputs,
        request: Request,
        work: &W,
        take: &mut Take<'_, W::Output>,
    ) -> Result<(), Failure> {
        let servers = self.begin(&inputs, request)?;
        self.read_inputs(inputs.files, servers, work, take);
        Ok(())
    }

    /// The servers, which are read in the background from now on.
    fn begin(&self, inputs: &Inputs, request: Request) -> Result<Option<engine::Servers>, Failure> {
        if inputs.servers.is_empty() {
            return Ok(None);
        }
        let live = Live::begin(&inputs.servers, request, self.budgets.clone(), self.threads)?;
        // Their places are behind those of the files.
        Ok(Some(engine::Servers::new(live, inputs.servers.clone(), inputs.files.len())))
    }

    fn read_inputs<W: Work>(
        &mut self,
        files: Vec<Input>,
        servers: Option<engine::Servers>,
        work: &W,
        take: &mut Take<'_, W::Output>,
    ) {
        self.console.start_progress();
        let options = Options {
            threads: self.threads,
            direction: self.direction,
            files: self.file_options,
            ansi: self.ansi,
            stop: &INTERRUPTED,
        };
        engine::read(files, servers, options, work, &mut |report| {
            let next = match report {
                Report::Opened { source } => {
                    if let Some(server) = &source.server {
                        self.opened(&**server);
                    }
                    take(&self.console, source, &mut Batch::default());
                    Next::Go
                }
                Report::Batch { source, batch } => {
                    for damage in &batch.damage {
                        let source = source.host().unwrap_or(&source.name);
                        match damage {
                            Damage::Copy { .. } => {
                                let hint = "quarry scan --unique prints each event once";
                                self.warn(source, &format_args!("{damage} ({hint})"));
                            }
                            damage => self.warn(source, damage),
                        }
                    }
                    self.records += batch.records;
                    let (matched, next) = take(&self.console, source, batch);
                    self.matched += matched;
                    next
                }
                Report::Retrying { error } => {
                    self.warn(&error.source, &format_args!("{}; trying again", error.what()));
                    Next::Go
                }
                Report::End { end } => {
                    match end {
                        End::File(result) => self.file_ended(result),
                        End::Server(end) => self.server_ended(end),
                    }
                    Next::Go
                }
            };
            self.show_progress();
            next
        });
        self.end();
    }

    /// Asks the servers something; `take` is given what they answer.
    pub(crate) fn ask<T, Q, F>(
        &mut self,
        servers: &[Server],
        question: Q,
        mut take: impl FnMut(&mut Self, usize, T, quarry_fleet::Health),
    ) -> Result<(), Failure>
    where
        T: Send + 'static,
        Q: Fn(SourceId, Arc<dyn EventLog>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, LogError>> + Send,
    {
        if servers.is_empty() {
            return Ok(());
        }
        self.console.start_progress();
        let (threads, budgets) = (self.threads, self.budgets.clone());
        let begin = || Ask::begin(servers.to_vec(), budgets, question);
        live::ask(threads, &INTERRUPTED, begin, |answer| {
            let failures = match answer.result {
                Ok(told) => {
                    self.opened(&*servers[answer.source.index()]);
                    take(self, answer.source.index(), told, answer.health);
                    std::mem::take(&mut self.failed_logs)
                }
                Err(failure) => vec![failure],
            };
            self.server_ended(ServerEnd { failures, left_out: Vec::new() });
            self.show_progress();
        })?;
        self.end();
        Ok(())
    }

    /// A server was opened, in one way or another.
    pub(crate) fn opened(&self, server: &dyn Source) {
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

    fn warn(&mut self, source: &str, what: &dyn std::fmt::Display) {
        let warnings = match self.warnings.get_mut(source) {
            Some(warnings) => warnings,
            None => self.warnings.entry(source.to_owned()).or_default(),
        };
        *warnings += 1;
        if *warnings <= MAX_WARNINGS {
            self.console.warning(&format!("{source}: {what}"));
        }
    }

    fn file_ended(&mut self, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.files.read += 1,
            // A pipe that was waited for.
            Err(_) if INTERRUPTED.load(Ordering::Relaxed) => {}
            Err(failure) => {
                self.files.failed += 1;
                self.console.error(&failure);
            }
        }
    }

    /// A log of a server that can't be read: a failure if somebody named it.
    pub(crate) fn log_failed(&mut self, failure: quarry_fleet::Failure, is_named: bool) {
        match is_named {
            true => self.failed_logs.push(failure),
            false => {
                self.warn(&failure.source.clone(), &format_args!("left out: {}", failure.what()))
            }
        }
    }

    fn server_failed(&mut self, failure: quarry_fleet::Failure) {
        let mut shown = Failure::new(failure.to_string());
        // Else the summary has it, once for all that failed alike.
        shown.hint = hints::remedy(&failure).filter(|_| self.console.is_quiet());
        self.console.error(&shown);
        self.failures.push(failure);
    }

    fn server_ended(&mut self, end: ServerEnd) {
        match end.failures.is_empty() {
            true => self.servers.read += 1,
            false => self.servers.failed += 1,
        }
        end.failures.into_iter().for_each(|failure| self.server_failed(failure));
        for failure in &end.left_out {
            self.warn(&failure.source, &format_args!("left out: {}", failure.what()));
        }
    }

    fn show_progress(&self) {
        let done =
            |tally: &Tally| (tally.all > 0).then_some((tally.read + tally.failed, tally.all));
        self.console.progress(&Progress {
            files: done(&self.files),
            servers: done(&self.servers),
            failed: self.files.failed + self.servers.failed,
            records: self.records,
            matched: self.matched,
        });
    }

    fn end(&mut self) {
        for (source, warnings) in std::mem::take(&mut self.warnings) {
            if warnings > MAX_WARNINGS {
                let more = grouped(warnings - MAX_WARNINGS);
                self.console.warning(&format!("{source}: {more} more places like these"));
            }
        }
        self.outcome = Outcome {
            matched: self.matched > 0,
            read: self.files.read + self.servers.read,
            failed: self.files.failed + self.servers.failed,
            interrupted: INTERRUPTED.load(Ordering::Relaxed),
        };
        self.console.end_progress();
    }

    /// Says how it went.
    pub(crate) fn summarize(&self) {
        let records = if self.records == 1 { "record" } else { "records" };
        let (all, matched) = (grouped(self.records), grouped(self.matched));
        self.sum_up(&[format!("{all} {records}, {matched} matched")]);
    }

    /// Says how it went with servers of which no records were read.
    pub(crate) fn summarize_servers(&self) {
        self.sum_up(&[]);
    }

    fn sum_up(&self, records: &[String]) {
        let kinds = [
            (&self.files, "file", "files", "read"),
            (&self.servers, "server", "servers", "answered"),
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
        let before = if self.outcome.interrupted { "interrupted: " } else { "" };
        self.console.note(&format!("{before}{}", parts.join("; ")));
        self.sum_up_failures();
    }

    /// The servers that failed, those that did so alike together, with what to do.
    fn sum_up_failures(&self) {
        let mut alike: Vec<(String, Option<String>, Vec<&str>)> = Vec::new();
        let mut failures: Vec<_> = self.failures.iter().collect();
        // By name rather than by chance.
        failures.sort_by_key(|failure| &failure.source);
        for failure in failures {
            let what = failure.what();
            match alike.iter_mut().find(|(other, ..)| *other == what) {
                Some((.., names)) => names.push(&failure.source),
                // A remedy that names a server names the first, as an example.
                None => alike.push((what, hints::remedy(failure), vec![&failure.source])),
            }
        }
        // The most frequent first.
        alike.sort_by_key(|(_, _, names)| std::cmp::Reverse(names.len()));
        for (what, remedy, names) in alike {
            let count = names.len();
            let mut text = format!("  {what}: {}", names[..count.min(MAX_NAMES)].join(", "));
            if count > MAX_NAMES {
                text.push_str(&format!(" and {} more", grouped((count - MAX_NAMES) as u64)));
            }
            self.console.note(&text);
            if let Some(remedy) = remedy {
                self.console.note(&format!("    {remedy}"));
            }
        }
    }
}

/// Lets Ctrl-C end the reading, so that what was read is printed and summed up; a second one ends
/// the process.
fn catch_interrupts(console: &mut Console) {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        console.warning(&format!("Ctrl-C will end quarry without a summary: {e}"));
    }
}

/// Why nothing more can be printed.
pub(crate) enum Closed {
    /// Nobody reads any more, which is no error.
    Pipe,
    Failed(Failure),
}

impl From<std::io::Error> for Closed {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Closed::Pipe,
            _ => Closed::Failed(Failure::io("standard output", &error)),
        }
    }
}
