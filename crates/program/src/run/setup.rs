//! Setting up a run: what every command that reads sources does before it reads the first of them.

use quarry_eventlog::Direction;

use super::Run;
use crate::args::{CodePageArgs, ReadArgs, ShowArgs, TerminalArgs, TextArgs, WorkArgs};
use crate::error::Failure;
use crate::filter::Question;
use crate::input::FileOptions;
use crate::source::Inputs;
use crate::texts::RunTexts;

/// How the sources of a run are read.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// How things are shown, and what is said on standard error.
    pub terminal: &'a TerminalArgs,
    /// How much of the machine is taken.
    pub work: &'a WorkArgs,
    /// The code page of ANSI strings.
    pub code_page: &'a CodePageArgs,
    /// Where message text is taken from; from nowhere if not given.
    pub texts: Option<&'a TextArgs>,
    /// Whether message text is shown. It is also wanted where events are searched.
    pub shows_texts: bool,
    /// Whether people read what is shown, who want words beside values.
    pub is_for_people: bool,
    /// The order of records.
    pub direction: Direction,
    /// Whether files are read in the order of time, rather than one after the other.
    pub by_time: bool,
    /// How files are read.
    pub files: FileOptions,
    /// Whether servers are asked for other logs than the question names, as rules need them.
    pub is_routed: bool,
}

impl<'a> Setup<'a> {
    /// Forwards, without message text, recovered records or anything else that is optional.
    pub fn new(
        terminal: &'a TerminalArgs,
        work: &'a WorkArgs,
        code_page: &'a CodePageArgs,
    ) -> Self {
        Setup {
            terminal,
            work,
            code_page,
            texts: None,
            shows_texts: false,
            is_for_people: false,
            direction: Direction::Forward,
            by_time: false,
            files: FileOptions { recover: false, tell_copies: true },
            is_routed: false,
        }
    }

    /// The same, with the message text that the options name.
    pub fn of(show: &'a ShowArgs) -> Self {
        let texts = Some(&show.texts);
        Setup { texts, ..Setup::new(&show.terminal, &show.work, &show.code_page) }
    }

    /// Begins the run: opens what knows message text, prints the question's warnings, and finds out
    /// what the sources stand for. Passwords are asked for here, before anything is shown.
    ///
    /// When the run is summed up, it names what the question asks for and no record has.
    ///
    /// # Errors
    /// The inventory can't be read, or options contradict each other.
    pub fn begin(self, question: &Question, read: &ReadArgs) -> Result<(Run, Inputs), Failure> {
        let mut run = Run::new(self.terminal, self.work, self.direction);
        run.by_time = self.by_time;
        run.file_options = self.files;
        run.ansi = self.code_page.ansi_codepage;
        if let Some(texts) = self.texts {
            let is_wanted = self.shows_texts || question.is_searched();
            let texts = RunTexts::open(texts, is_wanted, &run.console);
            run.texts = texts.with_standard_words(self.is_for_people);
        }
        question.warn(&run.console);
        run.missing = Some(question.missing());
        let inputs = run.inputs(&read.sources, &read.servers)?;
        let names_logs = self.is_routed || !question.selection.logs().is_empty();
        run.has_usual_logs = !names_logs && !inputs.servers.is_empty();
        Ok((run, inputs))
    }
}
