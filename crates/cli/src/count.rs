//! `quarry count` and `quarry logs`: what there is in the sources, a line a source and log.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::tz::TimeZone;
use quarry_collect::{Delivery, Next, Notice, Selection, Sink, Source};
use quarry_event::filter::Glob;
use quarry_eventlog::{Detail, Direction, LogInfo};
use quarry_fleet::SourceId;
use serde_json::Value as Json;

use crate::args::{CountArgs, ListArgs, LogsArgs, TextArgs};
use crate::console::{Console, grouped};
use crate::count_by;
use crate::error::{Closed, Failure, delivered};
use crate::filter::{Question, Zone};
use crate::input::{FileOptions, Input};
use crate::listing::{self, Cell, Column, Rows};
use crate::run::{Run, Setup};
use crate::servers::Server;
use crate::source::Inputs;
use crate::tallies::{Count, Key, Tallies, Tally};

/// How many records, oldest and newest, a source and log a line.
pub(crate) fn count(args: &CountArgs) -> Result<ExitCode, Failure> {
    let fields = count_by::fields(args)?;
    let zone = Zone::new(&args.output.terminal)?;
    let question = Question::new(&args.read.filter, &zone, fields.as_deref().unwrap_or_default())?;
    let texts = TextArgs::default();
    let setup = Setup {
        // So that -g searches what scan -g does.
        texts: Some(&texts),
        shows_texts: fields
            .iter()
            .flatten()
            .any(|field| field.shows_texts() || field.named().is_some()),
        files: FileOptions { recover: args.files.recover, tell_copies: true },
        ..Setup::new(&args.output.terminal, &args.work, &args.code_page)
    };
    let (run, inputs) = setup.begin(&question, &args.read)?;
    match fields {
        Some(fields) => count_by::run(run, inputs, question, fields, args),
        None => {
            let listed = Listed { selection: Some(question.selection), ..Listed::default() };
            list(run, inputs, listed, &args.output)
        }
    }
}

/// The logs of each server, and the channels that the events of each file are of.
pub(crate) fn logs(args: &LogsArgs) -> Result<ExitCode, Failure> {
    let mut run = Run::new(&args.output.terminal, &args.work, Direction::Forward);
    let glob = |text: &String| Glob::parse(text).map_err(|e| Failure::of_option("--log", &e));
    let listed = Listed {
        selection: None,
        logs: args.log.iter().map(glob).collect::<Result<_, _>>()?,
        not_empty: args.not_empty,
    };
    let inputs = run.inputs(&args.sources, &args.servers)?;
    list(run, inputs, listed, &args.output)
}

/// What is listed of sources.
#[derive(Default)]
struct Listed {
    /// The events that are counted; without, the logs there are.
    selection: Option<Selection>,
    /// The logs that `quarry logs` lists; none for all.
    logs: Vec<Glob>,
    /// Whether logs without records are left out.
    not_empty: bool,
}

