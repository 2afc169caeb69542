//! `quarry scan -o evtx`: the events that match as a log file that Event Viewer opens.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Seek, Write};

use quarry_binxml::write::{Packed, Packer, Template, WriteError};
use quarry_collect::{Delivery, Found, Next, Output, Sink, SourceId, Work};
use quarry_event::{EventTime, Field, FieldSource};
use quarry_eventlog::Direction;
use quarry_logfile::{EvtxWriteError, EvtxWriter};

use crate::args::ScanArgs;
use crate::console::Console;
use crate::detect::Detection;
use crate::error::{Closed, Failure, Outcome};
use crate::filter::{Question, Zone};
use crate::input::FileOptions;
use crate::run::Setup;
use crate::unique::{Identifier, Unique};
use crate::{out, scan};

pub(crate) fn run(args: &ScanArgs, rules: Option<&Detection>) -> Result<Outcome, Failure> {
    check(args)?;
    let zone = Zone::new(&args.show.terminal)?;
    let question = match rules {
        Some(_) => Question::beside_rules(&args.read.filter, &zone, &[])?,
        None => Question::new(&args.read.filter, &zone, &[])?,
    };
    let setup = Setup {
        texts: question.is_searched().then_some(&args.show.texts),
        direction: if args.reverse { Direction::Backward } else { Direction::Forward },
        files: FileOptions { recover: false, tell_copies: !args.unique },
        is_routed: rules.is_some(),
        ..Setup::of(&args.show)
    };
    let (mut run, inputs) = setup.begin(&question, &args.read)?;
    let read_of_each = args.lines.filter(|_| !args.unique);
    let wanted = question.wanted(rules.map(Detection::routes), &inputs, read_of_each)?;
    let mut unique = Unique::default();
    let pack = Pack { identifier: args.unique.then(Identifier::default) };
    let of_each = args.lines.filter(|_| args.unique);
    let saved = Saving::new(&mut unique, of_each, run.console.clone()).and_then(|mut saving| {
        match rules {
            Some(rules) => {
                run.read_through(inputs, &wanted, rules.stage(), &pack, &mut saving)?;
            }
            None => run.read_through(inputs, &wanted, (), &pack, &mut saving)?,
        }
        saving.finish()
    });
    run.conclude(saved, |run| scan::sum_up(run, &unique, rules))
}

/// Writes records into a log file.
struct Saving<'u> {
    writer: EvtxWriter<BufWriter<File>>,
    /// The file is standard output itself.
    is_direct: bool,
    /// What was saved, where each event is wanted once.
    unique: &'u mut Unique,
    /// The most events of a source then, and how many of each there were.
    of_each: Option<u64>,
    saved: HashMap<SourceId, u64>,
    /// What can't be saved is told there.
    console: Console,
}

impl<'u> Saving<'u> {
    fn new(unique: &'u mut Unique, of_each: Option<u64>, console: Console) -> Result<Self, Closed> {
        // The file's header comes last, so it can't be written to a pipe as it grows.
        let direct = new_file();
        let is_direct = direct.is_some();
        let file = match direct {
            Some(file) => Ok(file),
            None => tempfile::tempfile(),
        };
        let file = file.map(|file| BufWriter::with_capacity(1 << 18, file));
        let writer = file.and_then(EvtxWriter::new).map_err(|error| out::of_sorting(&error))?;
        Ok(Saving { writer, is_direct, unique, of_each, saved: HashMap::new(), console })
    }

    fn finish(self) -> Result<(), Closed> {
        let file = self.writer.finish().map_err(|error| of_file(&error))?;
        let file = file.into_inner().map_err(|e| out::of_sorting(e.error()))?;
        if self.is_direct { to_end(file) } else { copy(file) }
    }
}

fn of_file(error: &EvtxWriteError) -> Closed {
    Closed::Failed(match error {
        EvtxWriteError::Io(e) => Failure::io("the .evtx file", e),
        error => Failure::new(format!("the .evtx file: {error}")),
    })
}

