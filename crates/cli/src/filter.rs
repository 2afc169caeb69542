//! The filter that the options of the command line ask for.

use jiff::{Timestamp, Zoned};
use quarry_event::EventTime;
use quarry_event::filter::{
    DataTest, Filter, FilterError, Glob, Ids, Levels, Matcher, Pattern, parse_time,
};
use quarry_event::query::Query;
use quarry_eventlog::Direction;
use quarry_fleet::Request;

use crate::args::FilterArgs;
use crate::error::Failure;

/// The filter of the options, and what tests events for it.
pub(crate) struct Tests {
    /// What servers are asked for.
    pub(crate) filter: Filter,
    /// The logs asked for, which are read of a server.
    pub(crate) logs: Vec<Glob>,
    of_files: Option<Matcher>,
    of_servers: Option<Matcher>,
}

impl Tests {
    /// Reads the options.
    pub(crate) fn new(args: &FilterArgs) -> Result<Self, Failure> {
        // Times such as `8h` count from now, and are in the local zone if they have none. Finding
        // the zone takes longer than reading a small file.
        let now = (args.since.is_some() || args.until.is_some()).then(Zoned::now);
        let timestamp = now.as_ref().map_or_else(Timestamp::now, Zoned::timestamp);
        let filter = build(args, now.as_ref())?;
        let named = each("--log", &args.log, Glob::parse)?;
        // A server's clock isn't this one.
        let now = EventTime::from_timestamp(timestamp);
        let asked = Filter { query: filter.query.as_ref().map(|q| q.fixed(now)), ..filter.clone() };
        let used = |matcher: Matcher| (!matcher.passes_all()).then_some(matcher);
        let of_servers = filter.matcher(now);
        Ok(Tests {
            // A server's logs are those that are read; what an event of one says may differ, where
            // it was forwarded.
            of_files: used(of_servers.clone().in_channels(&named)),
            of_servers: used(of_servers),
            logs: logs(named, &filter)?,
            filter: asked,
        })
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

fn build(args: &FilterArgs, now: Option<&Zoned>) -> Result<Filter, Failure> {
    let time = |option, text: &Option<String>| match (text, now) {
        (Some(text), Some(now)) => of(option, parse_time(text, now)).map(Some),
        _ => Ok(None),
    };
    let filter = Filter {
        since: time("--since", &args.since)?,
        until: time("--until", &args.until)?,
        ids: list("--id", &args.id, Ids::parse)?,
        levels: list("--level", &args.level, Levels::parse)?,
        providers: each("--provider", &args.provider, Glob::parse)?,
        computers: each("--computer", &args.computer, Glob::parse)?,
        users: each("--event-user", &args.event_user, Glob::parse)?,
        data: each("--data", &args.data, DataTest::parse)?,
        grep: match &args.grep {
            Some(text) => Some(of("--grep", Pattern::parse(text))?),
            None => None,
        },
        query: match &args.xpath {
            Some(text) => Some(of("--xpath", Query::parse(text).map_err(FilterError::from))?),
            None => None,
        },
    };
    match (filter.since, filter.until) {
        (Some(since), Some(until)) if since > until => {
            Err(Failure::new(format!("--since ({since}) is after --until ({until})")))
        }
        _ => Ok(filter),
    }
}

fn of<T>(option: &str, result: Result<T, FilterError>) -> Result<T, Failure> {
    result.map_err(|e| Failure::of_option(option, &e))
}

fn each<T>(
    option: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, FilterError>,
) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| of(option, parse(text))).collect()
}

/// An option whose text is a list, given once or in several parts.
fn list<T>(
    option: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, FilterError>,
) -> Result<Option<T>, Failure> {
    if texts.is_empty() {
        return Ok(None);
    }
    of(option, parse(&texts.join(","))).map(Some)
}
