//! A mistake in a configuration, with its place.

use std::fmt;
use std::path::PathBuf;

use quarry_program::error::Failure;

/// A mistake in a configuration.
#[derive(Clone, Debug)]
pub(crate) struct ConfigError {
    pub(crate) path: PathBuf,
    /// Line and column in characters, from 1, where there is one place.
    pub(crate) place: Option<(usize, usize)>,
    pub(crate) message: String,
    /// The line, and a caret under the place.
    pub(crate) snippet: Option<String>,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ": line {line}, column {column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let message = error.to_string();
        Failure { message, shown: error.snippet, hint: error.hint }
    }
}
