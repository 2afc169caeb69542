//! `quarry count` and `quarry logs`: what there is in the sources, a line a source and log.

use std::collections::BTreeMap;
use std::process::ExitCode;

use quarry_event::filter::Glob;
use quarry_event::output::local_time;
use quarry_event::text::Plain;
use quarry_event::{EventTime, Field, FieldSource, Origin, PartialSource};
use quarry_eventlog::{Direction, LogInfo};
use quarry_fleet::SourceId;
use serde_json::Value as Json;

use crate::args::{CountArgs, ListArgs, LogsArgs, ServerArgs, SourceArgs};
use crate::console::grouped;
use crate::engine::{self, Batch, Next, Open};
use crate::error::Failure;
use crate::filter::{Matchers, Tests};
use crate::listing::{self, Cell, Column};
use crate::run::Run;
use crate::servers::Server;

/// How many records, oldest and newest, a source and log a line.
pub(crate) fn count(args: &CountArgs) -> Result<ExitCode, Failure> {
    let mut run = Run::new(&args.output.terminal, &args.work, Direction::Forward);
    run.file_options.recover = args.files.recover;
    run.ansi = args.text.ansi_codepage;
    let work = Count { tests: Some(Tests::new(&args.filter)?), by_channel: false };
    list(run, &work, &args.sources, &args.servers, &args.output)
}

/// The logs of each server, and the channels that the events of each file are of.
pub(crate) fn logs(args: &LogsArgs) -> Result<ExitCode, Failure> {
    let run = Run::new(&args.output.terminal, &args.work, Direction::Forward);
    let work = Count { tests: None, by_channel: true };
    list(run, &work, &args.sources, &args.servers, &args.output)
}

/// Of each source, by its place, its name and its logs.
type Found = BTreeMap<usize, (String, BTreeMap<String, Tally>)>;

fn list(
    mut run: Run,
    work: &Count,
    sources: &SourceArgs,
    servers: &ServerArgs,
    args: &ListArgs,
) -> Result<ExitCode, Failure> {
    let mut inputs = run.inputs(sources, servers)?;
    let mut found = Found::new();
    // Servers know their logs; only what passes a filter has to be read.
    if work.tests.as_ref().is_none_or(Tests::pass_all) {
        let servers = std::mem::take(&mut inputs.servers);
        survey(&mut run, work, &servers, inputs.files.len(), &mut found)?;
    }
    let request = work.tests.as_ref().map(|tests| tests.request(Direction::Forward, None));
    run.read(inputs, request.unwrap_or_default(), work, &mut |_, source, batch| {
        let batch: &mut Batch<Tallies> = batch;
        let (name, logs) = found.entry(source.index).or_insert_with(|| {
            // A file's log is counted even if there is nothing in it.
            let is_known = !work.by_channel && !source.is_server();
            let log = is_known.then(|| (source.log.clone(), Tally::default()));
            (source.name.clone(), log.into_iter().collect())
        });
        // A server may be read in another way than it was at first.
        name.clone_from(&source.name);
        let mut matched = 0;
        for (log, tally) in &batch.output.logs {
            matched += tally.events;
            match logs.get_mut(log) {
                Some(sum) => sum.add(tally),
                None => drop(logs.insert(log.clone(), *tally)),
            }
        }
        (matched, Next::Go)
    })?;
    let zone = jiff::tz::TimeZone::system();
    let time = |time: Option<EventTime>| match time {
        Some(time) => Cell::new(time.to_string(), local_time(time, &zone)),
        None => Cell::new(Json::Null, ""),
    };
    let recover = run.file_options.recover;
    let row = |source: &str, log: &str, tally: &Tally| {
        let number = |number: u64| Cell::new(number, grouped(number));
        let records = number(tally.events - tally.recovered);
        let mut row = vec![Cell::text(source), Cell::text(log), records];
        row.extend(recover.then(|| number(tally.recovered)));
        row.extend([time(tally.oldest), time(tally.newest)]);
        row
    };
    let rows: Vec<Vec<Cell>> = found
        .values()
        .flat_map(|(source, logs)| logs.iter().map(|(log, tally)| row(source, log, tally)))
        .collect();
    let mut columns = COLUMNS.to_vec();
    if recover {
        columns.insert(3, Column::number("recovered"));
    }
    listing::print(&columns, &rows, args)?;
    run.summarize();
    Ok(run.outcome.exit_code())
}

