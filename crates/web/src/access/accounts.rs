//! Whoever checks passwords, and stands for those who are signed in.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use quarry_cred::{Account, Secret};
use quarry_fleet::Tickets;

/// Accounts that may sign in: those of the system.
pub trait Accounts: Send + Sync + std::fmt::Debug {
    /// Checks a password. A refusal comes after a delay.
    ///
    /// # Errors
    /// Any [`LogOnError`].
    fn log_on<'a>(
        &'a self,
        account: &'a Account,
        secret: Secret,
        from: IpAddr,
    ) -> BoxFuture<'a, Result<LoggedOn, LogOnError>>;
}

/// Somebody whose password was right.
#[derive(Clone, Debug)]
pub struct LoggedOn {
    /// The name as the system writes it.
    pub user: String,
    /// The names of the groups.
    pub groups: Vec<String>,
    /// Whether the account administers this machine.
    pub is_administrator: bool,
    /// The logon, which ends with its last clone.
    pub logon: Arc<dyn Logon>,
    /// The tickets that servers are asked with as this person; nothing where none is asked so.
    pub tickets: Option<Tickets>,
}

/// A logon of somebody who is signed in.
pub trait Logon: Send + Sync + std::fmt::Debug {
    /// The groups of now, if the account may still be used.
    ///
    /// # Errors
    /// Any [`LogOnError`]; after [`LogOnError::Refused`] and [`LogOnError::Restricted`] its sessions
    /// are to end.
    fn still_good(&self) -> BoxFuture<'_, Result<Vec<String>, LogOnError>>;

    /// Opens a file or folder for reading as the person.
    ///
    /// # Errors
    /// What the system says to the person, and
    /// [`NotConnected`](io::ErrorKind::NotConnected) where the logon has ended.
    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<File>>;
}

/// Why somebody is not logged on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogOnError {
    /// The name or the password is wrong, or there is another reason that isn't told.
    #[error("the name or the password is wrong, or this account may not sign in")]
    Refused,
    /// The password is right, and the account may not be used now.
    #[error("{0}")]
    Restricted(String),
    /// So many people are signing in that this one has to wait.
    #[error("too many people are signing in just now; try again in a moment")]
    Busy,
    /// What checks passwords doesn't answer, or isn't set up. The text is for the administrator.
    #[error("passwords can't be checked just now; the administrator's log says why")]
    NotPossible(String),
}
