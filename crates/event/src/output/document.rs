//! One output of the events that any number of threads printed.

use std::io::{self, Write};

use super::csv::Names;
use super::table::Layout;
use super::{Printer, Style, row};

/// Puts printed events together: writes what stands before, between and after them.
///
/// A table's rows are held back until there are enough to measure; [`flush`](Self::flush) writes
/// them. Where [`spreads`](Self::spreads) says so, all events have to be
/// [learned](Self::learn) before the first is added.
#[derive(Debug)]
pub struct Document {
    printer: Printer,
    begun: bool,
    layout: Layout,
    names: Names,
}

/// More names of values than columns can be made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the events have values of more than {} names, too many for columns", Names::MOST)]
pub struct TooManyNames;

impl Document {
    pub(super) fn new(printer: Printer) -> Self {
        Document { printer, begun: false, layout: Layout::default(), names: Names::default() }
    }

    /// Whether the first line names columns that only the events tell: of CSV with a column for
    /// each value.
    pub fn spreads(&self) -> bool {
        matches!(&*self.printer.style, Style::Csv(csv) if csv.spreads())
    }

    /// Looks at events that will be added, where [`spreads`](Self::spreads) says that this is
    /// needed.
    ///
    /// # Errors
    /// [`TooManyNames`]: there are more names than columns.
    pub fn learn(&mut self, events: &[u8]) -> Result<(), TooManyNames> {
        match &*self.printer.style {
            Style::Csv(csv) if csv.spreads() && !self.names.learn(csv, events) => Err(TooManyNames),
            _ => Ok(()),
        }
    }

    /// Adds events: what [`Printer::event`] wrote, of several with
    /// [`separator`](Printer::separator) between them.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn events(&mut self, events: &[u8], out: &mut dyn Write) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        match self.begun {
            true => out.write_all(self.printer.separator())?,
            false => self.begin(out)?,
        }
        match &*self.printer.style {
            Style::Table(table) => self.layout.rows(table, events, out),
            Style::Csv(csv) if csv.spreads() => {
                let mut lines = Vec::new();
                row::rows(events).for_each(|row| csv.line(row, &self.names, &mut lines));
                out.write_all(&lines)
            }
            _ => out.write_all(events),
        }
    }

    /// Writes what is held back, as when the events to come are waited for.
    ///
    /// # Errors
    /// Those of `out`, which isn't flushed.
    pub fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match &*self.printer.style {
            Style::Table(table) => self.layout.flush(table, out),
            _ => Ok(()),
        }
    }

    /// Ends the output, an empty one too.
    ///
    /// # Errors
    /// Those of `out`, which isn't flushed.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.begun {
            self.begin(out)?;
        }
        if let Style::Table(table) = &*self.printer.style {
            self.layout.finish(table, out)?;
        }
        let mut footer = Vec::new();
        self.printer.footer(&mut footer);
        out.write_all(&footer)
    }

    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.begun = true;
        let mut header = Vec::new();
        self.printer.header(&self.names, &mut header);
        out.write_all(&header)
    }
}
