//! Words as the query of an address: `on=@dcs&since=8h&not=provider:Foo*`.

use super::{Key, MAX_LENGTH, NOT, Word, Words, brief};
use crate::filter::{FilterError, FilterProblem};

impl Words {
    /// The question in the canonical form of an address: percent-encoded, in a fixed order.
    pub fn to_address(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for word in self.canonical().iter() {
            match word.negated {
                true => query.append_pair(NOT, &word.as_negated()),
                false => query.append_pair(word.key.name(), &word.value),
            };
        }
        query.finish()
    }

    /// Reads the query of an address.
    ///
    /// # Errors
    ///
    /// What [`from_pairs`](Self::from_pairs) refuses, and [`FilterProblem::TooLong`].
    pub fn parse_address(query: &str) -> Result<Self, FilterError> {
        if query.len() > MAX_LENGTH {
            return Err(FilterError::new(&brief(query), 0, FilterProblem::TooLong(MAX_LENGTH)));
        }
        Self::from_pairs(form_urlencoded::parse(query.as_bytes()))
    }

    /// Reads the decoded pairs of an address.
    ///
    /// # Errors
    ///
    /// A name that no word has, a value that can't be understood, and what
    /// [`push`](Self::push) refuses.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, FilterError> {
        let mut words = Words::new();
        for (name, value) in pairs {
            let (name, value) = (name.as_ref(), value.as_ref());
            let word = match name.eq_ignore_ascii_case(NOT) {
                true => Word::parse_negated(value)?,
                false => Word::new(Key::parse(name)?, value),
            };
            word.check()?;
            words.push(word)?;
        }
        Ok(words)
    }
}
