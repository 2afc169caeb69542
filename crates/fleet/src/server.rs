//! A server, and the two protocols in which one may be read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quarry_cred::{Account, Gate};
use quarry_even::even::ConnectPipeOptions;
use quarry_even::{Authentication, ConnectOptions, Error as CallError, LogOn};
use quarry_event::filter::{FilterError, Glob};
use quarry_eventlog::{BoxFuture, Even6Log, EvenLog, EventLog, LogError, ReadOptions};
use quarry_rpc::security::kerberos::KerberosError;
use quarry_rpc::smb::SMB_PORT;
use quarry_rpc::tcp::{Target, Timeouts, connect_stream};
use quarry_rpc::tickets::Tickets;
use quarry_rpc::{Error as RpcError, NetworkError, NetworkErrorKind, Stage};
use tokio::time::Instant;

use crate::address::ServerUrl;
use crate::failure::{Failure, Listener};
use crate::inventory::ServerEntry;
use crate::protocol::Protocol;
use crate::retry::CREDENTIAL_PAUSE;
use crate::source::Source;

/// The log that is read of a server unless others are asked for.
pub const DEFAULT_LOG: &str = "System";

/// How long SMB's port has to answer where the endpoint mapper doesn't.
const KNOCK: Duration = Duration::from_secs(1);

/// A server that speaks MS-EVEN6, or MS-EVEN over SMB. Where neither is asked for, MS-EVEN6 comes
/// first; MS-EVEN is spoken where that can't be reached or isn't served, and from then on.
#[derive(Clone, Debug)]
pub struct Server {
    name: String,
    connect: ConnectOptions,
    smb_port: u16,
    /// The one to speak; none where either will do.
    wanted: Option<Protocol>,
    /// Its names in the identity of events, by protocol.
    even6_address: String,
    even_address: String,
    spoken: Arc<Mutex<Spoken>>,
    read: ReadOptions,
    logs: Vec<Glob>,
    is_of_persons: bool,
}

/// What was found out about a server that may be read in either protocol. Its connections all
/// speak the same, as the numbers of records belong to an address.
#[derive(Clone, Default, Debug)]
struct Spoken {
    protocol: Option<Protocol>,
    /// Why it isn't MS-EVEN6.
    instead: Option<Failure>,
}

impl Server {
    /// A server called `name` that is read in MS-EVEN6.
    pub fn new(name: impl Into<String>, connect: ConnectOptions) -> Self {
        let name = name.into();
        let url = |protocol| ServerUrl::of(&ServerEntry::new(&name), protocol).to_string();
        Server {
            even6_address: url(Protocol::Even6),
            even_address: url(Protocol::Even),
            name,
            connect,
            smb_port: SMB_PORT,
            wanted: Some(Protocol::Even6),
            spoken: Arc::default(),
            read: ReadOptions::default(),
            logs: Glob::parse(DEFAULT_LOG).into_iter().collect(),
            is_of_persons: false,
        }
    }

    /// The same server, read in another protocol, or in either. For MS-EVEN the host, the
    /// credential, the gate and the times are used of how one connects, and the port of SMB.
    pub fn speaking(mut self, protocol: Option<Protocol>, smb_port: u16) -> Self {
        (self.wanted, self.smb_port) = (protocol, smb_port);
        self
    }

    /// A server of an inventory. The gate is the one of its credential, for all servers.
    ///
    /// # Errors
    /// [`FilterError`]: one of its logs is no glob.
    pub fn of_inventory(
        entry: &ServerEntry,
        logon: impl Into<LogOn>,
        gate: Gate,
        timeouts: Timeouts,
    ) -> Result<Self, FilterError> {
        let connect = ConnectOptions {
            name: entry.name.clone(),
            mapper_port: entry.mapper_port,
            port: entry.endpoint,
            authentication: entry.authentication,
            gate: Some(gate),
            timeouts,
            ..ConnectOptions::new(&entry.address, logon)
        };
        let mut server = Server::new(&entry.name, connect).speaking(entry.speaks(), entry.smb_port);
        server.even6_address = ServerUrl::of(entry, Protocol::Even6).to_string();
        server.even_address = ServerUrl::of(entry, Protocol::Even).to_string();
        if !entry.logs.is_empty() {
            server.logs =
                entry.logs.iter().map(|log| Glob::parse(log)).collect::<Result<_, _>>()?;
        }
        // A heartbeat that is later than the silence allowed would be none.
        server.read.heartbeat = server.read.heartbeat.min(timeouts.silence / 3);
        server.read.idle_heartbeat = timeouts.silence * 2 / 3;
        Ok(server)
    }

