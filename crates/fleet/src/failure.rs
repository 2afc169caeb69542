//! Why a source failed, in the words of whoever has to do something about it.

use std::fmt;
use std::time::Duration;

use quarry_even::Error as CallError;
use quarry_eventlog::{LogError, LogName};
use quarry_rpc::security::kerberos::KerberosError;
use quarry_rpc::smb::SmbError;
use quarry_rpc::{Blame, Error as RpcError, FaultStatus, NetworkError, NetworkErrorKind, Stage};

use crate::server::Protocol;
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

    /// What to do about it, where that can be said.
    pub fn remedy(&self) -> Option<String> {
        let name = &self.source;
        Some(match &self.cause {
            Cause::UnknownHost => "check the name, or give its address".to_owned(),
            Cause::NoAnswer { listener: Listener::Mapper, .. } => {
                "is it up, and is the firewall rule \"Remote Event Log Management\" on?".to_owned()
            }
            Cause::NoAnswer { listener: Listener::EventLog, .. } => {
                "its endpoint mapper answers, so a firewall is in the way: is the rule \"Remote \
                 Event Log Management (RPC)\" on?"
                    .to_owned()
            }
            Cause::NoAnswer { listener: Listener::Smb, .. } => {
                "is it up, and is the firewall rule \"Remote Event Log Management (NP-In)\" on?"
                    .to_owned()
            }
            Cause::Refused { listener: Listener::Mapper, .. } => {
                "is it a Windows server, and does its RPC service run?".to_owned()
            }
            Cause::Refused { listener: Listener::EventLog, .. } => {
                "does its event log service run?".to_owned()
            }
            Cause::Refused { listener: Listener::Smb, .. } => {
                "does it run Windows' Server service, or Samba?".to_owned()
            }
            Cause::Unreachable => "check the network and the routes to it".to_owned(),
            Cause::Silent(_) => "it may be overloaded; --timeout allows it more silence".to_owned(),
            Cause::TooSlow(_) => {
                "it may be overloaded, or the network slow; --timeout allows it more time"
                    .to_owned()
            }
            Cause::Busy => "try again later".to_owned(),
            Cause::Lost(_) => "try again; its event log has why, if it went down".to_owned(),
            Cause::LogonRefused(_) => {
                "check the user name and the password, and whether the account is locked".to_owned()
            }
            Cause::NotTried { .. } => {
                "a wrong password is tried once, so that it locks no account".to_owned()
            }
            Cause::Kerberos(error) => return kerberos_remedy(error),
            Cause::Security(_) => {
                "only sealed connections with NTLMv2 or Kerberos and 128 bits are made".to_owned()
            }
            Cause::NotServed(Protocol::Even6) => {
                format!(
                    "Windows Vista, 2008 and later have it; even://{name} reads others over SMB"
                )
            }
            Cause::NotServed(Protocol::Even) => {
                "Windows has it, and Samba where it is switched on".to_owned()
            }
            Cause::NoService => "start it: net start EventLog".to_owned(),
            Cause::AccessDenied(_) if self.is_this_machine => {
                "run this as administrator, or as a member of Event Log Readers".to_owned()
            }
            Cause::AccessDenied(_) => "members of Event Log Readers may".to_owned(),
            Cause::NoSuchLog(_) if self.is_this_machine => {
                "quarry logs . lists those there are".to_owned()
            }
            Cause::NoSuchLog(_) => format!("quarry logs {name} lists those there are"),
            Cause::Nonsense(_) => "is it a Windows server? If so, please report it".to_owned(),
            Cause::Deadline => "give it more time with --deadline, or ask for less".to_owned(),
            Cause::Unreadable(_) | Cause::Other(_) => return None,
        })
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
            | CallError::LegacyNonsense { .. }
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

/// What to do where Kerberos fails.
fn kerberos_remedy(error: &KerberosError) -> Option<String> {
    Some(match error {
        KerberosError::WrongPassword(_) => {
            "it was tried once, for all servers, so that it locks no account".to_owned()
        }
        KerberosError::WrongKey(_) => {
            "its password was changed since: export the keytab again".to_owned()
        }
        KerberosError::UnknownPrincipal(_) => {
            "check the user name and the realm: write USER@REALM".to_owned()
        }
        KerberosError::PasswordExpired(name) => format!("change it, such as with kpasswd {name}"),
        KerberosError::AccountRevoked(_) => {
            "an administrator of the domain has to unlock or enable it".to_owned()
        }
        KerberosError::ClockSkew { .. } => {
            "set the clock; Kerberos allows five minutes of difference".to_owned()
        }
        KerberosError::NoAnswer { .. } => "try again later; until then the password isn't tried \
             once more, as it may have been counted"
            .to_owned(),
        KerberosError::TicketRefused(_) => "may the account sign in there? Was the server joined \
             to the domain anew, is its clock right, and is the name its own or an alias?"
            .to_owned(),
        // KDC_ERR_WRONG_REALM.
        KerberosError::Refused { code: 68, .. } => {
            "the account is in another realm: write USER@REALM with that one".to_owned()
        }
        KerberosError::Refused { .. } => {
            "the domain's policy or the account's settings say so; the domain controller's log \
             has why"
                .to_owned()
        }
        KerberosError::NoKdc { .. } => "check the realm, and whether port 88 of a domain \
             controller can be reached; krb5.conf may name one under [realms]"
            .to_owned(),
        KerberosError::UnknownService(name) => format!(
            "use the name that the server has in its domain, not an alias of it (setspn -Q {name} \
             finds who has it); or allow NTLM, which takes a password, with -k --authentication \
             negotiate"
        ),
        KerberosError::NotTheServersTicket => {
            "the name belongs to another computer, or the server was joined anew: use its own name"
                .to_owned()
        }
        KerberosError::TicketExpired { principal, .. } => format!("kinit {principal}"),
        KerberosError::NoCache { .. } => "get a ticket with kinit, and name a cache of another \
             kind than FILE, DIR or KCM by KRB5CCNAME; or give a password or a keytab"
            .to_owned(),
        KerberosError::NoTicket(_) => "get a ticket with kinit".to_owned(),
        KerberosError::OtherPrincipal { wanted, .. } => {
            format!("kinit {wanted}, or set KRB5CCNAME to that account's cache")
        }
        KerberosError::NoKey(_) => {
            "klist -e -k FILE lists the keys of a keytab; export it with AES keys".to_owned()
        }
        KerberosError::NoRealm(_) => {
            "write USER@REALM, or set default_realm in krb5.conf".to_owned()
        }
        KerberosError::NotAName(_) => {
            "give the server's name; or allow NTLM, which takes a password, with -k \
             --authentication negotiate"
                .to_owned()
        }
        KerberosError::NoEncryptionType(_) | KerberosError::EncryptionType(_) => {
            "AES has to be allowed for the account, and its password set since it was".to_owned()
        }
        _ => return None,
    })
}

fn seconds(time: Duration) -> String {
    let text = format!("{:.1}", time.as_secs_f64());
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}
