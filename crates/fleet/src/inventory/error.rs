//! What can be wrong with an inventory, and with a text that selects servers.

use std::ops::Range;

use quarry_cred::AccountError;
use quarry_event::Place;
use quarry_event::filter::FilterProblem;

use super::limits::*;
use crate::name::NameProblem;
use crate::pattern::PatternProblem;

/// An inventory that can't be used: what is wrong, and where. The fault is the inventory's.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct InventoryError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: Box<InventoryProblem>,
    snippet: String,
}

impl InventoryError {
    /// An error at a byte of the text. `hidden` is the value of a key that may be a secret.
    pub(super) fn new(
        text: &str,
        at: usize,
        hidden: Option<Range<usize>>,
        problem: InventoryProblem,
    ) -> Self {
        let at = text.floor_char_boundary(at);
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let line = without_secrets(text, start..end, hidden);
        // Each character is still one, so the column is the same.
        let column = 1 + text[start..at].chars().count();
        let moved = line.char_indices().nth(column - 1).map_or(line.len(), |(at, _)| at);
        Self {
            line: 1 + text[..start].matches('\n').count(),
            column,
            snippet: Place::new(&line, moved).snippet(),
            problem: Box::new(problem),
        }
    }

    /// Two lines to print below the message: the inventory's line and a caret under the place.
    /// What may be a password, put there by mistake, is left blank.
    pub fn snippet(&self) -> &str {
        &self.snippet
    }

    /// What to do about it, where there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        self.problem.hint()
    }
}

