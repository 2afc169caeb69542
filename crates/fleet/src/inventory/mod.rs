//! The inventory: a TOML text that says which servers there are, how they are reached, and with
//! which credentials.
//!
//! ```toml
//! credential = "corp"                    # of every server that has no other
//!
//! [credentials.corp]
//! username = 'CORP\ann'
//! password-file = "corp.password"        # or password-env, or neither: asked for
//!
//! [servers."dc[01:12].corp"]             # twelve servers
//! groups = ["dcs"]
//!
//! [servers.fred]
//! address = "127.0.0.1"
//! endpoint = 49664
//! logs = ["System", "Security"]
//!
//! [groups]
//! web = ["web[1:3].corp", "fred", "@dcs"]
//!
//! [overrides."*.corp"]
//! authentication = "ntlm"
//! ```
//!
//! The text has no secrets, only where they are to be read; paths in it stay as they are written.
//! Reading an inventory does no I/O. What is wrong with one is told with line and column.
//!
//! # Names
//! Names of servers and groups are the same in either case, as in DNS, and so is a server's name
//! with a dot at its end. A server that only a group names is one too, with settings from the
//! defaults and overrides.

mod build;
mod document;
mod error;
mod groups;
pub mod limits;
mod overrides;
mod select;
mod settings;

pub use error::{InventoryError, InventoryProblem, SelectError};
pub use quarry_even::{Authentication, UnknownAuthentication};
pub use quarry_rpc::epm::MAPPER_PORT;
pub use settings::{AskedAs, ProtocolChoice};

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use quarry_cred::{Account, SecretSource};
use quarry_rpc::smb::SMB_PORT;

use crate::name;
use crate::protocol::Protocol;
use groups::Groups;
use overrides::Overrides;

/// The servers, groups and credentials that there are. The default has none.
#[derive(Clone, Default, Debug)]
pub struct Inventory {
    /// In the order of the text.
    servers: Vec<ServerEntry>,
    /// Places in `servers` by [`name::key`].
    by_key: HashMap<String, usize>,
    groups: Groups,
    credential: Option<String>,
    /// In the order of the text; there are few.
    credentials: Vec<(String, CredentialEntry)>,
    overrides: Overrides,
}

/// A server, and all that the inventory says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ServerEntry {
    /// Its name as it is written; an IPv6 address without brackets.
    pub name: String,
    /// The name or address to connect to: the server's name, where the inventory has nothing
    /// else. An IPv6 address has no brackets.
    pub address: String,
    /// The TCP port of the endpoint mapper, [`MAPPER_PORT`] by default.
    pub mapper_port: u16,
    /// The TCP port of the event log interface itself, where the mapper is not to be asked.
    pub endpoint: Option<u16>,
    /// The TCP port of SMB, [`SMB_PORT`] by default.
    pub smb_port: u16,
    /// What to speak with it, where that is said; see [`speaks`](Self::speaks).
    pub protocol: Option<ProtocolChoice>,
    /// The name of its credential, which [`Inventory::credential`] has. None where the inventory
    /// names none: the program's own is to be used.
    pub credential: Option<String>,
    /// How to authenticate.
    pub authentication: Authentication,
    /// As whom a page asks it.
    pub asked_as: AskedAs,
    /// The logs to read where nobody asks for others; globs are allowed. Empty where the
    /// inventory has none.
    pub logs: Arc<[String]>,
    /// The groups it is in, directly or by another group, in the order of the text, without `all`.
    pub groups: Vec<Arc<str>>,
}

/// An account, and where its secret is to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialEntry {
    /// Who signs in.
    pub account: Account,
    /// Where the secret is: [`File`](SecretSource::File), [`Environment`](SecretSource::Environment)
    /// or [`Prompt`](SecretSource::Prompt).
    ///
    /// A file's path is as the inventory has it. Where it is relative it means the folder of the
    /// inventory, which the caller knows.
    pub secret: SecretSource,
    /// The keytab that has the account's keys, where there is one: then there is no secret to
    /// read, and the account signs in by Kerberos. Its path is as the inventory has it, too.
    pub keytab: Option<PathBuf>,
}

