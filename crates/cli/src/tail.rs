//! `quarry tail`: the last events of each source, and then new ones as they come.

use std::process::ExitCode;
use std::sync::Arc;

use quarry_collect::FleetInput;
use quarry_fleet::{FileSource, MAX_LAST};

use crate::args::{Format, TailArgs, WorkArgs};
use crate::detect::Detection;
use crate::error::{Failure, delivered};
use crate::filter::{Question, Zone};
use crate::input::{self, Input};
use crate::out::Out;
use crate::print::{self, Wanted};
use crate::printed::{Print, Printing};
use crate::run::{self, Setup};

pub(crate) fn run(args: &TailArgs) -> Result<ExitCode, Failure> {
    follow(args, None)
}

/// The same, of the events that match rules, if there are any.
pub(crate) fn follow(args: &TailArgs, rules: Option<&Detection>) -> Result<ExitCode, Failure> {
    if args.output == Some(Format::Json) {
        return Err(Failure::new("-o json: one array has no end to come to here")
            .hint("choose jsonl, an object a line"));
    }
    if args.lines > MAX_LAST {
        return Err(Failure::new(format!("--lines: at most the last {MAX_LAST} events"))
            .hint("quarry scan prints a whole log"));
    }
    if args.read.servers.connections.is_some() {
        return Err(Failure::new("--connections: every server that is followed is kept open")
            .hint("leave it out; a quarry tail for a part of the servers keeps fewer open"));
    }
    let zone = Zone::new(&args.terminal)?;
    let columns = print::columns("--fields", &args.fields)?;
    let fields = columns.as_deref().unwrap_or_default();
    let question = match rules {
        Some(_) => Question::beside_rules(&args.read.filter, &zone, fields)?,
        None => Question::new(&args.read.filter, &zone, fields)?,
    };
    let printer = Wanted {
        format: args.output,
        fields: &args.fields,
        color: args.terminal.color,
        recover: false,
        rules: rules.is_some(),
        grep: question.selection.filter().grep.first(),
        zone: &zone,
    }
    .printer()?;
    if printer.document().spreads() {
        return Err(Failure::new("--fields: data.* in csv needs all events for its first line")
            .hint("name the values that are wanted, or choose table or jsonl"));
    }
    let work = WorkArgs { threads: None };
    let setup = Setup {
        texts: Some(&args.texts),
        shows_texts: printer.shows_texts(),
        is_for_people: printer.is_for_people(),
        is_routed: rules.is_some(),
        ..Setup::new(&args.terminal, &work, &args.code_page)
    };
    let (mut run, inputs) = setup.begin(&question, &args.read)?;
    if let Some(rules) = rules {
        rules.announce(&run.console, inputs.servers.len());
    }
    let wanted = question.wanted(rules.map(Detection::routes), &inputs, None)?;
    let mut sources = Vec::new();
    let mut failed = Vec::new();
    for input in inputs.files {
        match input {
            Input::File(path) if input::is_packed(&path) => {
                let failure = Failure::new(format!("{}: it can't be followed", path.display()));
                failed.push(failure.hint("it is compressed; quarry scan reads what is in it"));
            }
            Input::File(path) => {
                let texts = run.texts.of_file(&path, &run.console);
                let source = Arc::new(FileSource::new(path));
                let input = FleetInput::file(source, Arc::clone(&wanted.files));
                sources.push(input.with_texts(texts));
            }
            Input::Member { .. } => {
                let failure = Failure::new(format!("{}: it can't be followed", input.name()));
                failed.push(failure.hint("quarry scan reads the logs in an archive"));
            }
            Input::Stdin => failed.push(Failure::new("-: standard input can't be followed")),
            Input::Failed(failure) => failed.push(failure),
        }
    }
    failed.iter().for_each(|failure| run.console.error(failure));
    run.summary.add_unread(failed.len() as u64, 0);
    let server = |server| run.texts.server(server, &wanted.servers);
    sources.extend(inputs.servers.into_iter().map(server));
    let mut cursors = args.cursor_file.as_deref().map(run::cursors).transpose()?;
    if let Some(cursors) = &cursors {
        let is_known = |address: &str| cursors.knows(address);
        inputs.remote.iter().for_each(|server| server.keep_to(is_known));
    }
    let followed = Out::new(&printer, true).and_then(|out| {
        let separator = printer.separator();
        let identifier = None;
        let print = Print { printer, separator, apart: false, times: false, identifier };
        let (cursors, mut printing) =
            (cursors.as_mut(), Printing { out, sorter: None, once: None });
        match rules {
            None => run.follow(sources, (), args.lines, cursors, &print, &mut printing),
            Some(rules) => {
                run.follow(sources, rules.stage(), args.lines, cursors, &print, &mut printing)
            }
        }
    });
    delivered(followed)?;
    run.warn_of_missing();
    let outcome = run.outcome();
    if outcome.interrupted {
        run.summarize_awaited();
        if let Some(rules) = rules {
            rules.summarize(&run);
        }
    }
    Ok(outcome.exit_code())
}
