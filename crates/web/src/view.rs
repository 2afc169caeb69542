//! The state of a page, and its address: a question's words, and how its answer is shown.
//!
//! An address has one canonical form: the words in their fixed order, then what is of the page only,
//! without defaults. What isn't known is an error with the nearest name; nothing is passed over.

use jiff::Zoned;
use jiff::tz::TimeZone;
use quarry_event::filter::{FilterError, parse_zone};
use quarry_event::output::Column;
use quarry_event::words::{Key, Word, WordError, Words};
use quarry_event::{EventTime, RecordId};

/// The rows of a page, unless it says.
pub const ROWS: usize = 200;
/// The fewest and the most rows of a page.
const ROWS_ALLOWED: std::ops::RangeInclusive<usize> = 50..=500;
/// The most columns, and the most facets that are asked for besides the usual ones.
const MAX_COLUMNS: usize = 20;
/// The longest query of an address, in bytes.
const MAX_QUERY: usize = 64 << 10;

/// What a page shows, and how.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// Which events.
    pub words: Words,
    /// What is asked.
    pub from: From,
    /// Which events come first.
    pub order: Order,
    /// The columns; none for the usual ones.
    pub fields: Vec<Column>,
    /// How many rows a page has.
    pub rows: usize,
    /// Where in the list the page begins or ends.
    pub at: At,
    /// What the bars of the histogram are made of.
    pub bars: Bars,
    /// Fields of which values are counted, besides the usual ones.
    pub facets: Vec<Column>,
    /// The zone that times are shown in.
    pub zone: Zone,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum From {
    /// What the program says: everything, or what it keeps.
    #[default]
    Usual,
    /// Everything.
    Both,
    /// What was collected before.
    Stored,
    /// Servers and files, now.
    Live,
}

/// Which events come first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Order {
    /// The newest.
    #[default]
    Newest,
    /// The oldest.
    Oldest,
}

/// What the bars of the histogram are made of.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Bars {
    /// Levels.
    #[default]
    Level,
    /// Servers and files.
    On,
    /// Providers.
    Provider,
}

/// Where in a list a page is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum At {
    /// At its beginning.
    #[default]
    Start,
    /// The events that come after this one in the list.
    After(Place),
    /// The events that come before this one.
    Before(Place),
}

/// A place in a list of events: that of one event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// When it was created.
    pub time: EventTime,
    /// The source's name in the event's identity.
    pub source: String,
    /// The log where it was read.
    pub log: String,
    /// The number of its record there.
    pub record: Option<RecordId>,
}

/// The zone that times are shown in.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// That of the machine which serves the page.
    Local,
    /// One of the IANA database, or an offset, by its name.
    Named(String),
}

