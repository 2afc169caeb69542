//! A page for the accounts of this system. The process that was started as root stays behind as the
//! privileged helper: it checks passwords and opens files as the people who ask. The page is served by
//! a process that it starts, without privileges.

use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::time::Duration;

use quarry_fleet::inventory::Inventory;
use quarry_web::Site;
use tokio::net::TcpListener;

use crate::console::Console;
use crate::error::Failure;

/// Becomes ready when the helper is gone.
pub type Gone = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The command of a program that [`logon_process`] is called for, which the helper starts.
pub const LOGON_PROCESS: &str = "logon-process";

/// What somebody said of the page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicPage {
    /// The file of rules.
    pub access: PathBuf,
    /// The file that who reads what is written to.
    pub audit: Option<PathBuf>,
    /// The files of the certificate and its chain, and of its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The names that browsers call it by; this machine's where there are none.
    pub names: Vec<String>,
    /// The account of the process that faces the network.
    pub run_as: String,
    /// What these are called where they were said.
    pub words: &'static Words,
}

/// What a program calls the parts of [`PublicPage`], for its errors.
#[derive(PartialEq, Eq, Debug)]
pub struct Words {
    /// The rules.
    pub access: &'static str,
    /// The audit.
    pub audit: &'static str,
    /// What stands between that and a file's name.
    pub names: &'static str,
    /// The account.
    pub run_as: &'static str,
    /// How one does without.
    pub without: &'static str,
}

#[cfg(target_os = "linux")]
pub use quarry_web::access::helper::WebProcess;

#[cfg(target_os = "linux")]
pub use linux::{become_helper, check, explained, logon_process, site};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{WebProcess, become_helper, check, explained, logon_process, site};

