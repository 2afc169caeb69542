//! The web process' side of the helper.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quarry_cred::{Account, Secret};
use quarry_fleet::{Configuration, GrantingTicket, KerberosError, Tickets};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::LONGEST;
use super::channel::Channel;
use super::wire::{Answer, Answered, Asked, Hidden, Request};
use crate::access::accounts::{Accounts, LogOnError, LoggedOn, Logon};

/// How long the helper has beyond what it gives a logon's process.
const GRACE: Duration = Duration::from_secs(5);
/// How long a password isn't shown to a realm again that may have counted it as wrong: as long as
/// domains count.
const COUNTED: Duration = Duration::from_secs(30 * 60);
/// The groups whose members administer a Linux system.
const ADMINISTRATORS: [&str; 2] = ["sudo", "wheel"];

/// The privileged helper, as the web process sees it.
#[derive(Clone, Debug)]
pub struct Helper {
    shared: Arc<Shared>,
    kerberos: Option<Arc<Kerberos>>,
}

/// What is done about the Kerberos tickets of who signs in.
#[derive(Debug)]
struct Kerberos {
    configuration: Configuration,
    timeout: Duration,
    /// Whose passwords a realm may have counted as wrong, though the system takes them, and when.
    counted: Mutex<HashMap<String, Instant>>,
}

type Answers = HashMap<u64, oneshot::Sender<(Answer, Option<OwnedFd>)>>;

#[derive(Debug)]
struct Shared {
    channel: Channel,
    pending: Mutex<Answers>,
    last: AtomicU64,
    gone: CancellationToken,
}

impl Helper {
    /// The helper at the other end of a channel.
    ///
    /// # Errors
    /// When the thread that takes its answers can't be started.
    pub fn new(channel: Channel) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            channel,
            pending: Mutex::default(),
            last: AtomicU64::new(0),
            gone: CancellationToken::new(),
        });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("quarry-helper".to_owned())
            .spawn(move || of_thread.take_answers())?;
        Ok(Self { shared, kerberos: None })
    }

    /// The same where servers are asked as who signs in: their passwords get Kerberos tickets, which
    /// get those of servers by this configuration. `timeout` is for one attempt at one key
    /// distribution centre.
    #[must_use]
    pub fn with_tickets(self, configuration: Configuration, timeout: Duration) -> Self {
        let kerberos = Kerberos { configuration, timeout, counted: Mutex::default() };
        Self { kerberos: Some(Arc::new(kerberos)), ..self }
    }

    /// Becomes ready when the helper is gone, or can't be trusted any more: the page stops then.
    pub fn gone(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.gone.clone().cancelled_owned()
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Answers> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_answers(&self) {
        loop {
            let packet = match self.channel.receive(None) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "the helper can't be heard");
                    break;
                }
            };
            match Answered::decode(&packet.frame) {
                // One that nobody waits for any more is dropped, and its descriptor closed.
                Ok(answered) => {
                    if let Some(asked) = self.pending().remove(&answered.number) {
                        let _ = asked.send((answered.answer, packet.descriptor));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the helper sent something else than an answer");
                    break;
                }
            }
        }
        self.gone.cancel();
        self.pending().clear();
    }

    fn send(&self, request: Request<'_>) -> io::Result<Pending<'_>> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let frame = Asked { number, request }.encode().map_err(io::Error::other)?;
        self.pending().insert(number, answer);
        let pending = Pending { shared: self, number, answered };
        self.channel.send(&frame, None)?;
        if self.gone.is_cancelled() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(pending)
    }

    async fn ask(&self, request: Request<'_>) -> (Answer, Option<OwnedFd>) {
        let not_possible = |why: String| (Answer::NotPossible { why }, None);
        let mut pending = match self.send(request) {
            Ok(pending) => pending,
            Err(error) => return not_possible(format!("the helper can't be asked: {error}")),
        };
        match tokio::time::timeout(LONGEST + GRACE, &mut pending.answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => not_possible("the helper is gone".to_owned()),
            Err(_) => not_possible("the helper doesn't answer".to_owned()),
        }
    }
}

/// A request that is forgotten when nobody waits for its answer any more.
struct Pending<'a> {
    shared: &'a Shared,
    number: u64,
    answered: oneshot::Receiver<(Answer, Option<OwnedFd>)>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.shared.pending().remove(&self.number);
    }
}

