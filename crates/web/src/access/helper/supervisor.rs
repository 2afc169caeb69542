//! The helper: it starts a process for each logon, hands requests on to it, and kills it when it
//! doesn't answer. It trusts neither side.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use quarry_cred::Account;
use quarry_logon::{Identity, Logon, PrincipalId};
use rustix::process::{Pid, PidfdFlags, Signal};
use zeroize::Zeroizing;

use super::channel::{Channel, Packet};
use super::wire::{Answer, Answered, Asked, Request};
use super::{LONGEST, MOST_LOGONS, MOST_UNDER_WAY};

/// The variable with the files of Kerberos' configuration, which the process of a logon needs too.
const KERBEROS_FILES: &str = "KRB5_CONFIG";
/// Most requests of one logon that wait for its process.
const MOST_WAITING: usize = 64;

/// The helper's work, and its bounds.
#[derive(Debug)]
pub struct Supervisor {
    longest: Duration,
    most_under_way: usize,
    most_logons: usize,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { longest: LONGEST, most_under_way: MOST_UNDER_WAY, most_logons: MOST_LOGONS }
    }
}

struct Shared<S> {
    channel: Channel,
    start: S,
    bounds: Supervisor,
    logons: Mutex<HashMap<u64, mpsc::SyncSender<Forwarded>>>,
    processes: Arc<Processes>,
    under_way: AtomicUsize,
}

/// All processes that run, by their ids.
type Processes = Mutex<HashMap<u32, Arc<Mutex<Child>>>>;

/// A request for a logon's process, as it came.
struct Forwarded {
    number: u64,
    frame: Zeroizing<Vec<u8>>,
}

