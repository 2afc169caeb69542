//! `quarry count` and `quarry logs`: what there is in the sources, a line a source and log.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use quarry_event::filter::Matcher;
use quarry_event::text::Plain;
use quarry_event::{EventTime, Field, FieldSource, Origin, PartialSource};
use quarry_eventlog::Direction;
use serde_json::{Value as Json, json};

use crate::args::{CountArgs, ListArgs, ListFormat, LogsArgs};
use crate::console::{grouped, stdout_color, stdout_width};
use crate::engine::{self, Batch, Next};
use crate::error::Failure;
use crate::filter;
use crate::run::{Closed, Run};

/// How many records, oldest and newest, a source and log a line.
pub(crate) fn count(args: &CountArgs) -> Result<ExitCode, Failure> {
    let matcher = filter::matcher(&args.filter)?;
    let run = Run::new(&args.output.terminal, &args.work, Direction::Forward);
    list(run, &Count { matcher, by_channel: false }, &args.sources, &args.output)
}

/// The channels that the events of each source are of.
pub(crate) fn logs(args: &LogsArgs) -> Result<ExitCode, Failure> {
    let run = Run::new(&args.output.terminal, &args.work, Direction::Forward);
    list(run, &Count { matcher: None, by_channel: true }, &args.sources, &args.output)
}

fn list(
    mut run: Run,
    work: &Count,
    sources: &crate::args::SourceArgs,
    args: &ListArgs,
) -> Result<ExitCode, Failure> {
    // By source, then by log.
    let mut lines: BTreeMap<usize, (String, BTreeMap<String, Tally>)> = BTreeMap::new();
    run.read(sources, work, &mut |_, source, batch: &mut Batch<Tallies>| {
        let (_, logs) = lines.entry(source.index).or_insert_with(|| {
            // A log is counted even if there is nothing in it.
            let log = (!work.by_channel).then(|| (source.log.clone(), Tally::default()));
            (source.name.clone(), log.into_iter().collect())
        });
        let mut matched = 0;
        for (log, tally) in &batch.output.logs {
            matched += tally.events;
            match logs.get_mut(log) {
                Some(sum) => sum.add(tally),
                None => drop(logs.insert(log.clone(), *tally)),
            }
        }
        (matched, Next::Go)
    });
    let lines: Vec<Line<'_>> = lines
        .values()
        .flat_map(|(source, logs)| logs.iter().map(move |(log, tally)| Line { source, log, tally }))
        .collect();
    let mut text = Vec::new();
    write(&lines, args, &mut text);
    let mut out = io::stdout().lock();
    match out.write_all(&text).and_then(|()| out.flush()).map_err(Closed::from) {
        Err(Closed::Failed(failure)) => return Err(failure),
        Err(Closed::Pipe) | Ok(()) => {}
    }
    run.summarize();
    Ok(run.outcome.exit_code())
}

/// Counts events, on any thread.
struct Count {
    matcher: Option<Matcher>,
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
    events: u64,
    oldest: Option<EventTime>,
    newest: Option<EventTime>,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.events += other.events;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
        self.newest = self.newest.max(other.newest);
    }
}

impl engine::Work for Count {
    type Worker = (Option<Matcher>, Vec<u8>);
    type Output = Tallies;

    fn worker(&self) -> Self::Worker {
        (self.matcher.clone(), Vec::new())
    }

    fn wants<S: PartialSource>(
        &self,
        (matcher, _): &mut Self::Worker,
        event: &S,
        _: &Tallies,
    ) -> bool {
        !matcher.as_mut().is_some_and(|matcher| matcher.rules_out(event))
    }

    fn event<S: FieldSource>(
        &self,
        (matcher, name): &mut Self::Worker,
        event: &S,
        origin: &Origin<'_>,
        output: &mut Tallies,
    ) {
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
        let time = event.field(Field::TimeCreated).as_time();
        let tally = Tally { events: 1, oldest: time, newest: time };
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

struct Line<'a> {
    source: &'a str,
    log: &'a str,
    tally: &'a Tally,
}

fn write(lines: &[Line<'_>], args: &ListArgs, out: &mut Vec<u8>) {
    let terminal = io::stdout().is_terminal();
    let default = if terminal { ListFormat::Table } else { ListFormat::Jsonl };
    let object = |line: &Line<'_>| {
        let time =
            |time: Option<EventTime>| time.map_or(Json::Null, |time| json!(time.to_string()));
        json!({
            "source": line.source,
            "log": line.log,
            "records": line.tally.events,
            "oldest": time(line.tally.oldest),
            "newest": time(line.tally.newest),
        })
    };
    match args.output.unwrap_or(default) {
        ListFormat::Table => table(lines, stdout_color(args.terminal.color), out),
        ListFormat::Jsonl => {
            for line in lines {
                // Writing to a vector can't fail.
                let _ = writeln!(out, "{}", object(line));
            }
        }
        ListFormat::Json => {
            let array: Vec<Json> = lines.iter().map(object).collect();
            let _ = writeln!(out, "{:#}", Json::Array(array));
        }
        ListFormat::Csv => {
            out.extend_from_slice(b"source,log,records,oldest,newest\r\n");
            for line in lines {
                let Json::Object(object) = object(line) else { continue };
                let cells: Vec<String> = object.values().map(csv_cell).collect();
                let _ = write!(out, "{}\r\n", cells.join(","));
            }
        }
    }
}

fn csv_cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) if text.contains([',', '"', '\r', '\n']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Columns as wide as what stands in them; the source gives way where that is too wide.
fn table(lines: &[Line<'_>], color: bool, out: &mut Vec<u8>) {
    use quarry_event::output::{local_time, push_cell};
    let zone = jiff::tz::TimeZone::system();
    let time = |time: Option<EventTime>| time.map_or(String::new(), |t| local_time(t, &zone));
    let mut rows = vec![["SOURCE", "LOG", "RECORDS", "OLDEST", "NEWEST"].map(str::to_owned)];
    rows.extend(lines.iter().map(|line| {
        let Tally { events, oldest, newest } = *line.tally;
        [line.source.into(), line.log.into(), grouped(events), time(oldest), time(newest)]
    }));
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(push_cell(cell, None, &mut Vec::new()));
        }
    }
    if let Some(room) = stdout_width() {
        let gaps = 2 * (widths.len() - 1);
        for column in [0, 1] {
            let total: usize = widths.iter().sum::<usize>() + gaps;
            let least = widths[column].min(16);
            widths[column] = widths[column].saturating_sub(total.saturating_sub(room)).max(least);
        }
    }
    let bold = if color { anstyle::Style::new().bold() } else { anstyle::Style::new() };
    for (i, row) in rows.iter().enumerate() {
        let style = if i == 0 { bold } else { anstyle::Style::new() };
        for (column, cell) in row.iter().enumerate() {
            let mut text = Vec::new();
            let used = push_cell(cell, Some(widths[column]), &mut text);
            let pad = widths[column] - used;
            let (before, behind) = match column {
                2 => (pad, 0),
                4 => (0, 0),
                _ => (0, pad),
            };
            let gap = if column == 0 { 0 } else { 2 };
            out.resize(out.len() + gap + before, b' ');
            let _ = write!(out, "{style}");
            out.extend_from_slice(&text);
            let _ = write!(out, "{style:#}");
            out.resize(out.len() + behind, b' ');
        }
        out.push(b'\n');
    }
}