/// What is wrong with an address or with the text in the box.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The text in the box.
    #[error(transparent)]
    Text(FilterError),
    /// A word of the address.
    #[error("{name}: {error}")]
    Word {
        /// The name in the address.
        name: String,
        /// What is wrong.
        error: FilterError,
    },
    /// What is of the page only.
    #[error("{name}: {what}")]
    Page {
        /// The name in the address.
        name: &'static str,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// Something is there twice that can be there once.
    #[error("there can be only one `{0}`")]
    Twice(&'static str),
    /// Too long.
    #[error("the address is longer than the {MAX_QUERY} bytes that are allowed")]
    TooLong,
}

impl ViewError {
    /// The error in words, with its place in them.
    pub fn filter_error(&self) -> Option<&FilterError> {
        match self {
            ViewError::Text(error) | ViewError::Word { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl std::convert::From<WordError> for ViewError {
    fn from(error: WordError) -> Self {
        ViewError::Word { name: error.key.name().to_owned(), error: error.error }
    }
}

impl Default for View {
    /// Every event, the newest first.
    fn default() -> Self {
        View {
            words: Words::new(),
            from: From::default(),
            order: Order::default(),
            fields: Vec::new(),
            rows: ROWS,
            at: At::default(),
            bars: Bars::default(),
            facets: Vec::new(),
            zone: Zone::default(),
        }
    }
}

/// The names in an address that are of the page only, in its order. `q` is the text in the box,
/// which stands in no canonical address.
const NAMES: [&str; 10] =
    ["q", "from", "order", "fields", "n", "after", "before", "hist", "facets", "tz"];

impl View {
    /// The view of some words, as every page shows it unless it is asked to show it otherwise.
    pub fn of(words: Words) -> Self {
        View { words, ..View::default() }
    }

    /// Reads the query of an address.
    ///
    /// # Errors
    /// [`ViewError`]: the first thing in it that can't be understood.
    pub fn parse(query: &str) -> Result<Self, ViewError> {
        if query.len() > MAX_QUERY {
            return Err(ViewError::TooLong);
        }
        let mut view = View::default();
        let mut seen = [false; NAMES.len()];
        let mut typed = None;
        let mut words = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(at) = NAMES.iter().position(|known| *known == name) else {
                words.push((name, value));
                continue;
            };
            let name = NAMES[at];
            if std::mem::replace(&mut seen[at], true) {
                return Err(ViewError::Twice(name));
            }
            // A form sends what is empty too.
            match &*value {
                text if name == "q" => typed = Some(text.to_owned()),
                "" => {}
                value => view.set(name, value)?,
            }
        }
        if seen[5] && seen[6] && view.at != At::Start {
            let what = "a page begins after one event or ends before one".to_owned();
            return Err(ViewError::Page { name: "before", what });
        }
        view.words = Words::new();
        for (name, value) in words {
            let word = Words::from_pairs([(&*name, &*value)]).map_err(|error| ViewError::Word {
                name: name.chars().take(40).collect(),
                error,
            })?;
            for word in word.iter() {
                view.push(word.clone())?;
            }
        }
        if let Some(text) = typed {
            // What is typed takes the place of the words that stood in the box.
            view.words = Words::parse(&text).map_err(ViewError::Text)?;
        }
        view.words = view.words.canonical();
        Ok(view)
    }

    fn push(&mut self, word: Word) -> Result<(), ViewError> {
        let name = word.key().name();
        self.words.push(word).map_err(|error| ViewError::Word { name: name.to_owned(), error })
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), ViewError> {
        let wrong = |what: String| ViewError::Page { name, what };
        let unknown = |known: &[&str]| {
            let brief: String = value.chars().take(40).collect();
            wrong(format!("`{brief}` is not one of {}", known.join(", ")))
        };
        match name {
            "from" => {
                self.from = match value {
                    "both" => From::Both,
                    "stored" => From::Stored,
                    "live" => From::Live,
                    _ => return Err(unknown(&["both", "stored", "live"])),
                }
            }
            "order" => {
                self.order = match value {
                    "newest" => Order::Newest,
                    "oldest" => Order::Oldest,
                    _ => return Err(unknown(&["newest", "oldest"])),
                }
            }
            "hist" => {
                self.bars = match value {
                    "level" => Bars::Level,
                    "on" => Bars::On,
                    "provider" => Bars::Provider,
                    _ => return Err(unknown(&["level", "on", "provider"])),
                }
            }
            "n" => match value.parse() {
                Ok(rows) if ROWS_ALLOWED.contains(&rows) => self.rows = rows,
                _ => return Err(wrong("a page has 50 to 500 rows".to_owned())),
            },
            "fields" => self.fields = columns(value).map_err(wrong)?,
            "facets" => self.facets = columns(value).map_err(wrong)?,
            "after" | "before" => {
                let place = Place::parse(value).ok_or_else(|| {
                    wrong("a place is TIME,RECORD,LOG,SOURCE, as a page's links have it".to_owned())
                })?;
                self.at = if name == "after" { At::After(place) } else { At::Before(place) };
            }
            "tz" => {
                self.zone = match &*value.to_ascii_lowercase() {
                    "utc" => Zone::Utc,
                    "local" => Zone::Local,
                    _ => {
                        parse_zone(value).map_err(|error| wrong(error.problem.to_string()))?;
                        Zone::Named(value.to_owned())
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The canonical query of its address, without a question mark.
    pub fn query(&self) -> String {
        let mut query = self.words.to_address();
        let page = self.page_query();
        if !query.is_empty() && !page.is_empty() {
            query.push('&');
        }
        query + &page
    }

    /// The part of the query that is of the page only.
    fn page_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.page_pairs() {
            query.append_pair(name, &value);
        }
        query.finish()
    }

    /// Names and values of what is of the page only, but for defaults.
    pub fn page_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        match self.from {
            From::Usual => {}
            From::Both => pairs.push(("from", "both".to_owned())),
            From::Stored => pairs.push(("from", "stored".to_owned())),
            From::Live => pairs.push(("from", "live".to_owned())),
        }
        if self.order == Order::Oldest {
            pairs.push(("order", "oldest".to_owned()));
        }
        if !self.fields.is_empty() {
            pairs.push(("fields", names(&self.fields)));
        }
        if self.rows != ROWS {
            pairs.push(("n", self.rows.to_string()));
        }
        match &self.at {
            At::Start => {}
            At::After(place) => pairs.push(("after", place.to_string())),
            At::Before(place) => pairs.push(("before", place.to_string())),
        }
        match self.bars {
            Bars::Level => {}
            Bars::On => pairs.push(("hist", "on".to_owned())),
            Bars::Provider => pairs.push(("hist", "provider".to_owned())),
        }
        if !self.facets.is_empty() {
            pairs.push(("facets", names(&self.facets)));
        }
        match &self.zone {
            Zone::Utc => {}
            Zone::Local => pairs.push(("tz", "local".to_owned())),
            Zone::Named(name) => pairs.push(("tz", name.clone())),
        }
        pairs
    }

    /// The address of a page that shows it: `/events?on=…`.
    pub fn address(&self, page: &str) -> String {
        match &*self.query() {
            "" => page.to_owned(),
            query => format!("{page}?{query}"),
        }
    }

    /// The same with other words, at the beginning of its list.
    #[must_use]
    pub fn with_words(&self, words: Words) -> Self {
        View { words: words.canonical(), at: At::Start, ..self.clone() }
    }

    /// The same at another place of the list.
    #[must_use]
    pub fn at(&self, at: At) -> Self {
        View { at, ..self.clone() }
    }

    /// The same without a word.
    #[must_use]
    pub fn without(&self, word: &Word) -> Self {
        self.with_words(keep(&self.words, |other| other != word))
    }

    /// The same with one more word; in the place of another where there can be one only.
    #[must_use]
    pub fn and(&self, word: Word) -> Self {
        let is_single = matches!(word.key(), Key::Since | Key::Until);
        let opposite = word.clone().negated().ok();
        let mut words = keep(&self.words, |other| {
            !(is_single && other.key() == word.key()) && Some(other) != opposite.as_ref()
        });
        // A question that is full stays as it is.
        let _ = words.push(word);
        self.with_words(words)
    }

    /// The zone that times are shown in.
    pub fn time_zone(&self) -> TimeZone {
        match &self.zone {
            Zone::Utc => TimeZone::UTC,
            Zone::Local => TimeZone::system(),
            // It was read before.
            Zone::Named(name) => parse_zone(name).unwrap_or(TimeZone::UTC),
        }
    }

    /// The present in that zone.
    pub fn now(&self) -> Zoned {
        Zoned::now().with_time_zone(self.time_zone())
    }
}

/// The words that pass a test.
pub(crate) fn keep(words: &Words, test: impl Fn(&Word) -> bool) -> Words {
    let mut kept = Words::new();
    for word in words.iter().filter(|word| test(word)) {
        // They had room before.
        let _ = kept.push(word.clone());
    }
    kept
}

fn columns(text: &str) -> Result<Vec<Column>, String> {
    let mut columns: Vec<Column> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let column = Column::parse(name).map_err(|error| match error.nearest {
            Some(nearest) => format!("{error}, but {nearest}"),
            None => error.to_string(),
        })?;
        if column == Column::EachData {
            return Err("data.* is not one value; name one: data.NAME".to_owned());
        }
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    match columns.len() > MAX_COLUMNS {
        true => Err(format!("more than the {MAX_COLUMNS} fields that are allowed")),
        false => Ok(columns),
    }
}

fn names(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(Column::name).collect();
    names.join(",")
}

impl Place {
    /// Reads `TIME,RECORD,LOG,SOURCE`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ',');
        let time = EventTime::parse(parts.next()?)?;
        let record = match parts.next()? {
            "" => None,
            number => Some(RecordId(number.parse().ok()?)),
        };
        let log = parts.next()?.replace("%2C", ",").replace("%25", "%");
        Some(Place { time, record, log, source: parts.next()?.to_owned() })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = self.log.replace('%', "%25").replace(',', "%2C");
        write!(f, "{},", self.time)?;
        if let Some(record) = self.record {
            write!(f, "{record}")?;
        }
        write!(f, ",{log},{}", self.source)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn view(query: &str) -> View {
        View::parse(query).unwrap()
    }

    #[test]
    fn an_address_has_one_canonical_form() {
        for (query, canonical) in [
            ("", ""),
            ("since=8h&on=@dcs", "on=%40dcs&since=8h"),
            ("n=200&order=newest&tz=UTC&hist=level", ""),
            ("n=200&from=both", "from=both"),
            ("n=50&order=oldest&id=4624", "id=4624&order=oldest&n=50"),
            ("q=id:4625+-provider:Foo*&id=1", "id=4625&not=provider%3AFoo*"),
            ("q=quarry+scan+@dcs+-i+4625", "on=%40dcs&id=4625"),
            ("q=&tz=local", "tz=local"),
            ("fields=&facets=data.Foo,data.Foo", "facets=data.Foo"),
        ] {
            let view = view(query);
            assert_eq!(view.query(), canonical, "{query}");
            assert_eq!(View::parse(canonical).unwrap(), view, "{query}");
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_the_nearest() {
        let error = |query| View::parse(query).unwrap_err().to_string();
        assert!(error("provder=Foo").contains("but provider"), "{}", error("provder=Foo"));
        assert!(error("order=up").contains("newest, oldest"));
        assert!(error("n=5000").contains("50 to 500"));
        assert!(error("fields=provder").contains("but provider"));
        assert!(error("after=x").contains("TIME,RECORD,LOG,SOURCE"));
        assert!(error("tz=Mars").contains("time zone"));
        assert!(error("n=50&n=60").contains("only one `n`"));
        assert!(error("since=8h&since=9h").contains("only one `since`"));
        assert!(
            matches!(View::parse("q=id:x"), Err(ViewError::Text(error)) if error.place.byte() == 3)
        );
    }

    #[test]
    fn a_word_takes_the_place_of_the_one_that_says_otherwise() {
        let word = |text: &str| Words::parse(text).unwrap().iter().next().unwrap().clone();
        let view = view("since=8h&id=1&after=2026-11-29T10:00:00.0000000Z,1,System,dc01");
        assert_eq!(view.and(word("since:1h")).query(), "since=1h&id=1");
        assert_eq!(view.and(word("-id:1")).query(), "since=8h&not=id%3A1");
        assert_eq!(view.without(&word("id:1")).query(), "since=8h");
    }

    fn place() -> impl Strategy<Value = Place> {
        (
            0_u64..200_000_000_000_000_000,
            "[a-z/,%:]{0,8}",
            "[A-Za-z,%/ ]{0,8}",
            any::<Option<u64>>(),
        )
            .prop_map(|(time, source, log, record)| Place {
                time: EventTime::from_filetime(time),
                source,
                log,
                record: record.map(RecordId),
            })
    }

    proptest! {
        #[test]
        fn a_place_is_read_as_it_was_written(place in place()) {
            prop_assert_eq!(Place::parse(&place.to_string()), Some(place));
        }

        #[test]
        fn a_view_is_read_from_its_own_address(
            typed in "(on:a|id:[0-9]{1,3}|-provider:x|\"a b\"|data\\.A=b| ){0,5}",
            order in prop::sample::select(&["", "newest", "oldest"][..]),
            n in 0_usize..600, at in place(), tz in prop::sample::select(&["utc", "+02:00", "Europe/Berlin"][..]),
        ) {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("q", &typed).append_pair("order", order).append_pair("tz", tz);
            query.append_pair("n", &n.to_string()).append_pair("before", &at.to_string());
            if let Ok(view) = View::parse(&query.finish()) {
                let address = view.query();
                let read = View::parse(&address);
                prop_assert_eq!(read.as_ref(), Ok(&view), "{}", address);
                prop_assert_eq!(read.map(|view| view.query()), Ok(address));
            }
        }

        #[test]
        fn any_query_is_a_view_or_refused(query in "([a-z]{1,6}=|%[0-9A-F]{2}|&|[ -~]){0,30}") {
            if let Ok(view) = View::parse(&query) {
                prop_assert_eq!(View::parse(&view.query()), Ok(view));
            }
        }
    }
}
