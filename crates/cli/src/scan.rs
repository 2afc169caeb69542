//! `quarry scan`: the events of the sources that match, in a format.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use quarry_collect::{Delivery, Next};
use quarry_event::output::{Column, Printer, TableOptions, UnknownColumn};
use quarry_eventlog::Direction;

use crate::args::{Format, ScanArgs, ScanFormat, When};
use crate::console::{Console, stdout_color, stdout_width};
use crate::error::{Failure, Outcome};
use crate::evtx;
use crate::filter;
use crate::out::{self, Out};
use crate::print::{Print, Printed};
use crate::run::{Closed, Run, Take};
use crate::sort::Sorter;

pub(crate) fn run(args: &ScanArgs) -> Result<Outcome, Failure> {
    if args.output == Some(ScanFormat::Evtx) {
        return evtx::run(args);
    }
    let selection = filter::selection(&args.filter)?;
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
    // What is put into one order can only be counted when all of it is there.
    let (of_each, of_all) = match args.sort.is_some() && !args.per_source {
        true => (None, args.lines),
        false => (args.lines, None),
    };
    let selection = Arc::new(selection.with_limit(of_each));
    let direction = if args.reverse { Direction::Backward } else { Direction::Forward };
    let mut run = Run::new(&args.terminal, &args.work, direction);
    run.recover = args.files.recover;
    let inputs = run.inputs(&args.sources, &args.servers)?;
    let printed = Out::new(&printer, false).and_then(|out| {
        let sorter = args.sort.map(|_| Sorter::new(args.reverse, of_all));
        let print = Print {
            separator: if sorter.is_some() { b"" } else { printer.separator() },
            printer,
            apart: args.lines.is_some() || sorter.is_some(),
            times: sorter.is_some(),
        };
        let mut printing = Printing { out, sorter };
        run.read(inputs, &selection, &print, &mut printing)?;
        printing.finish(run.outcome().interrupted)
    });
    match printed {
        Err(Closed::Failed(failure)) => return Err(failure),
        // Whoever closed the pipe has seen enough.
        Err(Closed::Pipe) => {}
        Ok(()) => run.summarize(),
    }
    Ok(run.outcome())
}

/// Writes printed events as they come, or sorts them first.
struct Printing {
    out: Out,
    sorter: Option<Sorter>,
}

impl Take for Printing {
    type Output = Printed;

    fn take(
        &mut self,
        console: &Console,
        delivery: &mut Delivery<Printed>,
    ) -> Result<Next, Closed> {
        let printed = &delivery.output;
        match &mut self.sorter {
            Some(sorter) => printed
                .each(|time, text| sorter.add(time, text))
                .map_err(|error| out::of_sorting(&error))?,
            None => console.beside(|| self.out.deliver(&printed.text))?,
        }
        Ok(Next::Go)
    }

    fn check(&self) -> Result<(), Closed> {
        self.out.check()
    }
}

impl Printing {
    /// Ends the output; what was to be sorted isn't, if not all of it came.
    fn finish(mut self, is_interrupted: bool) -> Result<(), Closed> {
        let out = &mut self.out;
        if let Some(sorter) = self.sorter.filter(|_| !is_interrupted) {
            sorter.finish(&mut |text| out.hold(text), out::of_sorting)?;
        }
        out.finish()
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
