//! `quarry decode`: the event in a raw BinXML fragment.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use quarry_binxml::Decoder;
use quarry_event::Origin;
use quarry_event::output::Scratch;

use crate::args::{DecodeArgs, When};
use crate::error::{Failure, plain};
use crate::run::Closed;
use crate::scan::printer;

/// The longest fragment: a record of a server is far shorter.
const MAX_LENGTH: u64 = 64 << 20;

pub(crate) fn run(args: &DecodeArgs) -> Result<ExitCode, Failure> {
    let name = args.file.display().to_string();
    let bytes = read(args).map_err(|e| Failure::new(format!("{name}: {}", plain(&e))))?;
    if bytes.len() as u64 > MAX_LENGTH {
        let message = format!("{name}: longer than {} MiB", MAX_LENGTH >> 20);
        return Err(Failure::new(message).hint("a fragment is the bytes of one event"));
    }
    if bytes.starts_with(b"ElfFile\0") {
        return Err(Failure::new(format!("{name}: this is an .evtx file, not a fragment"))
            .hint(format!("quarry scan {name}")));
    }
    let printer = printer(Some(args.output), &[], When::Auto)?;
    let origin = Origin { source: &name, host: None, log: "-", log_record: None };
    let mut out = Vec::new();
    printer.header(&mut out);
    let mut decoder = Decoder::new();
    let mut chunk;
    let record = if args.wire {
        decoder.event(&bytes)
    } else {
        chunk = decoder.chunk(&bytes);
        chunk.event(0..bytes.len())
    };
    match record {
        Ok(record) => printer.event(&record, &origin, None, &mut Scratch::default(), &mut out),
        Err(e) => {
            let failure = Failure::new(format!("{name}: {e}"));
            return Err(match args.wire {
                true => failure,
                false => failure.hint("--wire reads bytes as a server sends them"),
            });
        }
    }
    printer.footer(&mut out);
    let mut stdout = io::stdout().lock();
    match stdout.write_all(&out).and_then(|()| stdout.flush()).map_err(Closed::from) {
        Err(Closed::Failed(failure)) => Err(failure),
        Err(Closed::Pipe) | Ok(()) => Ok(ExitCode::SUCCESS),
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
