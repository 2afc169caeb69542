//! The servers of the command line: what the options say of the inventory and of signing in, and
//! how secrets are read. Which servers a text stands for and who signs in there is the fleet's.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quarry_cred::{Account, Keytab, Secret, SecretSource};
use quarry_fleet::inventory::{Inventory, ServerEntry, limits};
use quarry_fleet::sign_in::{AddressError, Secrets, SignIn, SignInOptions};
use quarry_fleet::{Source, Timeouts};
use quarry_rpc::tickets::Configuration;

use crate::args::ServerArgs;
use crate::console::Console;
use crate::error::{Failure, plain};
use crate::secret::{self, NoSecret};
use crate::undumped::Undumped;
use crate::{hints, interrupt, kerberos};

/// The inventory, and who signs in to servers.
pub struct Servers<'a> {
    sign_in: SignIn<ProgramSecrets<'a>>,
    #[cfg(windows)]
    silence: Duration,
}

/// A server to read, or this machine.
pub type Server = Arc<dyn Source>;

impl<'a> Servers<'a> {
    /// Reads the inventory, where there is one.
    ///
    /// # Errors
    /// It can't be read, or the options contradict each other.
    pub fn new(args: &'a ServerArgs, console: &'a Console) -> Result<Self, Failure> {
        let (inventory, folder) = match &args.inventory {
            Some(path) => (load(path)?, folder(path)),
            None => match default_path().filter(|path| path.exists()) {
                Some(path) => (load(&path)?, folder(&path)),
                None => (Inventory::default(), PathBuf::new()),
            },
        };
        let options = options(args)?.folder(folder);
        Ok(Servers {
            sign_in: SignIn::new(inventory, options, ProgramSecrets { console }),
            #[cfg(windows)]
            silence: args.timeout,
        })
    }

    /// The servers of an inventory that was read before, whose relative paths start from a folder.
    pub fn of(
        inventory: Inventory,
        folder: impl Into<PathBuf>,
        timeouts: Timeouts,
        console: &'a Console,
    ) -> Self {
        let options = SignInOptions::new().timeouts(timeouts).folder(folder);
        Servers {
            sign_in: SignIn::new(inventory, options, ProgramSecrets { console }),
            #[cfg(windows)]
            silence: timeouts.silence,
        }
    }

    /// The same for a page that others sign in to: servers that are asked as them are left to them.
    #[must_use]
    pub fn for_persons(mut self) -> Self {
        self.sign_in = self.sign_in.for_persons();
        self
    }

    /// The inventory; an empty one where there is none.
    pub fn inventory(&self) -> &Inventory {
        self.sign_in.inventory()
    }

    /// The entries that a name, range, glob, `@group` or URL stands for.
    ///
    /// # Errors
    /// The text stands for no server.
    pub fn entries(&self, text: &str) -> Result<Vec<ServerEntry>, Failure> {
        self.sign_in.entries(text).map_err(|error| {
            let mut failure = Failure::new(error.to_string());
            failure.hint = match &error {
                AddressError::Url(error) => hints::url(error),
                AddressError::Select { error, .. } => {
                    hints::select(error, self.inventory().servers().is_empty())
                }
                _ => None,
            };
            failure
        })
    }

    /// The server of an entry, with who signs in there.
    ///
    /// # Errors
    /// A secret that it needs can't be read.
    pub fn open(&mut self, entry: &ServerEntry) -> Result<Arc<quarry_fleet::Server>, Failure> {
        self.sign_in.server(entry).map(Arc::new).map_err(hints::of_sign_in)
    }

    /// This machine, which one need not sign in to.
    #[cfg(windows)]
    pub fn this_machine(&self) -> Server {
        Arc::new(quarry_fleet::ThisMachine::new(self.silence))
    }
}

/// What the options say of signing in.
fn options(args: &ServerArgs) -> Result<SignInOptions, Failure> {
    let ServerArgs { username, password_file, password_fd, password_env, keyring, .. } = args;
    let password = match (password_file, password_fd, password_env) {
        _ if *keyring => Some(SecretSource::Keyring),
        (Some(path), _, _) => Some(SecretSource::File(path.clone())),
        (_, Some(number), _) => Some(SecretSource::Descriptor(*number)),
        (_, _, Some(name)) => Some(SecretSource::Environment(name.clone())),
        (None, None, None) => None,
    };
    let at_least = |time: Duration| time.max(Duration::from_millis(1));
    let timeouts =
        Timeouts { connect: at_least(args.connect_timeout), silence: at_least(args.timeout) };
    let options = SignInOptions::new()
        .kerberos(args.kerberos)
        .keytab(args.keytab.clone())
        .authentication(args.authentication)
        .timeouts(timeouts);
    match username {
        Some(username) => {
            let account: Account = username.parse().map_err(|e| {
                Failure::new(format!("--username: {e}"))
                    .hint("write USER, DOMAIN\\USER or USER@REALM")
            })?;
            Ok(options.account(account, password))
        }
        None if password.is_some() => Err(Failure::new("a password is given, but not whose it is")
            .hint("add -u USER, or -u 'DOMAIN\\USER'")),
        None => Ok(options),
    }
}

/// Reads secrets from the terminal, files, descriptors, the environment and the keyring.
struct ProgramSecrets<'a> {
    console: &'a Console,
}

impl Secrets for ProgramSecrets<'_> {
    type Error = Failure;

    fn password(&mut self, account: &Account, source: &SecretSource) -> Result<Secret, Failure> {
        if interrupt::is_set() {
            return Err(Failure::new(format!("no password was asked for {account}")));
        }
        let prompt = format!("Password for {account}: ");
        secret::read(source, account, &prompt, self.console).map_err(|error| match error {
            NoSecret::Failed(failure) => failure,
            NoSecret::Interrupted => {
                // Nobody is asked for another one either.
                interrupt::set();
                Failure::new(format!("no password was given for {account}"))
            }
        })
    }

    fn keytab(&mut self, path: &Path) -> Result<Option<Keytab>, Failure> {
        Undumped::begin().for_good();
        kerberos::keytab(path, self.console).map(Some)
    }

    fn ticket_cache(&mut self) -> Result<Option<String>, Failure> {
        Undumped::begin().for_good();
        kerberos::ticket_cache()
    }

    fn kerberos_configuration(&mut self) -> Result<Configuration, Failure> {
        kerberos::configuration()
    }
}

/// Where the inventory is unless it is named.
pub fn default_path() -> Option<PathBuf> {
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
