//! Why a source failed, in the words of whoever has to do something about it.

use std::fmt;
use std::time::Duration;

use quarry_even::Error as CallError;
use quarry_eventlog::{LogError, LogName};
use quarry_rpc::security::kerberos::KerberosError;
use quarry_rpc::smb::SmbError;
use quarry_rpc::{Blame, Error as RpcError, FaultStatus, NetworkError, NetworkErrorKind, Stage};

use crate::protocol::Protocol;
use crate::source::Source;

/// A source that failed, wholly or in part.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The source's name.
    pub source: String,
    /// Who signed in, where somebody was to.
    pub account: Option<String>,
    /// Why.
    pub cause: Cause,
    /// Records that had come before.
    pub records: u64,
    /// Whether it is the machine that this runs on.
    pub is_this_machine: bool,
}

/// Why a source failed. Sources that failed alike have equal causes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The name has no address.
    UnknownHost,
    /// Nothing came back on a port.
    NoAnswer {
        /// The port.
        port: u16,
        /// What listens there.
        listener: Listener,
        /// How long was waited.
        waited: Duration,
    },
    /// Nothing listens on a port.
    Refused {
        /// The port.
        port: u16,
        /// What listens there.
        listener: Listener,
    },
    /// There is no route.
    Unreachable,
    /// The server was silent while an answer was due.
    Silent(Duration),
    /// The server was answering, but not done in the time that it had.
    TooSlow(Duration),
    /// The server says that it has too much to do.
    Busy,
    /// The connection was lost.
    Lost(String),
    /// The name or password is wrong, or the account is locked, disabled or kept out.
    LogonRefused(String),
    /// Not tried, since another server refused the same credential.
    NotTried {
        /// That server.
        refused_by: String,
    },
    /// There is no ticket, or the server doesn't take it.
    Kerberos(KerberosError),
    /// The server can't or won't seal what is sent as has to be.
    Security(String),
    /// The server has no event log service of this kind, or in name only.
    NotServed(Protocol),
    /// The service that keeps the event logs of this machine doesn't run.
    NoService,
    /// The account may not read a log.
    AccessDenied(LogName),
    /// There is no such log.
    NoSuchLog(LogName),
    /// A log can't be read in the way asked for.
    Unreadable(String),
    /// The server answers what can't be.
    Nonsense(String),
    /// It wasn't done in the time that all had.
    Deadline,
    /// Anything else.
    Other(String),
}

/// What listens on a port that is connected to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Listener {
    /// The endpoint mapper.
    Mapper,
    /// The event log's own port, which the endpoint mapper has named or which was given.
    EventLog,
    /// SMB.
    Smb,
}

impl Failure {
    pub(crate) fn new(source: &dyn Source, cause: Cause, records: u64) -> Self {
        Failure {
            source: source.name().to_owned(),
            account: source.account().map(ToString::to_string),
            cause,
            records,
            is_this_machine: source.is_this_machine(),
        }
    }

    /// What an error of a source means, after so many records.
    pub fn of(source: &dyn Source, error: &LogError, records: u64) -> Self {
        Failure::new(source, Cause::of(error, source), records)
    }

