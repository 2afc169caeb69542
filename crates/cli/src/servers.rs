//! Which servers a text stands for, and who signs in to them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quarry_cred::{Account, Credential, Gate, SecretSource};
use quarry_fleet::inventory::{self, Inventory, ProtocolChoice, SelectError, limits};
use quarry_fleet::{LogOn, Source};
use quarry_rpc::tcp::Timeouts;
use quarry_rpc::tickets::Tickets;

use crate::args::ServerArgs;
use crate::console::Console;
use crate::error::{Failure, plain};
use crate::kerberos;
use crate::secret::{self, NoSecret};

/// The inventory, and the credentials that were read for servers. Each secret is read, or asked
/// for, once, and only if a server needs it.
pub(crate) struct Servers<'a> {
    args: &'a ServerArgs,
    console: &'a Console,
    inventory: Inventory,
    /// Where relative paths in the inventory begin.
    folder: PathBuf,
    /// By the name in the inventory; that of the command line has none.
    credentials: HashMap<Option<String>, Known<Credential>>,
    /// The same, for any way that has Kerberos in it: one exchange for tickets a credential.
    tickets: HashMap<Option<String>, Known<Tickets>>,
    logons: HashMap<(Option<String>, Way), Known<LogOn>>,
}

/// What signs in, and the gate that goes with it, once that was found out.
type Known<T> = Result<(T, Gate), Failure>;

/// By what one signs in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Way {
    Ntlm,
    Kerberos,
    KerberosOrNtlm,
}

/// A server to read, or this machine.
pub(crate) type Server = Arc<dyn Source>;

impl<'a> Servers<'a> {
    /// Reads the inventory, where there is one.
    pub(crate) fn new(args: &'a ServerArgs, console: &'a Console) -> Result<Self, Failure> {
        let (inventory, folder) = match &args.inventory {
            Some(path) => (load(path)?, folder(path)),
            None => match default_path().filter(|path| path.exists()) {
                Some(path) => (load(&path)?, folder(&path)),
                None => (Inventory::default(), PathBuf::new()),
            },
        };
        let servers = Servers {
            args,
            console,
            inventory,
            folder,
            credentials: HashMap::new(),
            tickets: HashMap::new(),
            logons: HashMap::new(),
        };
        if args.username.is_none() && servers.gives_password() {
            return Err(Failure::new("a password is given, but not whose it is")
                .hint("add -u USER, or -u 'DOMAIN\\USER'"));
        }
        Ok(servers)
    }

    pub(crate) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The entries that a name, range, glob, `@group` or URL stands for.
    pub(crate) fn entries(&self, text: &str) -> Result<Vec<inventory::Server>, Failure> {
        if let Some(rest) = text.strip_prefix("even6://") {
            return url(text, rest, |host| self.inventory.server(host)).map(|server| vec![server]);
        }
        if let Some(rest) = text.strip_prefix("even://") {
            return smb_url(text, rest, |host| self.inventory.server(host))
                .map(|server| vec![server]);
        }
        self.inventory.resolve(text).map_err(|error| {
            let failure = Failure::new(format!("{text}: {error}"));
            let missing = matches!(
                error,
                SelectError::UnknownGroup { .. }
                    | SelectError::NoMatch(_)
                    | SelectError::EmptyGroup(_)
            );
            match missing && self.inventory.servers().is_empty() {
                true => failure.hint("there is no inventory; --inventory FILE names one"),
                false => failure,
            }
        })
    }

    /// The server of an entry, with who signs in there.
    pub(crate) fn open(
        &mut self,
        entry: &inventory::Server,
    ) -> Result<Arc<quarry_fleet::Server>, Failure> {
        let (logon, gate) = self.logon(entry)?;
        let mut entry = entry.clone();
        if let Some(authentication) = self.args.authentication {
            entry.authentication = authentication.into();
        } else if self.is_kerberos_told() && entry.authentication == inventory::Authentication::Ntlm
        {
            entry.authentication = inventory::Authentication::Negotiate;
        }
        let seconds = |time: Duration| time.max(Duration::from_millis(1));
        let timeouts = Timeouts {
            connect: seconds(self.args.connect_timeout),
            silence: seconds(self.args.timeout),
        };
        quarry_fleet::Server::of_inventory(&entry, logon, gate, timeouts)
            .map(Arc::new)
            .map_err(|e| Failure::new(format!("the logs of {} in the inventory: {e}", entry.name)))
    }

