//! `quarry decode`: the event in a raw BinXML fragment, or those in a chunk of a file.

use std::io::{self, Read, Write as _};
use std::process::ExitCode;

use quarry_binxml::{BinXmlError, Decoder};
use quarry_event::output::{Printer, Scratch};
use quarry_event::{FieldSource, Origin, RecordId, Texts};
use quarry_eventlog::{BatchReader, Direction, FileDamage, FileLog, Visitor};
use quarry_logfile::{Damage, DamageKind, OpenError};

use crate::args::{DecodeArgs, When};
use crate::console::Console;
use crate::error::{Closed, Failure, plain};
use crate::filter::Zone;
use crate::print::Wanted;

/// The longest fragment: a record of a server is far shorter.
const MAX_LENGTH: u64 = 64 << 20;

pub(crate) fn run(args: &DecodeArgs) -> Result<ExitCode, Failure> {
    let name = args.file.display().to_string();
    let bytes = read(args).map_err(|e| Failure::new(format!("{name}: {}", plain(&e))))?;
    if bytes.len() as u64 > MAX_LENGTH {
        let message = format!("{name}: longer than {} MiB", MAX_LENGTH >> 20);
        return Err(Failure::new(message)
            .hint("a fragment is the bytes of one event, or a chunk of 64 KiB"));
    }
    if bytes.starts_with(b"ElfFile\0") {
        return Err(Failure::new(format!("{name}: this is an .evtx file, not a fragment"))
            .hint(format!("quarry scan {name}")));
    }
    let decoder = Decoder::with_code_page(args.code_page.ansi_codepage);
    let mut printing = Printing {
        printer: Wanted {
            format: Some(args.output),
            fields: &[],
            color: When::Auto,
            recover: false,
            rules: false,
            grep: None,
            zone: &Zone::default(),
        }
        .printer()?,
        name: &name,
        scratch: Scratch::default(),
        out: Vec::new(),
        events: 0,
        damage: Vec::new(),
    };
    if bytes.starts_with(b"ElfChnk\0") && !args.wire {
        chunk(bytes, decoder, &mut printing).map_err(|e| Failure::new(format!("{name}: {e}")))?;
    } else {
        fragment(&bytes, args.wire, decoder, &mut printing).map_err(|e| {
            let failure = Failure::new(format!("{name}: {e}"));
            match args.wire {
                true => failure,
                false => failure.hint("--wire reads bytes as a server sends them"),
            }
        })?;
    }
    let Printing { printer, out, events, damage, .. } = printing;
    let mut document = printer.document();
    let mut stdout = io::stdout().lock();
    let written = document
        .events(&out, &mut stdout)
        .and_then(|()| document.finish(&mut stdout))
        .and_then(|()| stdout.flush());
    match written.map_err(Closed::from) {
        Err(Closed::Failed(failure)) => return Err(failure),
        Err(Closed::Pipe) => return Ok(ExitCode::SUCCESS),
        Ok(()) => {}
    }
    let console = Console::new(When::Auto, false);
    damage.iter().for_each(|damage| console.warning(&format!("{name}: {damage}")));
    Ok(ExitCode::from(u8::from(events == 0)))
}

/// The event in a fragment.
fn fragment(
    bytes: &[u8],
    wire: bool,
    mut decoder: Decoder,
    printing: &mut Printing<'_>,
) -> Result<(), BinXmlError> {
    if wire {
        printing.event(&decoder.event(bytes)?, LOG, None);
    } else {
        printing.event(&decoder.chunk(bytes).event(0..bytes.len())?, LOG, None);
    }
    Ok(())
}

/// The name of the log, which a fragment doesn't have.
const LOG: &str = "-";

/// The events in a chunk of a file: a fragment of one refers to names elsewhere in its chunk.
fn chunk(bytes: Vec<u8>, decoder: Decoder, printing: &mut Printing<'_>) -> Result<(), OpenError> {
    /// What stands before the first chunk.
    const FILE_HEADER: usize = 4096;
    let file = [vec![0; FILE_HEADER], bytes].concat();
    let log = FileLog::new(String::new(), LOG.into(), io::Cursor::new(file))?;
    let mut reader = BatchReader::new(decoder);
    log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, printing));
    printing.damage.retain(|damage| damage.kind != DamageKind::FileHeader);
    for damage in &mut printing.damage {
        damage.offset = damage.offset.saturating_sub(FILE_HEADER as u64);
    }
    Ok(())
}

/// Prints events, and keeps what could not be read.
struct Printing<'n> {
    printer: Printer,
    name: &'n str,
    scratch: Scratch,
    out: Vec<u8>,
    events: u64,
    damage: Vec<Damage>,
}

impl Visitor for Printing<'_> {
    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
        let origin = Origin { source: self.name, host: None, log, log_record, recovered: false };
        if self.events > 0 {
            self.out.extend_from_slice(self.printer.separator());
        }
        self.printer.event(event, &origin, Texts::default(), &mut self.scratch, &mut self.out);
        self.events += 1;
    }

    /// Nobody asks for slack here.
    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
    }

    fn damage(&mut self, damage: &quarry_eventlog::Damage) {
        if let quarry_eventlog::Damage::File(FileDamage(damage)) = damage {
            self.damage.push(*damage);
        }
    }
}

fn read(args: &DecodeArgs) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let from: Box<dyn Read> = match args.file.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(std::fs::File::open(&args.file)?),
    };
    from.take(MAX_LENGTH + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
