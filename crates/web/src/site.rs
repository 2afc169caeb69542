//! A page that is served: a listener, the gate before it, TLS, and what is tended beside. Each program
//! that serves a page puts it together here.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use quarry_fleet::inventory::Inventory;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use crate::access::accounts::Accounts;
use crate::access::audit::Audit;
use crate::access::clock::Clock;
use crate::access::rules::{Rules, RulesError};
use crate::access::tls::{self, Certificate, TlsError};
use crate::access::{Gate, GateError};
use crate::app::App;
use crate::serve::serve;

/// Largest file of rules, in bytes.
const LARGEST_RULES: u64 = 1 << 20;
/// How often the certificate's files are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(10);

/// How a page is reached by others, and who may come in.
#[derive(Clone, Debug)]
pub struct Public {
    /// The names that browsers may call it by, besides its address: the first is the one that people
    /// are told.
    pub names: Vec<String>,
    /// The files of the certificate with its chain, and of its key, in PEM. They are read again when
    /// they change. Without them a certificate of its own is made.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The folder in which a certificate of its own is kept, so that its fingerprint stays.
    pub kept: Option<PathBuf>,
    /// The file that says who may read what ([`Rules`]). It is read again when it changes.
    pub access: PathBuf,
    /// The file that who reads what is written to ([`Audit`]).
    pub audit: PathBuf,
}

/// Why a page can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The address must not be listened on like this.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The rules' file can't be read.
    #[error("{}: {source}", path.display())]
    Access {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The rules can't be understood.
    #[error("{}: {source}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RulesError,
    },
    /// The audit can't be written.
    #[error("{}: {source}", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The listener has no address.
    #[error("the address that is listened on: {0}")]
    Listener(io::Error),
}

/// A page that is ready to be served.
#[derive(Debug)]
pub struct Site {
    listener: TcpListener,
    origin: String,
    gate: Arc<Gate>,
    secured: Option<Secured>,
}

/// What a page for others has besides.
#[derive(Debug)]
struct Secured {
    certificate: Arc<Certificate>,
    config: ServerConfig,
    rules: RulesFile,
}

/// The file of rules, as it was read last.
#[derive(Debug)]
struct RulesFile {
    path: PathBuf,
    /// Whose groups of servers they name.
    inventory: Inventory,
    /// The text, or what the system said instead.
    seen: Result<String, String>,
}

impl Site {
    /// A page for who started the program, over plain HTTP, on an address that nobody else's machine
    /// reaches.
    ///
    /// # Errors
    /// [`SiteError::Gate`] for any other address.
    pub fn owner(listener: TcpListener, name: &str, clock: Clock) -> Result<Self, SiteError> {
        let address = listener.local_addr().map_err(SiteError::Listener)?;
        let gate = Arc::new(Gate::owner(address, name, clock)?);
        Ok(Self { listener, origin: format!("http://{address}"), gate, secured: None })
    }

    /// A page for the accounts that rules let in, over TLS, with an audit. The rules' `@groups` of
    /// servers are the inventory's.
    ///
    /// # Errors
    /// Any [`SiteError`]; nothing is served then.
    pub fn accounts(
        listener: TcpListener,
        public: &Public,
        accounts: Arc<dyn Accounts>,
        inventory: &Inventory,
        clock: Clock,
    ) -> Result<Self, SiteError> {
        let address = listener.local_addr().map_err(SiteError::Listener)?;
        let (rules, file) = RulesFile::open(&public.access, inventory)?;
        let audit = Audit::open(&public.audit)
            .map_err(|source| SiteError::Audit { path: public.audit.clone(), source })?;
        let certificate = Arc::new(match &public.certificate {
            Some((chain, key)) => Certificate::from_files(chain, key)?,
            None => Certificate::own(&names(address, public), public.kept.as_deref())?,
        });
        let config = tls::config(Arc::clone(&certificate))?;
        let transport = certificate.transport();
        let gate =
            Gate::accounts(address, &public.names, transport, accounts, rules, audit, clock)?;
        let host = match public.names.first() {
            Some(name) => format!("{name}:{}", address.port()),
            None => address.to_string(),
        };
        Ok(Self {
            listener,
            origin: format!("https://{}", host.trim_end_matches(":443")),
            gate: Arc::new(gate),
            secured: Some(Secured { certificate, config, rules: file }),
        })
    }

    /// The gate before the page.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The address to open in a browser: for who started the program, one that lets them in once.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn first_address(&self) -> Result<String, GateError> {
        Ok(self.visits().another()?.unwrap_or_else(|| format!("{}/", self.origin)))
    }

    /// What makes further addresses for who started the program, while the page is served.
    pub fn visits(&self) -> Visits {
        Visits { gate: Arc::clone(&self.gate), origin: self.origin.clone() }
    }

    /// The fingerprint of a certificate that no browser trusts by itself: whoever opens the page first
    /// compares it.
    pub fn fingerprint(&self) -> Option<String> {
        let certificate = &self.secured.as_ref()?.certificate;
        certificate.is_own().then(|| certificate.fingerprint())
    }

    /// Serves routes until `stop` is ready; then ends what is followed and every session, and waits
    /// until what is being answered is, for a few seconds.
    pub async fn serve(self, app: &App, routes: Router, stop: impl Future<Output = ()>) {
        let Self { listener, gate, secured, .. } = self;
        let (config, kept) = secured.map(|of| (of.config, (of.certificate, of.rules))).unzip();
        let serving = serve(listener, config, gate.guard(routes));
        tokio::select! {
            () = stop => {}
            () = gate.tend() => {}
            () = keep_new(kept, &gate) => {}
        }
        app.stop();
        gate.sessions().end_all();
        serving.stop().await;
    }
}

