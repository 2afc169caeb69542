//! Making a TCP connection within its time.

use std::fmt;
use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tracing::{Instrument as _, debug, debug_span};

use super::patience::Patience;
use crate::error::{Error, NetworkError, NetworkErrorKind, Stage};
use crate::limits::{DEFAULT_CONNECT_TIMEOUT, DEFAULT_SILENCE, MAX_ADDRESSES};

/// After how much idleness a connection is kept alive, and how often then.
const IDLE: Duration = Duration::from_secs(45);

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Target {
    /// Puts a target together.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection, looking the name up included.
    pub connect: Duration,
    /// For a server that keeps us waiting: what that means is said at
    /// [`DEFAULT_SILENCE`].
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: DEFAULT_CONNECT_TIMEOUT, silence: DEFAULT_SILENCE }
    }
}

/// Connects. A name's addresses are tried one after the other, all within the
/// one time-out; what the last of them said is the error.
///
/// # Errors
/// [`NetworkError`].
pub async fn connect_stream(target: &Target, limit: Duration) -> Result<TcpStream, NetworkError> {
    let span = debug_span!("connect", %target);
    let connected = connect(target, limit).instrument(span.clone()).await;
    span.in_scope(|| match &connected {
        Ok(_) => debug!("connected"),
        Err(error) => debug!(%error, "failed"),
    });
    connected
}

async fn connect(target: &Target, limit: Duration) -> Result<TcpStream, NetworkError> {
    let mut patience = Patience::new(limit);
    let fail = |during, kind| NetworkError { during, kind };
    let found = patience
        .wait(lookup_host((target.host.as_str(), target.port)))
        .await
        .map_err(|_| fail(Stage::Resolve, NetworkErrorKind::TimedOut(limit)))?;
    let addresses: Vec<_> = match found {
        Ok(found) => found.take(MAX_ADDRESSES).collect(),
        Err(_) => return Err(fail(Stage::Resolve, NetworkErrorKind::UnknownHost)),
    };
    let mut last = NetworkErrorKind::UnknownHost;
    for (n, address) in addresses.iter().enumerate() {
        // A black hole must not use up the time of the addresses after it.
        let share = addresses.len() - n;
        last = match patience.wait_for_share(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                prepare(&stream);
                return Ok(stream);
            }
            Ok(Err(error)) => network_error_kind(&error),
            Err(_) => NetworkErrorKind::TimedOut(limit),
        };
    }
    Err(fail(Stage::Connect(target.port), last))
}

/// What a connection gets, as far as the system can: a connection does without it too.
fn prepare(stream: &TcpStream) {
    // Calls are small and their answers awaited.
    let _ = stream.set_nodelay(true);
    // A reader may be long over a batch, and firewalls forget connections on which nothing moves.
    let alive = TcpKeepalive::new().with_time(IDLE).with_interval(IDLE);
    let _ = SockRef::from(stream).set_tcp_keepalive(&alive);
}

/// What ended a connection: the error that a stream of ours hid in the system's,
/// or the network's.
pub(crate) fn lost(during: Stage, error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(ours) => ours.clone(),
        None => Error::Network(NetworkError { during, kind: network_error_kind(error) }),
    }
}

/// Sorts what the system said.
pub(crate) fn network_error_kind(error: &io::Error) -> NetworkErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::ConnectionRefused => NetworkErrorKind::Refused,
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => NetworkErrorKind::Reset,
        Io::UnexpectedEof => NetworkErrorKind::Closed,
        Io::HostUnreachable | Io::NetworkUnreachable => NetworkErrorKind::Unreachable,
        _ => NetworkErrorKind::Other(error.to_string()),
    }
}