impl Kerberos {
    /// The tickets of who has just logged on; where there are none, each server says why.
    async fn tickets(&self, shared: &Shared, logon: u64, user: &str) -> Tickets {
        let none = |why: String| {
            let account = user.to_owned();
            Tickets::none(KerberosError::NoSessionTicket { account, why })
        };
        if self.was_counted(user) {
            shared.ask(Request::Forget { logon }).await;
            return none(format!(
                "its realm has just refused this password, which isn't tried once more within {} \
                 minutes, so that no account is locked there",
                COUNTED.as_secs() / 60
            ));
        }
        match shared.ask(Request::Ticket { logon }).await.0 {
            Answer::Ticket { ticket: Hidden(bytes) } => match GrantingTicket::from_bytes(bytes) {
                Ok(ticket) => Tickets::of_session(ticket, self.configuration.clone(), self.timeout),
                Err(error) => none(error.to_string()),
            },
            Answer::NoTicket { account, why, is_counted } => {
                if is_counted {
                    self.counted(user);
                }
                Tickets::none(KerberosError::NoSessionTicket { account, why })
            }
            Answer::NotPossible { why } => none(why),
            Answer::TookTooLong => none("it took too long".to_owned()),
            answer => none(error_of(answer).to_string()),
        }
    }

    fn was_counted(&self, user: &str) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.retain(|_, at| at.elapsed() < COUNTED);
        counted.contains_key(&user.to_lowercase())
    }

    fn counted(&self, user: &str) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.insert(user.to_lowercase(), Instant::now());
    }
}

impl Accounts for Helper {
    fn log_on<'a>(
        &'a self,
        account: &'a Account,
        secret: Secret,
        from: IpAddr,
    ) -> BoxFuture<'a, Result<LoggedOn, LogOnError>> {
        async move {
            let (account, from) = (account.to_string(), from.to_string());
            let ticket = self.kerberos.is_some();
            let request = Request::LogOn {
                account: &account,
                password: secret.expose(),
                from: &from,
                ticket,
            };
            let (answer, _) = self.shared.ask(request).await;
            let Answer::LoggedOn { logon, user, groups } = answer else {
                return Err(error_of(answer));
            };
            let is_administrator =
                groups.iter().any(|group| ADMINISTRATORS.contains(&group.as_str()));
            // Whatever becomes of what follows, it is logged off in the end.
            let held = Arc::new(HelperLogon { shared: Arc::clone(&self.shared), logon });
            let tickets = match &self.kerberos {
                Some(kerberos) => Some(kerberos.tickets(&self.shared, logon, &user).await),
                None => None,
            };
            Ok(LoggedOn { user, groups, is_administrator, logon: held, tickets })
        }
        .boxed()
    }
}

/// A logon that the helper has a process for.
#[derive(Debug)]
struct HelperLogon {
    shared: Arc<Shared>,
    logon: u64,
}

impl Logon for HelperLogon {
    fn still_good(&self) -> BoxFuture<'_, Result<Vec<String>, LogOnError>> {
        async {
            match self.shared.ask(Request::StillGood { logon: self.logon }).await.0 {
                Answer::Good { groups } => Ok(groups),
                answer => Err(error_of(answer)),
            }
        }
        .boxed()
    }

    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<File>> {
        async move {
            let path = std::path::absolute(path)?;
            let request = Request::Open { logon: self.logon, path: path.as_os_str().as_bytes() };
            match self.shared.ask(request).await {
                (Answer::Opened, Some(file)) => Ok(file.into()),
                (Answer::NotOpened { errno }, _) => Err(io::Error::from_raw_os_error(errno)),
                (Answer::NotAFile, _) => {
                    Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder"))
                }
                (Answer::Gone | Answer::TookTooLong, _) => {
                    Err(io::Error::new(io::ErrorKind::NotConnected, "the logon has ended"))
                }
                (answer, _) => Err(io::Error::other(error_of(answer))),
            }
        }
        .boxed()
    }
}

impl Drop for HelperLogon {
    fn drop(&mut self) {
        // The answer is of no interest, and the helper may be gone.
        let _ = self.shared.send(Request::LogOff { logon: self.logon });
    }
}

fn error_of(answer: Answer) -> LogOnError {
    match answer {
        // A logon whose process is gone is as good as one that never was.
        Answer::Refused | Answer::Gone => LogOnError::Refused,
        Answer::Restricted { why } => LogOnError::Restricted(why),
        Answer::Busy => LogOnError::Busy,
        Answer::NotPossible { why } => LogOnError::NotPossible(why),
        Answer::TookTooLong => LogOnError::NotPossible("the check took too long".to_owned()),
        _ => LogOnError::NotPossible("the helper gave an answer to another question".to_owned()),
    }
}
