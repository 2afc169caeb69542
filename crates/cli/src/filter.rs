//! The filter that the options of the command line ask for.

use jiff::{Timestamp, Zoned};
use quarry_collect::Selection;
use quarry_event::EventTime;
use quarry_event::filter::{DataTest, Filter, FilterError, Glob, Ids, Levels, Pattern, parse_time};
use quarry_event::query::Query;

use crate::args::FilterArgs;
use crate::error::Failure;

/// What the options select of each source.
pub(crate) fn selection(args: &FilterArgs) -> Result<Selection, Failure> {
    // Times such as `8h` count from now, and are in the local zone if they have none. Finding the
    // zone takes longer than reading a small file.
    let now = (args.since.is_some() || args.until.is_some()).then(Zoned::now);
    let timestamp = now.as_ref().map_or_else(Timestamp::now, Zoned::timestamp);
    let filter = build(args, now.as_ref())?;
    let logs = each("--log", &args.log, Glob::parse)?;
    of("--xpath", Selection::new(logs, filter, EventTime::from_timestamp(timestamp)))
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