impl Inventory {
    /// Reads an inventory.
    ///
    /// # Errors
    /// The first [`InventoryError`] that is found: text that is no TOML, unknown keys, values that
    /// can't be, two servers of one name, references to what there isn't, groups that contain each
    /// other, and more of anything than [`limits`] allow.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        build::parse(text)
    }

    /// Reads the inventory that is a part of a larger document, such as a program's configuration.
    /// `document_is` is what the document is called where it has a key that it may not have, such as
    /// `a configuration`; `known` are all keys that it may have at its top, an inventory's among
    /// them. What is under the others is passed over.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_within(
        text: &str,
        document_is: &'static str,
        known: &'static [&'static str],
    ) -> Result<Self, InventoryError> {
        build::parse_within(text, document_is, known)
    }

    /// Every server, in the order of the text.
    pub fn servers(&self) -> &[ServerEntry] {
        &self.servers
    }

    /// The names of the groups, in the order of the text, without `all`.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &str> {
        self.groups.names()
    }

    /// The credentials and their names, in the order of the text.
    pub fn credentials(&self) -> impl ExactSizeIterator<Item = (&str, &CredentialEntry)> {
        self.credentials.iter().map(|(name, entry)| (&**name, entry))
    }

    /// The credential with a name, as in [`ServerEntry::credential`].
    pub fn credential(&self, name: &str) -> Option<&CredentialEntry> {
        self.credentials.iter().find(|(other, _)| other == name).map(|(_, entry)| entry)
    }

    /// The servers that a text selects, each once, in the order of [`servers`](Self::servers): a
    /// group (`@dcs`, `@all`), a glob (`*.corp`), names with a range (`dc[01:12].corp`) or a name.
    ///
    /// # Errors
    /// [`SelectError`]: the text is none of these, or selects no server, or names one that the
    /// inventory doesn't have.
    pub fn select(&self, text: &str) -> Result<Vec<&ServerEntry>, SelectError> {
        let places = self.find(text)?;
        Ok(places.into_iter().map(|place| &self.servers[place]).collect())
    }

    /// The servers of a text as in [`select`](Self::select), but names that the inventory doesn't
    /// have, in a range too, are servers nevertheless, as [`server`](Self::server) makes them. A
    /// name or range gives its servers in its own order.
    ///
    /// # Errors
    /// [`SelectError`]; never [`SelectError::UnknownServer`].
    pub fn resolve(&self, text: &str) -> Result<Vec<ServerEntry>, SelectError> {
        match self.names(text)? {
            Some(names) => Ok(names.iter().map(|name| self.server(name)).collect()),
            None => Ok(self.select(text)?.into_iter().cloned().collect()),
        }
    }

    /// The server of a name, be it in the inventory or not: one that isn't has the defaults and
    /// the overrides whose glob it matches. The name is not checked.
    pub fn server(&self, host: &str) -> ServerEntry {
        let key = name::key(host);
        if let Some(&place) = self.by_key.get(&key) {
            return self.servers[place].clone();
        }
        self.unlisted(host, &key)
    }

    /// A server with defaults and overrides only.
    fn unlisted(&self, name: &str, key: &str) -> ServerEntry {
        let mut server = ServerEntry::new(name);
        server.credential.clone_from(&self.credential);
        self.overrides.apply(key, &mut server);
        server
    }
}

impl ServerEntry {
    /// A server of which nothing but its name or address is known.
    pub fn new(host: &str) -> Self {
        let name = name::without_brackets(host);
        ServerEntry {
            name: name.to_owned(),
            address: name.to_owned(),
            mapper_port: MAPPER_PORT,
            endpoint: None,
            smb_port: SMB_PORT,
            protocol: None,
            credential: None,
            authentication: Authentication::default(),
            asked_as: AskedAs::default(),
            logs: Arc::default(),
            groups: Vec::new(),
        }
    }

    /// What to speak with it; none where either protocol will do. Unless that is said, a port
    /// that isn't the usual one tells: whoever names it knows what listens there.
    pub fn speaks(&self) -> Option<Protocol> {
        match self.protocol {
            Some(ProtocolChoice::Any) => None,
            Some(ProtocolChoice::Even6) => Some(Protocol::Even6),
            Some(ProtocolChoice::Even) => Some(Protocol::Even),
            None => {
                let is_even6 = self.mapper_port != MAPPER_PORT || self.endpoint.is_some();
                match (is_even6, self.smb_port != SMB_PORT) {
                    (true, false) => Some(Protocol::Even6),
                    (false, true) => Some(Protocol::Even),
                    _ => None,
                }
            }
        }
    }
}
