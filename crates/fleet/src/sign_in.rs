//! Who signs in to the servers of an inventory, and by what.
//!
//! A secret is read once, and only when a server needs it; a ticket-granting ticket is got once for
//! all servers that one account signs in to; and a password has one [`Gate`], by whatever it is
//! proved, so that a wrong one is tried once. Reading secrets is the program's part: it implements
//! [`Secrets`].

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_cred::{Account, Credential, Gate, KerberosCredential, Keytab, Secret, SecretSource};
use quarry_even::{Authentication, LogOn};
use quarry_event::filter::FilterError;
use quarry_rpc::tcp::Timeouts;
use quarry_rpc::tickets::{Configuration, Tickets};

use crate::address::{ServerUrl, UrlError};
use crate::inventory::{AskedAs, CredentialEntry, Inventory, SelectError, ServerEntry};
use crate::server::Server;
use crate::source::Source;

/// Reads what signs in. A closure that reads passwords is one.
pub trait Secrets {
    /// Why something can't be read.
    type Error: Clone + fmt::Debug + fmt::Display;

    /// Reads the password of an account from where it is said to be.
    ///
    /// # Errors
    /// The program's own. It is kept, and holds for all servers that need the same password.
    fn password(&mut self, account: &Account, source: &SecretSource)
    -> Result<Secret, Self::Error>;

    /// Reads a keytab; `None` where the program has none.
    ///
    /// # Errors
    /// As of [`password`](Self::password).
    fn keytab(&mut self, path: &Path) -> Result<Option<Keytab>, Self::Error> {
        let _ = path;
        Ok(None)
    }

    /// The name of the user's ticket cache, such as `FILE:/tmp/krb5cc_1000`; `None` for the one that
    /// the configuration names.
    ///
    /// # Errors
    /// As of [`password`](Self::password).
    fn ticket_cache(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(None)
    }

    /// Kerberos' configuration. By default DNS tells what there is.
    ///
    /// # Errors
    /// As of [`password`](Self::password).
    fn kerberos_configuration(&mut self) -> Result<Configuration, Self::Error> {
        Ok(Configuration::default())
    }
}

impl<F, E> Secrets for F
where
    F: FnMut(&Account, &SecretSource) -> Result<Secret, E>,
    E: Clone + fmt::Debug + fmt::Display,
{
    type Error = E;

    fn password(&mut self, account: &Account, source: &SecretSource) -> Result<Secret, E> {
        self(account, source)
    }
}

/// What the user says of signing in, which counts more than the inventory.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SignInOptions {
    /// Who signs in to every server.
    pub account: Option<Account>,
    /// Where that account's password is. `None` is [`SecretSource::Prompt`], unless the user's
    /// tickets will do.
    pub password: Option<SecretSource>,
    /// Kerberos and nothing else, unless [`authentication`](Self::authentication) allows more.
    pub kerberos: bool,
    /// The keytab that every server is signed in to with.
    pub keytab: Option<PathBuf>,
    /// How to sign in to every server.
    pub authentication: Option<Authentication>,
    /// How long a connection and an answer may take.
    pub timeouts: Timeouts,
    /// The folder that relative paths in the inventory are in.
    pub folder: PathBuf,
}

impl SignInOptions {
    /// Nothing but what the inventory has.
    pub fn new() -> Self {
        SignInOptions::default()
    }

    /// Sets who signs in to every server, and where the password is.
    pub fn account(mut self, account: Account, password: Option<SecretSource>) -> Self {
        (self.account, self.password) = (Some(account), password);
        self
    }

    /// Sets whether it is Kerberos and nothing else.
    pub fn kerberos(mut self, kerberos: bool) -> Self {
        self.kerberos = kerberos;
        self
    }

    /// Sets the keytab that every server is signed in to with.
    pub fn keytab(mut self, keytab: Option<PathBuf>) -> Self {
        self.keytab = keytab;
        self
    }

    /// Sets how to sign in to every server.
    pub fn authentication(mut self, authentication: Option<Authentication>) -> Self {
        self.authentication = authentication;
        self
    }

    /// Sets how long a connection and an answer may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the folder that relative paths in the inventory are in.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }
}