/// What is wrong with an inventory.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryProblem {
    /// Longer than [`MAX_TEXT_BYTES`].
    #[error("an inventory has at most {} MiB", MAX_TEXT_BYTES >> 20)]
    TooLong,
    /// Not TOML; why.
    #[error("not TOML: {0}")]
    Toml(String),
    /// One key twice in one table.
    #[error("`{key}` was there before, at line {line}, column {column}")]
    Repeated {
        /// The key.
        key: String,
        /// The line of the first, from 1.
        line: usize,
        /// The column of the first, in characters from 1.
        column: usize,
    },
    /// A key that the table doesn't have.
    #[error("{table} has no `{key}`; it has {}", known.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
        /// The table, to be read as the beginning of a sentence.
        table: &'static str,
        /// The key that may have been meant.
        near: Option<&'static str>,
        /// The keys that there are.
        known: &'static [&'static str],
    },
    /// A key of a server where it would mean nothing; what to do instead.
    #[error("`{key}` has no place here")]
    Misplaced {
        /// The key.
        key: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// A value of another type.
    #[error("{wanted} is expected here, not {found}")]
    Type {
        /// What is expected.
        wanted: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// An empty text.
    #[error("the text is empty")]
    Empty,
    /// A longer text than [`MAX_TEXT_VALUE_BYTES`].
    #[error("the text is longer than the {MAX_TEXT_VALUE_BYTES} bytes that are allowed")]
    LongValue,
    /// A control character.
    #[error("the text has the control character {0:?}")]
    Control(char),
    /// A number that is no port.
    #[error("a port is a whole number from 1 to 65535")]
    Port,
    /// Not a server's name.
    #[error(transparent)]
    Name(NameProblem),
    /// Not a range.
    #[error(transparent)]
    Range(PatternProblem),
    /// Not a glob, in a group or an override or as a log's name.
    #[error(transparent)]
    Glob(FilterProblem),
    /// Two servers of one name.
    #[error("there is a server `{name}` already, at line {line}, column {column}")]
    SameServer {
        /// The name.
        name: String,
        /// The line of the other, from 1.
        line: usize,
        /// The column of the other, in characters from 1.
        column: usize,
    },
    /// One address, or too few, for the servers of a range.
    #[error("{addresses} for {servers} servers")]
    Addresses {
        /// How many servers the range has.
        servers: usize,
        /// How many addresses there are, such as `1 address`.
        addresses: String,
    },
    /// A secret in the inventory.
    #[error("a password never stands in the inventory itself")]
    InlinePassword,
    /// A credential without an account.
    #[error("the credential `{0}` has no username")]
    NoUsername(String),
    /// Not an account name.
    #[error(transparent)]
    Account(AccountError),
    /// Not a variable's name.
    #[error("this can't be the name of an environment variable")]
    Variable,
    /// Both `password-file` and `password-env`.
    #[error("a credential has one of password-file, password-env and keytab")]
    TwoSecrets,
    /// A credential that there isn't.
    #[error("there is no credential `{name}`")]
    UnknownCredential {
        /// The name.
        name: String,
        /// The name that may have been meant.
        near: Option<String>,
    },
    /// Not a way to authenticate.
    #[error("`{0}` is not a way to authenticate; there are negotiate, ntlm and kerberos")]
    Authentication(String),
    /// Not a protocol.
    #[error("`{0}` is not a protocol; there are any, even6 and even")]
    Protocol(String),
    /// Not a way to say as whom a server is asked.
    #[error("`as` is `service` or `person`, and `{0}` is neither")]
    AskedAs(String),
    /// Not a group's name.
    #[error("a group's name may not contain {0:?}")]
    GroupName(char),
    /// A group `all`.
    #[error("the group `all` is every server by itself")]
    All,
    /// Two groups whose names differ in case only.
    #[error("there is a group `{name}` already, at line {line}, column {column}")]
    SameGroup {
        /// The name.
        name: String,
        /// The line of the other, from 1.
        line: usize,
        /// The column of the other, in characters from 1.
        column: usize,
    },
    /// A group that there isn't.
    #[error("there is no group `@{name}`")]
    UnknownGroup {
        /// The name.
        name: String,
        /// The name that may have been meant.
        near: Option<String>,
    },
    /// Groups that have each other as members.
    #[error("these groups contain each other: {0}")]
    Cycle(String),
    /// A glob in a group that matches no server.
    #[error("`{0}` matches no server of the inventory")]
    NoMatch(String),
    /// More of something than is allowed.
    #[error("more than the {limit} {what} that are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// Groups in groups, more than [`MAX_GROUP_DEPTH`].
    #[error("groups are at most {MAX_GROUP_DEPTH} deep in each other")]
    TooDeep,
}

impl InventoryProblem {
    fn hint(&self) -> Option<String> {
        let fixed = |hint: &str| Some(hint.to_owned());
        match self {
            // The parser's words for a backslash that begins no escape.
            Self::Toml(message) if message.contains("escape") || message.contains("unicode") => {
                fixed(
                    "in double quotes a backslash begins an escape; write accounts and Windows \
                     paths in single quotes: 'CORP\\ann'",
                )
            }
            Self::UnknownKey { near: Some(near), .. } => Some(format!("did you mean {near}?")),
            Self::Misplaced { instead, .. } => fixed(instead),
            Self::UnknownCredential { near: Some(near), .. } => {
                Some(format!("did you mean {near}?"))
            }
            Self::UnknownCredential { name, near: None } => {
                Some(format!("a table [credentials.{name}] with a username would make it one"))
            }
            Self::UnknownGroup { near: Some(near), .. } => Some(format!("did you mean @{near}?")),
            Self::AskedAs(_) => fixed(
                "with `service` the page asks with the inventory's credential, with `person` by the \
                 Kerberos ticket of who is signed in",
            ),
            Self::InlinePassword => fixed(
                "put it into a file and name that with password-file, or name an environment \
                 variable with password-env; with neither it is asked for on the terminal",
            ),
            Self::NoUsername(_) => fixed(r"write username = 'CORP\ann'"),
            Self::Name(NameProblem::Wildcard(_)) => fixed(
                "a range of servers is written dc[01:12]; settings for every server that a glob \
                 matches go into [overrides.\"GLOB\"]",
            ),
            Self::Name(NameProblem::Colon(_)) => fixed(
                "ports have keys of their own, mapper-port, endpoint and smb-port; an IPv6 \
                 address may stand in brackets",
            ),
            Self::Name(NameProblem::Character('/' | '\\')) => {
                fixed("only the name: fred, neither \\\\fred nor even6://fred")
            }
            Self::Name(NameProblem::Character('@')) => {
                fixed("groups are members of groups only, as in web = [\"@dcs\"]")
            }
            Self::Range(PatternProblem::Digits(_)) => {
                fixed("write both ends with as many digits, such as [001:100]")
            }
            Self::SameServer { .. } => fixed("write all of a server's settings into one table"),
            Self::Addresses { .. } => {
                fixed("an address may have ranges too, such as address = \"10.0.0.[1:12]\"")
            }
            Self::GroupName('@') => {
                fixed("the @ is only written where a group is used, not where it is named")
            }
            Self::Cycle(_) => fixed("take one of them out of the other"),
            _ => None,
        }
    }
}

/// A text that selects no servers.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// A group that there isn't.
    #[error("the inventory has no group `@{name}`{}", did_you_mean("@", .near))]
    UnknownGroup {
        /// The name, without the `@`.
        name: String,
        /// The name that may have been meant.
        near: Option<String>,
    },
    /// A group without servers; `@all` of an inventory that has none.
    #[error("the group `@{0}` has no servers")]
    EmptyGroup(String),
    /// A server that there isn't, or one of a range.
    #[error("the inventory has no server `{name}`{}", did_you_mean("", .near))]
    UnknownServer {
        /// The name.
        name: String,
        /// The name that may have been meant.
        near: Option<String>,
    },
    /// A glob that matches nothing.
    #[error("`{0}` matches no server of the inventory")]
    NoMatch(String),
    /// Not a glob.
    #[error(transparent)]
    Glob(FilterProblem),
    /// Not a range.
    #[error(transparent)]
    Range(PatternProblem),
    /// Not a server's name.
    #[error(transparent)]
    Name(NameProblem),
    /// More than [`MAX_GLOBS`] globs, made by a range.
    #[error("a text selects by at most {MAX_GLOBS} globs")]
    TooManyGlobs,
}

