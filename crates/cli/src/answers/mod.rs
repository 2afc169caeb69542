//! Commands that answer a question out of events: who signed in, what PowerShell ran, which process
//! started which. They read files and servers alike, and ask servers for those events only.

mod html;
mod logons;
mod powershell;
mod processes;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use quarry_collect::{Delivery, Next, Output, Sink, Summary, Work};
use quarry_event::filter::{Ids, Route};
use quarry_event::text::{Plain, harmless};
use quarry_event::{FieldSource, Value};
use serde_json::Value as Json;

use crate::args::{AnswerArgs, AnswerFormat, ListArgs, ListFormat, TextArgs};
use crate::console::grouped;
use crate::error::{Closed, Failure, delivered};
use crate::filter::{Question, Wanted, Zone};
use crate::input::FileOptions;
use crate::interrupt;
use crate::listing::{self, Cell, Column};
use crate::run::{Run, Setup};

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

impl<G: Gather<R>, R: Send> Sink for Taking<'_, G, R> {
    type Output = Rows<R>;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<Rows<R>>) -> Result<Next, Closed> {
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
) -> Result<(Asked, G), Failure> {
    let zone = Zone::new(&args.terminal)?;
    let question = Question::new(&args.read.filter, &zone, &[])?;
    let texts = TextArgs::default();
    let setup = Setup {
        // For what is searched; none is shown.
        texts: Some(&texts),
        files: FileOptions { recover: args.files.recover, tell_copies: true },
        is_routed: true,
        ..Setup::new(&args.terminal, &args.work, &args.code_page)
    };
    let (mut run, inputs) = setup.begin(&question, &args.read)?;
    let servers = Arc::new(question.routed(routes.clone(), &inputs)?);
    let files = Arc::new(question.only(routes)?);
    let wanted = Wanted { files, servers };
    let mut gathering = Gathering { gathered, bytes: 0, over: 0 };
    let mut taking = Taking(&mut gathering, std::marker::PhantomData);
    delivered(run.read_through(inputs, &wanted, (), work, &mut taking))?;
    let mut about = html::About::default();
    if gathering.over > 0 {
        let what = format!(
            "{} events are left out, as what came before them fills {} MiB",
            grouped(gathering.over),
            MAX_BYTES >> 20
        );
        run.console.warning(&format!("{what}: choose fewer with -S and -U"));
        about.incomplete.push(what);
    }
    Ok((Asked { run, zone, about }, gathering.gathered))
}

/// A run that has ended, and what a page says of it.
struct Asked {
    run: Run,
    zone: Zone,
    about: html::About,
}

impl Asked {
    /// The question, what was read, and what wasn't.
    fn about(mut self) -> html::About {
        let Summary { files, servers, records, .. } = &self.run.summary;
        for alike in self.run.summary.failures_alike() {
            let sources: Vec<&str> =
                alike.failures.iter().map(|failure| &*failure.source).collect();
            self.about.incomplete.push(format!("{}: {}", alike.what, sources.join(", ")));
        }
        for (tally, what) in [(files, "files"), (servers, "servers")] {
            let unread = tally.all.saturating_sub(tally.read);
            if unread > 0 {
                let (unread, all) = (grouped(unread), grouped(tally.all));
                let why = format!("{unread} of {all} {what} not read to their end");
                self.about.incomplete.push(why);
            }
        }
        if interrupt::is_set() {
            self.about.incomplete.push("interrupted".to_owned());
        }
        let words: Vec<String> =
            std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let zone = self.zone.get();
        let zone = zone.iana_name().unwrap_or("the local zone");
        self.about.lines = vec![
            format!("quarry {}", words.join(" ")),
            format!(
                "{} of {} files read, {} of {} servers answered; {} records; times are of {zone}",
                grouped(files.read),
                grouped(files.all),
                grouped(servers.read),
                grouped(servers.all),
                grouped(*records),
            ),
        ];
        self.about
    }
}

/// Prints an answer, and says how it went.
fn print(
    args: AnswerArgs,
    asked: Asked,
    title: &str,
    columns: &[Column],
    rows: &[Vec<Cell>],
) -> Result<ExitCode, Failure> {
    let output = match args.output {
        Some(AnswerFormat::Html) => {
            asked.run.summarize();
            let outcome = asked.run.outcome();
            delivered(html::print(title, &asked.about(), columns, rows))?;
            return Ok(outcome.exit_code());
        }
        Some(AnswerFormat::List) => {
            delivered(list(columns, rows))?;
            asked.run.summarize();
            return Ok(asked.run.outcome().exit_code());
        }
        Some(AnswerFormat::Table) => Some(ListFormat::Table),
        Some(AnswerFormat::Jsonl) => Some(ListFormat::Jsonl),
        Some(AnswerFormat::Csv) => Some(ListFormat::Csv),
        None => None,
    };
    let list = ListArgs { output, terminal: args.terminal };
    listing::print(columns, rows, &list)?;
    asked.run.summarize();
    Ok(asked.run.outcome().exit_code())
}

/// Prints lines one under the other, each value whole.
fn list(columns: &[Column], rows: &[Vec<Cell>]) -> Result<(), Closed> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let heads: Vec<String> = columns.iter().map(Column::heading).collect();
    let widest = heads.iter().map(String::len).max().unwrap_or_default();
    for (n, row) in rows.iter().enumerate() {
        if n > 0 {
            out.write_all(b"\n")?;
        }
        for (head, cell) in heads.iter().zip(row).filter(|(_, cell)| !cell.whole().is_empty()) {
            // Lines of a text stay lines, under its first.
            for (line, text) in cell.whole().lines().enumerate() {
                let head = if line == 0 { head } else { "" };
                let text: String = text.chars().map(harmless).collect();
                writeln!(out, "{head:<widest$}  {text}")?;
            }
        }
    }
    Ok(out.flush()?)
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

/// Text, or null where there is none.
fn text_cell(text: &str) -> Cell {
    match text {
        "" | "-" => Cell::new(Json::Null, ""),
        text => Cell::text(text),
    }
}