    /// A server of an inventory that nobody is signed in to yet: whoever asks opens it with tickets of
    /// their own ([`Source::of_person`]).
    ///
    /// # Errors
    /// [`FilterError`]: one of its logs is no glob.
    pub fn of_persons(entry: &ServerEntry, timeouts: Timeouts) -> Result<Self, FilterError> {
        let nobody = KerberosError::NoSessionTicket {
            account: "the program itself".to_owned(),
            why: "it is nobody who signed in".to_owned(),
        };
        let mut entry = entry.clone();
        if entry.authentication == Authentication::Ntlm {
            // There is no password for it.
            entry.authentication = Authentication::Negotiate;
        }
        let tickets = Tickets::none(nobody);
        let mut server = Self::of_inventory(&entry, tickets, Gate::default(), timeouts)?;
        server.is_of_persons = true;
        Ok(server)
    }

    /// Reads in another way than the default.
    pub fn read_with(mut self, read: ReadOptions) -> Self {
        self.read = read;
        self
    }

    /// Its names in the identity of events that it may have, by the protocols that it may be read in.
    pub fn addresses(&self) -> Vec<&str> {
        match self.protocol() {
            Some(Protocol::Even6) => vec![&self.even6_address],
            Some(Protocol::Even) => vec![&self.even_address],
            None => vec![&self.even6_address, &self.even_address],
        }
    }

    /// Where one of its two addresses is known from before, it is read as it was then: what one
    /// remembers of a server is told by its address.
    pub fn keep_to(&self, is_known: impl Fn(&str) -> bool) {
        let known = if is_known(&self.even6_address) {
            Protocol::Even6
        } else if is_known(&self.even_address) {
            Protocol::Even
        } else {
            return;
        };
        self.spoken(|spoken| spoken.protocol = spoken.protocol.or(Some(known)));
    }

    /// Whether both are read at one place in one way. A server that may be read in either protocol
    /// is the one that is read in MS-EVEN6.
    pub fn is_same(&self, other: &Server) -> bool {
        let place = |server: &Server| {
            let ConnectOptions { host, mapper_port, port, .. } = &server.connect;
            let ports = match server.wanted {
                Some(Protocol::Even) => (None, Some(server.smb_port)),
                Some(Protocol::Even6) | None => (Some((*mapper_port, *port)), None),
            };
            (host.to_lowercase(), ports)
        };
        place(self) == place(other)
    }

