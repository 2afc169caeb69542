//! The filter that the options of the command line ask for.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use quarry_collect::Selection;
use quarry_event::filter::{
    Filter, FilterError, Glob, MissingName, Names, Route, parse_time, parse_zone,
};
use quarry_event::output::{Column, local_time};
use quarry_event::words::{Key, Word, WordError, Words};
use quarry_event::{EventTime, Field, FieldSource as _};

use crate::args::{FilterArgs, TerminalArgs};
use crate::console::Console;
use crate::error::Failure;
use crate::record;
use crate::source::Inputs;

/// What is wanted of files, and of servers.
#[derive(Clone)]
pub struct Wanted {
    /// Of files.
    pub files: Arc<Selection>,
    /// Of servers.
    pub servers: Arc<Selection>,
}

/// What the options select of each source, and what is to be said of them.
pub struct Question {
    /// What is read of each source.
    pub selection: Selection,
    names: Arc<Names>,
    warnings: Vec<String>,
}

impl Question {
    /// Reads the options. Times count from now, and are in the zone if they have none; of the fields
    /// that are shown, those of an event's data are watched for as the filter's are.
    ///
    /// Rules are a mistake, as nobody tests the events for any.
    ///
    /// # Errors
    /// An option's text can't be understood.
    pub fn new(args: &FilterArgs, zone: &Zone, fields: &[Column]) -> Result<Self, Failure> {
        let question = Self::beside_rules(args, zone, fields)?;
        let filter = question.selection.filter();
        if filter.tests_rules() {
            let option = if filter.rules.is_empty() { "--not rule" } else { "--rule" };
            return Err(Failure::new(format!(
                "{option}: events of servers and files don't say which rules they match"
            ))
            .hint("quarry detect --rules FOLDER tests them, and takes the same options"));
        }
        Ok(question)
    }

    /// The same where events are tested for rules.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn beside_rules(
        args: &FilterArgs,
        zone: &Zone,
        fields: &[Column],
    ) -> Result<Self, Failure> {
        let args = &*around(args, zone)?;
        let words = words(args)?;
        // Finding the zone takes longer than reading a small file.
        let mut now = None;
        let filter = words
            .filter(|| now.insert(Zoned::now().with_time_zone(zone.get())).clone())
            .map_err(|error| of_word(&error))?;
        let timestamp = now.as_ref().map_or_else(Timestamp::now, Zoned::timestamp);
        let warnings = warnings(args, &filter, now.as_ref());
        let logs = words.logs().map_err(|error| of_word(&error))?;
        let is_data = |column: &&Column| matches!(column, Column::Data(_) | Column::UserData(_));
        let names = fields.iter().filter(is_data).map(|column| match column {
            Column::Data(name) => name.clone(),
            column => column.name().into_owned(),
        });
        let names = Names::new(&filter, names);
        let selection = Selection::new(logs, filter, EventTime::from_timestamp(timestamp));
        let selection = of("--xpath", selection)?.watching(&names);
        Ok(Question { selection, names, warnings })
    }

    /// The events of the routes, of a file.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn only(&self, routes: Vec<Route>) -> Result<Selection, Failure> {
        let filter = Filter { routes, ..self.selection.filter().clone() };
        let now = EventTime::from_timestamp(Timestamp::now());
        let selection = Selection::new(self.selection.logs().to_vec(), filter, now);
        Ok(of("--xpath", selection)?.watching(&self.names))
    }

    /// What servers among the sources are asked for: the events of the routes.
    ///
    /// # Errors
    /// Nothing is looked for in any of the logs that `--log` names.
    pub fn routed(&self, routes: Vec<Route>, inputs: &Inputs) -> Result<Selection, Failure> {
        let logs = self.selection.logs();
        if inputs.servers.is_empty() {
            return Ok(self.selection.clone());
        }
        let is_wanted =
            |route: &Route| logs.is_empty() || logs.iter().any(|log| log.is_match(&route.channel));
        let mut filter = self.selection.filter().clone();
        filter.routes = routes.into_iter().filter(is_wanted).collect();
        // A glob, so that a log that a server doesn't have is no failure of it.
        let names: Vec<&str> = filter.routes.iter().map(|route| &*route.channel).collect();
        let glob = match &*names {
            [] => {
                return Err(Failure::new("--log: nothing is looked for in any of these logs"));
            }
            // One alternative is no choice.
            [one] => format!("{{{one},{one}}}"),
            names => format!("{{{}}}", names.join(",")),
        };
        let glob = of("--log", Glob::parse(&glob))?;
        let now = EventTime::from_timestamp(Timestamp::now());
        let selection = of("--xpath", Selection::new(vec![glob], filter, now))?;
        Ok(selection.watching(&self.names))
    }

    /// What is to be said before anything is read.
    pub fn warn(&self, console: &Console) {
        self.warnings.iter().for_each(|warning| console.warning(warning));
    }

    /// What is read, and at most `limit` events of each source: of servers only the events of the
    /// routes, where these are given.
    ///
    /// # Errors
    /// As [`routed`](Self::routed).
    pub fn wanted(
        self,
        routes: Option<Vec<Route>>,
        inputs: &Inputs,
        limit: Option<u64>,
    ) -> Result<Wanted, Failure> {
        let routed = routes.map(|routes| self.routed(routes, inputs)).transpose()?;
        let routed = routed.map(|selection| Arc::new(selection.with_limit(limit)));
        let files = Arc::new(self.selection.with_limit(limit));
        Ok(Wanted { servers: routed.unwrap_or_else(|| Arc::clone(&files)), files })
    }

    /// Whether text is looked for in events and their messages.
    pub fn is_searched(&self) -> bool {
        !self.selection.filter().grep.is_empty()
    }

    /// What is to be said of names that no event had, when all is read.
    pub(crate) fn missing(&self) -> Missing {
        Missing(Arc::clone(&self.names))
    }
}