/// Why a server can't be signed in to.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError<E: fmt::Display> {
    /// Nobody says who signs in.
    #[error("{server}: no user name to sign in with")]
    NoAccount {
        /// The server's name.
        server: String,
    },
    /// NTLM and nothing else is asked for, and so is Kerberos.
    #[error("{server}: Kerberos and NTLM alone exclude each other")]
    Contradiction {
        /// The server's name.
        server: String,
    },
    /// The inventory doesn't have the credential of the server's entry, which is another's.
    #[error("the inventory has no credential {0}")]
    UnknownCredential(String),
    /// A keytab is needed, and the program reads none.
    #[error("the keytab {} can't be read here", .0.display())]
    NoKeytab(PathBuf),
    /// One of the server's logs is no glob.
    #[error("the logs of {server} in the inventory: {error}")]
    Logs {
        /// The server's name.
        server: String,
        /// What is wrong with it.
        error: FilterError,
    },
    /// A secret can't be read.
    #[error("{0}")]
    Secret(E),
}

/// A text that stands for no server.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins as a URL and is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The inventory doesn't have it.
    #[error("{text}: {error}")]
    Select {
        /// The text.
        text: String,
        /// What is wrong with it.
        error: SelectError,
    },
}

/// Why there are no servers to read for a text.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServersError<E: fmt::Display> {
    /// It stands for none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// One of them can't be signed in to.
    #[error(transparent)]
    SignIn(SignInError<E>),
}

/// Signs in to the servers of an inventory.
pub struct SignIn<S: Secrets> {
    inventory: Inventory,
    options: SignInOptions,
    is_for_persons: bool,
    secrets: S,
    credentials: HashMap<Who, Known<Credential, S>>,
    /// By whoever has a keytab or tickets, if not by a password: one exchange for each.
    tickets: HashMap<Option<Who>, Known<Tickets, S>>,
    logons: HashMap<(Option<Who>, Authentication), Known<LogOn, S>>,
}

/// Who signs in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Who {
    /// Whom the user names.
    User(Account),
    /// A credential of the inventory, by its name.
    Inventory(String),
}

/// What Kerberos is shown.
enum Proof {
    KeytabOrCache(KerberosCredential),
    PasswordOf(Who),
}

/// What signs in, and the gate that goes with it, once that was found out.
type Known<T, S> = Result<(T, Gate), SignInError<<S as Secrets>::Error>>;

impl<S: Secrets> SignIn<S> {
    /// For the servers of an inventory, and others, with what the program reads.
    pub fn new(inventory: Inventory, options: SignInOptions, secrets: S) -> Self {
        SignIn {
            inventory,
            options,
            is_for_persons: false,
            secrets,
            credentials: HashMap::new(),
            tickets: HashMap::new(),
            logons: HashMap::new(),
        }
    }

    /// The same where whoever asks signs in by themselves: servers that the inventory has asked as a
    /// [person](AskedAs::Person) are left to them.
    #[must_use]
    pub fn for_persons(mut self) -> Self {
        self.is_for_persons = true;
        self
    }

    /// The inventory.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The entries that a name, range, glob, `@group` or URL stands for.
    ///
    /// # Errors
    /// [`AddressError`]: it stands for none.
    pub fn entries(&self, text: &str) -> Result<Vec<ServerEntry>, AddressError> {
        if ServerUrl::is_meant(text) {
            return Ok(vec![text.parse::<ServerUrl>()?.entry(&self.inventory)]);
        }
        let select = |error| AddressError::Select { text: text.to_owned(), error };
        self.inventory.resolve(text).map_err(select)
    }

    /// The server of an entry, with who signs in there. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`SignInError`].
    pub fn server(&mut self, entry: &ServerEntry) -> Result<Server, SignInError<S::Error>> {
        if self.is_for_persons && entry.asked_as == AskedAs::Person {
            return Server::of_persons(entry, self.options.timeouts)
                .map_err(|error| SignInError::Logs { server: entry.name.clone(), error });
        }
        let (logon, gate) = self.logon(entry)?;
        let mut entry = entry.clone();
        if let Some(authentication) = self.options.authentication {
            entry.authentication = authentication;
        } else if self.is_kerberos_told() && entry.authentication == Authentication::Ntlm {
            entry.authentication = Authentication::Negotiate;
        }
        Server::of_inventory(&entry, logon, gate, self.options.timeouts)
            .map_err(|error| SignInError::Logs { server: entry.name, error })
    }