/// Says how browsers reach the page of accounts.
pub fn introduce(site: &Site, console: &Console) {
    if let Some(fingerprint) = site.fingerprint() {
        console.note("The certificate is the page's own. Its SHA-256 is");
        console.note(&format!("  {fingerprint}"));
        console.note("Compare it where the browser warns. Ctrl-C ends the page.");
    } else {
        console.note("Ctrl-C ends the page.");
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::*;

    /// The page's process, of which there is none on this system.
    #[derive(Debug)]
    pub enum WebProcess {}

    fn not_here() -> Failure {
        Failure::new("accounts sign in to a page on Linux only").hint(
            "without access rules, the page is reached from elsewhere through \
             ssh -L 8420:127.0.0.1:8420",
        )
    }

    /// The process of a logon.
    ///
    /// # Errors
    /// Always: there is none on this system.
    pub fn logon_process(_: &str) -> Result<ExitCode, Failure> {
        Err(not_here())
    }

    /// Becomes the helper of the page's process.
    ///
    /// # Errors
    /// Always: there is none on this system.
    pub fn become_helper(
        _: &PublicPage,
        _: impl FnOnce(&mut Command),
        _: impl FnOnce(WebProcess) + Send + 'static,
    ) -> Result<ExitCode, Failure> {
        Err(not_here())
    }

    /// Reads what the page needs.
    ///
    /// # Errors
    /// Always: there is none on this system.
    pub fn check(_: &PublicPage, _: &Inventory) -> Result<(), Failure> {
        Err(not_here())
    }

    /// A failure, as it is.
    pub fn explained(failure: Failure, _: &PublicPage) -> Failure {
        failure
    }

    /// The page.
    ///
    /// # Errors
    /// Always: there is none on this system.
    pub fn site(
        _: TcpListener,
        _: &PublicPage,
        _: &Inventory,
        _: Option<Duration>,
    ) -> Result<(Site, Gone), Failure> {
        Err(not_here())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::Arc;

    use quarry_logon::Identity;
    use quarry_web::access::clock::Clock;
    use quarry_web::access::helper::{self, Channel, Helper, NotReady, check_ready, serve_logon};
    use quarry_web::access::tls::{Certificate, TlsError};
    use quarry_web::site::{Public, SiteError, check_rules};

    use super::*;
    use crate::error::plain;
    use crate::undumped::Undumped;
    use crate::{kerberos, signals};

    /// The PAM service that passwords are checked by.
    const SERVICE: &str = "quarry";
    /// This program, wherever it lies, and though its file was replaced meanwhile.
    const THIS_PROGRAM: &str = "/proc/self/exe";
    /// What of root's surroundings isn't the page's process'.
    const OF_ROOT: [&str; 6] = [
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "XDG_STATE_HOME",
        "MAIL",
    ];

    /// Starts the page's process, this program with the arguments that `arguments` gives its command, and
    /// is its helper until it ends. `until` returns when it is to end.
    ///
    /// # Errors
    /// Something is missing that a helper needs, or the process can't be started.
    pub fn become_helper(
        page: &PublicPage,
        arguments: impl FnOnce(&mut Command),
        until: impl FnOnce(WebProcess) + Send + 'static,
    ) -> Result<ExitCode, Failure> {
        let PublicPage { audit, run_as, words, .. } = page;
        if audit.is_none() {
            let file = format!("/var/lib/{run_as}/audit.jsonl");
            return Err(Failure::new(format!(
                "{} needs {}: who reads what is written down",
                words.access, words.audit
            ))
            .hint(format!(
                "name a file that {run_as} can write: {}{}{file}",
                words.audit, words.names
            )));
        }
        let account = check_ready(run_as, SERVICE).map_err(|error| not_ready(&error, page))?;
        // Passwords go through it.
        Undumped::begin().for_good();
        let logon = || {
            let mut command = Command::new(THIS_PROGRAM);
            command.args([LOGON_PROCESS, SERVICE]);
            command
        };
        let mut web = Command::new(THIS_PROGRAM);
        arguments(&mut web);
        of_account(&mut web, &account);
        helper::become_helper(&account, web, logon, until)
            .map(|status| ExitCode::from(signals::exit_code(status).unwrap_or(1)))
            .map_err(|e| Failure::io("the page's process", &e))
    }

    /// Gives a command the surroundings of an account.
    fn of_account(web: &mut Command, account: &Identity) {
        if let Some(home) = account.home() {
            web.env("HOME", home);
        }
        web.env("USER", account.user()).env("LOGNAME", account.user());
        for name in OF_ROOT {
            web.env_remove(name);
        }
    }

    fn not_ready(error: &NotReady, page: &PublicPage) -> Failure {
        let (account, words) = (&page.run_as, page.words);
        let failure = Failure::new(format!("{}: {error}", words.access));
        match error {
            NotReady::Privileges(_) => failure.hint(format!(
                "start it as root: it gives its privileges up where it faces the network; or {}",
                words.without
            )),
            NotReady::Service(_) => failure.hint(
                "copy crates/logon/assets/pam.d/quarry.debian (or quarry.redhat) to /etc/pam.d/quarry",
            ),
            NotReady::NoAccount(_) => failure.hint(format!(
                "useradd --system --create-home --home-dir /var/lib/{account} --shell \
                 /usr/sbin/nologin {account}; or name another by {}",
                words.run_as
            )),
            NotReady::Root => failure.hint(format!("name another account by {}", words.run_as)),
            _ => failure,
        }
    }

    /// The page of the process without privileges, and what becomes ready when its helper is gone.
    /// Where servers are asked as who signs in, `tickets` is the time for one attempt at a key
    /// distribution centre.
    ///
    /// # Errors
    /// There is no helper, or a file of the page's can't be used.
    pub fn site(
        listener: TcpListener,
        page: &PublicPage,
        inventory: &Inventory,
        tickets: Option<Duration>,
    ) -> Result<(Site, Gone), Failure> {
        Undumped::begin().for_good();
        let failed = |e: std::io::Error| {
            Failure::new(format!("there is no helper: {e}")).hint("leave --unprivileged out")
        };
        let mut helper =
            Helper::new(Channel::of_standard_input().map_err(failed)?).map_err(failed)?;
        if let Some(timeout) = tickets {
            helper = helper.with_tickets(kerberos::configuration()?, timeout);
        }
        let gone = helper.gone();
        let home = std::env::home_dir().filter(|home| home.is_dir());
        let address = listener.local_addr().map_err(|e| Failure::io("the address", &e))?;
        let names = match &page.names[..] {
            // Nobody else reaches it by the machine's name.
            [] if address.ip().is_loopback() => Vec::new(),
            [] => vec![rustix::system::uname().nodename().to_string_lossy().into_owned()],
            names => names.to_vec(),
        };
        let public = Public {
            names,
            certificate: page.certificate.clone(),
            kept: home,
            access: page.access.clone(),
            audit: page.audit.clone().unwrap_or_default(),
        };
        let site = Site::accounts(listener, &public, Arc::new(helper), inventory, Clock::system())
            .map_err(|error| refused(&error, page.words))?;
        Ok((site, Box::pin(gone)))
    }

    /// Reads the page's rules and its certificate, as its start does.
    ///
    /// # Errors
    /// One of them can't be used.
    pub fn check(page: &PublicPage, inventory: &Inventory) -> Result<(), Failure> {
        check_rules(&page.access, inventory)
            .and_then(|()| {
                if let Some((chain, key)) = &page.certificate {
                    Certificate::from_files(chain, key)?;
                }
                Ok(())
            })
            .map_err(|error| refused(&error, page.words))
    }

    fn refused(error: &SiteError, words: &Words) -> Failure {
        match error {
            SiteError::Access { path, source } => {
                Failure::io(&format!("{} {}", words.access, path.display()), source)
            }
            SiteError::Rules { source, .. } => Failure::new(format!("{}: {source}", words.access))
                .hint("docs/serve.md has an example of such a file"),
            SiteError::Audit { path, source } => {
                let (said, path) = (plain(source), path.display());
                let why = said.strip_prefix(&format!("cannot open {path}: ")).unwrap_or(&said);
                Failure::new(format!("{} {path}: {}", words.audit, why.to_lowercase()))
            }
            SiteError::Tls(TlsError::File { path, source }) => {
                Failure::io(&format!("the certificate {}", path.display()), source)
            }
            error => Failure::new(error.to_string()),
        }
    }

    /// A failure of the process without privileges, with the reason for what root would have been
    /// allowed.
    pub fn explained(failure: Failure, page: &PublicPage) -> Failure {
        let account = &page.run_as;
        match failure.message.to_lowercase().contains("permission denied") {
            true if failure.hint.is_none() => failure.hint(format!(
                "the page's process runs as {account}, who has to be allowed that: chown {account}, \
                 or setfacl -m u:{account}:r FILE; a port below 1024 is root's"
            )),
            _ => failure,
        }
    }

    /// The process of a logon.
    ///
    /// # Errors
    /// It isn't the helper of a page that has started it.
    pub fn logon_process(service: &str) -> Result<ExitCode, Failure> {
        Undumped::begin().for_good();
        let configuration = || kerberos::configuration().map_err(|failure| failure.message);
        let served = Channel::of_standard_input()
            .and_then(|channel| serve_logon(&channel, service, configuration));
        match served {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(e) => Err(Failure::io("this is started by the helper of a page", &e)),
        }
    }
}
