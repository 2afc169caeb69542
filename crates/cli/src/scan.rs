//! `quarry scan`: the events of the sources that match, in a format.

use quarry_eventlog::Direction;

use crate::args::{ScanArgs, ScanFormat};
use crate::detect::Detection;
use crate::error::{Failure, Outcome};
use crate::evtx;
use crate::filter::{Question, Zone};
use crate::input::FileOptions;
use crate::out::Out;
use crate::print::{self, Wanted};
use crate::printed::{Once, Print, Printing};
use crate::run::{Run, Setup};
use crate::sort::Sorter;
use crate::unique::{Identifier, Unique};

pub(crate) fn run(args: &ScanArgs) -> Result<Outcome, Failure> {
    read(args, None)
}

/// The same, of the events that match rules, if there are any.
pub(crate) fn read(args: &ScanArgs, rules: Option<&Detection>) -> Result<Outcome, Failure> {
    if args.output == Some(ScanFormat::Evtx) {
        return evtx::run(args, rules);
    }
    let zone = Zone::new(&args.show.terminal)?;
    let columns = print::columns("--fields", &args.fields)?;
    let fields = columns.as_deref().unwrap_or_default();
    let question = match rules {
        Some(_) => Question::beside_rules(&args.read.filter, &zone, fields)?,
        None => Question::new(&args.read.filter, &zone, fields)?,
    };
    let printer = Wanted {
        format: args.output.and_then(ScanFormat::text),
        fields: &args.fields,
        color: args.show.terminal.color,
        recover: args.files.recover,
        rules: rules.is_some(),
        grep: question.selection.filter().grep.first(),
        zone: &zone,
    }
    .printer()?;
    if args.lines == Some(0) {
        return Err(Failure::new("--lines: 0 events are none").hint("quarry count counts them"));
    }
    // What is put into one order, and what is no copy of another, can only be counted when all of it is there.
    let (of_each, of_all) = match args.sort.is_some() && !args.per_source {
        true => (None, args.lines),
        false => (args.lines, None),
    };
    let setup = Setup {
        shows_texts: printer.shows_texts(),
        is_for_people: printer.is_for_people(),
        direction: if args.reverse { Direction::Backward } else { Direction::Forward },
        // Which events are the first of a source, or the first of several copies, depends on the order.
        by_time: args.sort.is_some() && !args.per_source && !args.unique && !args.files.recover,
        files: FileOptions { recover: args.files.recover, tell_copies: !args.unique },
        is_routed: rules.is_some(),
        ..Setup::of(&args.show)
    };
    let (mut run, inputs) = setup.begin(&question, &args.read)?;
    let read_of_each = of_each.filter(|_| !args.unique);
    if let Some(rules) = rules {
        rules.announce(&run.console, inputs.servers.len());
    }
    let wanted = question.wanted(rules.map(Detection::routes), &inputs, read_of_each)?;
    let mut unique = Unique::default();
    let printed = Out::new(&printer, false).and_then(|out| {
        let sorter = args.sort.map(|_| Sorter::new(args.reverse, of_all));
        let print = Print {
            separator: if sorter.is_some() { b"" } else { printer.separator() },
            printer,
            apart: args.lines.is_some() || sorter.is_some() || args.unique,
            times: sorter.is_some(),
            identifier: args.unique.then(Identifier::default),
        };
        let once = args.unique.then(|| Once::new(&mut unique, print.separator, of_each));
        let mut printing = Printing { out, sorter, once };
        match rules {
            Some(rules) => {
                run.read_through(inputs, &wanted, rules.stage(), &print, &mut printing)?;
            }
            None => run.read_through(inputs, &wanted, (), &print, &mut printing)?,
        }
        printing.finish(run.outcome().interrupted)
    });
    run.conclude(printed, |run| sum_up(run, &unique, rules))
}

/// Says what of rules and of copies there was.
pub(crate) fn sum_up(run: &Run, unique: &Unique, rules: Option<&Detection>) {
    if let Some(rules) = rules {
        rules.summarize(run);
    }
    unique.summarize(&run.console);
}