    /// The servers that a text stands for, as in [`entries`](Self::entries), ready to be read.
    ///
    /// # Errors
    /// [`ServersError`]: it stands for none, or one of them can't be signed in to.
    pub fn servers(&mut self, text: &str) -> Result<Vec<Arc<dyn Source>>, ServersError<S::Error>> {
        let mut servers: Vec<Arc<dyn Source>> = Vec::new();
        for entry in self.entries(text)? {
            servers.push(Arc::new(self.server(&entry).map_err(ServersError::SignIn)?));
        }
        Ok(servers)
    }

    /// Who signs in to a server, and by what.
    fn logon(&mut self, entry: &ServerEntry) -> Known<LogOn, S> {
        // Who signs in is said by the user, or else by the inventory.
        let who = match self.options.account.is_some() || self.options.keytab.is_some() {
            true => self.options.account.clone().map(Who::User),
            false => entry.credential.clone().map(Who::Inventory),
        };
        let by = self.authentication(entry, who.as_ref())?;
        let known = (who, by);
        if let Some(known) = self.logons.get(&known) {
            return known.clone();
        }
        let made = match known.clone() {
            (None, Authentication::Ntlm) => {
                return Err(SignInError::NoAccount { server: entry.name.clone() });
            }
            (Some(who), Authentication::Ntlm) => {
                self.credential(who).map(|(credential, gate)| (LogOn::Ntlm(credential), gate))
            }
            (who, by) => self.kerberos(who, by == Authentication::Negotiate),
        };
        self.logons.insert(known, made.clone());
        made
    }

    /// By what one signs in to a server: [`Negotiate`](Authentication::Negotiate) is Kerberos, and
    /// NTLM where that can't be.
    fn authentication(
        &self,
        entry: &ServerEntry,
        who: Option<&Who>,
    ) -> Result<Authentication, SignInError<S::Error>> {
        use Authentication::{Kerberos, Negotiate, Ntlm};
        let in_inventory = match who {
            Some(Who::Inventory(name)) => self.inventory.credential(name),
            _ => None,
        };
        let keytab = match in_inventory {
            Some(entry) => entry.keytab.is_some(),
            None => self.options.keytab.is_some(),
        };
        let by_kerberos = self.options.kerberos || keytab;
        let contradiction = || SignInError::Contradiction { server: entry.name.clone() };
        // What the user says counts more than what the inventory has.
        match (self.options.authentication, entry.authentication) {
            (Some(Kerberos), _) => Ok(Kerberos),
            (Some(Ntlm), _) if by_kerberos => Err(contradiction()),
            // There is no password for NTLM in a keytab.
            (Some(Negotiate), _) if keytab => Ok(Kerberos),
            // NTLM is allowed then, and not preferred to the Kerberos of the inventory.
            (Some(Negotiate), Kerberos) => Ok(Negotiate),
            (Some(Negotiate), _) if by_kerberos => Ok(Negotiate),
            (Some(_), _) => Ok(Ntlm),
            (None, Ntlm) if by_kerberos && !self.is_kerberos_told() => Err(contradiction()),
            (None, Kerberos) => Ok(Kerberos),
            (None, _) if !by_kerberos => Ok(Ntlm),
            (None, _) => Ok(Kerberos),
        }
    }

    /// Whether the user says that it is Kerberos.
    fn is_kerberos_told(&self) -> bool {
        self.options.kerberos || self.options.keytab.is_some()
    }

    /// By Kerberos; and by NTLM where that can't be, if it is allowed and there is a password.
    fn kerberos(&mut self, who: Option<Who>, allows_ntlm: bool) -> Known<LogOn, S> {
        let (tickets, gate) = match self.tickets.get(&who) {
            Some(known) => known.clone()?,
            None => {
                let made = self.make_tickets(who.clone());
                self.tickets.insert(who.clone(), made.clone());
                made?
            }
        };
        let credential = who.and_then(|who| self.credentials.get(&who));
        let logon = match credential {
            Some(Ok((credential, _))) if allows_ntlm => {
                LogOn::KerberosOrNtlm(tickets, credential.clone())
            }
            _ => LogOn::Kerberos(tickets),
        };
        Ok((logon, gate))
    }

