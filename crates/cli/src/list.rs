//! `quarry count` and `quarry logs`: what there is in the sources, a line a source and log.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::tz::TimeZone;
use quarry_collect::{Delivery, Found, Next, Output, Selection, Source, Work};
use quarry_event::filter::Glob;
use quarry_event::output::{Column as EventColumn, Scratch, local_time};
use quarry_event::text::Plain;
use quarry_event::{EventTime, Field, FieldSource};
use quarry_eventlog::{Detail, Direction, LogInfo};
use quarry_fleet::SourceId;
use serde_json::Value as Json;

use crate::args::{CountArgs, ListArgs, LogsArgs, ServerArgs, SourceArgs, TextArgs};
use crate::console::{Console, grouped};
use crate::count_by;
use crate::error::{Closed, Failure, delivered};
use crate::filter::{Question, Zone};
use crate::input::Input;
use crate::listing::{Cell, Column, Rows};
use crate::run::{Run, Take};
use crate::servers::Server;
use crate::texts::RunTexts;

/// How many records, oldest and newest, a source and log a line.
pub(crate) fn count(args: &CountArgs) -> Result<ExitCode, Failure> {
    let mut run = Run::new(&args.output.terminal, &args.work, Direction::Forward);
    run.file_options.recover = args.files.recover;
    run.ansi = args.code_page.ansi_codepage;
    let fields = count_by::fields(args)?;
    let zone = Zone::new(&args.output.terminal)?;
    let question = Question::new(&args.filter, &zone, fields.as_deref().unwrap_or_default())?;
    question.warn(&run.console);
    // So that -g searches what scan -g does.
    let is_searched = !question.selection.filter().grep.is_empty();
    let is_shown = fields.iter().flatten().any(|field| field.shows_texts());
    run.texts = RunTexts::open(&TextArgs::default(), is_searched || is_shown, &run.console);
    match fields {
        Some(fields) => count_by::run(run, question, fields, args),
        None => {
            let listed = Listed { question: Some(question), ..Listed::default() };
            list(run, listed, &args.sources, &args.servers, &args.output)
        }
    }
}

/// The logs of each server, and the channels that the events of each file are of.
pub(crate) fn logs(args: &LogsArgs) -> Result<ExitCode, Failure> {
    let run = Run::new(&args.output.terminal, &args.work, Direction::Forward);
    let glob = |text: &String| Glob::parse(text).map_err(|e| Failure::of_option("--log", &e));
    let listed = Listed {
        question: None,
        logs: args.log.iter().map(glob).collect::<Result<_, _>>()?,
        not_empty: args.not_empty,
    };
    list(run, listed, &args.sources, &args.servers, &args.output)
}

/// What is listed of sources.
#[derive(Default)]
struct Listed {
    /// The events that are counted; without, the logs there are.
    question: Option<Question>,
    /// The logs that `quarry logs` lists; none for all.
    logs: Vec<Glob>,
    /// Whether logs without records are left out.
    not_empty: bool,
}

impl Listed {
    fn selection(&self) -> Option<&Selection> {
        self.question.as_ref().map(|question| &question.selection)
    }
}

/// Counts what is selected, a log a line; or lists the logs there are, if nothing is.
fn list(
    mut run: Run,
    mut listed: Listed,
    sources: &SourceArgs,
    servers: &ServerArgs,
    args: &ListArgs,
) -> Result<ExitCode, Failure> {
    let zone = Zone::new(&args.terminal)?;
    let mut inputs = run.inputs(sources, servers)?;
    let missing = listed.question.as_ref().map(Question::missing);
    let by_channel = listed.question.is_none();
    let mut columns = COLUMNS.to_vec();
    if run.file_options.recover {
        columns.insert(3, Column::number("recovered"));
    }
    if by_channel {
        columns.extend([Column::number("size"), Column::text("enabled")]);
    }
    let mut rows = Rows::new(columns, args);
    let files: Vec<String> = inputs.files.iter().map(Input::name).collect();
    rows.expect(0, inputs.servers.iter().map(|server| server.address()));
    rows.expect(0, files.iter().map(String::as_str));
    let mut lists = Lists {
        by_channel,
        files: inputs.files.len(),
        found: BTreeMap::new(),
        logs: listed.logs.clone(),
        listing: Listing { rows: 0, without_log: listed.logs.clone() },
        not_empty: listed.not_empty,
        recover: run.file_options.recover,
        zone: zone.get(),
        rows,
    };
    let mut listing = Listing::default();
    let read = (|| {
        // Servers know their logs; only what passes a filter has to be read.
        if listed.selection().is_none_or(Selection::passes_all) {
            let servers = std::mem::take(&mut inputs.servers);
            survey(&mut run, &listed, &servers, &mut lists)?;
        }
        let selection =
            Arc::new(listed.question.take().map(|question| question.selection).unwrap_or_default());
        let key = if by_channel { Key::Channel } else { Key::Log };
        run.read(inputs, &selection, &Count { key }, &mut lists)?;
        listing = lists.finish()?;
        Ok(())
    })();
    delivered(read)?;
    missing.iter().for_each(|missing| missing.warn(&run.console));
    // Servers have said so, each for itself.
    for log in listing.without_log.iter().filter(|_| !files.is_empty()) {
        let log = log.as_str();
        run.console.warning(&format!("no file that was read has events of a log {log}"));
    }
    run.summarize();
    let mut outcome = run.outcome();
    outcome.matched &= !by_channel || listing.rows > 0;
    Ok(outcome.exit_code())
}

