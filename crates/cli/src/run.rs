//! What `scan`, `count` and `logs` have in common: reading the sources, and telling on standard
//! error how it goes and how it went.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use quarry_eventlog::Direction;

use crate::args::{SourceArgs, TerminalArgs, WorkArgs};
use crate::console::{Console, grouped};
use crate::engine::{self, Batch, Next, Open, Options, Report, Work};
use crate::error::{Failure, Outcome};
use crate::source::expand;

/// Set by Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Warnings of one source that are shown each.
const MAX_WARNINGS: u64 = 10;

/// Sources and how they are read.
pub(crate) struct Run {
    pub(crate) console: Console,
    pub(crate) outcome: Outcome,
    pub(crate) records: u64,
    pub(crate) matched: u64,
    sources: u64,
    threads: NonZeroUsize,
    direction: Direction,
}

/// Takes a batch of a source, and says how many events matched.
type Take<'t, O> = dyn FnMut(&Console, &Open, &mut Batch<O>) -> (u64, Next) + 't;

impl Run {
    pub(crate) fn new(terminal: &TerminalArgs, work: &WorkArgs, direction: Direction) -> Self {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Run {
            console: Console::new(terminal.color, terminal.quiet),
            outcome: Outcome::default(),
            records: 0,
            matched: 0,
            sources: 0,
            threads: work.threads.unwrap_or_else(cores),
            direction,
        }
    }

    /// Reads the sources. `take` is given each batch with its source, in order, and
    /// says how many events of it matched, and what next.
    pub(crate) fn read<W: Work>(
        &mut self,
        sources: &SourceArgs,
        work: &W,
        take: &mut Take<'_, W::Output>,
    ) {
        catch_interrupts(&mut self.console);
        let (inputs, notes) = expand(&sources.sources);
        self.sources = inputs.len() as u64;
        notes.iter().for_each(|note| self.console.note(note));
        self.console.start_progress();
        // Of the source that is being read.
        let mut warnings = (String::new(), 0u64);
        let options =
            Options { threads: self.threads, direction: self.direction, stop: &INTERRUPTED };
        engine::read(inputs, options, work, &mut |report| {
            let next = match report {
                Report::Batch { source, batch } => {
                    let name = &source.name;
                    if !batch.damage.is_empty() && warnings.0 != *name {
                        warnings = (name.clone(), 0);
                    }
                    for damage in &batch.damage {
                        warnings.1 += 1;
                        if warnings.1 <= MAX_WARNINGS {
                            self.console.warning(&format!("{name}: {damage}"));
                        }
                    }
                    self.records += batch.records;
                    let (matched, next) = take(&self.console, source, batch);
                    self.matched += matched;
                    next
                }
                Report::End { result } => {
                    self.end_warnings(&warnings);
                    warnings.1 = 0;
                    match result {
                        Ok(()) => self.outcome.read += 1,
                        // A pipe that was waited for.
                        Err(_) if INTERRUPTED.load(Ordering::Relaxed) => {}
                        Err(failure) => {
                            self.outcome.failed += 1;
                            self.console.error(&failure);
                        }
                    }
                    Next::Go
                }
            };
            let done = self.outcome.read + self.outcome.failed;
            self.console.progress(done, self.sources, self.records, self.matched);
            next
        });
        self.end_warnings(&warnings);
        self.outcome.interrupted = INTERRUPTED.load(Ordering::Relaxed);
        self.outcome.matched = self.matched > 0;
        self.console.end_progress();
    }

    fn end_warnings(&self, (source, warnings): &(String, u64)) {
        if *warnings > MAX_WARNINGS {
            let more = grouped(warnings - MAX_WARNINGS);
            self.console.warning(&format!("{source}: {more} more places are damaged"));
        }
    }

    /// Says how it went.
    pub(crate) fn summarize(&self) {
        let Outcome { read, failed, interrupted, .. } = self.outcome;
        let files = if self.sources == 1 { "file" } else { "files" };
        let records = if self.records == 1 { "record" } else { "records" };
        let mut text = String::new();
        if interrupted {
            text.push_str("interrupted: ");
        }
        text.push_str(&format!("{} of {} {files} read", grouped(read), grouped(self.sources)));
        if failed > 0 {
            text.push_str(&format!(", {} failed", grouped(failed)));
        }
        text.push_str(&format!(
            "; {} {records}, {} matched",
            grouped(self.records),
            grouped(self.matched)
        ));
        self.console.note(&text);
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