fn did_you_mean(before: &str, near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!("; did you mean {before}{near}?"))
}

/// The line and column of a byte of the text, both from 1.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    (1 + text[..start].matches('\n').count(), 1 + text[start..at].chars().count())
}

/// A line of the text in which blanks stand for what may be a secret: the value of a key that
/// sounds like one. Text that isn't even TOML has to be looked at, so this reads no TOML.
fn without_secrets(text: &str, line: Range<usize>, hidden: Option<Range<usize>>) -> String {
    let mut secrets: Vec<_> = hidden.into_iter().collect();
    let mut at = 0;
    while let Some(found) = text[at..line.end].find('=') {
        let equals = at + found;
        at = equals + 1;
        if !sounds_secret(&text[..equals]) {
            continue;
        }
        let value = text[at..].trim_start_matches([' ', '\t']);
        let begin = text.len() - value.len();
        // A text of several lines goes on until its quotes come again.
        let several = ["\"\"\"", "'''"].into_iter().find(|quotes| value.starts_with(quotes));
        let end = match several {
            Some(quotes) => value[3..].find(quotes).map(|length| length + 6),
            None => value.find('\n'),
        };
        let end = end.map_or(text.len(), |length| begin + length);
        secrets.push(begin..end);
        if several.is_some() {
            at = end.min(line.end);
        }
    }
    let blank = |at: usize| secrets.iter().any(|secret| secret.contains(&at));
    let characters = text[line.clone()].char_indices();
    characters.map(|(at, c)| if blank(line.start + at) { ' ' } else { c }).collect()
}

/// Whether the key that a text ends with sounds like a password.
fn sounds_secret(text: &str) -> bool {
    // Longer than any key that matters, and short enough to look at for every `=`.
    const MAX_KEY: usize = 64;
    let text = text.trim_end_matches([' ', '\t', '"', '\'']);
    let text = &text[text.ceil_char_boundary(text.len().saturating_sub(MAX_KEY))..];
    let key = text.rsplit(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).next();
    let key = key.unwrap_or_default().to_lowercase();
    // A variable's name may be the password itself, put there by mistake; so may a path, but paths
    // are what backslashes go wrong in, which one has to see.
    key != "password-file" && ["pas", "pw", "secret"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, at: usize) -> String {
        InventoryError::new(text, at, None, InventoryProblem::Empty).snippet
    }

    #[test]
    fn what_may_be_a_password_is_never_shown() {
        for text in [
            "password = \"hunter2\"",
            "password = hunter2",
            "password=hunter2 # =hunter2",
            "\"password\" = 'hunter2'",
            "corp = { username = 'ann', password = 'hunter2' }",
            "Passphrase = 'hunter2'",
            "db_pwd = 'hunter2'",
            "client-secret = 'hunter2'",
            "password = \"\"\"\nhunter2\"\"\"",
            "password = '''\nx\nhunter2",
            "pasword = 'hunter2'",
            "password-env = 'hunter2'",
        ] {
            for at in 0..text.len() {
                assert!(!shown(text, at).contains("hunter2"), "{text} {at}");
            }
        }
    }

    #[test]
    fn what_can_be_no_password_is_shown() {
        for text in ["password-file = 'a'", "username = 'pass'"] {
            assert_eq!(shown(text, 2), format!("{text}\n  ^"));
        }
        let text = "password = '''\nx'''\nusername = ''";
        assert_eq!(shown(text, text.len() - 2), "username = ''\n           ^");
        assert_eq!(shown("password = 'é' #", 15), "password =\n              ^");
    }
}
