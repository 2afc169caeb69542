//! Words as people type them into a box: `on:@dcs id:4625 -provider:Foo* "logon failure"`.
//!
//! ```text
//! query = [ word *( 1*SP word ) ]
//! word  = [ "-" ] ( key ":" value / "data." name op value / "/" regex "/" / text )
//! op    = "=" / "~=" / "!=" / "!~="
//! value = *( visible except quote ) / DQUOTE *( char / "\" DQUOTE / "\\" ) DQUOTE
//! ```

use std::fmt;

use super::argv::is_command;
use super::{Key, MAX_LENGTH, Word, Words, brief};
use crate::filter::{FilterError, FilterProblem};
use crate::query::Query;

impl Words {
    /// Reads what was typed or pasted: words, an event query (XPath or a `<QueryList>`), or a
    /// command line (`quarry scan …`).
    ///
    /// # Errors
    ///
    /// The first mistake, at its place in the text: a word that is not known, a value that can't be
    /// understood, an open quote, and what [`push`](Self::push) refuses.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > MAX_LENGTH {
            return Err(FilterError::new(&brief(text), 0, FilterProblem::TooLong(MAX_LENGTH)));
        }
        let trimmed = text.trim();
        let mut words = Words::new();
        if is_query(trimmed) {
            Query::parse(text).map_err(FilterError::from)?;
            words.push(Word::new(Key::Xpath, trimmed))?;
            return Ok(words);
        }
        if is_command(trimmed) {
            return Self::parse_command(trimmed);
        }
        let mut reader = Reader { text, at: 0 };
        while let Some((start, value_at, word)) = reader.word()? {
            let at = |at: usize, problem| FilterError::new(text, at, problem);
            word.check().map_err(|error| {
                // A value in quotes may be longer there.
                let is_same = text[value_at..].starts_with(&word.value);
                at(value_at + if is_same { error.place.byte() } else { 0 }, error.problem)
            })?;
            words.push(word).map_err(|error| at(start, error.problem))?;
        }
        Ok(words)
    }
}

