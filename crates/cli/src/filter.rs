//! The filter that the options of the command line ask for.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use quarry_event::EventTime;
use quarry_event::filter::{Filter, FilterError, Glob, Matcher, MissingName, Names, parse_zone};
use quarry_event::output::{Column, local_time};
use quarry_event::query::Query;
use quarry_event::words::{Key, Word, WordError, Words};
use quarry_eventlog::Direction;
use quarry_fleet::Request;

use crate::args::{FilterArgs, TerminalArgs};
use crate::error::Failure;

/// The filter of the options, and what tests events for it.
pub(crate) struct Tests {
    /// What servers are asked for.
    pub(crate) filter: Filter,
    /// The logs asked for, which are read of a server.
    pub(crate) logs: Vec<Glob>,
    of_files: Option<Matcher>,
    of_servers: Option<Matcher>,
    names: Arc<Names>,
    warnings: Vec<String>,
}

impl Tests {
    /// Reads the options. Times count from now, and are in the zone if they have none; of the fields
    /// that are shown, those of an event's data are watched for as the filter's are.
    pub(crate) fn new(args: &FilterArgs, zone: &Zone, fields: &[Column]) -> Result<Self, Failure> {
        let words = words(args)?;
        // Finding the zone takes longer than reading a small file.
        let mut now = None;
        let filter = words
            .filter(|| now.insert(Zoned::now().with_time_zone(zone.get())).clone())
            .map_err(|error| of_word(&error))?;
        let timestamp = now.as_ref().map_or_else(Timestamp::now, Zoned::timestamp);
        let warnings = warnings(args, &filter, now.as_ref());
        let named = words.logs().map_err(|error| of_word(&error))?;
        // A server's clock isn't this one.
        let now = EventTime::from_timestamp(timestamp);
        let asked = Filter { query: filter.query.as_ref().map(|q| q.fixed(now)), ..filter.clone() };
        let is_data = |column: &&Column| !matches!(column, Column::Member(_));
        let names = fields.iter().filter(is_data).map(|column| match column {
            Column::Data(name) => name.clone(),
            column => column.name().into_owned(),
        });
        let names = Names::new(&filter, names);
        let used = |matcher: Matcher| (!matcher.passes_all()).then_some(matcher);
        let of_servers = filter.matcher(now).watching(&names);
        Ok(Tests {
            // A server's logs are those that are read; what an event of one says may differ, where
            // it was forwarded.
            of_files: used(of_servers.clone().in_channels(&named)),
            of_servers: used(of_servers),
            logs: logs(named, &filter)?,
            filter: asked,
            names,
            warnings,
        })
    }

    /// What is to be said before anything is read.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What is to be said of names that no event had, when all is read.
    pub(crate) fn missing(&self) -> Vec<String> {
        let warning = |missing: MissingName| {
            let mut text = format!("no record that was read has a value named `{}`", missing.name);
            if let Some(nearest) = missing.nearest {
                text += &format!("; did you mean {nearest}?");
            }
            text
        };
        self.names.missing().into_iter().map(warning).collect()
    }

    /// What is asked of servers: at most `limit` of each.
    pub(crate) fn request(&self, direction: Direction, limit: Option<u64>) -> Request {
        Request::new()
            .logs(self.logs.clone())
            .direction(direction)
            .filter(self.filter.clone())
            .limit(limit)
    }

    /// Whether every event passes, but for the choice of logs.
    pub(crate) fn pass_all(&self) -> bool {
        self.filter.is_empty()
    }

    /// What is asked of files, whose events say which log they are of.
    pub(crate) fn of_files(&self) -> (Filter, Option<Matcher>) {
        (Filter::default(), self.of_files.clone())
    }

    /// What is asked of servers, and what tests their events.
    pub(crate) fn of_servers(&self) -> (Filter, Option<Matcher>) {
        (self.filter.clone(), self.of_servers.clone())
    }

