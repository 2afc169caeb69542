//! What ends a command before its time, and how a run ends: the exit statuses.

use std::process::ExitCode;

use quarry_event::filter::FilterError;

/// An error for the user: one line that says what is wrong, perhaps more lines that show where,
/// and perhaps a hint on what to do.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is wrong, in a line.
    pub message: String,
    /// Where, in lines.
    pub shown: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// Something that is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), shown: None, hint: None }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An option's text that can't be understood.
    pub fn of_option(option: &str, error: &FilterError) -> Self {
        let mut failure = Failure::new(format!("{option}: {error}"));
        // In a short word one sees the mistake without a caret.
        if error.place.text().len() > 20 || error.place.byte() > 0 {
            failure.shown = Some(error.place.snippet());
        }
        failure
    }

    /// An error that can only come from the system.
    pub fn io(what: &str, error: &std::io::Error) -> Self {
        Failure::new(format!("{what}: {}", plain(error)))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// An I/O error's text in lowercase and without the number of the system's error.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Why nothing more can be taken.
#[derive(Debug)]
pub enum Closed {
    /// Nobody reads any more, which is no error.
    Pipe,
    /// It can't be written.
    Failed(Failure),
}

/// The result of writing, where a closed pipe is no failure: whoever closed it has seen enough.
///
/// # Errors
/// What was written could not be.
pub fn delivered(result: Result<(), Closed>) -> Result<(), Failure> {
    match result {
        Err(Closed::Failed(failure)) => Err(failure),
        Err(Closed::Pipe) | Ok(()) => Ok(()),
    }
}

impl From<std::io::Error> for Closed {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Closed::Pipe,
            _ => Closed::Failed(Failure::io("standard output", &error)),
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Events came.
    pub matched: bool,
    /// Sources that were read.
    pub read: u64,
    /// Sources that could not be read.
    pub failed: u64,
    /// Holes in what was read of sources, which nobody asked for.
    pub holes: u64,
    /// Texts on the command line that stand for nothing.
    pub mistakes: u64,
    /// By Ctrl-C.
    pub interrupted: bool,
}

impl Outcome {
    /// The exit status that says so.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(self.status())
    }

    fn status(self) -> u8 {
        match self {
            Outcome { interrupted: true, .. } => 130,
            Outcome { mistakes: 1.., .. } => 2,
            Outcome { failed: 1.., read: 0, matched: false, .. } => 2,
            Outcome { failed: 1.., .. } | Outcome { holes: 1.., .. } => 3,
            Outcome { matched: true, .. } => 0,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_that_of_the_design() {
        let status = |matched, read, failed, interrupted| {
            Outcome { matched, read, failed, interrupted, ..Outcome::default() }.status()
        };
        assert_eq!(status(true, 1, 0, false), 0);
        assert_eq!(status(false, 1, 0, false), 1);
        assert_eq!(status(false, 0, 2, false), 2);
        assert_eq!(status(true, 1, 1, false), 3);
        // What a server sent before it died.
        assert_eq!(status(true, 0, 1, false), 3);
        assert_eq!(status(false, 1, 1, false), 3);
        assert_eq!(status(true, 1, 1, true), 130);
        let all_read = Outcome { matched: true, read: 3, ..Outcome::default() };
        assert_eq!(Outcome { holes: 1, ..all_read }.status(), 3);
        assert_eq!(Outcome { mistakes: 1, ..all_read }.status(), 2);
        assert_eq!(Outcome { mistakes: 1, interrupted: true, ..all_read }.status(), 130);
    }

    #[test]
    fn a_system_s_error_is_plain_text() {
        let error = std::io::Error::from_raw_os_error(2);
        assert!(!plain(&error).contains("os error"));
        assert!(plain(&error).starts_with(|c: char| c.is_lowercase()));
    }
}
