//! The words that a filter is asked for in: what the command line, the page's box and its address
//! have in common.
//!
//! | word | box | address | command line |
//! |---|---|---|---|
//! | `on` | `on:@dcs` | `on=@dcs` | `@dcs` |
//! | `log` | `log:Security` | `log=Security` | `-l Security` |
//! | `since`, `until` | `since:8h` | `since=8h` | `-S 8h`, `-U` |
//! | `id` | `id:4624,!4634` | `id=4624,!4634` | `-i` |
//! | `level` | `level:warning..error` | `level=` | `-p` |
//! | `provider`, `computer`, `event-user` | `provider:Foo*` | `provider=` | `--provider` |
//! | `rule` | `rule:*mimikatz*` | `rule=` | `--rule` |
//! | `data` | `data.User=bob`, `data.User~=^b` | `data=User=bob` | `--data User=bob` |
//! | `grep` | `"logon failure"`, `/regex/` | `grep=regex` | `-g regex` |
//! | `xpath` | a query by itself, `xpath:"…"` | `xpath=` | `--xpath` |
//! | not | `-provider:Foo*`, `data.User!=bob` | `not=provider:Foo*` | `--not provider:Foo*` |
//!
//! A negated word is the negation of the whole test: events without the value stay.
//!
//! [`Words`] keeps the values as they were written, so that relative times stay relative;
//! [`Words::filter`] makes a [`Filter`](crate::filter::Filter) of them. Each form can be read, and
//! written so that it is read again as the same words.

mod address;
mod argv;
mod question;
mod text;

pub use argv::Shell;
pub use question::WordError;

use crate::filter::{FilterError, FilterProblem};

/// The most words of a question.
pub const MAX_WORDS: usize = 1000;
/// The most bytes of a question, in any form.
pub const MAX_LENGTH: usize = 1 << 20;

/// What a word is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Key {
    /// A source: a server, a range, a glob or a group of servers, a file.
    On,
    /// A log (channel), as a glob.
    Log,
    /// The first time.
    Since,
    /// The last time.
    Until,
    /// Event ids: see [`Ids`](crate::filter::Ids).
    Id,
    /// Levels: see [`Levels`](crate::filter::Levels).
    Level,
    /// A provider, as a glob.
    Provider,
    /// A computer, as a glob.
    Computer,
    /// A user that the event names, as a glob.
    EventUser,
    /// A detection rule that the event matches, by identifier or title, as a glob.
    Rule,
    /// A value: see [`DataTest`](crate::filter::DataTest).
    Data,
    /// A regular expression: see [`Pattern`](crate::filter::Pattern).
    Grep,
    /// A Windows event query.
    Xpath,
}

/// How a key is called, and whether its word can be negated.
struct Definition {
    key: Key,
    name: &'static str,
    short: Option<char>,
    can_be_negated: bool,
}

/// Every key, in the order of an address.
const DEFINITIONS: [Definition; 13] = {
    const fn key(
        key: Key,
        name: &'static str,
        short: Option<char>,
        can_be_negated: bool,
    ) -> Definition {
        Definition { key, name, short, can_be_negated }
    }
    [
        key(Key::On, "on", None, false),
        key(Key::Log, "log", Some('l'), true),
        key(Key::Since, "since", Some('S'), false),
        key(Key::Until, "until", Some('U'), false),
        key(Key::Id, "id", Some('i'), true),
        key(Key::Level, "level", Some('p'), true),
        key(Key::Provider, "provider", None, true),
        key(Key::Computer, "computer", None, true),
        key(Key::EventUser, "event-user", None, true),
        key(Key::Rule, "rule", None, true),
        key(Key::Data, "data", None, true),
        key(Key::Grep, "grep", Some('g'), true),
        key(Key::Xpath, "xpath", None, true),
    ]
};

/// What stands for a negation in an address and on the command line.
const NOT: &str = "not";

impl Key {
    /// All keys, in the order of an address.
    pub fn all() -> impl Iterator<Item = Key> {
        DEFINITIONS.iter().map(|definition| definition.key)
    }

    /// The name in an address and in the box; with two hyphens before it, the command line's option.
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// Whether a word of this key can be negated.
    pub fn can_be_negated(self) -> bool {
        self.definition().can_be_negated
    }

    /// The key of a name, without regard to case.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::UnknownWord`], with the nearest name.
    pub fn parse(name: &str) -> Result<Self, FilterError> {
        let known = DEFINITIONS.iter().find(|known| known.name.eq_ignore_ascii_case(name));
        known.map(|known| known.key).ok_or_else(|| {
            let problem =
                FilterProblem::UnknownWord { name: brief(name), nearest: nearest(name, names()) };
            FilterError::new(&brief(name), 0, problem)
        })
    }

