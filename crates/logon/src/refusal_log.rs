//! Writing refusals where administrators read: the system's log.

use std::io;

use quarry_cred::Account;

use crate::{Error, sys};

/// Longest name or reason that is written, in characters.
const LONGEST: usize = 300;

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

/// Text that can't begin a line or an escape sequence, of bounded length.
fn tame(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(LONGEST).map(safe).collect()
}
