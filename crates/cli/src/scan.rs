//! `quarry scan`: the events of the sources that match, in a format.

use std::collections::HashMap;

use quarry_collect::{Delivery, Next, Output as _};
use quarry_eventlog::Direction;

use crate::args::{ScanArgs, ScanFormat};
use crate::console::Console;
use crate::detect::Detection;
use crate::error::{Closed, Failure, Outcome};
use crate::evtx;
use crate::filter::{Question, Zone};
use crate::input::FileOptions;
use crate::out::{self, Out};
use crate::print::{self, Wanted};
use crate::printed::{Print, Printed};
use crate::run::{Run, Setup, Take};
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
        let unique = args.unique.then(|| Once {
            unique: &mut unique,
            separator: print.separator,
            of_each,
            printed: HashMap::new(),
        });
        let mut printing = Printing { out, sorter, unique };
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

/// Writes printed events as they come, or sorts them first.
struct Printing<'u> {
    out: Out,
    sorter: Option<Sorter>,
    /// Where each event is wanted once.
    unique: Option<Once<'u>>,
}

/// Leaves out events that were printed, and then those of a source that are too many.
struct Once<'u> {
    unique: &'u mut Unique,
    separator: &'static [u8],
    /// The most events of a source.
    of_each: Option<u64>,
    /// How many of each there were, by its place.
    printed: HashMap<usize, u64>,
}

impl Once<'_> {
    /// Whether more of the source is wanted.
    fn keep(&mut self, delivery: &mut Delivery<Printed>) -> bool {
        delivery.output.keep_new(self.unique, self.separator);
        let Some(most) = self.of_each else { return true };
        let printed = self.printed.entry(delivery.source.index).or_default();
        delivery.output.truncate(most - *printed);
        *printed += delivery.output.count();
        *printed < most
    }
}

impl Take for Printing<'_> {
    type Output = Printed;

    fn take(
        &mut self,
        console: &Console,
        delivery: &mut Delivery<Printed>,
    ) -> Result<Next, Closed> {
        let is_wanted = self.unique.as_mut().is_none_or(|once| once.keep(delivery));
        let (turn, printed, out) = (delivery.turn, &mut delivery.output, &mut self.out);
        match &mut self.sorter {
            Some(sorter) => {
                if let Some(turn) = turn {
                    let take = &mut |text: &[u8]| out.hold(text);
                    console.beside(|| sorter.release(Some(turn.edge), take, out::of_sorting))?;
                }
                let (text, events) = printed.take_apart();
                let added = sorter.add(turn.map_or(0, |turn| turn.place), text, events);
                added.map_err(|error| out::of_sorting(&error))?;
            }
            None => console.beside(|| out.deliver(&printed.text))?,
        }
        Ok(if is_wanted { Next::Go } else { Next::Skip })
    }

    fn check(&self) -> Result<(), Closed> {
        self.out.check()
    }
}

impl Printing<'_> {
    /// Ends the output; what is still to be sorted isn't, if not all of it came.
    fn finish(mut self, is_interrupted: bool) -> Result<(), Closed> {
        let out = &mut self.out;
        if let Some(mut sorter) = self.sorter.filter(|_| !is_interrupted) {
            sorter.release(None, &mut |text| out.hold(text), out::of_sorting)?;
        }
        out.finish()
    }
}