    /// What happened, without the source's name: what sources that failed alike have in common.
    pub fn what(&self) -> String {
        let account = self.account.as_deref().unwrap_or("the account");
        match &self.cause {
            // These ports differ from server to server.
            Cause::NoAnswer { listener: Listener::EventLog, waited, .. } => {
                format!("no answer on the event log's own port in {}", seconds(*waited))
            }
            Cause::Refused { listener: Listener::EventLog, .. } => {
                "connection to the event log's own port refused".to_owned()
            }
            Cause::LogonRefused(_) => format!("logon refused for {account}"),
            Cause::AccessDenied(log) => format!("{account} may not read {log}"),
            cause => cause.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.source;
        let account = self.account.as_deref().unwrap_or("the account");
        match &self.cause {
            cause @ (Cause::UnknownHost
            | Cause::NoAnswer { .. }
            | Cause::Refused { .. }
            | Cause::Unreachable) => write!(f, "cannot reach {name}: {cause}")?,
            Cause::LogonRefused(reason) => {
                write!(f, "logon refused for {account} on {name}: {reason}")?;
            }
            Cause::NotTried { refused_by } => {
                write!(f, "{name} was not asked: {refused_by} refused {account}")?;
            }
            Cause::AccessDenied(log) => write!(f, "{account} may not read {log} on {name}")?,
            Cause::NoSuchLog(log) => write!(f, "there is no log {log} on {name}")?,
            cause => write!(f, "{name}: {cause}")?,
        }
        match self.records {
            0 => Ok(()),
            1 => f.write_str(", after 1 record"),
            records => write!(f, ", after {records} records"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::UnknownHost => f.write_str("unknown host"),
            Cause::NoAnswer { port, waited, .. } => {
                write!(f, "no answer on port {port} in {}", seconds(*waited))
            }
            Cause::Refused { port, .. } => write!(f, "connection to port {port} refused"),
            Cause::Unreachable => f.write_str("host or network unreachable"),
            Cause::Silent(waited) => write!(f, "silent for {}", seconds(*waited)),
            Cause::Busy => f.write_str("the server is too busy"),
            Cause::TooSlow(waited) => write!(f, "too slow: not done after {}", seconds(*waited)),
            Cause::Lost(how) => write!(f, "connection lost ({how})"),
            Cause::LogonRefused(reason) => write!(f, "logon refused: {reason}"),
            Cause::NotTried { refused_by } => {
                write!(f, "not asked, since {refused_by} refused the credential")
            }
            Cause::Kerberos(error) => write!(f, "Kerberos: {error}"),
            Cause::Security(what) | Cause::Unreadable(what) | Cause::Other(what) => {
                f.write_str(what)
            }
            Cause::NotServed(protocol) => write!(f, "no event log service in {protocol}"),
            Cause::NoService => f.write_str("the service Windows Event Log doesn't run"),
            Cause::AccessDenied(log) => write!(f, "access to {log} denied"),
            Cause::NoSuchLog(log) => write!(f, "there is no log {log}"),
            Cause::Nonsense(what) => write!(f, "the server breaks the protocol: {what}"),
            Cause::Deadline => f.write_str("not done by the deadline"),
        }
    }
}

impl Cause {
    fn of(error: &LogError, source: &dyn Source) -> Self {
        if error.is_not_served() {
            return Cause::NotServed(source.protocol().unwrap_or(Protocol::Even6));
        }
        let error = match error {
            LogError::AccessDenied(log) => return Cause::AccessDenied(log.clone()),
            LogError::NoSuchLog(log) => return Cause::NoSuchLog(log.clone()),
            LogError::DirectLog(_) | LogError::QueryRefused { .. } | LogError::Open(_) => {
                return Cause::Unreadable(error.to_string());
            }
            LogError::Local(error) if error.is_without_service() => return Cause::NoService,
            LogError::Nonsense(what) if source.is_this_machine() => {
                return Cause::Other(format!("what Windows says makes no sense: {what}"));
            }
            LogError::Nonsense(what) => return Cause::Nonsense((*what).to_owned()),
            LogError::Server(error) => error,
            error => return Cause::Other(error.to_string()),
        };
        match error {
            CallError::CredentialRefused(refusal) => {
                Cause::NotTried { refused_by: refusal.server.clone() }
            }
            CallError::Nonsense { .. }
            | CallError::EvenNonsense { .. }
            | CallError::ResultSet(_) => Cause::Nonsense(error.to_string()),
            CallError::Rpc(error) => Cause::of_rpc(error, source),
            error => Cause::Other(error.to_string()),
        }
    }

    fn of_rpc(error: &RpcError, source: &dyn Source) -> Self {
        match error {
            RpcError::Network(error) => Cause::of_network(error, source),
            RpcError::Shutdown => Cause::Lost("the server shuts down".to_owned()),
            RpcError::LogonRefused(reason) => Cause::LogonRefused(reason.to_string()),
            RpcError::Kerberos(KerberosError::CredentialRefused(refusal)) => {
                Cause::NotTried { refused_by: refusal.server.clone() }
            }
            RpcError::Kerberos(error) => Cause::Kerberos(error.clone()),
            RpcError::Security(error) => Cause::Security(error.to_string()),
            RpcError::Smb(
                error @ (SmbError::TooWeak(_)
                | SmbError::NotTheAccount(_)
                | SmbError::Downgrade(_)
                | SmbError::BadSignature
                | SmbError::Unprotected(..)),
            ) => Cause::Security(error.to_string()),
            RpcError::Fault(FaultStatus::SERVER_TOO_BUSY | FaultStatus::RPC_SERVER_TOO_BUSY) => {
                Cause::Busy
            }
            RpcError::Protocol(error) => Cause::Nonsense(error.to_string()),
            RpcError::Smb(error) if error.blame() == Blame::Peer => {
                Cause::Nonsense(error.to_string())
            }
            RpcError::Stub(error) => Cause::Nonsense(error.to_string()),
            error => Cause::Other(error.to_string()),
        }
    }

    fn of_network(error: &NetworkError, source: &dyn Source) -> Self {
        let port = match error.during {
            Stage::Connect(port) => Some(port),
            _ => None,
        };
        let listener = port.map_or(Listener::EventLog, |port| source.listener(port));
        match (&error.kind, port) {
            (NetworkErrorKind::UnknownHost, _) => Cause::UnknownHost,
            (NetworkErrorKind::TimedOut(waited), Some(port)) => {
                Cause::NoAnswer { port, listener, waited: *waited }
            }
            (NetworkErrorKind::TimedOut(_), None) => Cause::UnknownHost,
            (NetworkErrorKind::Refused, Some(port)) => Cause::Refused { port, listener },
            (NetworkErrorKind::Unreachable, _) => Cause::Unreachable,
            (NetworkErrorKind::Silent(waited), _) => Cause::Silent(*waited),
            (NetworkErrorKind::TooSlow(waited), _) => Cause::TooSlow(*waited),
            (NetworkErrorKind::Closed, _) => Cause::Lost("closed by the server".to_owned()),
            (NetworkErrorKind::Reset, _) => Cause::Lost("reset".to_owned()),
            (kind, _) => Cause::Lost(kind.to_string()),
        }
    }
}

fn seconds(time: Duration) -> String {
    let text = format!("{:.1}", time.as_secs_f64());
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}