/// Whether a text is an event query by itself.
fn is_query(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let is_after = |rest: &str| rest.is_empty() || rest.starts_with(['[', '/', ' ']);
    text.starts_with('<')
        || text.strip_prefix('*').is_some_and(is_after)
        || text.strip_prefix("Event").is_some_and(|rest| rest.starts_with(['[', '/']))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    /// The next word, with where it and its value begin.
    fn word(&mut self) -> Result<Option<(usize, usize, Word)>, FilterError> {
        self.at += self.rest().len() - self.rest().trim_start().len();
        let start = self.at;
        if self.rest().is_empty() {
            return Ok(None);
        }
        let wrong = |text: &str, problem| FilterError::new(text, start, problem);
        let negated = self.rest().len() > 1
            && self.rest().starts_with('-')
            && !self.rest()[1..].starts_with(char::is_whitespace);
        self.at += usize::from(negated);
        let mut flip = negated;
        let (key, before, value_at) = match self.prefix()? {
            Prefix::Key(key) => (Some(key), String::new(), self.at),
            Prefix::Data { name, regex, negated } => {
                flip ^= negated;
                let op = if regex { "~=" } else { "=" };
                (Some(Key::Data), format!("{name}{op}"), self.at)
            }
            Prefix::Regex(regex) => {
                let word = Word::new(Key::Grep, regex);
                let word = if negated { word.negated()? } else { word };
                return Ok(Some((start, start + usize::from(negated) + 1, word)));
            }
            Prefix::None => (None, String::new(), self.at),
        };
        let value = self.value()?;
        let word = match key {
            Some(key) => Word::new(key, before + &value),
            None => Word::new(Key::Grep, regex_syntax::escape(&value)),
        };
        let word = match flip {
            true => word.negated().map_err(|error| wrong(self.text, error.problem))?,
            false => word,
        };
        Ok(Some((start, value_at, word)))
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// What stands before a word's value.
    fn prefix(&mut self) -> Result<Prefix, FilterError> {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
        let chunk = &rest[..end];
        if let Some(inner) = rest.strip_prefix('/') {
            let is_end = |at: usize| inner[at + 1..].chars().next().is_none_or(char::is_whitespace);
            if let Some((at, _)) = inner.match_indices('/').find(|&(at, _)| is_end(at))
                && at > 0
            {
                self.at += at + 2;
                return Ok(Prefix::Regex(inner[..at].to_owned()));
            }
            return Ok(Prefix::None);
        }
        if let Some((data, named)) = chunk.split_once('.')
            && data.eq_ignore_ascii_case(Key::Data.name())
            && let Some((name, _)) = named.split_once('=')
        {
            self.at += data.len() + 1 + name.len() + 1;
            let (name, regex) = name.strip_suffix('~').map_or((name, false), |name| (name, true));
            let (name, negated) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
            return Ok(Prefix::Data { name: name.to_owned(), regex, negated });
        }
        if let Some((name, _)) = chunk.split_once(':')
            // A drive or a number is text.
            && name.len() > 1
            && name.chars().all(|c| c.is_ascii_alphabetic() || c == '-' || c == '_')
        {
            let key = Key::parse(name)
                .map_err(|error| FilterError::new(self.text, self.at, error.problem))?;
            self.at += name.len() + 1;
            return Ok(Prefix::Key(key));
        }
        Ok(Prefix::None)
    }

    /// A value, in quotes or not.
    fn value(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        let wrong = |at, problem| Err(FilterError::new(self.text, at, problem));
        let rest = self.rest();
        let Some(inner) = rest.strip_prefix('"') else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
            if rest[end..].starts_with('"') {
                return wrong(start + end, FilterProblem::StrayQuote);
            }
            self.at += end;
            return Ok(rest[..end].to_owned());
        };
        let mut value = String::new();
        let mut chars = inner.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    let end = start + 1 + at + 1;
                    if self.text[end..].chars().next().is_some_and(|c| !c.is_whitespace()) {
                        return wrong(end, FilterProblem::StrayQuote);
                    }
                    self.at = end;
                    return Ok(value);
                }
                '\\' => match chars.next_if(|&(_, next)| matches!(next, '"' | '\\')) {
                    Some((_, next)) => value.push(next),
                    None => value.push('\\'),
                },
                c => value.push(c),
            }
        }
        wrong(start, FilterProblem::OpenQuote)
    }
}

enum Prefix {
    Key(Key),
    Data { name: String, regex: bool, negated: bool },
    Regex(String),
    None,
}

impl fmt::Display for Words {
    /// The words as they are typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.words.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            word.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("-")?;
        }
        match self.key {
            Key::Grep => {
                let value = &*self.value;
                match literal(value) {
                    Some(text) if is_bare(&text) => f.write_str(&text),
                    Some(text) => write!(f, "{}", quoted(&text)),
                    None if value.is_empty() || value.contains('/') => {
                        write!(f, "grep:{}", quoted(value))
                    }
                    None => write!(f, "/{value}/"),
                }
            }
            Key::Data => match data(&self.value) {
                Some((name, op, value)) => write!(f, "data.{name}{op}{}", shown(value)),
                None => write!(f, "data:{}", shown(&self.value)),
            },
            key => write!(f, "{}:{}", key.name(), shown(&self.value)),
        }
    }
}

/// A test on data in its parts, if its name can stand without quotes.
fn data(value: &str) -> Option<(&str, &str, &str)> {
    let (name, value) = value.split_once('=')?;
    let (name, op) = name.strip_suffix('~').map_or((name, "="), |name| (name, "~="));
    let is_plain = |c: char| !c.is_whitespace() && c != '"';
    (!name.is_empty() && name.chars().all(is_plain) && !name.ends_with(['~', '!']))
        .then_some((name, op, value))
}

/// The text that an expression stands for, if it stands for one only.
fn literal(regex: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' { chars.next()? } else { c });
    }
    (!text.is_empty() && regex_syntax::escape(&text) == regex).then_some(text)
}

/// Whether text is taken for nothing else without quotes.
fn is_bare(text: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '$');
    text.starts_with(char::is_alphanumeric)
        && text.chars().all(is_plain)
        && !is_command(text)
        && !text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data."))
}

/// A value, in quotes where it needs them.
fn shown(value: &str) -> String {
    match value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '"') {
        true => quoted(value),
        false => value.to_owned(),
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}
