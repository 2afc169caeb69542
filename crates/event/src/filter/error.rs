//! What can be wrong with an option's text.

use crate::query::QueryError;
use crate::{EventTime, Place};

/// The most characters of an option's text that an error repeats.
const SHOWN: usize = 100;

/// An option's text that can't be understood: what is wrong, where, and what is allowed.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct FilterError {
    /// Where in the option's text.
    pub place: Place,
    /// What is wrong there.
    pub problem: FilterProblem,
}

impl FilterError {
    pub(crate) fn new(text: &str, at: usize, problem: FilterProblem) -> Self {
        FilterError { place: Place::new(text, at), problem }
    }

    /// An error about `part`, which is a slice of `text`.
    pub(crate) fn about(
        text: &str,
        part: &str,
        problem: impl FnOnce(String) -> FilterProblem,
    ) -> Self {
        let at = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        Self::new(text, at, problem(part.chars().take(SHOWN).collect()))
    }
}

/// What is wrong with an option's text.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterProblem {
    /// Nothing, or nothing between two commas.
    #[error("there is nothing here; {0}")]
    Empty(&'static str),
    /// Not an event id, nor a range of them.
    #[error(
        "`{0}` is not an event id; ids are whole numbers up to 4294967295, ranges such as \
         4700-4720 and exclusions such as !4634, with commas between"
    )]
    Id(String),
    /// A range that ends before it begins.
    #[error("the range `{0}` ends before it begins")]
    Backwards(String),
    /// Ids of which exclusions leave nothing.
    #[error("`{0}` excludes every id it includes")]
    NoIds(String),
    /// Not a level.
    #[error(
        "`{0}` is not a level; levels are critical, error, warning, information, verbose, a \
         number up to 255, a range such as warning..error, audit-success and audit-failure, with \
         commas between"
    )]
    Level(String),
    /// An audit in a range: audits have no severity.
    #[error("`{0}` has no place in a range, as audits have no severity; list it after a comma")]
    AuditInRange(String),
    /// A glob that is not one.
    #[error(
        "{0}; globs have *, ?, [a-z], [!a-z] and {{a,b}}; in brackets a wildcard stands for itself: \
         [*], [[]"
    )]
    Glob(&'static str),
    /// No `NAME=VALUE`.
    #[error("`{0}` is not NAME=VALUE, nor NAME~=REGEX")]
    Data(String),
    /// Not a regular expression; the text says why, in one line.
    #[error("not a regular expression: {0}")]
    Regex(String),
    /// Not a time.
    #[error(
        "`{0}` is not a time; times are 8h, 1h30m, \"2 days ago\", \"last week\", now, today, \
         yesterday, monday, @1700000000 (seconds since 1970), 14:30, \"yesterday 14:00\", 2026-11-22, \
         2026-11-22T06:00 or \"2026-11-22 06:00:01.5\", the last five with a zone (Z, +02:00, \
         [Europe/Berlin]) or in local time"
    )]
    Time(String),
    /// A duration with the unit `M`.
    #[error("`{0}` may be minutes or months: a minute is 1m, a month 1mo")]
    MinuteOrMonth(String),
    /// Not a time zone.
    #[error(
        "`{0}` is not a time zone; zones are UTC, local, Europe/Berlin and its like, and +02:00"
    )]
    Zone(String),
    /// A time that looks like one but isn't, such as the 30th of February.
    #[error("{0}")]
    NoSuchTime(String),
    /// A question's first time is after its last.
    #[error("the first time ({0}) is after the last ({1})")]
    SinceAfterUntil(EventTime, EventTime),
    /// A word that there is not.
    #[error(
        "there is no word `{name}`{}; words are on, log, since, until, id, level, provider, computer, \
         event-user, rule, data, grep, xpath and not; text with a colon stands in quotes",
        .nearest.map(|name| format!(", but {name}")).unwrap_or_default()
    )]
    UnknownWord {
        /// The word.
        name: String,
        /// The word that was likely meant.
        nearest: Option<&'static str>,
    },
    /// A word that can't be negated.
    #[error("`{0}` can't be negated")]
    NotNegatable(&'static str),
    /// Not what is negated.
    #[error("`{0}` is not WORD:VALUE, such as provider:Foo* or data:NAME=VALUE")]
    Not(String),
    /// A quote that isn't closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A quote inside a word, or text after one.
    #[error("quotes stand around a whole value; inside them a quote is written \\\"")]
    StrayQuote,
    /// A second word of a kind of which there can be one only.
    #[error("there can be only one `{0}`")]
    Twice(&'static str),
    /// Too many words.
    #[error("more than the {0} words that are allowed")]
    TooManyWords(usize),
    /// A command line that asks for no events.
    #[error("this command line asks for no events")]
    Command,
    /// An option that is no word.
    #[error(
        "`{name}` doesn't say which events{}",
        .nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
    )]
    UnknownOption {
        /// The option.
        name: String,
        /// The option that was likely meant.
        nearest: Option<&'static str>,
    },
    /// An option without its value.
    #[error("`{0}` needs a value")]
    OptionValue(String),
    /// Longer than a limit allows.
    #[error("longer than the {0} bytes that are allowed")]
    TooLong(usize),
    /// An event query that is not one.
    #[error(transparent)]
    Query(#[from] crate::query::QueryProblem),
}

impl From<QueryError> for FilterError {
    fn from(error: QueryError) -> Self {
        FilterError { place: error.place, problem: error.problem.into() }
    }
}