/// Makes addresses of a page, each of which lets who started the program in once.
#[derive(Clone, Debug)]
pub struct Visits {
    gate: Arc<Gate>,
    origin: String,
}

impl Visits {
    /// Another address; nothing where the page is for accounts, which sign in by themselves.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn another(&self) -> Result<Option<String>, GateError> {
        let path = self.gate.first_visit()?;
        Ok(path.map(|path| format!("{}{path}", self.origin)))
    }
}

/// Reads the files of the certificate and of the rules again when they change. Never returns.
async fn keep_new(kept: Option<(Arc<Certificate>, RulesFile)>, gate: &Gate) {
    let Some((certificate, mut rules)) = kept else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK_AT_FILES).await;
        let looked = tokio::task::spawn_blocking(move || {
            let new = rules.reload();
            (rules, new)
        });
        // Where it panicked, nobody has the rules any more: better no page than one under old ones.
        let Ok((of_task, new)) = looked.await else { return };
        rules = of_task;
        match new {
            Ok(Some(new)) => {
                gate.take_up(new);
                tracing::info!(file = %rules.path.display(), "new access rules");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "the new access rules can't be used; the old ones stay");
            }
        }
        let of_task = Arc::clone(&certificate);
        match tokio::task::spawn_blocking(move || of_task.reload()).await {
            Ok(Ok(true)) => {
                tracing::info!(fingerprint = certificate.fingerprint(), "a new certificate");
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the new certificate can't be used; the old one stays");
            }
            Ok(Ok(false)) | Err(_) => {}
        }
    }
}

/// The names in a certificate of its own.
fn names(address: SocketAddr, public: &Public) -> Vec<String> {
    let mut names = public.names.clone();
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    if address.ip().is_loopback() {
        names.push("localhost".to_owned());
    }
    names.dedup();
    names
}

impl RulesFile {
    fn open(path: &Path, inventory: &Inventory) -> Result<(Rules, Self), SiteError> {
        let (path, inventory) = (path.to_owned(), inventory.clone());
        let mut file = RulesFile { path, inventory, seen: Ok(String::new()) };
        let text = file.text().map_err(|source| file.unread(source))?;
        let rules = file.parse(&text)?;
        file.seen = Ok(text);
        Ok((rules, file))
    }

    /// Reads them again: nothing where nothing has changed.
    ///
    /// # Errors
    /// [`SiteError::Access`] and [`SiteError::Rules`], once for each change.
    fn reload(&mut self) -> Result<Option<Rules>, SiteError> {
        let (seen, read) = match self.text() {
            Ok(text) => (Ok(text), Ok(())),
            Err(error) => (Err(error.to_string()), Err(error)),
        };
        if seen == self.seen {
            return Ok(None);
        }
        self.seen = seen;
        read.map_err(|source| self.unread(source))?;
        self.parse(self.seen.as_deref().unwrap_or_default()).map(Some)
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        let file = File::open(&self.path)?;
        let read = file.take(LARGEST_RULES + 1).read_to_string(&mut text)?;
        if read as u64 > LARGEST_RULES {
            return Err(io::Error::other("it is larger than such a file can be"));
        }
        Ok(text)
    }

    fn parse(&self, text: &str) -> Result<Rules, SiteError> {
        Rules::parse(text, &self.inventory)
            .map_err(|source| SiteError::Rules { path: self.path.clone(), source })
    }

    fn unread(&self, source: io::Error) -> SiteError {
        SiteError::Access { path: self.path.clone(), source }
    }
}

/// Reads rules, as a page's start does, to find out whether they can be used.
///
/// # Errors
/// [`SiteError::Access`] and [`SiteError::Rules`].
pub fn check_rules(path: &Path, inventory: &Inventory) -> Result<(), SiteError> {
    RulesFile::open(path, inventory).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_change_are_read_and_a_mistake_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.toml");
        let rule =
            |log: &str| format!("[access.a]\ngroups = ['g']\non = ['*']\nlogs = ['{log}']\n");
        std::fs::write(&path, rule("System")).expect("written");
        let (_, mut file) = RulesFile::open(&path, &Inventory::default()).expect("rules");
        assert!(file.reload().expect("nothing has changed").is_none());
        // As long as before, and within the same second.
        std::fs::write(&path, rule("Syst*m")).expect("written");
        let new = file.reload().expect("rules").expect("new ones");
        assert!(new.scope(&["g".to_owned()]).has_log("dc01", "Systxm"));
        std::fs::write(&path, "[access.a]\ngroups = ['g']\nlog = ['*']\n").expect("written");
        let error = file.reload().expect_err("a mistake").to_string();
        assert!(error.contains("access.toml") && error.contains("line 3"), "{error}");
        assert!(file.reload().expect("told before").is_none());
        std::fs::remove_file(&path).expect("there");
        assert!(matches!(file.reload(), Err(SiteError::Access { .. })));
        assert!(file.reload().expect("told before").is_none());
        std::fs::write(&path, rule("Setup")).expect("written");
        assert!(file.reload().expect("rules").is_some());
    }
}