    /// This machine, which one need not sign in to.
    #[cfg(windows)]
    pub(crate) fn this_machine(&self) -> Server {
        Arc::new(quarry_fleet::ThisMachine::new(self.args.timeout))
    }

    /// Who signs in to a server, and by what.
    fn logon(&mut self, entry: &inventory::Server) -> Known<LogOn> {
        // Who signs in is said on the command line, or else by the inventory.
        let key = match self.is_told() {
            true => None,
            false => entry.credential.clone(),
        };
        let way = self.way(entry, key.as_deref())?;
        let is_nobody = self.args.username.is_none() && key.is_none();
        if is_nobody && way == Way::Ntlm {
            return Err(Failure::new(format!("{}: no user name to sign in with", entry.name))
                .hint("give -u USER (or -u 'DOMAIN\\USER'), -k for Kerberos, or a credential in the inventory"));
        }
        let known = (key.clone(), way);
        if let Some(known) = self.logons.get(&known) {
            return known.clone();
        }
        let made = self.make_logon(key.as_deref(), way);
        self.logons.insert(known, made.clone());
        made
    }

    /// Whether the command line says who signs in.
    fn is_told(&self) -> bool {
        self.args.username.is_some() || self.args.keytab.is_some()
    }

    /// By what one signs in to a server.
    fn way(&self, entry: &inventory::Server, credential: Option<&str>) -> Result<Way, Failure> {
        use inventory::Authentication as How;
        let in_inventory = credential.and_then(|name| self.inventory.credential(name));
        let keytab = match in_inventory {
            Some(entry) => entry.keytab.is_some(),
            None => self.args.keytab.is_some(),
        };
        let by_kerberos = self.args.kerberos || keytab;
        let contradiction = || {
            Failure::new(format!("{}: Kerberos and NTLM alone exclude each other", entry.name))
                .hint("leave the authentication ntlm out, or -k and the keytab")
        };
        // What is typed counts more than what the inventory has.
        match (self.args.authentication.map(How::from), entry.authentication) {
            (Some(How::Kerberos), _) => Ok(Way::Kerberos),
            (Some(How::Ntlm), _) if by_kerberos => Err(contradiction()),
            // There is no password for NTLM in a keytab.
            (Some(How::Negotiate), _) if keytab => Ok(Way::Kerberos),
            // NTLM is allowed then, and not preferred to the Kerberos of the inventory.
            (Some(How::Negotiate), How::Kerberos) => Ok(Way::KerberosOrNtlm),
            (Some(How::Negotiate), _) if by_kerberos => Ok(Way::KerberosOrNtlm),
            (Some(_), _) => Ok(Way::Ntlm),
            (None, How::Ntlm) if by_kerberos && !self.is_kerberos_told() => Err(contradiction()),
            (None, How::Kerberos) => Ok(Way::Kerberos),
            (None, _) if !by_kerberos => Ok(Way::Ntlm),
            (None, _) => Ok(Way::Kerberos),
        }
    }

    /// Whether the command line says that it is Kerberos.
    fn is_kerberos_told(&self) -> bool {
        self.args.kerberos || self.args.keytab.is_some()
    }

    fn make_logon(&mut self, name: Option<&str>, way: Way) -> Known<LogOn> {
        if way == Way::Ntlm {
            return self.credential(name).map(|(credential, gate)| (LogOn::Ntlm(credential), gate));
        }
        let key = name.map(str::to_owned);
        let (tickets, gate) = match self.tickets.get(&key) {
            Some(known) => known.clone()?,
            None => {
                let made = self.make_tickets(name);
                self.tickets.insert(key.clone(), made.clone());
                made?
            }
        };
        // With a keytab or a cache there is none, and so no NTLM.
        let logon = match self.credentials.get(&key) {
            Some(Ok((credential, _))) if way == Way::KerberosOrNtlm => {
                LogOn::KerberosOrNtlm(tickets, credential.clone())
            }
            _ => LogOn::Kerberos(tickets),
        };
        Ok((logon, gate))
    }

    fn make_tickets(&mut self, name: Option<&str>) -> Known<Tickets> {
        let timeout = self.args.connect_timeout.max(Duration::from_millis(1));
        if let Some(tickets) = self.tickets_without_password(name, timeout)? {
            return Ok((tickets, Gate::default()));
        }
        let (credential, gate) = self.credential(name)?;
        // One gate, whatever the password is tried by.
        Ok((kerberos::by_password(credential, gate.clone(), timeout)?, gate))
    }

