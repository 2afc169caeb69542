//! The tables of an inventory that say how servers are read: settings and credentials.

use std::path::PathBuf;
use std::sync::Arc;

use quarry_cred::{Account, SecretSource};
use quarry_even::{Authentication, UnknownAuthentication};
use quarry_event::filter::Glob;

use super::document::{Document, Entry, Text};
use super::error::{InventoryError, InventoryProblem};
use super::limits::MAX_LOGS;
use super::{CredentialEntry, ServerEntry};
use crate::name;

type Result<T> = std::result::Result<T, InventoryError>;

const SERVER_KEYS: &[&str] = &[
    "address",
    "protocol",
    "mapper-port",
    "endpoint",
    "smb-port",
    "credential",
    "authentication",
    "as",
    "logs",
    "groups",
];
const OVERRIDE_KEYS: &[&str] = &[
    "protocol",
    "mapper-port",
    "endpoint",
    "smb-port",
    "credential",
    "authentication",
    "as",
    "logs",
];
const CREDENTIAL_KEYS: &[&str] = &["username", "password-file", "password-env", "keytab"];

/// Which protocol a server is to be read in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProtocolChoice {
    /// MS-EVEN6, and MS-EVEN where that can't be had.
    Any,
    /// MS-EVEN6.
    Even6,
    /// MS-EVEN over SMB.
    Even,
}

impl ProtocolChoice {
    /// The word for it in an inventory.
    fn of_word(word: &str) -> Option<Self> {
        match word {
            "any" => Some(Self::Any),
            "even6" => Some(Self::Even6),
            "even" => Some(Self::Even),
            _ => None,
        }
    }
}

/// As whom a page asks a server. Programs that nobody signs in to ask with the credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum AskedAs {
    /// As the account of its credential.
    #[default]
    Service,
    /// As who is signed in to the page, with the Kerberos ticket that they got by it.
    Person,
}

impl AskedAs {
    /// The word for it in an inventory.
    fn of_word(word: &str) -> Option<Self> {
        match word {
            "service" => Some(Self::Service),
            "person" => Some(Self::Person),
            _ => None,
        }
    }
}

/// What a server's or an override's table says; nothing where it says nothing.
#[derive(Clone, Default, Debug)]
pub(super) struct Settings {
    pub(super) mapper_port: Option<u16>,
    pub(super) endpoint: Option<u16>,
    pub(super) smb_port: Option<u16>,
    pub(super) protocol: Option<ProtocolChoice>,
    pub(super) credential: Option<Text>,
    pub(super) authentication: Option<Authentication>,
    pub(super) asked_as: Option<AskedAs>,
    pub(super) logs: Option<Arc<[String]>>,
}

/// What only a server's own table says.
#[derive(Default)]
pub(super) struct OwnSettings {
    pub(super) settings: Settings,
    pub(super) address: Option<Text>,
    pub(super) groups: Vec<Text>,
}

impl Settings {
    /// Reads an override's table.
    pub(super) fn of_override(document: Document<'_>, table: &Entry<'_>) -> Result<Self> {
        let mut settings = Settings::default();
        for entry in document.table(table)? {
            if settings.read(document, &entry)? {
                continue;
            }
            let instead = match &*entry.key.value {
                "address" => "one address can't be that of many servers; it belongs in [servers]",
                "groups" => "write the glob into the group: [groups] NAME = [\"GLOB\"]",
                _ => return Err(unknown_key(document, &entry, "an override", OVERRIDE_KEYS)),
            };
            let key = entry.key.value.clone();
            let problem = InventoryProblem::Misplaced { key, instead };
            return Err(document.error(entry.key.span.start, problem));
        }
        Ok(settings)
    }