    fn definition(self) -> &'static Definition {
        &DEFINITIONS[self as usize]
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.iter().map(|definition| definition.name).chain([NOT])
}

/// The name that one was likely meant to be.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = brief(name).to_ascii_lowercase();
    known
        .map(|known| (strsim::damerau_levenshtein(&name, known), known))
        .min()
        .filter(|(edits, known)| *edits < name.len() && *edits <= known.len().max(3) / 3)
        .map(|(_, known)| known)
}

/// The beginning of a text for an error.
fn brief(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A word: a key, its value, and whether it is negated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    key: Key,
    value: String,
    negated: bool,
}

impl Word {
    /// A word; its value is read when a filter is made of it.
    pub fn new(key: Key, value: impl Into<String>) -> Self {
        Word { key, value: value.into(), negated: false }
    }

    /// The word with its opposite meaning.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::NotNegatable`] for sources and times.
    pub fn negated(self) -> Result<Self, FilterError> {
        if !self.key.can_be_negated() {
            let name = self.key.name();
            return Err(FilterError::new(name, 0, FilterProblem::NotNegatable(name)));
        }
        Ok(Word { negated: !self.negated, ..self })
    }

    /// Reads what is negated, `WORD:VALUE` as in `provider:Foo*` or `data:NAME=VALUE`, which may
    /// be written `data.NAME=VALUE` too.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::Not`] for another form, and what [`Key::parse`] and
    /// [`negated`](Self::negated) refuse.
    pub fn parse_negated(text: &str) -> Result<Self, FilterError> {
        if text.len() > MAX_LENGTH {
            return Err(FilterError::new(&brief(text), 0, FilterProblem::TooLong(MAX_LENGTH)));
        }
        let colon = text.find(':');
        if let Some((data, rest)) = text.split_once('.')
            && data.eq_ignore_ascii_case(Key::Data.name())
        {
            return Word::new(Key::Data, rest).negated();
        }
        let Some(at) = colon else {
            return Err(FilterError::new(text, 0, FilterProblem::Not(brief(text))));
        };
        let placed = |error: FilterError| FilterError::new(text, 0, error.problem);
        let key = Key::parse(&text[..at]).map_err(placed)?;
        Word::new(key, &text[at + 1..]).negated().map_err(placed)
    }

    /// What it is about.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Its value, as it was written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it is negated.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// `WORD:VALUE`, which [`parse_negated`](Self::parse_negated) reads.
    fn as_negated(&self) -> String {
        format!("{}:{}", self.key.name(), self.value)
    }
}

/// A question: words in the order they were asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Words {
    words: Vec<Word>,
}

impl Words {
    /// No words, which ask for everything.
    pub fn new() -> Self {
        Words::default()
    }

    /// Adds a word.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::TooManyWords`] over [`MAX_WORDS`], [`FilterProblem::TooLong`] over
    /// [`MAX_LENGTH`], and [`FilterProblem::Twice`] for a second `since` or `until`.
    pub fn push(&mut self, word: Word) -> Result<(), FilterError> {
        let name = word.key.name();
        let wrong = |problem| Err(FilterError::new(name, 0, problem));
        if self.words.len() >= MAX_WORDS {
            return wrong(FilterProblem::TooManyWords(MAX_WORDS));
        }
        if word.value.len() > MAX_LENGTH {
            return wrong(FilterProblem::TooLong(MAX_LENGTH));
        }
        let is_single = matches!(word.key, Key::Since | Key::Until | Key::Xpath) && !word.negated;
        if is_single && self.values(word.key).next().is_some() {
            return wrong(FilterProblem::Twice(name));
        }
        self.words.push(word);
        Ok(())
    }

    /// The words.
    pub fn iter(&self) -> impl Iterator<Item = &Word> {
        self.words.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The values of a key's words that are not negated.
    pub fn values(&self, key: Key) -> impl Iterator<Item = &str> {
        let of_key = move |word: &&Word| word.key == key && !word.negated;
        self.words.iter().filter(of_key).map(|word| &*word.value)
    }

    /// The same question in the order of an address, each word once.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut words: Vec<Word> = Vec::new();
        for word in &self.words {
            if !words.contains(word) {
                words.push(word.clone());
            }
        }
        words.sort_by_key(|word| (word.negated, word.key));
        Words { words }
    }
}

#[cfg(test)]
mod tests;
