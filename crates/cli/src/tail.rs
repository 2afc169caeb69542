//! `quarry tail`: the last events of each source, and then new ones as they come.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quarry_binxml::Decoder;
use quarry_event::filter::{Glob, Matcher};
use quarry_event::output::{Document, Printer, Scratch};
use quarry_event::{FieldSource, Origin, PartialSource, Texts};
use quarry_eventlog::{BatchReader, Damage, Direction, Visitor};
use quarry_fleet::{
    FileSource, Follow, FollowOptions, FollowReport, FollowRequest, Job, MAX_LAST, Source, SourceId,
};

use crate::args::{Format, TailArgs, WorkArgs};
use crate::cursor::Cursors;
use crate::error::{Failure, Outcome};
use crate::filter::Tests;
use crate::hints;
use crate::input::Input;
use crate::print::Wanted;
use crate::run::{Closed, Run};

/// How often it is looked whether to end, and whether to save cursors.
const GLANCE: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &TailArgs) -> Result<ExitCode, Failure> {
    if args.output == Some(Format::Json) {
        return Err(Failure::new("-o json: one array has no end to come to here")
            .hint("choose jsonl, an object a line"));
    }
    if args.lines > MAX_LAST {
        return Err(Failure::new(format!("--lines: at most the last {MAX_LAST} events"))
            .hint("quarry scan prints a whole log"));
    }
    if args.servers.connections.is_some() {
        return Err(Failure::new("--connections: every server that is followed is kept open")
            .hint("leave it out; a quarry tail for a part of the servers keeps fewer open"));
    }
    let tests = Tests::new(&args.filter)?;
    let printer = Wanted {
        format: args.output,
        fields: &args.fields,
        color: args.terminal.color,
        recover: false,
        grep: tests.filter.grep.as_ref(),
    }
    .printer()?;
    if printer.document().spreads() {
        return Err(Failure::new("--fields: data.* in csv needs all events for its first line")
            .hint("name the values that are wanted, or choose table or jsonl"));
    }
    let mut run = Run::new(&args.terminal, &WorkArgs { threads: None }, Direction::Forward);
    let inputs = run.inputs(&args.sources, &args.servers)?;
    let mut files: Vec<Arc<dyn Source>> = Vec::new();
    let mut failed = inputs.failed_servers.len() as u64;
    for input in inputs.files {
        match input {
            Input::File(path) => files.push(Arc::new(FileSource::new(path))),
            Input::Member { .. } => {
                failed += 1;
                let failure = Failure::new(format!("{}: it can't be followed", input.name()));
                run.console.error(&failure.hint("quarry scan reads the logs in an archive"));
            }
            Input::Stdin => {
                failed += 1;
                run.console.error(&Failure::new("-: standard input can't be followed"));
            }
            Input::Failed(failure) => {
                failed += 1;
                run.console.error(&failure);
            }
        }
    }
    let servers = inputs.servers.clone();
    let cursors = args.cursor_file.as_deref().map(Cursors::open).transpose()?;
    if let Some(cursors) = &cursors {
        let is_known = |address: &str| cursors.know(address);
        inputs.remote.iter().for_each(|server| server.keep_to(is_known));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("the network", &e))?;
    let known = Arc::new(cursors.as_ref().map(Cursors::all).unwrap_or_default());
    let request = |logs: Vec<Glob>, (filter, matcher)| {
        let cursors = Arc::clone(&known);
        FollowRequest::new().logs(logs).filter(filter, matcher).last(args.lines).cursors(cursors)
    };
    let of_files = request(Vec::new(), tests.of_files());
    let of_servers = request(tests.logs.clone(), tests.of_servers());
    let matchers = [of_files.matcher.clone(), of_servers.matcher.clone()];
    let sources: Vec<_> = files.iter().chain(&servers).cloned().collect();
    let files = files.len();
    let mut jobs = Job::each(sources[..files].to_vec(), of_files);
    jobs.extend(Job::each(servers, of_servers));
    let deadline = args.servers.deadline;
    let mut tail = Tail {
        run,
        sources,
        files,
        matchers,
        reader: BatchReader::new(Decoder::with_code_page(args.text.ansi_codepage)),
        scratch: Scratch::default(),
        text: Vec::new(),
        out: io::stdout().lock(),
        document: printer.document(),
        printer,
        cursors,
        told: HashSet::new(),
        lost: HashSet::new(),
        outcome: Outcome { failed, ..Outcome::default() },
    };
    let mut follow = {
        let _inside = runtime.enter();
        Follow::begin(jobs, FollowOptions::default().deadline(deadline))
    };
    let ended = tail.follow(&runtime, &mut follow);
    drop(follow);
    runtime.shutdown_background();
    let saved = tail.cursors.as_mut().map_or(Ok(()), Cursors::save);
    match ended {
        Err(Closed::Failed(failure)) => return Err(failure),
        Err(Closed::Pipe) | Ok(()) => saved?,
    }
    tail.outcome.interrupted = Run::interrupted().load(Ordering::Relaxed);
    Ok(tail.outcome.exit_code())
}

/// What is followed, and what is made of it.
struct Tail {
    run: Run,
    /// Files, and behind them servers.
    sources: Vec<Arc<dyn Source>>,
    /// How many of them are files.
    files: usize,
    /// What tests the events of files, and those of servers.
    matchers: [Option<Matcher>; 2],
    reader: BatchReader,
    scratch: Scratch,
    text: Vec<u8>,
    out: io::StdoutLock<'static>,
    document: Document,
    printer: Printer,
    cursors: Option<Cursors>,
    /// Sources of which it was told how they are read.
    told: HashSet<SourceId>,
    /// Sources whose loss was told.
    lost: HashSet<SourceId>,
    outcome: Outcome,
}