/// Counts what is selected, a log a line; or lists the logs there are, if nothing is.
fn list(
    mut run: Run,
    mut inputs: Inputs,
    mut listed: Listed,
    args: &ListArgs,
) -> Result<ExitCode, Failure> {
    let zone = listing::zone(&Zone::new(&args.terminal)?, args);
    let by_channel = listed.selection.is_none();
    let (source, log) = (Column::text("source"), Column::text("log").giving_way());
    let mut columns = match (inputs.servers.is_empty(), by_channel) {
        (true, true) => vec![source.main().path(), log],
        // A file's name says it.
        (true, false) => vec![source.main().path(), log.dropped(1)],
        (false, _) => vec![source.giving_way(), log],
    };
    columns.push(Column::number("records"));
    columns.extend(["oldest", "newest"].map(|name| Column::time(name, &zone)));
    if run.file_options.recover {
        columns.insert(3, Column::number("recovered"));
    }
    if by_channel {
        columns.extend([Column::number("size").dropped(2), Column::text("enabled").dropped(1)]);
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
        listing: Listing { without_log: listed.logs.clone(), ..Listing::default() },
        not_empty: listed.not_empty,
        recover: run.file_options.recover,
        zone,
        rows,
    };
    let mut listing = Listing::default();
    let read = (|| {
        // Servers know their logs; only what passes a filter has to be read.
        if listed.selection.as_ref().is_none_or(Selection::passes_all) {
            let servers = std::mem::take(&mut inputs.servers);
            survey(&mut run, &listed, &servers, &mut lists)?;
        }
        let selection = Arc::new(listed.selection.take().unwrap_or_default());
        let key = if by_channel { Key::Channel } else { Key::Log };
        run.read(inputs, &selection, &Count::by(key), &mut lists)?;
        listing = lists.finish()?;
        Ok(())
    })();
    // Who has closed the pipe has seen some.
    let is_cut = matches!(read, Err(Closed::Pipe));
    delivered(read)?;
    // Servers have said so, each for itself.
    for log in listing.without_log.iter().filter(|_| !files.is_empty()) {
        let log = log.as_str();
        run.console.warning(&format!("no file that was read has events of a log {log}"));
    }
    run.summarize();
    if by_channel && listing.empty > 0 {
        let (empty, rows) = (grouped(listing.empty), grouped(listing.rows));
        run.console
            .note(&format!("  {empty} of {rows} logs are empty; --not-empty leaves them out"));
    }
    let mut outcome = run.outcome();
    outcome.matched &= !by_channel || is_cut || listing.rows > 0;
    Ok(outcome.exit_code())
}

/// What was listed.
#[derive(Default)]
struct Listing {
    rows: u64,
    /// How many of them are of logs without records.
    empty: u64,
    /// The logs that were asked for, and that no source has.
    without_log: Vec<Glob>,
}

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
        let (name, logs) = self.found.entry((source.is_server(), source.id.index())).or_default();
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
        let rows: Vec<_> =
            listed.clone().map(|(log, tally)| self.row(&source, log, tally)).collect();
        let has_log = |glob: &Glob| logs.keys().any(|log| glob.is_match(log));
        self.listing.without_log.retain(|glob| !has_log(glob));
        self.listing.rows += rows.len() as u64;
        self.listing.empty += listed.filter(|(_, tally)| tally.events == 0).count() as u64;
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
        let number = |number: u64| Cell::new(number, grouped(number));
        let records = number(tally.events - tally.recovered);
        let mut row = vec![Cell::text(source), Cell::text(log), records];
        row.extend(self.recover.then(|| number(tally.recovered)));
        row.extend([tally.oldest, tally.newest].map(|time| Cell::time(time, &self.zone)));
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

impl Sink for Lists {
    type Output = Tallies;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<Tallies>) -> Result<Next, Closed> {
        // A file's own; a server tells it of each log.
        let path = (!delivery.source.is_server()).then_some(&delivery.source.name);
        let size = path.and_then(|path| Some(std::fs::metadata(path).ok()?.len()));
        let logs = self.of(&delivery.source);
        for (log, tally) in delivery.output.iter() {
            match logs.get_mut(log) {
                Some(sum) => sum.add(tally),
                None => drop(logs.insert(log.to_owned(), Tally { size, ..*tally })),
            }
        }
        Ok(Next::Go)
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), Closed> {
        match notice {
            Notice::Opened => {
                let is_known = !self.by_channel && !source.is_server();
                let logs = self.of(source);
                // A file's log is counted even if there is nothing in it.
                if let Some(log) = source.log.as_ref().filter(|_| is_known) {
                    logs.entry(log.clone()).or_default();
                }
                Ok(())
            }
            Notice::Ended => {
                Console::beside(|| self.print((source.is_server(), source.id.index())))
            }
            _ => Ok(()),
        }
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
        .map(|server| match &listed.selection {
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
            printed = Console::beside(|| lists.print(place));
        }
        failures
    })?;
    printed
}
