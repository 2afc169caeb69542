//! Printed events on standard output: the printer that the options ask for, and what puts its
//! events together.

use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Seek, Write};

use quarry_event::filter::Pattern;
use quarry_event::output::{
    Column, CsvCells, CsvOptions, Document, ListOptions, Printer, TableOptions, TooManyNames,
    UnknownColumn,
};

use crate::args::{Format, When};
use crate::console::{stdout_color, stdout_width};
use crate::error::Failure;
use crate::run::Closed;

/// How events are to be printed.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) format: Option<Format>,
    pub(crate) fields: &'a [String],
    pub(crate) color: When,
    /// Whether there may be records of slack, which are marked.
    pub(crate) recover: bool,
    /// What was searched for.
    pub(crate) grep: Option<&'a Pattern>,
}

impl Wanted<'_> {
    /// The printer for it.
    pub(crate) fn printer(self) -> Result<Printer, Failure> {
        let terminal = io::stdout().is_terminal();
        let format = self.format.unwrap_or(if terminal { Format::Table } else { Format::Jsonl });
        let mut columns = columns(self.fields)?;
        if let (true, Some(columns)) = (self.recover, &mut columns) {
            // Nothing else would tell records of slack.
            let mark = Column::Member(quarry_event::output::Member::Recovered);
            if !columns.contains(&mark) {
                columns.push(mark);
            }
        }
        let zone = jiff::tz::TimeZone::system;
        let color = || stdout_color(self.color);
        Ok(match format {
            Format::Jsonl => Printer::jsonl(columns),
            Format::Json => Printer::json(columns, terminal),
            Format::Csv | Format::CsvExact => Printer::csv(CsvOptions {
                columns,
                recovered: self.recover,
                cells: match format {
                    Format::Csv => CsvCells::Spreadsheet,
                    _ => CsvCells::Exact,
                },
                terminal,
            }),
            Format::Table => Printer::table(TableOptions {
                columns,
                width: stdout_width(),
                color: color(),
                zone: zone(),
                highlight: self.grep.cloned(),
            }),
            Format::List => Printer::list(ListOptions { columns, color: color(), zone: zone() }),
            Format::Xml if columns.is_some() => {
                return Err(Failure::new("--fields: xml has no columns")
                    .hint("leave out --fields, or choose jsonl, json, csv, table or list"));
            }
            Format::Xml => Printer::xml(),
        })
    }
}

/// The columns that a list of fields names; nothing where there is no list.
pub(crate) fn columns(fields: &[String]) -> Result<Option<Vec<Column>>, Failure> {
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

/// Standard output, and what stands around the events.
pub(crate) struct Out {
    document: Document,
    buffer: BufWriter<io::StdoutLock<'static>>,
    flush: bool,
    /// Events that wait for the first line, which only all of them tell.
    spool: Option<Spool>,
}

impl Out {
    pub(crate) fn new(printer: &Printer) -> Self {
        let stdout = io::stdout().lock();
        let flush = stdout.is_terminal();
        let document = printer.document();
        let spool = document.spreads().then(Spool::default);
        Out { document, buffer: BufWriter::with_capacity(1 << 16, stdout), flush, spool }
    }

    /// Writes the events of a batch, of which the first was printed without anything before it.
    pub(crate) fn events(&mut self, text: &[u8]) -> io::Result<()> {
        self.hold(text)?;
        match self.flush && self.spool.is_none() {
            true => self.document.flush(&mut self.buffer).and_then(|()| self.buffer.flush()),
            false => Ok(()),
        }
    }

    /// Writes events of which more come soon.
    pub(crate) fn hold(&mut self, text: &[u8]) -> io::Result<()> {
        match &mut self.spool {
            None => self.document.events(text, &mut self.buffer),
            Some(_) if text.is_empty() => Ok(()),
            Some(spool) => {
                self.document.learn(text).map_err(io::Error::other)?;
                spool.write(text)
            }
        }
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let Some(spool) = self.spool.take() {
            spool.each(&mut |text| self.document.events(text, &mut self.buffer))?;
        }
        self.document.finish(&mut self.buffer)?;
        self.buffer.flush()
    }
}

/// Why no more could be written.
pub(crate) fn closed(error: io::Error) -> Closed {
    match error.get_ref().and_then(|why| why.downcast_ref::<TooManyNames>()) {
        Some(why) => Closed::Failed(
            Failure::new(format!("--fields: {why}"))
                .hint("name the values that are wanted, or choose jsonl"),
        ),
        None => Closed::from(error),
    }
}

/// Printed events in order: in memory, and in a temporary file where that is too little.
struct Spool {
    file: tempfile::SpooledTempFile,
}

impl Default for Spool {
    fn default() -> Self {
        /// What is kept in memory, in bytes.
        const MEMORY: usize = 16 << 20;
        Spool { file: tempfile::spooled_tempfile(MEMORY) }
    }
}

impl Spool {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(&(text.len() as u64).to_le_bytes())?;
        self.file.write_all(text)
    }

    /// Hands on what was written, a piece at a time.
    fn each(mut self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let end = self.file.stream_position()?;
        self.file.rewind()?;
        let mut file = BufReader::with_capacity(1 << 16, self.file);
        let mut at = 0;
        let mut text = Vec::new();
        while at < end {
            let mut len = [0; 8];
            file.read_exact(&mut len)?;
            let len = u64::from_le_bytes(len);
            at += 8 + len;
            text.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
            file.read_exact(&mut text)?;
            take(&text)?;
        }
        Ok(())
    }
}
