//! Account names in the three ways in which Windows takes them.

use std::fmt;
use std::str::FromStr;

/// Longest user name in UTF-16 units (`UNLEN`).
pub const MAX_USER_CHARS: usize = 256;
/// Longest domain, realm or computer name in UTF-16 units (a DNS name).
pub const MAX_AUTHORITY_CHARS: usize = 255;

/// An account: `ann`, `CORP\ann`, `.\ann` or `ann@corp.example`.
///
/// What was typed is kept, since Windows treats the forms differently: it looks
/// a bare name up first on the machine, then in its domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    user: String,
    authority: Option<String>,
    form: AccountForm,
}

/// How an account name was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountForm {
    /// `ann`: the server decides where to look.
    Bare,
    /// `CORP\ann`; with `.` for the domain, an account of the server itself.
    DownLevel,
    /// `ann@corp.example`, a user principal name.
    Principal,
}

/// Why a text is not an account name. The fault is the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Nothing before the `@`, after the `\`, or at all.
    #[error("the account name has no user")]
    NoUser,
    /// Nothing before the `\` or after the `@`.
    #[error("the account name has no domain before the backslash or after the @")]
    NoAuthority,
    /// A character that no Windows account name may have.
    #[error("the account name may not contain {0:?}")]
    Character(char),
    /// Longer than [`MAX_USER_CHARS`] or [`MAX_AUTHORITY_CHARS`].
    #[error("the account name is too long")]
    TooLong,
}

impl Account {
    /// The user's name, without domain or realm.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The domain (`CORP`, `.`) or the realm (`corp.example`), when one was named.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// How the name was written.
    pub fn form(&self) -> AccountForm {
        self.form
    }

    /// User and domain as NTLM sends them (MS-NLMP 2.2.1.3). A principal name
    /// travels whole as the user, with an empty domain; so does Windows' own.
    pub fn ntlm_names(&self) -> (String, String) {
        match (self.form, &self.authority) {
            (AccountForm::Principal, Some(realm)) => {
                (format!("{}@{realm}", self.user), String::new())
            }
            (_, Some(domain)) => (self.user.clone(), domain.clone()),
            (_, None) => (self.user.clone(), String::new()),
        }
    }

    /// Whether both name the same account as Windows compares: without regard
    /// to case. Forms are not translated into each other, as only a domain
    /// controller can.
    pub fn same_as(&self, other: &Account) -> bool {
        let fold = |a: &Account| {
            (a.form, a.user.to_lowercase(), a.authority.as_deref().map(str::to_lowercase))
        };
        fold(self) == fold(other)
    }
}

impl FromStr for Account {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let (user, authority, form) = if let Some((domain, user)) = text.split_once('\\') {
            (user, Some(domain), AccountForm::DownLevel)
        } else if let Some((user, realm)) = text.rsplit_once('@') {
            (user, Some(realm), AccountForm::Principal)
        } else {
            (text, None, AccountForm::Bare)
        };
        if user.is_empty() {
            return Err(AccountError::NoUser);
        }
        check_characters(user)?;
        if user.encode_utf16().count() > MAX_USER_CHARS {
            return Err(AccountError::TooLong);
        }
        if let Some(authority) = authority {
            if authority.is_empty() {
                return Err(AccountError::NoAuthority);
            }
            check_characters(authority)?;
            if authority.encode_utf16().count() > MAX_AUTHORITY_CHARS {
                return Err(AccountError::TooLong);
            }
        }
        Ok(Self { user: user.to_owned(), authority: authority.map(str::to_owned), form })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.form, &self.authority) {
            (AccountForm::DownLevel, Some(domain)) => write!(f, "{domain}\\{}", self.user),
            (AccountForm::Principal, Some(realm)) => write!(f, "{}@{realm}", self.user),
            _ => f.write_str(&self.user),
        }
    }
}

/// What `NetUserAdd` refuses in a name, less the `@` that a principal name's
/// user may contain.
fn check_characters(part: &str) -> Result<(), AccountError> {
    const FORBIDDEN: &[char] =
        &['"', '/', '\\', '[', ']', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>'];
    match part.chars().find(|c| c.is_control() || FORBIDDEN.contains(c)) {
        Some(c) => Err(AccountError::Character(c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        for (text, user, authority, form) in [
            ("ann", "ann", None, AccountForm::Bare),
            (r"CORP\ann", "ann", Some("CORP"), AccountForm::DownLevel),
            (r".\ann", "ann", Some("."), AccountForm::DownLevel),
            ("ann@corp.example", "ann", Some("corp.example"), AccountForm::Principal),
            ("ann@home@corp.example", "ann@home", Some("corp.example"), AccountForm::Principal),
            ("Jürgen Müller", "Jürgen Müller", None, AccountForm::Bare),
        ] {
            let account: Account = text.parse().unwrap();
            assert_eq!(account.user(), user);
            assert_eq!(account.authority(), authority);
            assert_eq!(account.form(), form);
            assert_eq!(account.to_string(), text);
        }
    }

    #[test]
    fn what_no_server_would_take_is_refused_here() {
        for (text, why) in [
            ("", AccountError::NoUser),
            (r"CORP\", AccountError::NoUser),
            ("@corp", AccountError::NoUser),
            (r"\ann", AccountError::NoAuthority),
            ("ann@", AccountError::NoAuthority),
            (r"a\b\c", AccountError::Character('\\')),
            ("a/b", AccountError::Character('/')),
            ("ann\n", AccountError::Character('\n')),
            ("a\0", AccountError::Character('\0')),
        ] {
            assert_eq!(text.parse::<Account>(), Err(why), "{text:?}");
        }
        assert_eq!("x".repeat(257).parse::<Account>(), Err(AccountError::TooLong));
    }

    #[test]
    fn ntlm_sends_a_principal_name_whole_and_without_a_domain() {
        let names = |text: &str| text.parse::<Account>().unwrap().ntlm_names();
        assert_eq!(names("ann@corp.example"), ("ann@corp.example".into(), String::new()));
        assert_eq!(names(r"CORP\ann"), ("ann".into(), "CORP".into()));
        assert_eq!(names("ann"), ("ann".into(), String::new()));
    }

    #[test]
    fn accounts_are_compared_without_regard_to_case() {
        let account = |text: &str| text.parse::<Account>().unwrap();
        assert!(account(r"corp\Ann").same_as(&account(r"CORP\aNN")));
        assert!(!account(r"corp\ann").same_as(&account("ann")));
    }

    proptest! {
        #[test]
        fn what_parses_is_shown_as_it_was_written(text in "\\PC{0,40}") {
            if let Ok(account) = text.parse::<Account>() {
                prop_assert_eq!(account.to_string(), text);
            }
        }
    }
}
