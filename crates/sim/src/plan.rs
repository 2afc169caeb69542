//! What a client asks for: which events of which logs.

use std::sync::{Arc, Mutex, PoisonError};

use quarry_binxml::Decoder;
use quarry_even::Win32Error;
use quarry_even::limits::MAX_QUERY_CHANNEL_SIZE;
use quarry_event::EventTime;
use quarry_event::query::{CompiledQuery, Query, QueryClause, Scratch};

use crate::log::Log;

/// The logs that a query reads, each with its conditions.
pub(crate) struct Plan {
    pub(crate) channels: Vec<PlannedChannel>,
    /// Whether the query was a list, whose subqueries have ids.
    is_list: bool,
}

pub(crate) struct PlannedChannel {
    pub(crate) log: Arc<Log>,
    selections: Vec<Selection>,
    /// Every event is selected.
    everything: bool,
}

/// A `<Query>`, so far as it is about one channel.
struct Selection {
    query: usize,
    id: u32,
    selects: Vec<CompiledQuery>,
    suppresses: Vec<CompiledQuery>,
}

/// How it stands with a channel of a query.
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) status: Win32Error,
}

/// Whether a query is of the first so many kinds that
/// [`Fault::RefuseQuery`](crate::Fault::RefuseQuery) has.
pub(crate) fn is_refused(query: &str, kinds: u32) -> bool {
    let is_of_kind = |select: &str, kind| match kind {
        1 => select.trim_start_matches('*').contains('*'),
        2 => select.contains("EventData") || select.contains("UserData"),
        3 => select != "*" && !is_of_time(select),
        _ => select != "*",
    };
    let is_refused = |select: &str| (1..=kinds.min(4)).any(|kind| is_of_kind(select, kind));
    match query.starts_with("<QueryList") {
        true => query.split("<Select").skip(1).any(|select| {
            let select = select.split_once('>').map_or("", |(_, select)| select);
            is_refused(select.split('<').next().unwrap_or(""))
        }),
        false => is_refused(query),
    }
}

/// Whether a select tests the time only, as this is usually written.
fn is_of_time(select: &str) -> bool {
    let inside = select.strip_prefix("*[System[").and_then(|inside| inside.strip_suffix(']'));
    inside.is_some_and(|inside| {
        inside.split(" and System[").all(|part| {
            let times = part.strip_prefix("TimeCreated[").and_then(|part| part.strip_suffix("]]"));
            times.is_some_and(|times| !times.contains(']'))
        })
    })
}

/// A query before its logs are opened.
pub(crate) struct Parsed {
    clauses: Vec<(String, QueryClause)>,
    is_list: bool,
}

