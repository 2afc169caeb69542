//! Writing refusals, and what else administrators want to read, to the system's log.

use std::io;

use quarry_cred::Account;

use crate::{Error, sys};

/// Longest name or reason that is written, in characters.
const LONGEST: usize = 300;
/// Longest line, in characters.
const LONGEST_LINE: usize = 2000;

/// Writes to the system's log that a logon of `account` failed, and why: to syslog's `authpriv`
/// on Unix, to the Application log on Windows. `program` is who says so.
///
/// What checks passwords keeps its own records besides (PAM's modules in syslog, Windows as event
/// 4625 of the Security log); these are the only place that say which program asked.
///
/// # Errors
/// If there is no such log, or it can't be written to.
pub fn log_refusal(program: &str, account: &Account, error: &Error) -> io::Result<()> {
    let reason = match error {
        Error::Refused(refusal) => refusal.for_the_log().to_owned(),
        other => other.to_string(),
    };
    let text = format!("logon of {} failed: {}", tame(&account.to_string()), tame(&reason));
    sys::log(&tame(program), &text)
}

/// Writes a line to the same log: what happened, as the program's own words have it. Control
/// characters become question marks, and at most 2,000 characters are written.
///
/// # Errors
/// If there is no such log, or it can't be written to.
pub fn log_line(program: &str, text: &str) -> io::Result<()> {
    sys::log(&tame(program), &tame_to(text, LONGEST_LINE))
}

/// Text that can't begin a line or an escape sequence, of bounded length.
fn tame(text: &str) -> String {
    tame_to(text, LONGEST)
}

fn tame_to(text: &str, longest: usize) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(longest).map(safe).collect()
}
