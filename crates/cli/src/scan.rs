//! `quarry scan`: the events of the sources that match, in a format.

use std::sync::Arc;

use quarry_collect::{Delivery, Next};
use quarry_eventlog::Direction;

use crate::args::{ScanArgs, ScanFormat};
use crate::console::Console;
use crate::error::{Failure, Outcome};
use crate::evtx;
use crate::filter::{Question, Zone};
use crate::out::{self, Out};
use crate::print::{self, Wanted};
use crate::printed::{Print, Printed};
use crate::run::{Closed, Run, Take};
use crate::sort::Sorter;
use crate::texts::LocalTexts;

pub(crate) fn run(args: &ScanArgs) -> Result<Outcome, Failure> {
    if args.output == Some(ScanFormat::Evtx) {
        return evtx::run(args);
    }
    let zone = Zone::new(&args.terminal)?;
    let columns = print::columns("--fields", &args.fields)?;
    let question = Question::new(&args.filter, &zone, columns.as_deref().unwrap_or_default())?;
    let missing = question.missing();
    let printer = Wanted {
        format: args.output.and_then(ScanFormat::text),
        fields: &args.fields,
        color: args.terminal.color,
        recover: args.files.recover,
        grep: question.selection.filter().grep.first(),
        zone: &zone,
    }
    .printer()?;
    if args.lines == Some(0) {
        return Err(Failure::new("--lines: 0 events are none").hint("quarry count counts them"));
    }
    // What is put into one order can only be counted when all of it is there.
    let (of_each, of_all) = match args.sort.is_some() && !args.per_source {
        true => (None, args.lines),
        false => (args.lines, None),
    };
    let direction = if args.reverse { Direction::Backward } else { Direction::Forward };
    let mut run = Run::new(&args.terminal, &args.work, direction);
    run.recover = args.files.recover;
    run.texts = LocalTexts::open(&args.texts, &run.console);
    question.warn(&run.console);
    let selection = Arc::new(question.selection.with_limit(of_each));
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
        Ok(()) => {
            missing.warn(&run.console);
            run.summarize();
        }
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