    fn make_tickets(&mut self, who: Option<Who>) -> Known<Tickets, S> {
        match self.proof(who)? {
            Proof::KeytabOrCache(credential) => {
                Ok((self.tickets_of(credential, None)?, Gate::default()))
            }
            Proof::PasswordOf(who) => {
                let (credential, gate) = self.credential(who)?;
                // One gate, whatever the password is tried by.
                let credential = KerberosCredential::Password(credential);
                Ok((self.tickets_of(credential, Some(gate.clone()))?, gate))
            }
        }
    }

    fn tickets_of(
        &mut self,
        credential: KerberosCredential,
        gate: Option<Gate>,
    ) -> Result<Tickets, SignInError<S::Error>> {
        let configuration = self.secrets.kerberos_configuration().map_err(SignInError::Secret)?;
        Ok(Tickets::new(credential, configuration, self.options.timeouts.connect, gate))
    }

    /// A keytab or the user's tickets, where one of them is meant; or else a password.
    fn proof(&mut self, who: Option<Who>) -> Result<Proof, SignInError<S::Error>> {
        let (account, keytab, password) = match &who {
            Some(Who::Inventory(name)) => {
                let entry = self.entry(name)?;
                let keytab = entry.keytab.as_ref().map(|path| self.options.folder.join(path));
                // Nothing is asked for: whoever types a password does that for kinit.
                let is_read = entry.secret != SecretSource::Prompt;
                (Some(entry.account.clone()), keytab, is_read)
            }
            Some(Who::User(account)) => {
                let is_read = self.options.password.is_some();
                (Some(account.clone()), self.options.keytab.clone(), is_read)
            }
            None => (None, self.options.keytab.clone(), false),
        };
        match (keytab, who) {
            (Some(path), _) => self.keytab(account, &path).map(Proof::KeytabOrCache),
            (None, Some(who)) if password => Ok(Proof::PasswordOf(who)),
            (None, _) => self.cache(account).map(Proof::KeytabOrCache),
        }
    }

    fn entry(&self, credential: &str) -> Result<&CredentialEntry, SignInError<S::Error>> {
        let entry = self.inventory.credential(credential);
        // The inventory was checked to have it, if the server's entry is its own.
        entry.ok_or_else(|| SignInError::UnknownCredential(credential.to_owned()))
    }

    fn keytab(
        &mut self,
        account: Option<Account>,
        path: &Path,
    ) -> Result<KerberosCredential, SignInError<S::Error>> {
        let keytab = self.secrets.keytab(path).map_err(SignInError::Secret)?;
        let keytab = keytab.ok_or_else(|| SignInError::NoKeytab(path.to_owned()))?;
        Ok(KerberosCredential::Keytab { account, keytab: Arc::new(keytab) })
    }

    fn cache(
        &mut self,
        account: Option<Account>,
    ) -> Result<KerberosCredential, SignInError<S::Error>> {
        let name = self.secrets.ticket_cache().map_err(SignInError::Secret)?;
        Ok(KerberosCredential::Cache { account, name })
    }

    /// A password and whose it is. It is read once, by whatever ways it is used.
    fn credential(&mut self, who: Who) -> Known<Credential, S> {
        if let Some(known) = self.credentials.get(&who) {
            return known.clone();
        }
        let read = self.read_credential(&who);
        self.credentials.insert(who, read.clone());
        read
    }

    fn read_credential(&mut self, who: &Who) -> Known<Credential, S> {
        let (account, source) = match who {
            Who::User(account) => {
                let source = self.options.password.clone().unwrap_or(SecretSource::Prompt);
                (account.clone(), source)
            }
            Who::Inventory(name) => {
                let entry = self.entry(name)?;
                let source = match &entry.secret {
                    SecretSource::File(path) => SecretSource::File(self.options.folder.join(path)),
                    other => other.clone(),
                };
                (entry.account.clone(), source)
            }
        };
        let secret = self.secrets.password(&account, &source).map_err(SignInError::Secret)?;
        Ok((Credential::new(account, secret), Gate::default()))
    }
}

impl<S: Secrets> fmt::Debug for SignIn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
