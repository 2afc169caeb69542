//! `quarry scan`: the events of the sources that match, in a format.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};

use quarry_event::output::{Column, Document, Printer, Scratch, TableOptions, UnknownColumn};
use quarry_event::{EventTime, Field, FieldSource, Origin, PartialSource, Texts};

use quarry_eventlog::Direction;

use crate::args::{Format, ScanArgs, ScanFormat, When};
use crate::console::{Console, grouped, stdout_color, stdout_width};
use crate::engine::{self, Batch, Next, Open};
use crate::error::{Failure, Outcome};
use crate::evtx;
use crate::filter::{Matchers, Tests};
use crate::input::FileOptions;
use crate::run::{Closed, Run};
use crate::sort::Sorter;
use crate::unique::{Identifier, Unique};

pub(crate) fn run(args: &ScanArgs) -> Result<Outcome, Failure> {
    if args.output == Some(ScanFormat::Evtx) {
        return evtx::run(args);
    }
    let tests = Tests::new(&args.filter)?;
    let format = args.output.and_then(ScanFormat::text);
    let printer = match format {
        Some(Format::Csv) if args.files.recover && args.fields.is_empty() => {
            Printer::csv_with_recovered()
        }
        _ => printer(format, &marked(args), args.terminal.color)?,
    };
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
                console.beside(|| events.each(|_, text| out.events(text))).map_err(Closed::from)
            }
            None => console.beside(|| out.events(&events.text)).map_err(Closed::from),
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
        closed = sorter.finish(&mut |text| out.hold(text)).err().map(Closed::from);
    }
    if closed.is_none() {
        closed = out.finish().err().map(Closed::from);
    }
    match closed {
        Some(Closed::Failed(failure)) => return Err(failure),
        // Whoever closed the pipe has seen enough.
        Some(Closed::Pipe) => {}
        None => {
            run.summarize();
            if let Some(unique) = &unique {
                tell_copies(unique, &run.console);
            }
        }
    }
    Ok(run.outcome)
}

/// Says what `--unique` has done.
pub(crate) fn tell_copies(unique: &Unique, console: &Console) {
    if unique.copies() > 0 {
        console.note(&format!("  {} copies left out", grouped(unique.copies())));
    }
    if let Some(most) = unique.overflow() {
        console.warning(&format!(
            "--unique: only the first {} events were remembered: of those after them, copies are \
             printed too",
            grouped(most as u64)
        ));
    }
}

/// The fields that are asked for, and what marks records of slack: nothing else would tell them.
fn marked(args: &ScanArgs) -> Cow<'_, [String]> {
    const MARK: &str = "recovered";
    let is_marked = || args.fields.iter().any(|field| field.trim() == MARK);
    match args.files.recover && !args.fields.is_empty() && !is_marked() {
        true => [&args.fields[..], &[MARK.to_owned()]].concat().into(),
        false => (&args.fields[..]).into(),
    }
}

/// The printer for what the options ask for.
pub(crate) fn printer(
    format: Option<Format>,
    fields: &[String],
    color: When,
) -> Result<Printer, Failure> {
    let terminal = io::stdout().is_terminal();
    let format = format.unwrap_or(if terminal { Format::Table } else { Format::Jsonl });
    let columns = columns(fields)?;
    Ok(match format {
        Format::Jsonl => Printer::jsonl(columns),
        Format::Json => Printer::json(columns, terminal),
        Format::Csv => Printer::csv(columns),
        Format::Table => Printer::table(TableOptions {
            columns,
            width: stdout_width(),
            color: stdout_color(color),
            zone: jiff::tz::TimeZone::system(),
        }),
        Format::Xml if columns.is_some() => {
            return Err(Failure::new("--fields: xml has no columns")
                .hint("leave out --fields, or choose jsonl, json, csv or table"));
        }
        Format::Xml => Printer::xml(),
    })
}

fn columns(fields: &[String]) -> Result<Option<Vec<Column>>, Failure> {
    let names = fields.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    let columns = names.map(Column::parse).collect::<Result<Vec<_>, _>>().map_err(|e| {
        let failure = Failure::new(format!("--fields: {e}"));
        let known = UnknownColumn::known();
        failure.hint(match e.nearest {
            Some(nearest) => format!("did you mean {nearest}? the fields are {known}"),
            None => format!("the fields are {known}"),
        })
    })?;
    match (columns.is_empty(), fields.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Err(Failure::new("--fields: there is no field in the list")
            .hint(format!("the fields are {}", UnknownColumn::known()))),
        (false, _) => Ok(Some(columns)),
    }
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

/// Standard output, and what stands around the events.
struct Out {
    document: Document,
    buffer: io::BufWriter<io::StdoutLock<'static>>,
    flush: bool,
}

impl Out {
    fn new(printer: &Printer) -> Self {
        let stdout = io::stdout().lock();
        let flush = stdout.is_terminal();
        let buffer = io::BufWriter::with_capacity(1 << 16, stdout);
        Out { document: printer.document(), buffer, flush }
    }

    /// Writes the events of a batch, of which the first was printed without anything before it.
    fn events(&mut self, text: &[u8]) -> io::Result<()> {
        self.hold(text)?;
        match self.flush {
            true => self.document.flush(&mut self.buffer).and_then(|()| self.buffer.flush()),
            false => Ok(()),
        }
    }

    /// Writes events of which more come soon.
    fn hold(&mut self, text: &[u8]) -> io::Result<()> {
        self.document.events(text, &mut self.buffer)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.document.finish(&mut self.buffer)?;
        self.buffer.flush()
    }
}
