//! One output of the events that any number of threads printed.

use std::io::{self, Write};

use super::Printer;

/// Puts printed events together: writes what stands before, between and after them.
///
/// A table's rows may be held back to be measured; [`flush`](Self::flush) writes them.
#[derive(Debug)]
pub struct Document {
    printer: Printer,
    begun: bool,
}

impl Document {
    pub(super) fn new(printer: Printer) -> Self {
        Document { printer, begun: false }
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
        out.write_all(events)
    }

    /// Writes what is held back, as when the events to come are waited for.
    ///
    /// # Errors
    /// Those of `out`, which isn't flushed.
    pub fn flush(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    /// Ends the output, an empty one too.
    ///
    /// # Errors
    /// Those of `out`, which isn't flushed.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.begun {
            self.begin(out)?;
        }
        let mut footer = Vec::new();
        self.printer.footer(&mut footer);
        out.write_all(&footer)
    }

    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.begun = true;
        let mut header = Vec::new();
        self.printer.header(&mut header);
        out.write_all(&header)
    }
}
