//! An inventory's text as TOML whose every key and value knows its place; nothing here knows what
//! servers are.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::{InventoryError, InventoryProblem, line_and_column};
use super::limits::{MAX_TEXT_BYTES, MAX_TEXT_VALUE_BYTES};

type Result<T> = std::result::Result<T, InventoryError>;

/// The text that values are read out of, to say where something is wrong.
#[derive(Clone, Copy)]
pub(super) struct Document<'t> {
    text: &'t str,
}

/// A key or a text of the document.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) value: String,
    /// Where it stands, with its quotes.
    pub(super) span: Range<usize>,
}

/// A value that is in a table, with its key.
pub(super) struct Entry<'v> {
    pub(super) key: Text,
    value: &'v DeValue<'v>,
    span: Range<usize>,
}

impl<'t> Document<'t> {
    /// Reads a text as TOML and hands its outermost table to `read`.
    pub(super) fn read<T>(
        text: &'t str,
        read: impl FnOnce(Self, Vec<Entry<'_>>) -> Result<T>,
    ) -> Result<T> {
        let document = Document { text };
        if text.len() > MAX_TEXT_BYTES {
            return Err(InventoryError::new(text, 0, None, InventoryProblem::TooLong));
        }
        match DeTable::parse(text) {
            Ok(table) => read(document, document.entries(table.get_ref())),
            Err(error) => Err(document.no_toml(&error)),
        }
    }

    pub(super) fn error(self, at: usize, problem: InventoryProblem) -> InventoryError {
        InventoryError::new(self.text, at, None, problem)
    }

    /// An error about an entry whose value may be a secret.
    pub(super) fn error_without_value(
        self,
        entry: &Entry<'_>,
        problem: InventoryProblem,
    ) -> InventoryError {
        InventoryError::new(self.text, entry.key.span.start, Some(entry.span.clone()), problem)
    }

    /// An error at a byte of a text of the document.
    pub(super) fn error_in(
        self,
        text: &Text,
        at: usize,
        problem: InventoryProblem,
    ) -> InventoryError {
        let source = &self.text[text.span.clone()];
        // With escapes in it, bytes of the text and of its source don't go together.
        let at = match source.find(&*text.value) {
            Some(quotes) if source.len() - text.value.len() <= 2 => quotes + at,
            _ => 0,
        };
        self.error(text.span.start + at, problem)
    }

    /// The line and column of a byte, from 1.
    pub(super) fn line_and_column(self, at: usize) -> (usize, usize) {
        line_and_column(self.text, at)
    }

    /// The entries of a table, in the order of the text.
    pub(super) fn table<'v>(self, entry: &Entry<'v>) -> Result<Vec<Entry<'v>>> {
        match entry.value {
            DeValue::Table(table) => Ok(self.entries(table)),
            other => Err(self.type_error(&entry.span, "a table", other)),
        }
    }

    /// A text that is not empty, of one line.
    pub(super) fn text(self, entry: &Entry<'_>) -> Result<Text> {
        self.text_of(entry.value, &entry.span, "a text in quotes")
    }

    /// Several texts.
    pub(super) fn texts(self, entry: &Entry<'_>) -> Result<Vec<Text>> {
        const WANTED: &str = "a list of texts, such as [\"a\", \"b\"],";
        match entry.value {
            DeValue::Array(array) => array
                .iter()
                .map(|item| self.text_of(item.get_ref(), &item.span(), "a text in quotes"))
                .collect(),
            other => Err(self.type_error(&entry.span, WANTED, other)),
        }
    }

    /// A port.
    pub(super) fn port(self, entry: &Entry<'_>) -> Result<u16> {
        match entry.value {
            DeValue::Integer(integer) => u16::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| self.error(entry.span.start, InventoryProblem::Port)),
            other => Err(self.type_error(&entry.span, "a port's number", other)),
        }
    }

    /// A key that is used as a name, which is under the same rules as any text.
    pub(super) fn key<'e>(self, entry: &'e Entry<'_>) -> Result<&'e Text> {
        self.check(&entry.key)?;
        Ok(&entry.key)
    }

    fn text_of(
        self,
        value: &DeValue<'_>,
        span: &Range<usize>,
        wanted: &'static str,
    ) -> Result<Text> {
        match value {
            DeValue::String(value) => {
                let text = Text { value: value.clone().into_owned(), span: span.clone() };
                self.check(&text)?;
                Ok(text)
            }
            other => Err(self.type_error(span, wanted, other)),
        }
    }

    fn check(self, text: &Text) -> Result<()> {
        if text.value.is_empty() {
            return Err(self.error(text.span.start, InventoryProblem::Empty));
        }
        if text.value.len() > MAX_TEXT_VALUE_BYTES {
            return Err(self.error(text.span.start, InventoryProblem::LongValue));
        }
        match text.value.char_indices().find(|(_, c)| c.is_control()) {
            Some((at, c)) => Err(self.error_in(text, at, InventoryProblem::Control(c))),
            None => Ok(()),
        }
    }

    fn entries<'v>(self, table: &'v DeTable<'v>) -> Vec<Entry<'v>> {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| Entry {
                key: Text { value: key.get_ref().clone().into_owned(), span: key.span() },
                value: value.get_ref(),
                span: value.span(),
            })
            .collect();
        entries.sort_by_key(|entry| entry.key.span.start);
        entries
    }

    fn type_error(
        self,
        span: &Range<usize>,
        wanted: &'static str,
        found: &DeValue<'_>,
    ) -> InventoryError {
        let found = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(span.start, InventoryProblem::Type { wanted, found })
    }

    fn no_toml(self, error: &toml::de::Error) -> InventoryError {
        // There is a place in every error that comes of a text.
        let span = error.span().unwrap_or_default();
        let repeated = match error.message() {
            "duplicate key" => self.first_of(&span),
            _ => None,
        };
        let problem = match repeated {
            Some(first) => {
                let (line, column) = self.line_and_column(first.span.start);
                InventoryProblem::Repeated { key: first.value, line, column }
            }
            None => InventoryProblem::Toml(error.message().to_owned()),
        };
        self.error(span.start, problem)
    }

    /// The first of two keys that are the same, of which the second is at `span`: the parser only
    /// names the second.
    fn first_of(self, span: &Range<usize>) -> Option<Text> {
        let start = self.text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next()?;
        if !line.trim_start().starts_with('[') {
            let (table, _) = DeTable::parse_recoverable(self.text);
            let mut last = None;
            let key = format!("{} = 0", self.text.get(span.clone())?);
            let name = DeTable::parse(&key).ok()?;
            let name = name.get_ref().keys().next()?.get_ref().to_string();
            last_before(table.get_ref(), &name, span.start, &mut last);
            return last;
        }
        // A header such as [servers.fred]: what is above it is read by itself.
        let header = DeTable::parse(line).ok()?;
        let (above, _) = DeTable::parse_recoverable(&self.text[..start]);
        let (mut header, mut above) = (header.get_ref(), above.get_ref());
        loop {
            let (key, value) = header.iter().next()?;
            let (first, inner) = above.get_key_value(key)?;
            if key.span().start + start == span.start {
                let value = first.get_ref().clone().into_owned();
                return Some(Text { value, span: first.span() });
            }
            header = value.get_ref().as_table()?;
            above = inner.get_ref().as_table()?;
        }
    }
}

/// The last key of a name that is before a byte, in a table or those in it.
fn last_before(table: &DeTable<'_>, name: &str, before: usize, last: &mut Option<Text>) {
    for (key, value) in table {
        let span = key.span();
        let later = last.as_ref().is_none_or(|last| last.span.start < span.start);
        if span.start < before && later && key.get_ref() == name {
            *last = Some(Text { value: name.to_owned(), span });
        }
        if let DeValue::Table(inner) = value.get_ref() {
            last_before(inner, name, before, last);
        }
    }
}