    /// The tickets of a keytab or of the user's cache, where one of them is meant.
    fn tickets_without_password(
        &self,
        name: Option<&str>,
        timeout: Duration,
    ) -> Result<Option<Tickets>, Failure> {
        if let Some(entry) = name.and_then(|name| self.inventory.credential(name)) {
            let account = Some(entry.account.clone());
            return match (&entry.keytab, &entry.secret) {
                (Some(path), _) => {
                    kerberos::by_keytab(account, &self.folder.join(path), timeout, self.console)
                        .map(Some)
                }
                // Nothing is asked for: whoever types a password does that for kinit.
                (None, SecretSource::Prompt) => kerberos::of_cache(account, timeout).map(Some),
                (None, _) => Ok(None),
            };
        }
        let account = match self.args.username {
            Some(_) => Some(self.told_account()?.0),
            None => None,
        };
        match &self.args.keytab {
            Some(path) => kerberos::by_keytab(account, path, timeout, self.console).map(Some),
            None if self.gives_password() => Ok(None),
            None => kerberos::of_cache(account, timeout).map(Some),
        }
    }

    /// A password and whose it is. It is asked for once, by whatever ways it is used.
    fn credential(&mut self, name: Option<&str>) -> Known<Credential> {
        let key = name.map(str::to_owned);
        if let Some(known) = self.credentials.get(&key) {
            return known.clone();
        }
        let read = self.read_credential(name);
        self.credentials.insert(key, read.clone());
        read
    }

    fn gives_password(&self) -> bool {
        let ServerArgs { password_file, password_fd, password_env, keyring, .. } = self.args;
        password_file.is_some() || password_fd.is_some() || password_env.is_some() || *keyring
    }

    fn read_credential(&self, name: Option<&str>) -> Known<Credential> {
        let (account, source) = match name {
            None if self.args.keyring => {
                let account = self.told_account()?.0;
                let secret = secret::from_keyring(&account.to_string())?;
                return Ok((Credential::new(account, secret), Gate::default()));
            }
            None => self.told_account()?,
            Some(name) => {
                // The inventory was checked to have it.
                let Some(entry) = self.inventory.credential(name) else {
                    return Err(Failure::new(format!("the inventory has no credential {name}")));
                };
                let source = match &entry.secret {
                    SecretSource::File(path) => SecretSource::File(self.folder.join(path)),
                    other => other.clone(),
                };
                (entry.account.clone(), source)
            }
        };
        let prompt = format!("Password for {account}: ");
        let secret = match secret::read(&source, &prompt, self.console) {
            Ok(secret) => secret,
            Err(NoSecret::Failed(failure)) => return Err(failure),
            Err(NoSecret::Interrupted) => {
                return Err(Failure::new(format!("no password was given for {account}")));
            }
        };
        Ok((Credential::new(account, secret), Gate::default()))
    }

    /// The account of the command line, and where its password is.
    fn told_account(&self) -> Result<(Account, SecretSource), Failure> {
        let ServerArgs { username, password_file, password_fd, password_env, .. } = self.args;
        let account = username.as_deref().unwrap_or_default().parse().map_err(|e| {
            Failure::new(format!("--username: {e}")).hint("write USER, DOMAIN\\USER or USER@REALM")
        })?;
        let source = match (password_file, password_fd, password_env) {
            (Some(path), _, _) => SecretSource::File(path.clone()),
            (_, Some(number), _) => SecretSource::Descriptor(*number),
            (_, _, Some(name)) => SecretSource::Environment(name.clone()),
            (None, None, None) => SecretSource::Prompt,
        };
        Ok((account, source))
    }
}

