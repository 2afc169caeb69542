//! What a question's words mean: a filter, logs and sources.

use jiff::Zoned;

use super::{Key, Word, Words};
use crate::COMMON_PREFIX;
use crate::filter::{
    DataTest, Filter, FilterError, FilterProblem, Glob, Ids, Levels, Pattern, parse_time,
};
use crate::query::Query;

/// A word whose value can't be understood.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{}: {error}", key.name())]
pub struct WordError {
    /// What the word is about.
    pub key: Key,
    /// Whether it is negated.
    pub negated: bool,
    /// What is wrong, and where in the value.
    pub error: FilterError,
}

impl Words {
    /// The filter that the words ask for, without their sources and logs. `now`, which is called
    /// only if there is a time, is what relative times count from, and has the zone of times
    /// without one.
    ///
    /// # Errors
    ///
    /// The first word that can't be understood.
    pub fn filter(&self, now: impl FnOnce() -> Zoned) -> Result<Filter, WordError> {
        let mut filter = self.of(false, &|_| true)?;
        let is_time = |word: &&Word| matches!(word.key, Key::Since | Key::Until);
        if self.words.iter().any(|word| is_time(&word)) {
            let now = now();
            for word in self.words.iter().filter(is_time) {
                let time = parse_time(&word.value, &now).map_err(|error| of(word, error))?;
                match word.key {
                    Key::Since => filter.since = Some(time),
                    _ => filter.until = Some(time),
                }
            }
        }
        if let (Some(since), Some(until)) = (filter.since, filter.until)
            && since > until
        {
            let problem = FilterProblem::SinceAfterUntil(since, until);
            let error = FilterError::new(Key::Since.name(), 0, problem);
            return Err(WordError { key: Key::Since, negated: false, error });
        }
        for word in self.words.iter().filter(|word| word.negated) {
            let mut part = self.of(true, &|one| std::ptr::eq(one, word))?;
            filter.not_channels.append(&mut part.not_channels);
            filter.not_rules.append(&mut part.rules);
            if !part.is_empty() {
                filter.not.push(part);
            }
        }
        Ok(filter)
    }

    /// The logs that the words ask for; none where they don't say.
    ///
    /// # Errors
    ///
    /// The first log that is no glob.
    pub fn logs(&self) -> Result<Vec<Glob>, WordError> {
        let logs = self.words.iter().filter(|word| word.key == Key::Log && !word.negated);
        logs.map(|word| Glob::parse(&word.value).map_err(|error| of(word, error))).collect()
    }

    /// What some of the words ask for together, but for times.
    fn of(&self, negated: bool, some: &dyn Fn(&Word) -> bool) -> Result<Filter, WordError> {
        let mut filter = Filter::default();
        let mut lists: [(Key, Option<&Word>, String); 2] =
            [(Key::Id, None, String::new()), (Key::Level, None, String::new())];
        for word in self.words.iter().filter(|word| word.negated == negated && some(word)) {
            let value = &*word.value;
            let wrong = |error: FilterError| of(word, error);
            match word.key {
                Key::On | Key::Since | Key::Until => {}
                Key::Log if negated => filter.not_channels.push(Glob::parse(value).map_err(wrong)?),
                Key::Log => {}
                Key::Id | Key::Level => {
                    for (_, last, text) in lists.iter_mut().filter(|list| list.0 == word.key) {
                        if last.replace(word).is_some() {
                            text.push(',');
                        }
                        text.push_str(value);
                    }
                }
                Key::Provider => {
                    filter.providers.push(Glob::parse(value).map_err(wrong)?);
                    // Tables print providers' names without what most begin with.
                    if !value.starts_with('*') && !begins(value, COMMON_PREFIX) {
                        let whole = Glob::parse(&format!("{COMMON_PREFIX}{value}"));
                        filter.providers.extend(whole.ok());
                    }
                }
                Key::Computer => filter.computers.push(Glob::parse(value).map_err(wrong)?),
                Key::EventUser => filter.users.push(Glob::parse(value).map_err(wrong)?),
                Key::Rule => filter.rules.push(Glob::parse(value).map_err(wrong)?),
                Key::Data => filter.data.push(DataTest::parse(value).map_err(wrong)?),
                Key::Grep => filter.grep.push(Pattern::parse(value).map_err(wrong)?),
                Key::Xpath => {
                    let query = Query::parse(value).map_err(FilterError::from);
                    filter.query = Some(query.map_err(wrong)?);
                }
            }
        }
        for (key, word, text) in &lists {
            let Some(word) = word else { continue };
            match key {
                Key::Id => filter.ids = Some(Ids::parse(text).map_err(|e| of(word, e))?),
                _ => filter.levels = Some(Levels::parse(text).map_err(|e| of(word, e))?),
            }
        }
        Ok(filter)
    }
}

/// Whether a text begins with another, in any case.
fn begins(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

impl Word {
    /// Whether the value can be understood.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where in it.
    pub fn check(&self) -> Result<(), FilterError> {
        match self.key {
            Key::On if self.value.is_empty() => {
                Err(FilterError::new("", 0, FilterProblem::Empty("the name of a source is needed")))
            }
            Key::On => Ok(()),
            Key::Since | Key::Until => {
                // Whatever the present is, a text is a time or none.
                let now = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
                match parse_time(&self.value, &now).map_err(|error| (error.clone(), error.problem))
                {
                    Ok(_) | Err((_, FilterProblem::NoSuchTime(_))) => Ok(()),
                    Err((error, _)) => Err(error),
                }
            }
            Key::Log => Glob::parse(&self.value).map(drop),
            _ => {
                let words = Words { words: vec![Word { negated: false, ..self.clone() }] };
                words.of(false, &|_| true).map(drop).map_err(|error| error.error)
            }
        }
    }
}

fn of(word: &Word, error: FilterError) -> WordError {
    WordError { key: word.key, negated: word.negated, error }
}