impl Supervisor {
    /// How long a request may take before the process that works on it is killed.
    #[must_use]
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Does what comes over `channel` until the other side closes it. `start` starts the process of
    /// a logon with a socket as its standard input, which calls
    /// [`serve_logon`](super::serve_logon). All of them are gone when this returns.
    ///
    /// # Errors
    /// When the channel fails, or what comes over it isn't a request: nobody goes on talking to a
    /// peer that has been taken over.
    pub fn run<S>(self, channel: Channel, start: S) -> io::Result<()>
    where
        S: Fn(OwnedFd) -> io::Result<Child> + Send + Sync + 'static,
    {
        let shared = Arc::new(Shared {
            channel,
            start,
            bounds: self,
            logons: Mutex::default(),
            processes: Arc::default(),
            under_way: AtomicUsize::new(0),
        });
        let result = shared.serve();
        lock(&shared.logons).clear();
        for process in lock(&shared.processes).values() {
            // It may have ended by itself.
            let _ = lock(process).kill();
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Shared<S>
where
    S: Fn(OwnedFd) -> io::Result<Child> + Send + Sync + 'static,
{
    fn serve(self: &Arc<Self>) -> io::Result<()> {
        while let Some(packet) = self.channel.receive(None)? {
            let asked = Asked::decode(&packet.frame)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let number = asked.number;
            let logon = match asked.request {
                Request::LogOn { .. } => {
                    self.begin(number, packet.frame);
                    continue;
                }
                Request::LogOff { logon } => {
                    lock(&self.logons).remove(&logon);
                    self.answer(number, Answer::LoggedOff, None);
                    continue;
                }
                Request::StillGood { logon }
                | Request::Ticket { logon }
                | Request::Forget { logon }
                | Request::Open { logon, .. } => logon,
            };
            let Some(queue) = lock(&self.logons).get(&logon).cloned() else {
                self.answer(number, Answer::Gone, None);
                continue;
            };
            let refused = queue.try_send(Forwarded { number, frame: packet.frame }).err();
            match refused {
                None => {}
                Some(mpsc::TrySendError::Full(_)) => self.answer(number, Answer::Busy, None),
                Some(mpsc::TrySendError::Disconnected(_)) => {
                    self.answer(number, Answer::Gone, None);
                }
            }
        }
        Ok(())
    }

    fn answer(&self, number: u64, answer: Answer, descriptor: Option<OwnedFd>) {
        let sent = Answered { number, answer }
            .encode()
            .map_err(io::Error::other)
            .and_then(|frame| self.channel.send(&frame, descriptor.as_ref().map(AsFd::as_fd)));
        if let Err(error) = sent {
            // Whoever asked has a limit of its own.
            tracing::warn!(%error, "an answer of the helper's is lost");
        }
    }

    /// Begins a logon on a thread of its own, which goes on to serve it.
    fn begin(self: &Arc<Self>, number: u64, frame: Zeroizing<Vec<u8>>) {
        let is_full = lock(&self.logons).len() >= self.bounds.most_logons;
        if is_full || self.under_way.fetch_add(1, Ordering::Relaxed) >= self.bounds.most_under_way {
            if !is_full {
                self.under_way.fetch_sub(1, Ordering::Relaxed);
            }
            self.answer(number, Answer::Busy, None);
            return;
        }
        let shared = Arc::clone(self);
        let started = thread::Builder::new().name("quarry-logon".to_owned()).spawn(move || {
            let begun = shared.log_on(number, frame);
            shared.under_way.fetch_sub(1, Ordering::Relaxed);
            if let Some((process, logon, answer, queue)) = begun {
                // Answered only now, as the next logon may follow at once.
                shared.answer(number, answer, None);
                shared.serve_one(&process, &queue);
                lock(&shared.logons).remove(&logon);
            }
        });
        if let Err(error) = started {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            self.answer(number, Answer::NotPossible { why: error.to_string() }, None);
        }
    }

    fn log_on(
        &self,
        number: u64,
        frame: Zeroizing<Vec<u8>>,
    ) -> Option<(Process, u64, Answer, mpsc::Receiver<Forwarded>)> {
        let process = match Process::start(self) {
            Ok(process) => process,
            Err(error) => {
                let why = format!("a process for the logon can't be started: {error}");
                self.answer(number, Answer::NotPossible { why }, None);
                return None;
            }
        };
        let (answer, _) = process.ask(number, frame, self.bounds.longest);
        let (user, groups) = match answer {
            Answer::LoggedOn { user, groups, .. } => (user, groups),
            Answer::Refused
            | Answer::Restricted { .. }
            | Answer::NotPossible { .. }
            | Answer::TookTooLong => {
                self.answer(number, answer, None);
                return None;
            }
            _ => {
                self.answer(number, lied(), None);
                return None;
            }
        };
        let mut logon = [0; 8];
        if getrandom::fill(&mut logon).is_err() {
            let why = "the system has no randomness to give".to_owned();
            self.answer(number, Answer::NotPossible { why }, None);
            return None;
        }
        let logon = u64::from_le_bytes(logon);
        let (ask, queue) = mpsc::sync_channel(MOST_WAITING);
        lock(&self.logons).insert(logon, ask);
        Some((process, logon, Answer::LoggedOn { logon, user, groups }, queue))
    }

    /// Serves a logon until it is logged off or its process is gone.
    fn serve_one(&self, process: &Process, queue: &mpsc::Receiver<Forwarded>) {
        for Forwarded { number, frame } in queue {
            let (answer, descriptor) = process.ask(number, frame, self.bounds.longest);
            let is_over = matches!(answer, Answer::TookTooLong | Answer::Gone);
            self.answer(number, answer, descriptor);
            if is_over {
                return;
            }
        }
    }
}

fn lied() -> Answer {
    Answer::NotPossible { why: "the logon's process gave an answer to another question".to_owned() }
}

/// The process of a logon. It is killed when this is dropped.
struct Process {
    child: Arc<Mutex<Child>>,
    channel: Channel,
    id: u32,
    all: Arc<Processes>,
}

impl Process {
    fn start<S>(shared: &Shared<S>) -> io::Result<Self>
    where
        S: Fn(OwnedFd) -> io::Result<Child>,
    {
        let (ours, theirs) = Channel::pair()?;
        let child = (shared.start)(theirs.into_socket())?;
        let id = child.id();
        let child = Arc::new(Mutex::new(child));
        lock(&shared.processes).insert(id, Arc::clone(&child));
        Ok(Self { child, channel: ours, id, all: Arc::clone(&shared.processes) })
    }

    /// Asks, and kills the process where no answer comes in time, or one that is none.
    fn ask(
        &self,
        number: u64,
        frame: Zeroizing<Vec<u8>>,
        longest: Duration,
    ) -> (Answer, Option<OwnedFd>) {
        let received = self.channel.send(&frame, None).and_then(|()| {
            drop(frame);
            self.channel.receive(Some(longest))
        });
        let answer = match received {
            Ok(Some(Packet { frame, descriptor })) => match Answered::decode(&frame) {
                Ok(answered) if answered.number == number => match (answered.answer, descriptor) {
                    (Answer::Opened, Some(file)) => return (Answer::Opened, Some(file)),
                    (Answer::Opened, None) | (_, Some(_)) => lied(),
                    (answer, None) => return (answer, None),
                },
                _ => lied(),
            },
            Ok(None) => Answer::Gone,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Answer::TookTooLong,
            Err(_) => Answer::Gone,
        };
        let _ = lock(&self.child).kill();
        (answer, None)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.id);
        let mut child = lock(&self.child);
        // It may have ended by itself; either way it is waited for.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Checks that this process can be the helper, before anything is started: it has the privileges,
/// the system can check passwords for the service, and `account` is one that the web process can run
/// as. Gives that account.
///
/// # Errors
/// What is missing, a [`NotReady`] each.
pub fn check_ready(account: &str, service: &str) -> Result<Identity, NotReady> {
    quarry_logon::check_privileges().map_err(NotReady::Privileges)?;
    let unknown = || NotReady::NoAccount(account.to_owned());
    let name = account.parse().map_err(|_| unknown())?;
    let any = Logon::new(Account::clone(&name)).service(service);
    any.check_set_up().map_err(NotReady::Service)?;
    let identity = Identity::of(&name).map_err(NotReady::Service)?.ok_or_else(unknown)?;
    match identity.id() {
        PrincipalId::Unix(0) => Err(NotReady::Root),
        _ => Ok(identity),
    }
}

/// What is missing before a page can be served with sign-in by the system's accounts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// This process may not become other users.
    #[error(transparent)]
    Privileges(quarry_logon::Error),
    /// PAM, or its service, is missing.
    #[error(transparent)]
    Service(quarry_logon::Error),
    /// There is no such account for the web process.
    #[error("there is no account {0} for the process that faces the network to run as")]
    NoAccount(String),
    /// The web process would be root.
    #[error("the process that faces the network must not run as root")]
    Root,
}

/// The web process, for whoever hands signals on to it.
#[derive(Debug)]
pub struct WebProcess(Option<OwnedFd>);

impl WebProcess {
    fn of(child: &Child) -> Self {
        let pid = Pid::from_child(child);
        // Where the system is too old to have such descriptors, it gets no signals.
        WebProcess(rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok())
    }

    /// Sends it `SIGHUP`, by which programs are told to read their configuration again.
    pub fn hang_up(&self) {
        if let WebProcess(Some(process)) = self {
            // It may have ended by itself.
            let _ = rustix::process::pidfd_send_signal(process, Signal::HUP);
        }
    }
}

/// Becomes the helper of a web process: starts `web` as an account without privileges, with the
/// channel as its standard input, and serves it until it ends. `logon` makes the command for the
/// process of a logon. When `until` returns, which runs on a thread of its own, the channel is closed,
/// and the web process ends as its [`Helper::gone`](super::Helper::gone) says. Returns how it ended.
///
/// # Errors
/// When the account is root's or unknown, or a process can't be started.
pub fn become_helper(
    account: &Identity,
    mut web: Command,
    logon: impl Fn() -> Command + Send + Sync + 'static,
    until: impl FnOnce(WebProcess) + Send + 'static,
) -> io::Result<ExitStatus> {
    let number = |id: &PrincipalId| match id {
        PrincipalId::Unix(0) => Err(io::Error::other("the page must not be served as root")),
        PrincipalId::Unix(number) => Ok(*number),
        _ => Err(io::Error::other("not an account of this system")),
    };
    let group =
        account.groups().first().ok_or_else(|| io::Error::other("an account without groups"))?;
    let (ours, theirs) = Channel::pair()?;
    let end = ours.closer()?;
    // With a user id, all other groups are given up too.
    web.uid(number(account.id())?).gid(number(group)?);
    let child = web.stdin(theirs.into_socket()).spawn();
    // It keeps their end open, which would never close.
    drop(web);
    let mut web = child?;
    let process = WebProcess::of(&web);
    thread::Builder::new().name("quarry-stop".to_owned()).spawn(move || {
        until(process);
        end.close();
    })?;
    let start = move |socket: OwnedFd| {
        let mut command = logon();
        command.stdin(Stdio::from(socket)).stdout(Stdio::null()).env_clear();
        if let Some(files) = std::env::var_os(KERBEROS_FILES) {
            command.env(KERBEROS_FILES, files);
        }
        command.spawn()
    };
    let served = Supervisor::default().run(ours, start);
    if served.is_err() {
        // It sent what no web process of ours sends.
        let _ = web.kill();
    }
    let status = web.wait()?;
    served.map(|()| status)
}