impl Sink for Saving<'_> {
    type Output = Records;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<Records>) -> Result<Next, Closed> {
        let Records { records, values } = &delivery.output;
        let saved = self.saved.entry(delivery.source.id).or_default();
        let mut start = 0;
        for record in records {
            let values = &values[start..record.end];
            start = record.end;
            if self.of_each.is_some_and(|most| *saved >= most) {
                return Ok(Next::Skip);
            }
            if record.identity.is_some_and(|identity| !self.unique.is_new(identity)) {
                continue;
            }
            let result = match &record.template {
                Ok(template) => {
                    let packed = Packed { template, values };
                    self.writer.write_packed(packed, record.time).map(drop)
                }
                Err(error) => Err(error.clone().into()),
            };
            match result {
                Ok(()) => *saved += 1,
                Err(EvtxWriteError::Event(error)) => {
                    let source = &delivery.source;
                    let log = record.log.as_deref().or(source.log.as_deref()).unwrap_or_default();
                    let place = match record.number {
                        Some(number) => format!("record {number} of {log}"),
                        None => format!("a record of {log}"),
                    };
                    self.console
                        .warning(&format!("{}: {place} can't be saved: {error}", source.name));
                }
                Err(error) => return Err(of_file(&error)),
            }
        }
        Ok(Next::Go)
    }
}

fn check(args: &ScanArgs) -> Result<(), Failure> {
    if args.files.recover {
        return Err(Failure::new("--recover: an .evtx file can't say which records are recovered")
            .hint("leave out --recover, or choose jsonl, json, csv, xml or table"));
    }
    if io::stdout().is_terminal() {
        return Err(Failure::new("-o evtx: a log file is not for a terminal")
            .hint("write it to a file: quarry scan ... -o evtx > events.evtx"));
    }
    if !args.fields.is_empty() {
        return Err(Failure::new("--fields: evtx has no columns")
            .hint("leave out --fields, or choose jsonl, json, csv or table"));
    }
    if args.sort.is_some() {
        return Err(Failure::new("--sort: evtx keeps the order in which events come")
            .hint("sort when it is read: quarry scan events.evtx --sort time"));
    }
    if args.lines == Some(0) {
        return Err(Failure::new("--lines: 0 events are none"));
    }
    Ok(())
}

/// Standard output, where it is a new file that can be written to at any place.
#[cfg(unix)]
fn new_file() -> Option<File> {
    use std::os::fd::AsFd;
    let mut file = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
    let is_appended = rustix::fs::fcntl_getfl(&file).ok()?.contains(rustix::fs::OFlags::APPEND);
    let metadata = file.metadata().ok()?;
    let is_new = metadata.is_file() && metadata.len() == 0 && file.stream_position().ok()? == 0;
    (is_new && !is_appended).then_some(file)
}

#[cfg(not(unix))]
fn new_file() -> Option<File> {
    None
}

/// Whoever writes to standard output next goes on after the file.
fn to_end(mut file: File) -> Result<(), Closed> {
    file.seek(io::SeekFrom::End(0))?;
    Ok(())
}

fn copy(mut file: File) -> Result<(), Closed> {
    file.rewind()?;
    let mut out = io::stdout().lock();
    io::copy(&mut file, &mut out)?;
    Ok(out.flush()?)
}

/// Makes events ready to be written, on any thread.
struct Pack {
    /// What tells events, where each is wanted once.
    identifier: Option<Identifier>,
}

#[derive(Default)]
struct Records {
    records: Vec<Record>,
    /// Their values, one after another.
    values: Vec<u8>,
}

struct Record {
    template: Result<Template, WriteError>,
    /// Where its values end.
    end: usize,
    time: EventTime,
    /// Its log, where that isn't the source's only one, and its number there.
    log: Option<Box<str>>,
    number: Option<u64>,
    /// What tells it, where that is wanted.
    identity: Option<u128>,
}

impl Output for Records {
    fn bytes(&self) -> usize {
        self.values.len() + size_of_val(&self.records[..])
    }

    fn clear(&mut self) {
        self.records.clear();
        self.values.clear();
        self.values.shrink_to(1 << 20);
    }

    fn truncate(&mut self, events: u64) {
        self.records.truncate(usize::try_from(events).unwrap_or(usize::MAX));
    }
}

impl Work for Pack {
    type Worker = (Packer, Vec<u8>);
    type Output = Records;

    fn worker(&self) -> Self::Worker {
        Default::default()
    }

    fn event<S: FieldSource>(
        &self,
        (packer, scratch): &mut Self::Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Records,
    ) {
        let origin = &found.origin;
        let template = packer.pack(event, &mut output.values);
        let end = output.values.len();
        let log = origin.host.map(|_| origin.log.into());
        let time = event.field(Field::TimeCreated).as_time().unwrap_or_default();
        let identifier = self.identifier.as_ref();
        let identity = identifier.map(|identifier| identifier.of(event, origin, scratch));
        let number = origin.log_record.map(|record| record.0);
        output.records.push(Record { template, end, time, log, number, identity });
    }
}