impl Parsed {
    /// Reads an XPath expression on `path`, or a list, which says itself where its parts look.
    ///
    /// # Errors
    /// What Windows answers.
    pub(crate) fn new(
        path: Option<&str>,
        text: &str,
        max_clauses: usize,
    ) -> Result<Self, Win32Error> {
        let query = Query::parse(text).map_err(|_| Win32Error::EVT_INVALID_QUERY)?;
        let mut clauses = Vec::new();
        for clause in query.clauses() {
            if clause.expressions > max_clauses {
                return Err(Win32Error::EVT_INVALID_QUERY);
            }
            let place = if query.is_list() { clause.path.as_deref().or(path) } else { path };
            let Some(place) = place.filter(|place| !place.is_empty()) else {
                return Err(Win32Error::EVT_INVALID_CHANNEL_PATH);
            };
            // There are no files on a simulated server.
            if place.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("file://")) {
                return Err(Win32Error::FILE_NOT_FOUND);
            }
            clauses.push((place.to_owned(), clause));
        }
        Ok(Self { clauses, is_list: query.is_list() })
    }

    /// Opens the logs that events are selected from. With `tolerate`, those that can't be opened
    /// are left out.
    ///
    /// # Errors
    /// The first that can't be opened otherwise, or when none can.
    pub(crate) fn open(
        &self,
        tolerate: bool,
        now: EventTime,
        open: impl Fn(&str) -> Result<Arc<Log>, Win32Error>,
    ) -> (Vec<Standing>, Result<Plan, Win32Error>) {
        let mut standings: Vec<Standing> = Vec::new();
        let mut channels: Vec<PlannedChannel> = Vec::new();
        let mut failure = None;
        for (path, clause) in &self.clauses {
            let known = |standing: &Standing| standing.name.eq_ignore_ascii_case(path);
            if clause.suppresses || standings.iter().any(known) {
                continue;
            }
            if standings.len() >= MAX_QUERY_CHANNEL_SIZE as usize {
                return (Vec::new(), Err(Win32Error::EVT_INVALID_QUERY));
            }
            let (name, status) = match open(path) {
                Ok(log) => {
                    channels.push(self.planned(log.clone(), path, now));
                    (log.name.clone(), Win32Error::SUCCESS)
                }
                Err(status) => {
                    failure = failure.or(Some(status));
                    (path.clone(), status)
                }
            };
            standings.push(Standing { name, status });
        }
        match failure {
            Some(status) if !tolerate || channels.is_empty() => (standings, Err(status)),
            _ => (standings, Ok(Plan { channels, is_list: self.is_list })),
        }
    }

    fn planned(&self, log: Arc<Log>, path: &str, now: EventTime) -> PlannedChannel {
        let mut selections: Vec<Selection> = Vec::new();
        let here = self.clauses.iter().filter(|(place, _)| place.eq_ignore_ascii_case(path));
        let mut everything = false;
        for (_, clause) in here {
            if selections.last().is_none_or(|last| last.query != clause.query) {
                let id = clause.id.and_then(|id| u32::try_from(id).ok()).unwrap_or(u32::MAX);
                let (selects, suppresses) = (Vec::new(), Vec::new());
                selections.push(Selection { query: clause.query, id, selects, suppresses });
            }
            let Some(selection) = selections.last_mut() else { continue };
            let compiled = clause.condition.compile(now);
            if clause.suppresses {
                selection.suppresses.push(compiled);
            } else {
                selection.selects.push(compiled);
                everything |= !self.is_list && clause.condition.to_string() == "*";
            }
        }
        PlannedChannel { log, selections, everything }
    }
}

impl Plan {
    /// Whether every event of a channel is selected.
    pub(crate) fn selects_all(&self, channel: usize) -> bool {
        self.channels[channel].everything
    }

    /// Whether an event of a channel is selected, and by which subqueries.
    pub(crate) fn selects(
        &self,
        channel: usize,
        binxml: &[u8],
        testers: &Testers,
        subqueries: &mut Vec<u32>,
    ) -> bool {
        subqueries.clear();
        let channel = &self.channels[channel];
        if channel.everything {
            return true;
        }
        testers.with(|tester| {
            let Ok(record) = tester.decoder.event(binxml) else { return false };
            let mut selected = false;
            for selection in &channel.selections {
                let meets =
                    |query: &CompiledQuery, scratch: &mut Scratch| query.matches(&record, scratch);
                let scratch = &mut tester.scratch;
                if selection.selects.iter().any(|query| meets(query, scratch))
                    && !selection.suppresses.iter().any(|query| meets(query, scratch))
                {
                    selected = true;
                    if self.is_list {
                        subqueries.push(selection.id);
                    }
                }
            }
            selected
        })
    }
}

/// What it takes to test events, for as many threads as do it at once.
#[derive(Default)]
pub(crate) struct Testers(Mutex<Vec<Tester>>);

#[derive(Default)]
struct Tester {
    decoder: Decoder,
    scratch: Scratch,
}

impl Testers {
    fn with<T>(&self, test: impl FnOnce(&mut Tester) -> T) -> T {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tester = lock().pop().unwrap_or_default();
        let outcome = test(&mut tester);
        lock().push(tester);
        outcome
    }
}
