//! Commands that answer a question out of events: who signed in, what PowerShell ran, which process
//! started which. They read files and servers alike, and ask servers for those events only.

mod html;
mod logons;
mod powershell;
mod processes;

use std::process::ExitCode;
use std::sync::Arc;

use quarry_collect::{Delivery, Next, Output, Work};
use quarry_event::filter::{Ids, Route};
use quarry_event::output::local_time;
use quarry_event::text::Plain;
use quarry_event::{EventTime, FieldSource, Value};
use quarry_eventlog::Direction;
use serde_json::Value as Json;

use crate::args::{AnswerArgs, AnswerFormat, ListArgs, ListFormat};
use crate::console::{Console, grouped};
use crate::error::{Closed, Failure, delivered};
use crate::filter::{Question, Zone};
use crate::listing::{self, Cell, Column};
use crate::run::{Run, Take, Wanted};
use crate::texts::RunTexts;

pub(crate) use logons::run as logons;
pub(crate) use powershell::run as powershell;
pub(crate) use processes::run as processes;

/// The most memory of what is put together of events, in bytes, about.
const MAX_BYTES: usize = 256 << 20;

/// The events that an answer is made of.
fn route(channel: &str, ids: &[u64]) -> Route {
    Route { channel: channel.to_owned(), ids: Some(Ids::of(ids.iter().copied())) }
}

/// What is made of some events, in their order.
struct Rows<R>(Vec<R>, usize);

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Rows(Vec::new(), 0)
    }
}

impl<R> Rows<R> {
    /// Adds what was made of an event, with the bytes of its texts.
    fn add(&mut self, row: R, bytes: usize) {
        self.1 += bytes + size_of::<R>();
        self.0.push(row);
    }
}

impl<R: Send> Output for Rows<R> {
    fn bytes(&self) -> usize {
        self.1
    }

    fn clear(&mut self) {
        self.0.clear();
        self.1 = 0;
    }

    /// Nobody asks with a limit.
    fn truncate(&mut self, _: u64) {}
}

/// Puts together what was made of events.
trait Gather<R> {
    /// Takes what was made of an event, and gives how many bytes more it holds then.
    fn take(&mut self, row: R) -> usize;
}

/// Takes what comes of sources, up to a bound.
struct Gathering<G> {
    gathered: G,
    bytes: usize,
    /// Events for which there was no room.
    over: u64,
}

/// [`Gathering`] of rows of a kind.
struct Taking<'g, G, R>(&'g mut Gathering<G>, std::marker::PhantomData<R>);

impl<G: Gather<R>, R: Send> Take for Taking<'_, G, R> {
    type Output = Rows<R>;

    fn take(&mut self, _: &Console, delivery: &mut Delivery<Rows<R>>) -> Result<Next, Closed> {
        for row in std::mem::take(&mut delivery.output.0) {
            match self.0.bytes < MAX_BYTES {
                true => self.0.bytes += self.0.gathered.take(row),
                false => self.0.over += 1,
            }
        }
        Ok(Next::Go)
    }
}

/// Reads the events that an answer is made of, and puts it together.
fn gather<R: Send, W: Work<Output = Rows<R>>, G: Gather<R>>(
    args: &AnswerArgs,
    routes: Vec<Route>,
    work: &W,
    gathered: G,
) -> Result<(Run, G, Zone), Failure> {
    let zone = Zone::new(&args.terminal)?;
    let question = Question::new(&args.filter, &zone, &[])?;
    let mut run = Run::new(&args.terminal, &args.work, Direction::Forward);
    run.file_options.recover = args.files.recover;
    run.ansi = args.code_page.ansi_codepage;
    // No text is shown.
    let is_searched = !question.selection.filter().grep.is_empty();
    run.texts = RunTexts::open(&Default::default(), is_searched, &run.console);
    question.warn(&run.console);
    let inputs = run.inputs(&args.sources, &args.servers)?;
    let routed = Arc::new(question.routed(routes.clone(), &inputs)?);
    let files = Arc::new(question.only(routes)?);
    let wanted = Wanted { files: &files, servers: &routed };
    let mut gathering = Gathering { gathered, bytes: 0, over: 0 };
    let mut taking = Taking(&mut gathering, std::marker::PhantomData);
    delivered(run.read_through(inputs, &wanted, (), work, &mut taking))?;
    if gathering.over > 0 {
        run.console.warning(&format!(
            "{} events are left out, as what came before them fills {} MiB: choose fewer with -S and -U",
            grouped(gathering.over),
            MAX_BYTES >> 20
        ));
    }
    Ok((run, gathering.gathered, zone))
}

/// Prints an answer, and says how it went.
fn print(
    args: AnswerArgs,
    run: &Run,
    title: &str,
    columns: &[Column],
    rows: &[Vec<Cell>],
) -> Result<ExitCode, Failure> {
    let output = match args.output {
        Some(AnswerFormat::Html) => {
            delivered(html::print(title, columns, rows))?;
            run.summarize();
            return Ok(run.outcome().exit_code());
        }
        Some(AnswerFormat::Table) => Some(ListFormat::Table),
        Some(AnswerFormat::Jsonl) => Some(ListFormat::Jsonl),
        Some(AnswerFormat::Csv) => Some(ListFormat::Csv),
        None => None,
    };
    let list = ListArgs { output, terminal: args.terminal };
    listing::print(columns, rows, &list)?;
    run.summarize();
    Ok(run.outcome().exit_code())
}

/// The values of an event's data with these names, as text; empty where it has none.
fn values<S: FieldSource, const N: usize>(event: &S, names: [&str; N]) -> [String; N] {
    let mut values = [const { String::new() }; N];
    let _ = event.each_data(|name, value| {
        if let Some(name) = name
            && let Some(n) = names.iter().position(|wanted| *wanted == name.as_str())
            && values[n].is_empty()
        {
            values[n] = text(value);
        }
        std::ops::ControlFlow::Continue(())
    });
    values
}

fn text(value: Value<'_>) -> String {
    let mut bytes = Vec::new();
    value.push::<Plain>(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A name with its domain, where it has one.
fn account(domain: &str, name: &str) -> String {
    match domain {
        "" | "-" => name.to_owned(),
        domain => format!("{domain}\\{name}"),
    }
}

fn time_cell(time: Option<EventTime>, zone: &jiff::tz::TimeZone) -> Cell {
    match time {
        Some(time) => Cell::new(time.to_string(), local_time(time, zone)),
        None => Cell::new(Json::Null, ""),
    }
}

/// Text, or null where there is none.
fn text_cell(text: &str) -> Cell {
    match text {
        "" | "-" => Cell::new(Json::Null, ""),
        text => Cell::text(text),
    }
}