    /// Reads an entry that both servers and overrides have; false if it is another.
    fn read(&mut self, document: Document<'_>, entry: &Entry<'_>) -> Result<bool> {
        match &*entry.key.value {
            "mapper-port" => self.mapper_port = Some(document.port(entry)?),
            "endpoint" => self.endpoint = Some(document.port(entry)?),
            "smb-port" => self.smb_port = Some(document.port(entry)?),
            "protocol" => {
                let text = document.text(entry)?;
                let Some(choice) = ProtocolChoice::of_word(&text.value) else {
                    let problem = InventoryProblem::Protocol(brief(&text.value));
                    return Err(document.error(text.span.start, problem));
                };
                self.protocol = Some(choice);
            }
            "credential" => self.credential = Some(document.text(entry)?),
            "authentication" => {
                let text = document.text(entry)?;
                let parsed = text.value.parse().map_err(|UnknownAuthentication(other)| {
                    document.error(text.span.start, InventoryProblem::Authentication(other))
                })?;
                self.authentication = Some(parsed);
            }
            "logs" => self.logs = Some(logs(document, entry)?),
            "as" => {
                let text = document.text(entry)?;
                let Some(asked_as) = AskedAs::of_word(&text.value) else {
                    let problem = InventoryProblem::AskedAs(brief(&text.value));
                    return Err(document.error(text.span.start, problem));
                };
                self.asked_as = Some(asked_as);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Puts what is said into a server.
    pub(super) fn apply(&self, server: &mut ServerEntry) {
        server.mapper_port = self.mapper_port.unwrap_or(server.mapper_port);
        server.endpoint = self.endpoint.or(server.endpoint);
        server.smb_port = self.smb_port.unwrap_or(server.smb_port);
        server.protocol = self.protocol.or(server.protocol);
        server.authentication = self.authentication.unwrap_or(server.authentication);
        server.asked_as = self.asked_as.unwrap_or(server.asked_as);
        if let Some(credential) = &self.credential {
            server.credential = Some(credential.value.clone());
        }
        if let Some(logs) = &self.logs {
            server.logs = Arc::clone(logs);
        }
    }
}

impl OwnSettings {
    /// Reads a server's table.
    pub(super) fn of_server(document: Document<'_>, table: &Entry<'_>) -> Result<Self> {
        let mut own = OwnSettings::default();
        for entry in document.table(table)? {
            match &*entry.key.value {
                "address" => own.address = Some(document.text(&entry)?),
                "groups" => own.groups = document.texts(&entry)?,
                _ if own.settings.read(document, &entry)? => {}
                _ => return Err(unknown_key(document, &entry, "a server", SERVER_KEYS)),
            }
        }
        Ok(own)
    }
}

impl CredentialEntry {
    /// Reads a credential's table.
    pub(super) fn read(document: Document<'_>, table: &Entry<'_>) -> Result<Self> {
        let (mut account, mut secret, mut keytab) = (None, None, None);
        for entry in document.table(table)? {
            let at = entry.key.span.start;
            match &*entry.key.value {
                "username" => {
                    let text = document.text(&entry)?;
                    let parsed = text.value.parse::<Account>().map_err(|error| {
                        document.error(text.span.start, InventoryProblem::Account(error))
                    })?;
                    account = Some(parsed);
                }
                "password-file" | "password-env" | "keytab"
                    if secret.is_some() || keytab.is_some() =>
                {
                    return Err(document.error(at, InventoryProblem::TwoSecrets));
                }
                "password-file" => {
                    let text = document.text(&entry)?;
                    secret = Some(SecretSource::File(PathBuf::from(text.value)));
                }
                "keytab" => keytab = Some(PathBuf::from(document.text(&entry)?.value)),
                "password-env" => {
                    let text = document.text(&entry)?;
                    let parsed = format!("env:{}", text.value)
                        .parse()
                        .map_err(|_| document.error(text.span.start, InventoryProblem::Variable))?;
                    secret = Some(parsed);
                }
                "password" => {
                    let problem = InventoryProblem::InlinePassword;
                    return Err(document.error_without_value(&entry, problem));
                }
                _ => return Err(unknown_key(document, &entry, "a credential", CREDENTIAL_KEYS)),
            }
        }
        let name = &table.key;
        let no_username = || {
            let problem = InventoryProblem::NoUsername(name.value.clone());
            document.error(name.span.start, problem)
        };
        let account = account.ok_or_else(no_username)?;
        let secret = secret.unwrap_or(SecretSource::Prompt);
        Ok(CredentialEntry { account, secret, keytab })
    }
}

/// An error about a key that a table doesn't have. Its value isn't shown: it may be a misspelt
/// key's password.
pub(super) fn unknown_key(
    document: Document<'_>,
    entry: &Entry<'_>,
    table: &'static str,
    known: &'static [&'static str],
) -> InventoryError {
    let key = entry.key.value.clone();
    let nearest = name::nearest(&key, known.iter().copied());
    let near = known.iter().copied().find(|known| Some(*known) == nearest);
    let problem = InventoryProblem::UnknownKey { key: brief(&key), table, near, known };
    document.error_without_value(entry, problem)
}

/// A text to be shown in a message, cut where it is long.
pub(super) fn brief(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", text[..at].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

fn logs(document: Document<'_>, entry: &Entry<'_>) -> Result<Arc<[String]>> {
    let texts = document.texts(entry)?;
    if let Some(text) = texts.get(MAX_LOGS) {
        let problem = InventoryProblem::TooMany { what: "logs of a server", limit: MAX_LOGS };
        return Err(document.error(text.span.start, problem));
    }
    for text in &texts {
        Glob::parse(&text.value).map_err(|error| {
            document.error_in(text, error.place.byte(), InventoryProblem::Glob(error.problem))
        })?;
    }
    Ok(texts.into_iter().map(|text| text.value).collect())
}
