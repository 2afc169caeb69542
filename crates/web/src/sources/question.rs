//! A question as the sources take it: a filter and logs, and who asks.

use quarry_collect::Selection;
use quarry_event::EventTime;
use quarry_event::filter::{Filter, Glob};
use quarry_event::output::{Column, Printer};
use quarry_fleet::eventlog::Direction;

use crate::access::Person;
use crate::problem::Problem;
use crate::view::{At, Bars, Order, Place, View, ViewError};

/// Which events are asked for, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The words, in the form of an address.
    words: String,
    pub(crate) filter: Filter,
    pub(crate) logs: Vec<Glob>,
    pub(crate) person: Person,
    pub(crate) now: EventTime,
    /// Only the event at this place.
    pub(crate) only: Option<Place>,
}

/// What of an answer is looked at. What isn't needn't be counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Shown {
    /// All of it: rows, how many events there are, by time and by field.
    #[default]
    All,
    /// How many events there are.
    Events,
    /// How many there are, by time.
    Bars,
    /// How many there are, by field.
    Fields,
}

impl Shown {
    /// Whether rows are.
    pub fn has_rows(self) -> bool {
        self == Shown::All
    }

    /// Whether counts by time are.
    pub fn has_bars(self) -> bool {
        matches!(self, Shown::All | Shown::Bars)
    }

    /// Whether counts by field are.
    pub fn has_fields(self) -> bool {
        matches!(self, Shown::All | Shown::Fields)
    }
}

/// Which part of the answer is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) shown: Shown,
    /// How many rows; none for counts alone.
    pub(crate) rows: usize,
    pub(crate) order: Order,
    pub(crate) at: At,
    /// The columns besides those that each row has.
    pub(crate) columns: Vec<Column>,
    /// Whether events are counted, by time and by field.
    pub(crate) counts: bool,
    pub(crate) bars: Bars,
    /// Fields of which values are counted besides the usual ones.
    pub(crate) facets: Vec<Column>,
    /// Whether all of each event is wanted.
    pub(crate) detail: bool,
    /// Whether rows are wanted at once, without looking at all of a file: those that its order says
    /// come first.
    pub(crate) is_quick: bool,
    /// Whether every event is handed on as it comes, printed, rather than kept.
    pub(crate) is_stream: bool,
    /// Whether events are made ready to be saved in a log file.
    pub(crate) is_packed: bool,
    /// Prints each event for a program.
    pub(crate) print: Option<Printer>,
    /// What tells the printer from others.
    pub(crate) format: &'static str,
}

impl Wanted {
    /// The rows of a view, and its counts at the beginning of the list.
    pub(crate) fn of(view: &View) -> Self {
        Wanted {
            shown: Shown::All,
            rows: view.rows,
            order: view.order,
            at: view.at.clone(),
            columns: view.fields.clone(),
            counts: true,
            bars: view.bars,
            facets: view.facets.clone(),
            detail: false,
            is_quick: false,
            is_stream: false,
            is_packed: false,
            print: None,
            format: "",
        }
    }

    /// Whether the rows that are kept are the newest of those that match.
    pub(crate) fn keeps_newest(&self) -> bool {
        (self.order == Order::Newest) != matches!(self.at, At::Before(_))
    }

    /// The direction in which those come first.
    pub(crate) fn direction(&self) -> Direction {
        if self.keeps_newest() { Direction::Backward } else { Direction::Forward }
    }

    /// The place that bounds the rows: they are older than it if the newest are kept.
    pub(crate) fn bound(&self) -> Option<&Place> {
        match &self.at {
            At::Start => None,
            At::After(place) | At::Before(place) => Some(place),
        }
    }

    /// The columns of which each row has the text: those that are shown, then those counted.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().chain(&self.facets)
    }

    /// What tells it from what else is wanted of a question.
    pub(crate) fn key(&self) -> String {
        // Who prints is told by the format.
        let Wanted { rows, order, at, columns, counts, bars, facets, detail, is_quick, .. } = self;
        let part = (self.shown, rows, order, at, columns, counts, bars, facets);
        format!("{part:?} {detail} {is_quick} {}", self.format)
    }
}

impl Question {
    /// What a view asks.
    ///
    /// # Errors
    /// A word that can't be understood.
    pub(crate) fn new(view: &View, person: &Person) -> Result<Self, Problem> {
        let now = view.now();
        let time = EventTime::from_timestamp(now.timestamp());
        let of = |error| Problem::of_view(&ViewError::from(error));
        let filter = view.words.filter(|| now).map_err(of)?;
        let logs = view.words.logs().map_err(of)?;
        Ok(Question {
            words: view.words.to_address(),
            filter,
            logs,
            person: person.clone(),
            now: time,
            only: None,
        })
    }

    /// The event at a place, and no other.
    pub(crate) fn one(place: Place, person: &Person) -> Self {
        let filter =
            Filter { since: Some(place.time), until: Some(place.time), ..Filter::default() };
        Question {
            words: String::new(),
            filter,
            logs: Vec::new(),
            person: person.clone(),
            now: place.time,
            only: Some(place),
        }
    }

    /// What tells it from others whose sources are the same. Relative times move on.
    pub(crate) fn key(&self) -> String {
        let Question { words, filter, person, only, .. } = self;
        let times = (filter.since, filter.until);
        format!("{words} {times:?} {} {only:?}", person.key())
    }

    /// What is to be read of a source: of one that is a file, its log is whatever it is called. All
    /// that match, if they are counted, or those on the page's side of its bound.
    ///
    /// # Errors
    /// A channel of the query is no name.
    pub(crate) fn selection(
        &self,
        wanted: &Wanted,
        is_file: bool,
        is_counted: bool,
    ) -> Result<Selection, Problem> {
        let mut filter = self.filter.clone();
        // Counts are of all that match, whatever the page shows.
        if let Some(place) = wanted.bound().filter(|_| !is_counted) {
            match wanted.keeps_newest() {
                true => {
                    filter.until = Some(filter.until.map_or(place.time, |t| t.min(place.time)));
                }
                false => filter.since = filter.since.max(Some(place.time)),
            }
        }
        let logs = match (&self.only, is_file) {
            (Some(_), true) => Vec::new(),
            (Some(place), false) => vec![literal(&place.log)?],
            (None, _) => self.logs.clone(),
        };
        Selection::new(logs, filter, self.now).map_err(|error| Problem::of_words(&error))
    }
}

/// A glob that one name matches.
pub(crate) fn literal(name: &str) -> Result<Glob, Problem> {
    Glob::parse(&literal_text(name)).map_err(|error| Problem::of_words(&error))
}

/// A name as a glob is written that it alone matches.
pub(crate) fn literal_text(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            '*' | '?' | '[' | ']' | '{' | '}' => text.extend(['[', c, ']']),
            c => text.push(c),
        }
    }
    text
}