    /// What a thread tests with.
    pub(crate) fn matchers(&self) -> Matchers {
        Matchers { of_files: self.of_files.clone(), of_servers: self.of_servers.clone() }
    }
}

/// What tests the events of files, and those of servers.
pub(crate) struct Matchers {
    of_files: Option<Matcher>,
    of_servers: Option<Matcher>,
}

impl Matchers {
    /// What tests the events of a source; nothing where every event passes.
    #[inline]
    pub(crate) fn of(&mut self, is_server: bool) -> Option<&mut Matcher> {
        match is_server {
            true => self.of_servers.as_mut(),
            false => self.of_files.as_mut(),
        }
    }
}

/// The logs asked for, or those that a structured query names.
fn logs(named: Vec<Glob>, filter: &Filter) -> Result<Vec<Glob>, Failure> {
    if !named.is_empty() {
        return Ok(named);
    }
    let channels = filter.query.iter().flat_map(Query::channels);
    channels.map(|channel| of("--xpath", Glob::parse(channel))).collect()
}

/// The options as words.
fn words(args: &FilterArgs) -> Result<Words, Failure> {
    let mut words = Words::new();
    let mut add = |word: Word| {
        let option = format!("--{}", word.key().name());
        of(&option, words.push(word))
    };
    let options: [(Key, &[String]); 10] = [
        (Key::Log, &args.log),
        (Key::Since, args.since.as_slice()),
        (Key::Until, args.until.as_slice()),
        (Key::Id, &args.id),
        (Key::Level, &args.level),
        (Key::Provider, &args.provider),
        (Key::Computer, &args.computer),
        (Key::EventUser, &args.event_user),
        (Key::Data, &args.data),
        (Key::Grep, &args.grep),
    ];
    for (key, texts) in options {
        texts.iter().try_for_each(|text| add(Word::new(key, text)))?;
    }
    args.xpath.iter().try_for_each(|text| add(Word::new(Key::Xpath, text)))?;
    args.not.iter().try_for_each(|text| add(of("--not", Word::parse_negated(text))?))?;
    Ok(words)
}

fn of_word(error: &WordError) -> Failure {
    let name = error.key.name();
    let option = if error.negated { format!("--not {name}") } else { format!("--{name}") };
    Failure::of_option(&option, &error.error)
}

/// What the options ask for that is likely not meant.
fn warnings(args: &FilterArgs, filter: &Filter, now: Option<&Zoned>) -> Vec<String> {
    let (Some(now), Some(since), Some(text)) = (now, filter.since, &args.since) else {
        return Vec::new();
    };
    if since <= EventTime::from_timestamp(now.timestamp()) {
        return Vec::new();
    }
    let shown = local_time(since, now.time_zone());
    let is_clock = text.contains(':') && !text.trim().contains([' ', '-']);
    let hint = match is_clock {
        true => format!("; the last {} was \"yesterday {}\"", text.trim(), text.trim()),
        false => String::new(),
    };
    vec![format!(
        "--since {text} is in the future ({shown}): only events of a later time match{hint}"
    )]
}

fn of<T>(option: &str, result: Result<T, FilterError>) -> Result<T, Failure> {
    result.map_err(|e| Failure::of_option(option, &e))
}

/// The zone that times are read and shown in; finding the system's takes a while.
#[derive(Clone, Default, Debug)]
pub(crate) struct Zone(Option<TimeZone>);

impl Zone {
    pub(crate) fn new(args: &TerminalArgs) -> Result<Self, Failure> {
        match &args.timezone {
            _ if args.utc => Ok(Zone(Some(TimeZone::UTC))),
            Some(text) => Ok(Zone(Some(of("--timezone", parse_zone(text))?))),
            None => Ok(Zone(None)),
        }
    }

    pub(crate) fn get(&self) -> TimeZone {
        self.0.clone().unwrap_or_else(TimeZone::system)
    }
}
