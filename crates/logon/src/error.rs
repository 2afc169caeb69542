//! What can go wrong, and who is at fault.

use std::{fmt, io, time::Duration};

/// Why a user was not logged on, or a thread or process did not become that user.
///
/// That a thread cannot be itself again is not here: the process is aborted then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The account doesn't exist, the password is wrong, the account is locked, or the system
    /// has another reason that it only gives to its administrator. Which of them is not said.
    #[error("the logon was refused")]
    Refused(Refusal),
    /// The password is right, and the account may not be used: it has expired, or it may not log
    /// on now, from here, or in this way.
    #[error("the password is right, but the account may not log on: {}", .0.reason)]
    Restricted(Refusal),
    /// The password is right and has expired. It has to be changed by other means first.
    #[error("the password is right, but it has expired and must be changed first{}", after(.said))]
    PasswordExpired {
        /// What the system said of that; may be empty.
        said: String,
    },
    /// This process lacks a right or privilege.
    #[error("{what} needs {name}: {advice}")]
    Privilege {
        /// What was to be done, as in "becoming another user".
        what: &'static str,
        /// The privilege's name on this system, such as `SeImpersonatePrivilege` or `CAP_SETUID`.
        name: &'static str,
        /// What the administrator can do about it.
        advice: &'static str,
    },
    /// This system can't do that at all.
    #[error("{what} is not possible here: {why}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// Why there is no such thing.
        why: &'static str,
    },
    /// What checks passwords here is missing or not set up; that is the administrator's to mend.
    #[error("{what}: {reason}")]
    NotSetUp {
        /// What is missing.
        what: String,
        /// What the system said.
        reason: String,
    },
    /// The password was accepted, and then the user database knew no such user.
    #[error("the user database has no entry for {user}, whose password was accepted")]
    UnknownToSystem {
        /// The name asked for.
        user: String,
    },
    /// The thread did not become what it was to become. It is as it was before, and nothing
    /// was done as the wrong user.
    #[error("after becoming {wanted}, the thread was {found}")]
    Mismatch {
        /// Whom the thread should have become.
        wanted: String,
        /// What the system said that it was.
        found: String,
    },
    /// A program can't be started as the user.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system failed while it was asked to do `what`.
    #[error("cannot {what}: {source}")]
    System {
        /// The step that failed, as in "start a thread".
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The reason for a refusal, for the administrator's log and not for whom it concerns: it may tell
/// whether the account exists.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) reason: String,
    /// The longest delay that was asked for by whatever checked the password.
    pub(crate) delay: Duration,
}

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), delay: Duration::ZERO }
    }

    /// The system's own reason. To be written where only administrators read.
    pub fn for_the_log(&self) -> &str {
        &self.reason
    }
}

/// What the system said, after a sentence of ours.
fn after(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl fmt::Debug for Refusal {
    /// Shows nothing, so that a reason that tells too much doesn't get out by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusal(hidden)")
    }
}

impl Error {
    pub(crate) fn delay_asked(&self) -> Duration {
        match self {
            Self::Refused(refusal) | Self::Restricted(refusal) => refusal.delay,
            _ => Duration::ZERO,
        }
    }

    #[cfg(unix)]
    pub(crate) fn last(what: &'static str) -> Self {
        Self::System { what, source: io::Error::last_os_error() }
    }

    /// Whether it was the user's name, password or account that was at fault, and not the system
    /// or this program. Such a failure is answered no sooner than the logon's refusal delay.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::Restricted(_)
                | Self::PasswordExpired { .. }
                | Self::UnknownToSystem { .. }
        )
    }
}