/// What was listed.
#[derive(Default)]
struct Listing {
    rows: u64,
    /// The logs that were asked for, and that no source has.
    without_log: Vec<Glob>,
}

const COLUMNS: [Column; 5] = [
    Column::text("source").giving_way(),
    Column::text("log").giving_way(),
    Column::number("records"),
    Column::text("oldest"),
    Column::text("newest"),
];

/// What was found: of each source, by its place, its name and its logs.
struct Lists {
    by_channel: bool,
    /// How many files come before the servers.
    files: usize,
    /// What isn't printed yet.
    found: BTreeMap<Place, (String, BTreeMap<String, Tally>)>,
    /// The logs that are listed; none for all.
    logs: Vec<Glob>,
    listing: Listing,
    /// Whether logs without records are left out.
    not_empty: bool,
    recover: bool,
    zone: TimeZone,
    rows: Rows,
}

/// Whether a source is a server, and its place among all.
type Place = (bool, usize);

impl Lists {
    fn of(&mut self, source: &Source) -> &mut BTreeMap<String, Tally> {
        let (name, logs) = self.found.entry((source.is_server(), source.index)).or_default();
        // A server may be read in another way than it was at first.
        name.clone_from(&source.name);
        logs
    }

    /// Prints what was found of a source, which is all there is of it.
    fn print(&mut self, place: Place) -> Result<(), Closed> {
        let Some((source, logs)) = self.found.remove(&place) else { return Ok(()) };
        let is_listed = |(log, tally): &(&String, &Tally)| {
            (self.logs.is_empty() || self.logs.iter().any(|glob| glob.is_match(log)))
                && !(self.not_empty && tally.events == 0)
        };
        let listed = logs.iter().filter(is_listed);
        let rows: Vec<_> = listed.map(|(log, tally)| self.row(&source, log, tally)).collect();
        let has_log = |glob: &Glob| logs.keys().any(|log| glob.is_match(log));
        self.listing.without_log.retain(|glob| !has_log(glob));
        self.listing.rows += rows.len() as u64;
        self.rows.add(&rows)
    }

    /// Prints what is left, as of a source that was not read to its end.
    fn finish(mut self) -> Result<Listing, Closed> {
        while let Some(place) = self.found.keys().next().copied() {
            self.print(place)?;
        }
        self.rows.finish()?;
        Ok(self.listing)
    }

    fn row(&self, source: &str, log: &str, tally: &Tally) -> Vec<Cell> {
        let time = |time: Option<EventTime>| match time {
            Some(time) => Cell::new(time.to_string(), local_time(time, &self.zone)),
            None => Cell::new(Json::Null, ""),
        };
        let number = |number: u64| Cell::new(number, grouped(number));
        let records = number(tally.events - tally.recovered);
        let mut row = vec![Cell::text(source), Cell::text(log), records];
        row.extend(self.recover.then(|| number(tally.recovered)));
        row.extend([time(tally.oldest), time(tally.newest)]);
        if self.by_channel {
            row.push(tally.size.map_or(Cell::new(Json::Null, ""), number));
            row.push(match tally.enabled {
                Some(enabled) => Cell::new(enabled, if enabled { "yes" } else { "no" }),
                None => Cell::new(Json::Null, ""),
            });
        }
        row
    }
}

impl Take for Lists {
    type Output = Tallies;

    fn opened(&mut self, source: &Source) {
        let is_known = !self.by_channel && !source.is_server();
        let logs = self.of(source);
        // A file's log is counted even if there is nothing in it.
        if let Some(log) = source.log.as_ref().filter(|_| is_known) {
            logs.entry(log.clone()).or_default();
        }
    }

    fn take(&mut self, _: &Console, delivery: &mut Delivery<Tallies>) -> Result<Next, Closed> {
        // A file's own; a server tells it of each log.
        let path = (!delivery.source.is_server()).then_some(&delivery.source.name);
        let size = path.and_then(|path| Some(std::fs::metadata(path).ok()?.len()));
        let logs = self.of(&delivery.source);
        for (log, tally) in &delivery.output.logs {
            match logs.get_mut(log) {
                Some(sum) => sum.add(tally),
                None => drop(logs.insert(log.clone(), Tally { size, ..*tally })),
            }
        }
        Ok(Next::Go)
    }

    fn ended(&mut self, console: &Console, source: &Source) -> Result<(), Closed> {
        console.beside(|| self.print((source.is_server(), source.index)))
    }
}

