//! `quarry scan`: the events of the sources that match, in a format.

use std::collections::HashMap;
use std::io;

use quarry_event::output::{Printer, Scratch};
use quarry_event::{EventTime, Field, FieldSource, Origin, PartialSource, Texts};

use quarry_eventlog::Direction;

use crate::args::{ScanArgs, ScanFormat};
use crate::engine::{self, Batch, Next, Open};
use crate::error::{Failure, Outcome};
use crate::evtx;
use crate::filter::{Matchers, Tests};
use crate::input::FileOptions;
use crate::print::{self, Out, Wanted};
use crate::run::{Closed, Run};
use crate::sort::Sorter;
use crate::unique::{Identifier, Unique};

pub(crate) fn run(args: &ScanArgs) -> Result<Outcome, Failure> {
    if args.output == Some(ScanFormat::Evtx) {
        return evtx::run(args);
    }
    let tests = Tests::new(&args.filter)?;
    let printer = Wanted {
        format: args.output.and_then(ScanFormat::text),
        fields: &args.fields,
        color: args.terminal.color,
        recover: args.files.recover,
        grep: tests.filter.grep.as_ref(),
    }
    .printer()?;
    if args.lines == Some(0) {
        return Err(Failure::new("--lines: 0 events are none").hint("quarry count counts them"));
    }
    let scan = Scan {
        separator: if args.sort.is_some() || args.unique { b"" } else { printer.separator() },
        printer,
        tests,
        // Which are copies is known only when all before them were printed.
        lines: args.lines.filter(|_| !args.unique),
        times: args.sort.is_some(),
        identifier: args.unique.then(Identifier::default),
    };
    let direction = if args.reverse { Direction::Backward } else { Direction::Forward };
    let mut run = Run::new(&args.terminal, &args.work, direction);
    run.file_options = FileOptions { recover: args.files.recover, tell_copies: !args.unique };
    run.ansi = args.text.ansi_codepage;
    let mut out = Out::new(&scan.printer);
    let mut unique = args.unique.then(Unique::default);
    let mut sorter = args.sort.map(|_| Sorter::new(args.reverse));
    let inputs = run.inputs(&args.sources, &args.servers)?;
    let request = scan.tests.request(direction, scan.lines);
    // How many more events of a source are wanted.
    let mut wanted: HashMap<usize, u64> = HashMap::new();
    let mut closed = None;
    run.read(inputs, request, &scan, &mut |console, source, batch: &mut Batch<Events>| {
        let wanted = match args.lines {
            Some(lines) => wanted.entry(source.index).or_insert(lines),
            None => &mut u64::MAX.clone(),
        };
        let events = &mut batch.output;
        if let Some(unique) = &mut unique {
            events.keep_new(unique);
        }
        events.keep(*wanted);
        *wanted -= events.count;
        let written = match &mut sorter {
            Some(sorter) => events
                .each(|time, text| sorter.add(time, text))
                .map_err(|e| Closed::Failed(Failure::io("temporary files", &e))),
            None if args.unique => {
                console.beside(|| events.each(|_, text| out.events(text))).map_err(print::closed)
            }
            None => console.beside(|| out.events(&events.text)).map_err(print::closed),
        };
        match written {
            Err(why) => {
                closed = Some(why);
                (events.count, Next::Stop)
            }
            Ok(()) if *wanted == 0 => (events.count, Next::Skip),
            Ok(()) => (events.count, Next::Go),
        }
    })?;
    if let (None, Some(sorter), false) = (&closed, sorter, run.outcome.interrupted) {
        closed = sorter.finish(&mut |text| out.hold(text)).err().map(print::closed);
    }
    if closed.is_none() {
        closed = out.finish().err().map(print::closed);
    }
    match closed {
        Some(Closed::Failed(failure)) => return Err(failure),
        // Whoever closed the pipe has seen enough.
        Some(Closed::Pipe) => {}
        None => {
            run.summarize();
            if let Some(unique) = &unique {
                unique.summarize(&run.console);
            }
        }
    }
    Ok(run.outcome)
}

/// Matches and prints events, on any thread.
struct Scan {
    printer: Printer,
    tests: Tests,
    /// The most events of a source; of a batch, therefore.
    lines: Option<u64>,
    /// Whether the events' times are needed.
    times: bool,
    separator: &'static [u8],
    /// What tells events, where each is wanted once.
    identifier: Option<Identifier>,
}

/// The printed events of a batch.
#[derive(Default)]
struct Events {
    text: Vec<u8>,
    count: u64,
    /// Of each event where its text ends, and its time; kept where events have to be told apart.
    ends: Vec<(usize, EventTime)>,
    /// What tells each, where that is wanted.
    identities: Vec<u128>,
}

impl engine::Work for Scan {
    type Worker = (Matchers, Scratch, Vec<u8>);
    type Output = Events;

    fn worker(&self) -> Self::Worker {
        (self.tests.matchers(), Scratch::default(), Vec::new())
    }

    #[inline]
    fn wants<S: PartialSource>(
        &self,
        (matchers, ..): &mut Self::Worker,
        event: &S,
        open: &Open,
        output: &Events,
    ) -> bool {
        self.lines.is_none_or(|lines| output.count < lines)
            && !matchers.of(open.is_server()).is_some_and(|matcher| matcher.rules_out(event))
    }

    #[inline]
    fn event<S: FieldSource>(
        &self,
        (matchers, scratch, identity): &mut Self::Worker,
        event: &S,
        origin: &Origin<'_>,
        output: &mut Events,
    ) {
        if self.lines.is_some_and(|lines| output.count >= lines) {
            return;
        }
        if let Some(matcher) = matchers.of(origin.host.is_some())
            && !matcher.matches(event, None)
        {
            return;
        }
        if output.count > 0 {
            output.text.extend_from_slice(self.separator);
        }
        self.printer.event(event, origin, Texts::default(), scratch, &mut output.text);
        output.count += 1;
        if let Some(identifier) = &self.identifier {
            output.identities.push(identifier.of(event, origin, identity));
        }
        if self.times || self.lines.is_some() || self.identifier.is_some() {
            let time = match self.times {
                true => event.field(Field::TimeCreated).as_time().unwrap_or_default(),
                false => EventTime::default(),
            };
            output.ends.push((output.text.len(), time));
        }
    }
}

impl engine::Output for Events {
    fn clear(&mut self) {
        self.text.clear();
        self.count = 0;
        self.ends.clear();
        self.identities.clear();
    }
}

impl Events {
    /// Keeps the events only that are none of before.
    fn keep_new(&mut self, unique: &mut Unique) {
        let (mut start, mut kept) = (0, 0);
        let mut ends = Vec::with_capacity(self.ends.len());
        for (&(end, time), &identity) in self.ends.iter().zip(&self.identities) {
            if unique.is_new(identity) {
                self.text.copy_within(start..end, kept);
                kept += end - start;
                ends.push((kept, time));
            }
            start = end;
        }
        self.text.truncate(kept);
        self.count = ends.len() as u64;
        self.ends = ends;
    }

    /// Keeps the first events only.
    fn keep(&mut self, wanted: u64) {
        if wanted >= self.count {
            return;
        }
        self.count = wanted;
        let kept = usize::try_from(wanted).unwrap_or(usize::MAX);
        self.ends.truncate(kept);
        self.text.truncate(self.ends.last().map_or(0, |&(end, _)| end));
    }

    fn each(&self, mut take: impl FnMut(EventTime, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut start = 0;
        self.ends.iter().try_for_each(|&(end, time)| {
            take(time, &self.text[std::mem::replace(&mut start, end)..end])
        })
    }
}
