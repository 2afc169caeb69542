//! What to simulate.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use quarry_cred::{Account, Credential, Secret};
use quarry_event::EventTime;

use crate::fault::Fault;
use crate::files::FileLogs;
use crate::journal::OnQuery;
use crate::server::now;

/// A build that no Windows has, so that what a client keeps of the servers' message text never
/// serves a real server.
const BUILD: u16 = 65_535;

/// The most servers in one simulation.
pub const MAX_SERVERS: usize = 10_000;

/// What to simulate.
#[derive(Clone)]
pub struct SimOptions {
    /// The servers.
    pub servers: Vec<ServerOptions>,
    /// The one account that every server knows, and its password.
    pub credential: Arc<Credential>,
    /// How long a question is on its way before it is answered, on every connection.
    pub latency: Duration,
    /// How many events each of the logs System, Security and Application has. At most 2⁴⁰.
    pub events: u64,
    /// The number of the first record.
    pub first_record: u64,
    /// From one event to the next, on average.
    pub every: Duration,
    /// The time of the newest event.
    pub newest: EventTime,
    /// What else decides on the events: the same seed, the same events.
    pub seed: u64,
    /// About how many bytes an event takes, up to 60,000; by its kind (1.5 to 5 KB) when it isn't
    /// said, or less than that.
    pub event_size: Option<usize>,
    /// How many bytes of records that are appended a log holds; then the oldest are overwritten.
    pub log_size: usize,
    /// How many channels without events there are besides, up to 8,000.
    pub empty_channels: usize,
    /// Logs to have instead of generated ones, on every server.
    pub files: Option<Arc<FileLogs>>,
    /// The build of Windows 10.0 that the servers say they are.
    pub build: u16,
    /// Where to listen.
    pub address: Ipv4Addr,
    /// Receives each query as it comes.
    pub on_query: Option<OnQuery>,
}

/// One server to simulate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// Its name, which has to be another one than the other servers'.
    pub name: String,
    /// What its events say that it is called; `NAME.sim.test` when it isn't said.
    pub computer: Option<String>,
    /// How many events its logs have, where that is not as with the others.
    pub events: Option<u64>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// Why a simulation does not start, or can't do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// No server at all, or too many.
    #[error("there can be 1 to {MAX_SERVERS} simulated servers, not {0}")]
    Servers(usize),
    /// Two servers of one name.
    #[error("two servers are called {0}")]
    SameName(String),
    /// This machine has no port to spare, or no file descriptor.
    #[error("cannot listen for {server}: {error}")]
    Listen {
        /// For which server.
        server: String,
        /// Why.
        error: io::Error,
    },
    /// A channel that the servers don't have.
    #[error("there is no channel {0}")]
    NoChannel(String),
    /// An event that can't be sent.
    #[error("the event can't be written as BinXML")]
    Event,
    /// The generated events can't be written.
    #[error(transparent)]
    Generate(#[from] quarry_binxml::write::WriteError),
}

impl SimOptions {
    /// Servers with a thousand events in each log, one every 30 seconds until now.
    pub fn new(servers: Vec<ServerOptions>, account: Account, password: Secret) -> Self {
        Self {
            servers,
            credential: Arc::new(Credential::new(account, password)),
            latency: Duration::ZERO,
            events: 1000,
            first_record: 1,
            every: Duration::from_secs(30),
            newest: now(),
            seed: 1,
            event_size: None,
            log_size: usize::MAX,
            empty_channels: 1100,
            files: None,
            build: BUILD,
            address: Ipv4Addr::LOCALHOST,
            on_query: None,
        }
    }
}

impl ServerOptions {
    /// A server without faults.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With one more fault.
    pub fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }
}
