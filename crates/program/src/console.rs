//! What is said on standard error (progress, warnings, errors, the summary), and what is known of
//! the terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quarry_event::text::harmless;

use crate::args::{TerminalArgs, When};
use crate::error::Failure;
use crate::trace;

/// Standard error. Each copy is the same one.
#[derive(Clone, Debug)]
pub struct Console {
    color: ColorChoice,
    quiet: bool,
    verbose: bool,
    started: Instant,
}

/// How far the work is. Of files and servers, where there are any, those done and all.
#[derive(Debug)]
pub struct Progress {
    /// Files.
    pub files: Option<(u64, u64)>,
    /// Servers.
    pub servers: Option<(u64, u64)>,
    /// Files and servers that failed.
    pub failed: u64,
    /// Records that were read.
    pub records: u64,
    /// Events that matched.
    pub matched: u64,
    /// Servers that are still waited for, some by name.
    pub awaited: Option<String>,
}

/// When the line of progress begins to say who is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The progress that is shown.
static SHOWN: LazyLock<Mutex<ProgressBar>> = LazyLock::new(|| Mutex::new(ProgressBar::hidden()));

/// Whether standard output is a terminal too, on which progress would stand among the events.
static IS_SHARED: LazyLock<bool> = LazyLock::new(|| io::stdout().is_terminal());

/// Whether no progress is to be shown.
static IS_HIDDEN: AtomicBool = AtomicBool::new(false);

/// Whether each line of standard error begins with its time.
static HAS_TIMES: AtomicBool = AtomicBool::new(false);

