//! SQL on the stored events: the command, and what the API answers.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use quarry_event::output::CsvCells;
use quarry_program::console::stdout_width;
use quarry_program::error::Failure;
use quarry_store::{Access, Answer, Format, Limits, Store, StoreError, WriteError};
use quarry_web::access::Person;
use quarry_web::keeper::{PARTS, SqlAnswer, SqlRefused};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::args::{SqlArgs, SqlFormat};
use crate::config::Config;
use crate::page::access;
use crate::serve::{of_store, open, runtime};

/// The bytes of a part of an answer.
const PART: usize = 64 << 10;

/// `quarryd sql`: one `SELECT` on the views `events` and `notices`, of what is committed.
pub(crate) fn run(args: &SqlArgs) -> Result<(), Failure> {
    let format = args.output.unwrap_or(match io::stdout().is_terminal() {
        true => SqlFormat::Table,
        false => SqlFormat::Jsonl,
    });
    let is_binary = matches!(format, SqlFormat::Parquet | SqlFormat::Arrow);
    if is_binary && io::stdout().is_terminal() {
        return Err(Failure::new("-o parquet and -o arrow are no text for a terminal")
            .hint("write it to a file: quarryd sql ... > events.parquet"));
    }
    let config = Config::load(Path::new(&args.config))?;
    let runtime = runtime()?;
    let store = runtime.block_on(open(&config, true))?;
    let limits = Limits::default().time(args.time);
    let answer = runtime.block_on(store.query(&args.query, &limits, &Access::everything()));
    let answer = answer.map_err(|error| of_store(&error))?;
    let terminal = io::stdout().is_terminal();
    let format = match format {
        SqlFormat::Table => Format::Table { width: stdout_width() },
        SqlFormat::Jsonl => Format::Jsonl,
        SqlFormat::Csv => Format::Csv { cells: CsvCells::Spreadsheet, terminal },
        SqlFormat::CsvExact => Format::Csv { cells: CsvCells::Exact, terminal },
        SqlFormat::Parquet => Format::Parquet,
        SqlFormat::Arrow => Format::Arrow,
    };
    let mut out = BufWriter::new(io::stdout());
    let written = runtime.block_on(answer.write(format, &mut out)).map(drop);
    match written.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Ok(()),
        // Whoever closed the pipe has seen enough.
        Err(WriteError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(WriteError::Store(error)) => Err(of_store(&error)),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

/// Answers a statement for the API. What the person may not read is no part of it.
pub(crate) async fn answer(
    store: &Store,
    statement: &str,
    format: &str,
    person: &Person,
) -> Result<SqlAnswer, SqlRefused> {
    let (format, media_type) = match format {
        "csv" => {
            let exact = Format::Csv { cells: CsvCells::Exact, terminal: false };
            (exact, "text/csv; charset=utf-8")
        }
        "arrow" => (Format::Arrow, "application/vnd.apache.arrow.stream"),
        "parquet" => (Format::Parquet, "application/vnd.apache.parquet"),
        _ => (Format::Jsonl, "application/x-ndjson"),
    };
    let answer = match store.query(statement, &Limits::default(), &access(person)).await {
        Ok(answer) => answer.begun().await,
        Err(error) => Err(error),
    };
    let answer = answer.map_err(|error| SqlRefused {
        is_statement: matches!(error, StoreError::Sql { .. } | StoreError::Limit { .. }),
        detail: error.to_string(),
    })?;
    Ok(SqlAnswer { media_type, parts: parts(answer, format) })
}

/// The answer in parts, which are made as they are taken.
fn parts(answer: Answer, format: Format) -> mpsc::Receiver<Result<Vec<u8>, String>> {
    let (sender, parts) = mpsc::channel(PARTS);
    // What writes them waits for the reader, which a task must not; so there are two threads.
    let (to, from) = sync_channel::<Result<Vec<u8>, String>>(PARTS);
    let runtime = Handle::current();
    runtime.spawn_blocking(move || {
        // When the reader has gone, so has `from`, and the writing fails.
        while let Ok(part) = from.recv() {
            if sender.blocking_send(part).is_err() {
                return;
            }
        }
    });
    let of_task = runtime.clone();
    runtime.spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PART, Sending(to.clone()));
        let written = of_task.block_on(answer.write(format, &mut out));
        let written = written.map_err(|error| error.to_string());
        let written = written.and_then(|_| out.flush().map_err(|error| error.to_string()));
        if let Err(why) = written {
            // Without the rest in the buffer, and with an end that shows.
            drop(out.into_parts());
            let _ = to.send(Err(why));
        }
    });
    parts
}

/// Sends what is written.
struct Sending(SyncSender<Result<Vec<u8>, String>>);

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(Ok(bytes.to_vec()));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
