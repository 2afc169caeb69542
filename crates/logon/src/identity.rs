//! Who a token stands for.

use std::{fmt, path::PathBuf};

/// A user or group as the system knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PrincipalId {
    /// A user or group number of Unix.
    Unix(u32),
    /// A security identifier of Windows, in text: `S-1-5-21-…`.
    Sid(String),
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(number) => write!(f, "{number}"),
            Self::Sid(sid) => f.write_str(sid),
        }
    }
}

/// Who a token stands for, as the system said when the token was made. Group memberships that
/// change later are not in it, and not in the token either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) user: String,
    pub(crate) domain: Option<String>,
    pub(crate) id: PrincipalId,
    pub(crate) groups: Vec<PrincipalId>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) shell: Option<PathBuf>,
}

impl Identity {
    /// Who an account of this system is, whether or not anybody could log on with it; `None` if there
    /// is no such account.
    ///
    /// # Errors
    /// What the name service says when it can't be asked.
    #[cfg(unix)]
    pub fn of(account: &quarry_cred::Account) -> Result<Option<Self>, crate::Error> {
        crate::sys::look_up(account)
    }

    /// The user's name as the system writes it, which may differ from what was typed. On Unix a
    /// domain user's name may include the domain, as the name service has it.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The domain or computer whose account it is. On Unix nothing for a local account.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The user's number or SID.
    pub fn id(&self) -> &PrincipalId {
        &self.id
    }

    /// All groups, the primary one first.
    pub fn groups(&self) -> &[PrincipalId] {
        &self.groups
    }

    /// The names of all groups that have one, looked up now.
    ///
    /// # Errors
    /// What the name service says when it can't be asked.
    #[cfg(unix)]
    pub fn group_names(&self) -> Result<Vec<String>, crate::Error> {
        crate::sys::group_names(self)
    }

    /// The home folder (the profile folder on Windows, once it is known).
    pub fn home(&self) -> Option<&std::path::Path> {
        self.home.as_deref()
    }

    /// The login shell, on Unix.
    pub fn shell(&self) -> Option<&std::path::Path> {
        self.shell.as_deref()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.domain {
            // The name service of a domain member puts it there already.
            Some(domain) if !self.user.contains(['\\', '@']) => {
                write!(f, "{domain}\\{} ({})", self.user, self.id)
            }
            _ => write!(f, "{} ({})", self.user, self.id),
        }
    }
}