/// Names that were asked for, of which the user is warned if no event has them.
pub(crate) struct Missing(Arc<Names>);

impl Missing {
    /// Warns of each.
    pub(crate) fn warn(&self, console: &Console) {
        for MissingName { name, nearest } in self.0.missing() {
            let mut text = format!("no record that was read has a value named `{name}`");
            if let Some(nearest) = nearest {
                text += &format!("; did you mean {nearest}?");
            }
            console.warning(&text);
        }
    }
}

/// The options, with `--around` as the `--since` and `--until` that it stands for.
fn around<'a>(args: &'a FilterArgs, zone: &Zone) -> Result<Cow<'a, FilterArgs>, Failure> {
    /// The time before and after, where nothing else is said.
    const WINDOW: Duration = Duration::from_secs(300);
    let Some(middle) = &args.around else { return Ok(Cow::Borrowed(args)) };
    let now = Zoned::now().with_time_zone(zone.get());
    let middle = match record::named(middle) {
        None => of("--around", parse_time(middle, &now))?,
        Some((path, number)) => {
            let time = record::find(path, number)?.field(Field::TimeCreated).as_time();
            time.ok_or_else(|| Failure::new(format!("--around: {middle} has no time")))?
        }
    };
    let middle = middle.as_filetime();
    // In units of 100 ns.
    let window = args.window.unwrap_or(WINDOW).as_nanos() / 100;
    let window = u64::try_from(window).unwrap_or(u64::MAX);
    let at = |time| Some(EventTime::from_filetime(time).to_string());
    Ok(Cow::Owned(FilterArgs {
        since: at(middle.saturating_sub(window)),
        until: at(middle.saturating_add(window)),
        ..args.clone()
    }))
}

/// The options as words.
fn words(args: &FilterArgs) -> Result<Words, Failure> {
    let mut words = Words::new();
    let mut add = |word: Word| {
        let option = format!("--{}", word.key().name());
        of(&option, words.push(word))
    };
    let options: [(Key, &[String]); 11] = [
        (Key::Log, &args.log),
        (Key::Since, args.since.as_slice()),
        (Key::Until, args.until.as_slice()),
        (Key::Id, &args.id),
        (Key::Level, &args.level),
        (Key::Provider, &args.provider),
        (Key::Computer, &args.computer),
        (Key::EventUser, &args.event_user),
        (Key::Rule, &args.rule),
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
    let mut warnings: Vec<String> = args.data.iter().filter_map(|text| shown_value(text)).collect();
    warnings.extend(future(args, filter, now));
    warnings
}

/// Warns of a value as tables show it, with a word that the event doesn't have: `LogonType=3 (Network)`.
fn shown_value(text: &str) -> Option<String> {
    let (name, value) = text.split_once('=')?;
    let (number, word) = value.split_once(" (")?;
    let is_number =
        number.strip_prefix("0x").unwrap_or(number).chars().all(|c| c.is_ascii_hexdigit())
            && number.starts_with(|c: char| c.is_ascii_digit());
    (is_number && word.ends_with(')')).then(|| {
        format!(
            "--data '{text}': the word in brackets is a name that is shown beside the value, which is \
             {name}={number}"
        )
    })
}

/// Warns of a first time that is still to come.
fn future(args: &FilterArgs, filter: &Filter, now: Option<&Zoned>) -> Option<String> {
    let (now, since, text) = (now?, filter.since?, args.since.as_ref()?);
    if since <= EventTime::from_timestamp(now.timestamp()) {
        return None;
    }
    let shown = local_time(since, now.time_zone());
    let is_clock = text.contains(':') && !text.trim().contains([' ', '-']);
    let hint = match is_clock {
        true => format!("; the last {} was \"yesterday {}\"", text.trim(), text.trim()),
        false => String::new(),
    };
    Some(format!(
        "--since {text} is in the future ({shown}): only events of a later time match{hint}"
    ))
}

fn of<T>(option: &str, result: Result<T, FilterError>) -> Result<T, Failure> {
    result.map_err(|e| Failure::of_option(option, &e))
}

/// The zone that times are read and shown in; finding the system's takes a while.
#[derive(Clone, Default, Debug)]
pub struct Zone(Option<TimeZone>);

impl Zone {
    /// The zone that the options say.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn new(args: &TerminalArgs) -> Result<Self, Failure> {
        match &args.timezone {
            _ if args.utc => Ok(Zone(Some(TimeZone::UTC))),
            Some(text) => Ok(Zone(Some(of("--timezone", parse_zone(text))?))),
            None => Ok(Zone(None)),
        }
    }

    /// The zone; that of the system where the options say nothing.
    pub fn get(&self) -> TimeZone {
        self.0.clone().unwrap_or_else(TimeZone::system)
    }
}
