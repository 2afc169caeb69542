//! `quarry scan -o evtx`: the events that match as a log file that Event Viewer opens.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Seek, Write};

use quarry_binxml::write::{Packed, Packer, Template, WriteError};
use quarry_event::{EventTime, Field, FieldSource, Origin, PartialSource};
use quarry_eventlog::Direction;
use quarry_logfile::{EvtxWriteError, EvtxWriter};

use crate::args::ScanArgs;
use crate::engine::{self, Batch, Next, Open};
use crate::error::{Failure, Outcome};
use crate::filter::{Matchers, Tests};
use crate::run::{Closed, Run};
use crate::unique::{Identifier, Unique};

pub(crate) fn run(args: &ScanArgs) -> Result<Outcome, Failure> {
    check(args)?;
    let identifier = args.unique.then(Identifier::default);
    // Which are copies is known only when all before them were saved.
    let lines = args.lines.filter(|_| !args.unique);
    let save = Save { tests: Tests::new(&args.filter)?, lines, identifier };
    let mut unique = args.unique.then(Unique::default);
    let direction = if args.reverse { Direction::Backward } else { Direction::Forward };
    let mut run = Run::new(&args.terminal, &args.work, direction);
    run.file_options.tell_copies = !args.unique;
    run.ansi = args.text.ansi_codepage;
    let inputs = run.inputs(&args.sources, &args.servers)?;
    let request = save.tests.request(direction, lines);
    // The file's header comes last, so it can't be written to a pipe as it grows.
    let spool = |e: io::Error| Failure::io("temporary files", &e);
    let direct = new_file();
    let is_direct = direct.is_some();
    let file = match direct {
        Some(file) => file,
        None => tempfile::tempfile().map_err(spool)?,
    };
    let file = BufWriter::with_capacity(1 << 18, file);
    let mut writer = EvtxWriter::new(file).map_err(spool)?;
    let mut wanted: HashMap<usize, u64> = HashMap::new();
    let mut broken = None;
    run.read(inputs, request, &save, &mut |console, source, batch: &mut Batch<Records>| {
        let wanted = wanted.entry(source.index).or_insert(args.lines.unwrap_or(u64::MAX));
        let mut written = 0;
        let Records { records, values } = &batch.output;
        let mut start = 0;
        for record in records {
            let values = &values[start..record.end];
            start = record.end;
            if *wanted == 0 {
                break;
            }
            if let (Some(unique), Some(identity)) = (&mut unique, record.identity)
                && !unique.is_new(identity)
            {
                continue;
            }
            let result = match &record.template {
                Ok(template) => {
                    let packed = Packed { template, values };
                    writer.write_packed(packed, record.time).map(drop)
                }
                Err(error) => Err(error.clone().into()),
            };
            match result {
                Ok(()) => {
                    *wanted -= 1;
                    written += 1;
                }
                Err(EvtxWriteError::Event(error)) => {
                    let log = record.log.as_deref().unwrap_or(&source.log);
                    let place = match record.number {
                        Some(number) => format!("record {number} of {log}"),
                        None => format!("a record of {log}"),
                    };
                    console.warning(&format!("{}: {place} can't be saved: {error}", source.name));
                }
                Err(error) => {
                    broken = Some(Failure::new(format!("the .evtx file: {error}")));
                    return (written, Next::Stop);
                }
            }
        }
        (written, if *wanted == 0 { Next::Skip } else { Next::Go })
    })?;
    if let Some(failure) = broken {
        return Err(failure);
    }
    let file = writer.finish().map_err(|e| Failure::new(format!("the .evtx file: {e}")))?;
    let file = file.into_inner().map_err(|e| spool(e.into_error()))?;
    let copied = if is_direct { to_end(file) } else { copy(file) };
    match copied {
        Err(Closed::Failed(failure)) => Err(failure),
        Err(Closed::Pipe) => Ok(run.outcome),
        Ok(()) => {
            run.summarize();
            if let Some(unique) = &unique {
                unique.summarize(&run.console);
            }
            Ok(run.outcome)
        }
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

/// Whoever writes to standard output next goes on behind the file.
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

/// Matches events and makes them ready to be written, on any thread.
struct Save {
    tests: Tests,
    lines: Option<u64>,
    /// What tells events, where each is wanted once.
    identifier: Option<Identifier>,
}

#[derive(Default)]
struct Records {
    records: Vec<Record>,
    /// Their values, one behind the other.
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

impl engine::Output for Records {
    fn clear(&mut self) {
        self.records.clear();
        self.values.clear();
    }
}

impl engine::Work for Save {
    type Worker = (Matchers, Packer, Vec<u8>);
    type Output = Records;

    fn worker(&self) -> Self::Worker {
        (self.tests.matchers(), Packer::default(), Vec::new())
    }

    fn wants<S: PartialSource>(
        &self,
        (matchers, ..): &mut Self::Worker,
        event: &S,
        open: &Open,
        output: &Records,
    ) -> bool {
        self.lines.is_none_or(|lines| (output.records.len() as u64) < lines)
            && !matchers.of(open.is_server()).is_some_and(|matcher| matcher.rules_out(event))
    }

    fn event<S: FieldSource>(
        &self,
        (matchers, packer, scratch): &mut Self::Worker,
        event: &S,
        origin: &Origin<'_>,
        output: &mut Records,
    ) {
        if self.lines.is_some_and(|lines| output.records.len() as u64 >= lines) {
            return;
        }
        if let Some(matcher) = matchers.of(origin.host.is_some())
            && !matcher.matches(event, None)
        {
            return;
        }
        let template = packer.pack(event, &mut output.values);
        let end = output.values.len();
        let log = origin.host.map(|_| origin.log.into());
        let time = event.field(Field::TimeCreated).as_time().unwrap_or_default();
        let identifier = self.identifier.as_ref();
        let identity = identifier.map(|identifier| identifier.of(event, origin, scratch));
        let number = origin.log_record;
        output.records.push(Record { template, end, time, log, number, identity });
    }
}