const COLUMNS: [Column; 5] = [
    Column::text("source").giving_way(),
    Column::text("log").giving_way(),
    Column::number("records"),
    Column::text("oldest"),
    Column::text("newest"),
];

/// Asks servers what is in their logs.
fn survey(
    run: &mut Run,
    work: &Count,
    servers: &[Server],
    first: usize,
    found: &mut Found,
) -> Result<(), Failure> {
    // All there are, or those asked for, or those that are a server's by default.
    let every: Vec<Glob> = Glob::parse("*").into_iter().collect();
    let patterns: Vec<Vec<Glob>> = servers
        .iter()
        .map(|server| match &work.tests {
            None => every.clone(),
            Some(tests) if !tests.logs.is_empty() => tests.logs.clone(),
            Some(_) => server.logs().to_vec(),
        })
        .collect();
    let named: Vec<Glob> = patterns.concat();
    let question = move |id: SourceId, log| quarry_fleet::survey(log, patterns[id.index()].clone());
    run.ask(servers, question, |run, n, surveyed, _| {
        let logs = &mut found
            .entry(first + n)
            .or_insert_with(|| (servers[n].address().to_owned(), BTreeMap::new()));
        for (log, info) in surveyed {
            match info {
                Ok(LogInfo { records, oldest, newest, .. }) => {
                    run.records += records;
                    run.matched += records;
                    logs.1.insert(log.0, Tally { events: records, recovered: 0, oldest, newest });
                }
                Err(error) => {
                    let failure = quarry_fleet::Failure::of(&*servers[n], &error, 0);
                    let is_named = named.iter().any(|name| name.as_str() == log.0);
                    run.log_failed(failure, is_named);
                }
            }
        }
    })
}

/// Counts events, on any thread.
struct Count {
    /// Which are counted; none for all.
    tests: Option<Tests>,
    /// By what the events say they are of, rather than by the log they were read from.
    by_channel: bool,
}

/// Channels told apart in one source, beyond which they are counted together.
const MAX_LOGS: usize = 10_000;

#[derive(Default)]
struct Tallies {
    logs: BTreeMap<String, Tally>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    /// All of them, and those that were recovered from slack.
    events: u64,
    recovered: u64,
    /// Of those that weren't.
    oldest: Option<EventTime>,
    newest: Option<EventTime>,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.events += other.events;
        self.recovered += other.recovered;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
        self.newest = self.newest.max(other.newest);
    }
}

impl engine::Work for Count {
    type Worker = (Option<Matchers>, Vec<u8>);
    type Output = Tallies;

    fn worker(&self) -> Self::Worker {
        (self.tests.as_ref().map(Tests::matchers), Vec::new())
    }

    fn wants<S: PartialSource>(
        &self,
        (matchers, _): &mut Self::Worker,
        event: &S,
        open: &Open,
        _: &Tallies,
    ) -> bool {
        let matcher = matchers.as_mut().and_then(|matchers| matchers.of(open.is_server()));
        !matcher.is_some_and(|matcher| matcher.rules_out(event))
    }

    fn event<S: FieldSource>(
        &self,
        (matchers, name): &mut Self::Worker,
        event: &S,
        origin: &Origin<'_>,
        output: &mut Tallies,
    ) {
        let matcher = matchers.as_mut().and_then(|matchers| matchers.of(origin.host.is_some()));
        if let Some(matcher) = matcher
            && !matcher.matches(event, None)
        {
            return;
        }
        name.clear();
        match self.by_channel {
            true => event.field(Field::Channel).push::<Plain>(name),
            false => name.extend_from_slice(origin.log.as_bytes()),
        }
        let name = String::from_utf8_lossy(name);
        let recovered = u64::from(origin.recovered);
        // What the log has given up is not between its oldest and newest.
        let time = event.field(Field::TimeCreated).as_time().filter(|_| !origin.recovered);
        let tally = Tally { events: 1, recovered, oldest: time, newest: time };
        match output.logs.get_mut(&*name) {
            Some(sum) => sum.add(&tally),
            None => {
                let full = output.logs.len() >= MAX_LOGS;
                let name = if full { String::new() } else { name.into_owned() };
                output.logs.entry(name).or_default().add(&tally);
            }
        }
    }
}

impl engine::Output for Tallies {
    fn clear(&mut self) {
        self.logs.clear();
    }
}