/// Asks servers what is in their logs.
fn survey(
    run: &mut Run,
    listed: &Listed,
    servers: &[Server],
    lists: &mut Lists,
) -> Result<(), Closed> {
    // All there are, or those asked for, or those that are a server's by default.
    let every: Vec<Glob> = Glob::parse("*").into_iter().collect();
    let patterns: Vec<Vec<Glob>> = servers
        .iter()
        .map(|server| match listed.selection() {
            None if !listed.logs.is_empty() => listed.logs.clone(),
            None => every.clone(),
            Some(selection) if !selection.logs().is_empty() => selection.logs().to_vec(),
            Some(_) => server.logs().to_vec(),
        })
        .collect();
    let named: Vec<Glob> = patterns.concat();
    let detail = if lists.by_channel { Detail::Properties } else { Detail::Records };
    let question =
        move |id: SourceId, log| quarry_fleet::survey(log, patterns[id.index()].clone(), detail);
    let mut printed = Ok(());
    run.ask(servers, question, |run, n, surveyed, _| {
        let place = (true, lists.files + n);
        let address = || (servers[n].address().to_owned(), BTreeMap::new());
        let (_, logs) = lists.found.entry(place).or_insert_with(address);
        let mut failures = Vec::new();
        for (log, info) in surveyed {
            match info {
                Ok(LogInfo { records, oldest, newest, size, enabled, .. }) => {
                    if records > 0 && oldest.is_none() {
                        let what = format_args!("the oldest record of {log} can't be read");
                        run.warn(servers[n].name(), &what);
                    }
                    run.summary.records += records;
                    run.summary.matched += records;
                    let events = records;
                    let tally = Tally { events, recovered: 0, oldest, newest, size, enabled };
                    logs.insert(log.0, tally);
                }
                Err(error) => {
                    let failure = quarry_fleet::Failure::of(&*servers[n], &error, 0);
                    match named.iter().any(|name| name.as_str() == log.0) {
                        true => failures.push(failure),
                        false => run.left_out(&failure),
                    }
                }
            }
        }
        if printed.is_ok() {
            printed = run.console.beside(|| lists.print(place));
        }
        failures
    })?;
    printed
}

/// Counts events, on any thread.
pub(crate) struct Count {
    pub(crate) key: Key,
}

/// What events are counted by.
pub(crate) enum Key {
    /// The log they were read from.
    Log,
    /// The log that they say they are of.
    Channel,
    /// The text of fields, with a NUL between: no field's text has one.
    Fields(Vec<EventColumn>),
}

/// Channels told apart in one source, beyond which they are counted together.
const MAX_LOGS: usize = 10_000;

#[derive(Default)]
pub(crate) struct Tallies {
    /// By what they are counted by.
    pub(crate) logs: BTreeMap<String, Tally>,
    pub(crate) bytes: usize,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    /// All of them, and those that were recovered from slack.
    pub(crate) events: u64,
    pub(crate) recovered: u64,
    /// Of those that weren't.
    pub(crate) oldest: Option<EventTime>,
    pub(crate) newest: Option<EventTime>,
    /// The size of the log's file in bytes, and whether it is written to, where that is known.
    pub(crate) size: Option<u64>,
    pub(crate) enabled: Option<bool>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.events += other.events;
        self.recovered += other.recovered;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
        self.newest = self.newest.max(other.newest);
    }
}

impl Work for Count {
    /// Where what an event is counted by is written.
    type Worker = (Vec<u8>, Scratch);
    type Output = Tallies;

    fn worker(&self) -> Self::Worker {
        Default::default()
    }

    fn event<S: FieldSource>(
        &self,
        (name, scratch): &mut Self::Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Tallies,
    ) {
        let origin = &found.origin;
        name.clear();
        match &self.key {
            Key::Channel => event.field(Field::Channel).push::<Plain>(name),
            Key::Log => name.extend_from_slice(origin.log.as_bytes()),
            Key::Fields(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    name.extend_from_slice(if i > 0 { b"\0" } else { b"" });
                    field.write(event, origin, found.texts, scratch, name);
                }
            }
        }
        let name = String::from_utf8_lossy(name);
        let recovered = u64::from(origin.recovered);
        // What the log has given up is not between its oldest and newest.
        let time = event.field(Field::TimeCreated).as_time().filter(|_| !origin.recovered);
        let tally = Tally { events: 1, recovered, oldest: time, newest: time, ..Tally::default() };
        let is_log = !matches!(self.key, Key::Fields(_));
        let is_new = is_log && !output.logs.contains_key(&*name);
        let is_full = is_new && output.logs.len() >= MAX_LOGS;
        output.add(if is_full { "" } else { &name }, &tally);
    }
}

impl Tallies {
    /// Adds to what is counted by a key.
    pub(crate) fn add(&mut self, key: &str, tally: &Tally) {
        match self.logs.get_mut(key) {
            Some(sum) => sum.add(tally),
            None => {
                self.bytes += key.len() + size_of::<(String, Tally)>();
                self.logs.insert(key.to_owned(), *tally);
            }
        }
    }
}

impl Output for Tallies {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self) {
        self.logs.clear();
        self.bytes = 0;
    }

    /// Nobody counts with a limit: which were the first is forgotten.
    fn truncate(&mut self, _: u64) {}
}