/// The server of `even6://HOST[:MAPPER-PORT][?endpoint=PORT]`.
fn url(
    text: &str,
    rest: &str,
    server: impl Fn(&str) -> inventory::Server,
) -> Result<inventory::Server, Failure> {
    let wrong = |what: &str| {
        Failure::new(format!("{text}: {what}"))
            .hint("the form is even6://HOST[:MAPPER-PORT][?endpoint=PORT], IPv6 in brackets")
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let (host, mapper_port) = host_and_port(place, "the mapper's port").map_err(|e| wrong(&e))?;
    let mut server = server(host);
    server.protocol = Some(ProtocolChoice::Even6);
    if let Some(mapper_port) = mapper_port {
        server.mapper_port = mapper_port;
    }
    match query.map(|query| query.split_once('=')) {
        None => {}
        Some(Some(("endpoint", text))) => {
            server.endpoint = Some(port(text, "the endpoint").map_err(|e| wrong(&e))?);
        }
        Some(_) => return Err(wrong("only ?endpoint=PORT may follow the host")),
    }
    Ok(server)
}

/// The server of `even://HOST[:PORT]`.
fn smb_url(
    text: &str,
    rest: &str,
    server: impl Fn(&str) -> inventory::Server,
) -> Result<inventory::Server, Failure> {
    let (host, port) = host_and_port(rest, "SMB's port").map_err(|what| {
        Failure::new(format!("{text}: {what}"))
            .hint("the form is even://HOST[:PORT], IPv6 in brackets; the port is 445 by default")
    })?;
    let mut server = server(host);
    server.protocol = Some(ProtocolChoice::Even);
    server.smb_port = port.unwrap_or(server.smb_port);
    Ok(server)
}

/// A host, an IPv6 address without its brackets, and a port; or what is wrong.
fn host_and_port<'t>(text: &'t str, what: &str) -> Result<(&'t str, Option<u16>), String> {
    let place = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or("a [ without its ]")?;
            match behind.strip_prefix(':') {
                Some(text) => (host, Some(port(text, what)?)),
                None if behind.is_empty() => (host, None),
                None => return Err("something behind the ]".to_owned()),
            }
        }
        None => match place.split_once(':') {
            Some((host, text)) => (host, Some(port(text, what)?)),
            None => (place, None),
        },
    };
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(is_host) {
        return Err("this is no host's name or address".to_owned());
    }
    Ok((host, port))
}

fn port(text: &str, what: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{what} is a number from 1 to 65535")),
    }
}

/// Where the inventory is unless it is named.
pub(crate) fn default_path() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let folders = etcetera::choose_base_strategy().ok()?;
    Some(folders.config_dir().join("quarry").join("inventory.toml"))
}

fn folder(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn load(path: &Path) -> Result<Inventory, Failure> {
    let shown = path.display();
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limits::MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut text))
        .map_err(|e| Failure::new(format!("the inventory {shown}: {}", plain(&e))))?;
    let text = String::from_utf8(text)
        .map_err(|_| Failure::new(format!("the inventory {shown} is not text in UTF-8")))?;
    Inventory::parse(&text).map_err(|error| {
        let mut failure = Failure::new(format!("{shown}: {error}"));
        failure.shown = Some(error.snippet().to_owned());
        failure.hint = error.hint();
        failure
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_ports() {
        let read = |text: &str| {
            let server = url(text, text, inventory::Server::new).map_err(|e| e.message)?;
            Ok::<_, String>((server.name, server.mapper_port, server.endpoint))
        };
        assert_eq!(read("dc01"), Ok(("dc01".into(), 135, None)));
        assert_eq!(read("dc01:4000"), Ok(("dc01".into(), 4000, None)));
        assert_eq!(read("dc01?endpoint=5"), Ok(("dc01".into(), 135, Some(5))));
        assert_eq!(read("[::1]:4000?endpoint=5"), Ok(("::1".into(), 4000, Some(5))));
        assert_eq!(read("[fe80::1]"), Ok(("fe80::1".into(), 135, None)));
        for wrong in [
            "",
            "dc01:",
            "dc01:0",
            "dc01:70000",
            "[::1",
            "[::1]x",
            "a b",
            "dc01?x=1",
            "dc01?",
            "a/b",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_of_the_elder_protocol_names_a_host_and_the_port_of_smb() {
        let read = |text: &str| {
            let server = smb_url(text, text, inventory::Server::new).map_err(|e| e.message)?;
            Ok::<_, String>((server.name, server.smb_port))
        };
        assert_eq!(read("nas"), Ok(("nas".into(), 445)));
        assert_eq!(read("nas:4450/"), Ok(("nas".into(), 4450)));
        assert_eq!(read("[::1]:4450"), Ok(("::1".into(), 4450)));
        for wrong in ["", "nas:", "nas?endpoint=5", "nas:0", "[::1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