fn shown() -> ProgressBar {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Does something while no progress is shown. It must not print to the console: where progress is shown, that
/// waits for itself.
fn without_progress<R>(act: impl FnOnce() -> R) -> R {
    let bar = shown();
    // What writes slowly, to a terminal that is held up, would keep all others from printing.
    if bar.is_hidden() { act() } else { bar.suspend(act) }
}

/// What a line begins with.
fn time() -> String {
    match HAS_TIMES.load(Ordering::Relaxed) {
        true => format!("{:.3} ", jiff::Timestamp::now()),
        false => String::new(),
    }
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

impl Console {
    /// Standard error in colour or not, with errors alone where it is to be `quiet`.
    pub fn new(color: When, quiet: bool) -> Self {
        Console { color: choice(color), quiet, verbose: false, started: Instant::now() }
    }

    /// As the options ask for.
    pub fn of(args: &TerminalArgs) -> Self {
        let console = Console { verbose: args.verbose > 0, ..Console::new(args.color, args.quiet) };
        trace::show(args.verbose, &console);
        console
    }

    /// Whether errors are all that is shown.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Shows no progress in what follows, as standard output has lines that aren't ended.
    pub fn hide_progress() {
        IS_HIDDEN.store(true, Ordering::Relaxed);
    }

    /// Shows progress from now on, where there is a terminal for it.
    pub fn start_progress(&self) {
        if self.quiet || IS_HIDDEN.load(Ordering::Relaxed) || !io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// Begins each line, or the first of several that belong together, with its time, in UTC to the millisecond.
    pub fn show_times() {
        HAS_TIMES.store(true, Ordering::Relaxed);
    }

    /// A line that is no console's own, beside whatever progress is shown.
    pub fn line(text: &str) {
        without_progress(|| {
            let mut stderr = io::stderr().lock();
            // At once: it isn't buffered. There is nowhere to tell that it can't be written to.
            let _ = stderr.write_all(format!("{}{}\n", time(), safe(text)).as_bytes());
        });
    }

    /// Shows how far the work is.
    pub fn progress(&self, progress: impl FnOnce() -> Progress) {
        let bar = shown();
        if bar.is_hidden() {
            return;
        }
        let progress = progress();
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let kinds = [(progress.files, "files"), (progress.servers, "servers")];
        let mut parts: Vec<String> = kinds
            .into_iter()
            .filter_map(|(done, name)| done.map(|(done, all)| (done, all, name)))
            .map(|(done, all, name)| format!("{} of {} {name}", grouped(done), grouped(all)))
            .collect();
        if progress.failed > 0 {
            parts.push(format!("{} failed", grouped(progress.failed)));
        }
        parts.push(format!("{} records", grouped(progress.records)));
        parts.push(format!("{} matched", grouped(progress.matched)));
        parts.push(format!("{}/s", grouped((progress.records as f64 / seconds) as u64)));
        let mut text = parts.join(", ");
        if let Some(awaited) = progress.awaited.filter(|_| self.started.elapsed() > PATIENCE) {
            text += &format!("; waiting for {awaited}");
        }
        bar.set_message(safe(&text));
    }

    /// Ends the progress, and leaves nothing of it.
    pub fn end_progress(&self) {
        shown().finish_and_clear();
    }

    /// Does something that writes to standard output, and nothing to the console, beside whatever progress is
    /// shown.
    pub fn beside<R>(write: impl FnOnce() -> R) -> R {
        if *IS_SHARED { without_progress(write) } else { write() }
    }

    /// Says what is wrong, shows where, and what to do.
    pub fn error(&self, failure: &Failure) {
        let Failure { message, shown, hint } = failure;
        let mut text = format!("{ERROR}error:{ERROR:#} {}\n", safe(message));
        for line in shown.iter().flat_map(|shown| shown.lines()) {
            let _ = writeln!(text, "  {}", safe(line));
        }
        if let Some(hint) = hint {
            let _ = writeln!(text, "{HINT}hint:{HINT:#} {}", safe(hint));
        }
        self.print(&text);
    }

    /// Says something that somebody should know and may not want to.
    pub fn warning(&self, message: &str) {
        if !self.quiet {
            self.print(&format!("{WARNING}warning:{WARNING:#} {}\n", safe(message)));
        }
    }

    /// A warning that nobody can ask not to see: a secret is at risk, or records are missing and
    /// nothing else says so.
    pub fn caution(&self, message: &str) {
        self.print(&format!("{WARNING}warning:{WARNING:#} {}\n", safe(message)));
    }

    /// Says something on the way.
    pub fn note(&self, message: &str) {
        if !self.quiet {
            self.print(&format!("{}\n", safe(message)));
        }
    }

    /// What is of interest to some; it is made only for them.
    pub fn detail(&self, message: impl FnOnce() -> String) {
        if self.verbose {
            self.note(&message());
        }
    }

    fn print(&self, text: &str) {
        without_progress(|| {
            let mut stream = AutoStream::new(io::stderr().lock(), self.color);
            // There is nowhere to tell that standard error can't be written to.
            let _ = stream.write_all(format!("{}{text}", time()).as_bytes());
        });
    }
}

/// Whether to colour what goes to standard output.
pub fn stdout_color(when: When) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => AutoStream::choice(&io::stdout()) != ColorChoice::Never,
    }
}

fn choice(when: When) -> ColorChoice {
    match when {
        When::Auto => ColorChoice::Auto,
        When::Always => ColorChoice::Always,
        When::Never => ColorChoice::Never,
    }
}

/// The width to fit a table into: the terminal's, or what `COLUMNS` says where standard output is
/// none. Nothing where a table needs not fit.
pub fn stdout_width() -> Option<usize> {
    let terminal = terminal_size::terminal_size_of(io::stdout());
    let terminal = terminal.map(|(width, _)| usize::from(width.0)).filter(|&width| width > 0);
    let told = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|&width: &usize| width > 0);
    let fallback = || io::stdout().is_terminal().then_some(80);
    terminal.or_else(told).or_else(fallback).map(|width| width.max(20))
}

/// A number with commas: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text that doesn't act on a terminal: names of files and what servers send can hold anything.
fn safe(text: &str) -> String {
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        assert_eq!(safe("a\u{1b}[2Jb\n\u{9b}\u{202e}c"), "a␛[2Jb \u{fffd}\u{fffd}c");
    }
}