impl Tail {
    fn follow(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        follow: &mut Follow,
    ) -> Result<(), Closed> {
        while !Run::interrupted().load(Ordering::Relaxed) {
            let next =
                runtime.block_on(async { tokio::time::timeout(GLANCE, follow.next()).await });
            let is_quiet = next.is_err();
            match next {
                Ok(Some(report)) => self.report(report)?,
                Ok(None) => break,
                Err(_) => {}
            }
            if let Some(cursors) = &mut self.cursors {
                cursors.tick().map_err(Closed::Failed)?;
            }
            if is_quiet && is_closed(&self.out) {
                return Err(Closed::Pipe);
            }
        }
        Ok(())
    }

    fn report(&mut self, report: FollowReport) -> Result<(), Closed> {
        match report {
            FollowReport::Following { source: id, log, cursor } => {
                let source = self.source(id);
                if self.told.insert(id) {
                    self.run.opened(&*source);
                }
                if self.lost.remove(&id) {
                    self.run.console.note(&format!("{}: following {log} again", source.name()));
                }
                // Also where nothing comes: it is where to go on.
                if let Some(cursors) = &mut self.cursors {
                    cursors.set((source.address().to_owned(), log), cursor);
                }
            }
            FollowReport::Batch { source, log, batch, cursor, room: _room } => {
                let is_server = source.index() >= self.files;
                let source = self.source(source);
                let mut print = Print {
                    printer: &self.printer,
                    scratch: &mut self.scratch,
                    matcher: self.matchers[usize::from(is_server)].as_mut(),
                    // A file's is the path that was given.
                    source: if is_server { source.address() } else { source.name() },
                    host: is_server.then(|| source.name()),
                    printed: 0,
                    text: &mut self.text,
                    damage: Vec::new(),
                };
                self.reader.read(&batch, &mut print);
                let (printed, damage) = (print.printed, std::mem::take(&mut print.damage));
                for damage in damage {
                    self.run.console.warning(&format!("{}: {damage}", source.name()));
                }
                if printed > 0 {
                    self.outcome.matched = true;
                    self.print()?;
                }
                if let (Some(cursors), Some(record)) = (&mut self.cursors, cursor) {
                    cursors.set((source.address().to_owned(), log), record);
                }
            }
            FollowReport::Gap { source, log, first, last } => {
                let source = self.source(source);
                let name = source.name();
                self.run.console.warning(&match last {
                    Some(last) => format!(
                        "gap: records {first} to {last} of {log} on {name} were overwritten"
                    ),
                    None => format!(
                        "gap: {log} on {name} was cleared and counts anew; records from {first} on \
                         may be missing"
                    ),
                });
            }
            FollowReport::Lost { source, error, .. } => {
                let is_new = self.lost.insert(source);
                let console = &self.run.console;
                is_new.then(|| console.warning(&format!("{error}; trying again")));
            }
            FollowReport::LeftOut { source, failure } => {
                let source = self.source(source);
                let name = source.name();
                self.run.console.warning(&format!("{name}: left out: {}", failure.what()));
            }
            FollowReport::Failed { failure, .. } => {
                self.outcome.failed += 1;
                let mut shown = Failure::new(failure.to_string());
                shown.hint = hints::remedy(&failure);
                self.run.console.error(&shown);
            }
            _ => {}
        }
        Ok(())
    }

    fn source(&self, id: SourceId) -> Arc<dyn Source> {
        Arc::clone(&self.sources[id.index()])
    }

    /// Prints what there is, at once.
    fn print(&mut self) -> Result<(), Closed> {
        let (document, out, text) = (&mut self.document, &mut self.out, &mut self.text);
        self.run.console.beside(|| {
            document.events(text, out)?;
            document.flush(out)?;
            out.flush()
        })?;
        text.clear();
        Ok(())
    }
}

/// Whether nobody reads what is printed any more, which would else show with the next event.
#[cfg(unix)]
fn is_closed(out: &io::StdoutLock<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok()
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(not(unix))]
fn is_closed(_: &io::StdoutLock<'_>) -> bool {
    false
}

/// Prints a batch.
struct Print<'a> {
    printer: &'a Printer,
    scratch: &'a mut Scratch,
    matcher: Option<&'a mut Matcher>,
    source: &'a str,
    host: Option<&'a str>,
    printed: u64,
    text: &'a mut Vec<u8>,
    damage: Vec<Damage>,
}

impl Visitor for Print<'_> {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        !self.matcher.as_mut().is_some_and(|matcher| matcher.rules_out(event))
    }

    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>) {
        if self.matcher.as_mut().is_some_and(|matcher| !matcher.matches(event, None)) {
            return;
        }
        if self.printed > 0 {
            self.text.extend_from_slice(self.printer.separator());
        }
        let origin =
            Origin { source: self.source, host: self.host, log, log_record, recovered: false };
        self.printer.event(event, &origin, Texts::default(), self.scratch, self.text);
        self.printed += 1;
    }

    /// Nobody asks for slack here.
    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<u64>) {}

    fn damage(&mut self, damage: &Damage) {
        self.damage.push(damage.clone());
    }
}