    fn spoken<R>(&self, look: impl FnOnce(&mut Spoken) -> R) -> R {
        look(&mut self.spoken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn open_even6(&self) -> Result<Arc<dyn EventLog>, LogError> {
        let log = Even6Log::connect(self.even6_address.clone(), &self.connect, self.read).await?;
        Ok(Arc::new(log))
    }

    /// How one connects in MS-EVEN.
    fn pipe(&self) -> ConnectPipeOptions {
        let ConnectOptions { name, host, logon, authentication, gate, timeouts, .. } =
            &self.connect;
        ConnectPipeOptions {
            name: name.clone(),
            port: self.smb_port,
            authentication: *authentication,
            gate: gate.clone(),
            timeouts: *timeouts,
            ..ConnectPipeOptions::new(host, logon.clone())
        }
    }

    async fn open_even(&self) -> Result<Arc<dyn EventLog>, LogError> {
        let connect = self.pipe();
        let address = self.even_address.clone();
        Ok(Arc::new(EvenLog::connect(address, &connect, self.read).await?))
    }

    /// Opens it in MS-EVEN6, or in MS-EVEN if that fails and this doesn't. A server that answers
    /// on neither port costs the time of one connection: the other port is tried meanwhile.
    async fn open_either(&self) -> Result<Arc<dyn EventLog>, LogError> {
        let knocking = self.knock();
        tokio::pin!(knocking);
        let mut is_open = None;
        let opening = self.open_even6();
        tokio::pin!(opening);
        let opened = loop {
            tokio::select! {
                biased;
                opened = &mut opening => break opened,
                open = &mut knocking, if is_open.is_none() => is_open = Some(open),
            }
        };
        let error = match opened {
            Ok(log) => return self.settle(Protocol::Even6, None, log).await,
            Err(error) => error,
        };
        let is_silent = is_unreached(&error, |kind| matches!(kind, NetworkErrorKind::TimedOut(_)));
        if !is_of_protocol(&error) || is_silent && is_open != Some(true) {
            return Err(error);
        }
        match self.open_even().await {
            Ok(log) => {
                let error = Failure::of(self, &error, 0);
                self.settle(Protocol::Even, Some(error), log).await
            }
            // Nothing is there either: the first is what one expects of a server.
            Err(even) if is_unreached(&even, |_| true) || even.is_not_served() => Err(error),
            Err(even) => Err(even),
        }
    }

    /// Whether SMB's port answers, in the last of the time that the endpoint mapper has.
    async fn knock(&self) -> bool {
        let limit = self.connect.timeouts.connect;
        let last = KNOCK.min(limit / 2);
        tokio::time::sleep(limit.saturating_sub(last)).await;
        let target = Target::new(&self.connect.host, self.smb_port);
        connect_stream(&target, last).await.is_ok()
    }

    /// Keeps to a protocol, unless another connection has settled on the other meanwhile.
    async fn settle(
        &self,
        protocol: Protocol,
        instead: Option<Failure>,
        log: Arc<dyn EventLog>,
    ) -> Result<Arc<dyn EventLog>, LogError> {
        let settled = self.spoken(|spoken| {
            if spoken.protocol.is_none() {
                *spoken = Spoken { protocol: Some(protocol), instead };
            }
            spoken.protocol
        });
        if settled == Some(protocol) { Ok(log) } else { self.open_speaking(settled).await }
    }

    async fn open_speaking(
        &self,
        protocol: Option<Protocol>,
    ) -> Result<Arc<dyn EventLog>, LogError> {
        match protocol {
            Some(Protocol::Even6) => self.open_even6().await,
            Some(Protocol::Even) => self.open_even().await,
            // The future of a settled one is inside of this one's.
            None => Box::pin(self.open_either()).await,
        }
    }
}

impl Source for Server {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        match self.protocol() {
            Some(Protocol::Even) => &self.even_address,
            Some(Protocol::Even6) | None => &self.even6_address,
        }
    }

    fn account(&self) -> Option<&Account> {
        self.connect.logon.account()
    }

    fn listener(&self, port: u16) -> Listener {
        if port == self.smb_port && self.wanted != Some(Protocol::Even6) {
            Listener::Smb
        } else if port == self.connect.mapper_port && self.connect.port.is_none() {
            Listener::Mapper
        } else {
            Listener::EventLog
        }
    }

    fn logs(&self) -> &[Glob] {
        &self.logs
    }

    fn protocol(&self) -> Option<Protocol> {
        self.wanted.or_else(|| self.spoken(|spoken| spoken.protocol))
    }

    fn passed_over(&self) -> Option<Failure> {
        self.spoken(|spoken| spoken.instead.clone())
    }

    fn falls_back(&self, error: &LogError) -> bool {
        let falls_back = self.wanted.is_none() && error.is_not_served();
        let instead = falls_back.then(|| Failure::of(self, error, 0));
        self.spoken(|spoken| {
            let falls_back = falls_back && spoken.protocol == Some(Protocol::Even6);
            if falls_back {
                *spoken = Spoken { protocol: Some(Protocol::Even), instead };
            }
            falls_back
        })
    }

    fn prepare(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            match self.protocol() {
                Some(Protocol::Even) => self.pipe().prepare().await,
                Some(Protocol::Even6) | None => self.connect.prepare().await,
            }
        })
    }

    fn reconsider_credential(&self) {
        if let Some(gate) = &self.connect.gate {
            // One attempt of the whole fleet in such a time, whichever server's turn it is.
            gate.reconsider(Instant::now().into_std(), CREDENTIAL_PAUSE);
        }
    }

    fn of_person(&self, tickets: &Tickets) -> Option<Arc<dyn Source>> {
        if !self.is_of_persons {
            return None;
        }
        let mut server = self.clone();
        server.connect.logon = LogOn::Kerberos(tickets.clone());
        // What one person is refused is nothing to others.
        server.connect.gate = Some(Gate::default());
        Some(Arc::new(server))
    }

    fn is_of_persons(&self) -> bool {
        self.is_of_persons
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, LogError>> {
        Box::pin(self.open_speaking(self.protocol()))
    }
}

/// Whether MS-EVEN6 can't be had, so that MS-EVEN is worth a try. Whoever refuses a logon there
/// refuses it here.
fn is_of_protocol(error: &LogError) -> bool {
    let is_there = |kind: &NetworkErrorKind| !matches!(kind, NetworkErrorKind::UnknownHost);
    is_unreached(error, is_there) || error.is_not_served()
}

/// Whether no connection was made, in such a way.
fn is_unreached(error: &LogError, how: impl Fn(&NetworkErrorKind) -> bool) -> bool {
    match error {
        LogError::Server(CallError::Rpc(RpcError::Network(NetworkError { during, kind }))) => {
            matches!(during, Stage::Resolve | Stage::Connect(_)) && how(kind)
        }
        _ => false,
    }
}
