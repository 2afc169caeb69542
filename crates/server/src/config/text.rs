//! The text of a configuration, and where in it something is wrong.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use quarry_event::Place;
use quarry_fleet::inventory::{InventoryError, limits};
use quarry_fleet::nearest_name;
use quarry_program::error::plain;

use super::error::ConfigError;

/// A file's text.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    path: PathBuf,
    pub(super) content: String,
}

impl Text {
    /// Reads a file, as long as an inventory may be.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = Text { path: path.to_owned(), content: String::new() };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limits::MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| text.without_place(plain(&error)))?;
        match String::from_utf8(bytes) {
            Ok(content) => Ok(Text { content, ..text }),
            Err(_) => Err(text.without_place("it is not text in UTF-8".to_owned())),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_a_test(content: &str) -> Self {
        Text { path: "quarryd.toml".into(), content: content.to_owned() }
    }

    /// The folder that relative paths start from.
    pub(super) fn folder(&self) -> PathBuf {
        self.path.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// A mistake that has no one place.
    pub(super) fn without_place(&self, message: String) -> ConfigError {
        let path = self.path.clone();
        ConfigError { path, place: None, message, snippet: None, hint: None }
    }

    /// A mistake at a byte.
    pub(super) fn at(&self, at: usize, message: String, hint: Option<String>) -> ConfigError {
        let text = &*self.content;
        let at = text.floor_char_boundary(at.min(text.len()));
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let line = text[start..end].trim_end_matches('\r');
        let place = (1 + text[..start].matches('\n').count(), 1 + text[start..at].chars().count());
        ConfigError {
            path: self.path.clone(),
            place: Some(place),
            message,
            snippet: Some(Place::new(line, at - start).snippet()),
            hint,
        }
    }

    pub(super) fn of_inventory(&self, error: &InventoryError) -> ConfigError {
        ConfigError {
            path: self.path.clone(),
            place: Some((error.line, error.column)),
            message: error.problem.to_string(),
            snippet: Some(error.snippet().to_owned()),
            hint: error.hint(),
        }
    }

    pub(super) fn of_toml(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().trim_end().to_owned();
        let hint = near(&message).map(|near| format!("did you mean {near}?"));
        match error.span() {
            Some(span) => self.at(span.start, message, hint),
            None => ConfigError { hint, ..self.without_place(message) },
        }
    }
}

/// The word that may have been meant: serde says ``unknown field `a`, expected one of `b`, `c` ``.
fn near(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut words = message.split('`').skip(1).step_by(2);
    let wrong = words.next()?;
    nearest_name(wrong, words).map(str::to_owned)
}
