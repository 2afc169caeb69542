//! What can go wrong, and whose fault it is.

use std::fmt;
use std::time::Duration;

use crate::blame::Blame;
use crate::fault::FaultStatus;
use crate::pdu::{ContextReason, NakReason, PduType};
use crate::security::kerberos::KerberosError;
use crate::smb::{NtStatus, SmbError};

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An RPC connection or call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or it was lost.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The peer broke the protocol. The connection is of no further use.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The stub that the peer sent is not what its interface defines.
    #[error("the peer's answer does not decode: {0}")]
    Stub(#[from] NdrError),
    /// The peer refused to bind.
    #[error("the peer refused to bind: {0}")]
    BindRefused(NakReason),
    /// The peer refused the interface or the transfer syntax.
    #[error("the peer does not serve the interface: {0}")]
    InterfaceRefused(ContextReason),
    /// The logon was refused: a wrong name or password, an account that is
    /// locked or disabled, or a policy that keeps it out.
    #[error("logon refused: {0}")]
    LogonRefused(LogonRefusal),
    /// The security handshake failed otherwise.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// There is no ticket, or the server doesn't take it.
    #[error(transparent)]
    Kerberos(#[from] KerberosError),
    /// The way to the named pipe failed. The connection is of no further use.
    #[error(transparent)]
    Smb(#[from] SmbError),
    /// The peer answered a call with a fault; the connection lives on.
    #[error("the peer answered with fault {0}")]
    Fault(FaultStatus),
    /// The peer said that it shuts down.
    #[error("the peer is shutting down")]
    Shutdown,
    /// A mistake of the caller.
    #[error(transparent)]
    Usage(#[from] UsageError),
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Network(_) | Self::Shutdown => Blame::Network,
            Self::Protocol(_) | Self::Stub(_) => Blame::Peer,
            Self::BindRefused(_) | Self::InterfaceRefused(_) | Self::Fault(_) => Blame::Refusal,
            Self::LogonRefused(_) => Blame::Credential,
            Self::Kerberos(error) => error.blame(),
            Self::Smb(error) => error.blame(),
            Self::Security(SecurityError::Local(_)) | Self::Usage(_) => Blame::Us,
            Self::Security(_) => Blame::Peer,
        }
    }

    /// Whether the same attempt may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Shutdown => true,
            Self::Network(error) => !matches!(error.kind, NetworkErrorKind::UnknownHost),
            Self::BindRefused(reason) => {
                matches!(reason, NakReason::TemporaryCongestion | NakReason::LocalLimitExceeded)
            }
            Self::Smb(error) => error.is_transient(),
            Self::Kerberos(error) => error.is_transient(),
            Self::Fault(status) => {
                matches!(*status, FaultStatus::SERVER_TOO_BUSY | FaultStatus::RPC_SERVER_TOO_BUSY)
            }
            _ => false,
        }
    }

    /// Whether the connection can still be used after it.
    pub fn leaves_connection_usable(&self) -> bool {
        matches!(self, Self::Fault(_) | Self::Stub(_) | Self::Usage(_) | Self::InterfaceRefused(_))
    }
}

/// A connection that did not come about or was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{during}: {kind}")]
pub struct NetworkError {
    /// What was being done.
    pub during: Stage,
    /// What happened.
    pub kind: NetworkErrorKind,
}

/// What was being done when the network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Looking up the host's addresses.
    Resolve,
    /// Making the TCP connection to this port.
    Connect(u16),
    /// Binding and the security handshake.
    Bind,
    /// A call, or waiting for the next.
    Call,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve => f.write_str("looking up the host"),
            Self::Connect(port) => write!(f, "connecting to port {port}"),
            Self::Bind => f.write_str("binding"),
            Self::Call => f.write_str("calling"),
        }
    }
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkErrorKind {
    /// The host's name has no address.
    #[error("unknown host")]
    UnknownHost,
    /// The host is there, nothing listens on the port.
    #[error("connection refused")]
    Refused,
    /// Nothing came back: the host is down or a firewall drops.
    #[error("no answer in {}", Seconds(*.0))]
    TimedOut(Duration),
    /// No route to the host.
    #[error("host or network unreachable")]
    Unreachable,
    /// Connected, and nothing came for longer than is allowed.
    #[error("the server said nothing for {}", Seconds(*.0))]
    Silent(Duration),
    /// Something came, but less than is demanded: the whole was not there after so long
    /// ([`limits`](crate::limits) says what the whole of what may take).
    #[error("the server is too slow: it was not done after {}", Seconds(*.0))]
    TooSlow(Duration),
    /// The peer closed the connection while something was due.
    #[error("the server closed the connection")]
    Closed,
    /// The connection was reset.
    #[error("the connection was reset")]
    Reset,
    /// Anything else, as the system says it.
    #[error("{0}")]
    Other(String),
}

/// Seconds, without digits that nobody asked for.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 10.0 || seconds.fract() < 0.05 {
            write!(f, "{seconds:.0} s")
        } else {
            write!(f, "{seconds:.1} s")
        }
    }
}

/// How a peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Not connection-oriented DCE/RPC 5.0 or 5.1.
    #[error("RPC version {major}.{minor}, where 5.0 or 5.1 is spoken")]
    Version {
        /// The major version sent.
        major: u8,
        /// The minor version sent.
        minor: u8,
    },
    /// Big-endian, EBCDIC or a floating-point format other than IEEE.
    #[error("data representation {0:02x?}, where little-endian, ASCII and IEEE is spoken")]
    DataRepresentation([u8; 4]),
    /// A PDU type that is not defined.
    #[error("PDU type {0}, which is not defined")]
    UnknownPduType(u8),
    /// A PDU that has no place here.
    #[error("a {got} PDU, where it has no place")]
    UnexpectedPdu {
        /// What came.
        got: PduType,
    },
    /// A PDU shorter than its content.
    #[error("a {pdu} PDU that ends within its {field}")]
    Truncated {
        /// The PDU.
        pdu: PduType,
        /// What did not fit.
        field: &'static str,
    },
    /// A field with a value that it must not have.
    #[error("a {pdu} PDU with a bad {field} ({value})")]
    BadField {
        /// The PDU.
        pdu: PduType,
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// More of something than is allowed.
    #[error("{value} {what}, where {limit} is the limit")]
    LimitExceeded {
        /// Of what.
        what: &'static str,
        /// How many or how large.
        value: u64,
        /// What is allowed.
        limit: u64,
    },
    /// An answer to a call that is not open.
    #[error("a {pdu} PDU for call {call_id}, which is not open")]
    UnknownCall {
        /// The PDU.
        pdu: PduType,
        /// The call it names.
        call_id: u32,
    },
    /// A fragment out of order: no first one, or two of them.
    #[error("a {0} fragment out of order")]
    FragmentOrder(PduType),
    /// A signature that is wrong, out of sequence or of the wrong form: the
    /// content was changed on its way, or was not made with the session's key.
    #[error("a {0} PDU whose signature is wrong")]
    BadSignature(PduType),
    /// Content without protection on a connection that is sealed.
    #[error("a {0} PDU that is not sealed")]
    NotSealed(PduType),
    /// A security trailer for another context, type or level.
    #[error("a {0} PDU with a security trailer of another context")]
    WrongSecurityTrailer(PduType),
    /// The acknowledgement does not match what was offered.
    #[error("a {pdu} PDU that answers {answered} of {offered} presentation contexts")]
    ContextCount {
        /// The PDU.
        pdu: PduType,
        /// Results in it.
        answered: usize,
        /// Contexts offered.
        offered: usize,
    },
    /// The endpoint mapper's tower is malformed.
    #[error("a protocol tower with a bad {0}")]
    Tower(&'static str),
    /// A request's verification trailer does not match its PDU (MS-RPCE 2.2.2.13).
    #[error("a verification trailer with a wrong {0}")]
    VerificationTrailer(&'static str),
}

/// How a stub breaks NDR or its interface definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NdrError {
    /// The stub ends within a value.
    #[error("{wanted} bytes wanted at offset {at}, {left} are left")]
    Truncated {
        /// Bytes wanted.
        wanted: usize,
        /// Offset in the stub.
        at: usize,
        /// Bytes left.
        left: usize,
    },
    /// A count outside of the definition's range.
    #[error("{what}: {count} is outside of {min}..={max}")]
    Range {
        /// What is counted.
        what: &'static str,
        /// The count.
        count: u64,
        /// Least allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
    /// Counts that must agree and do not.
    #[error("{what}: {one} and {other} disagree")]
    Disagree {
        /// What is counted.
        what: &'static str,
        /// One count.
        one: u64,
        /// The other.
        other: u64,
    },
    /// A value that the definition does not allow.
    #[error("{what}: {value} is not allowed")]
    BadValue {
        /// Which value.
        what: &'static str,
        /// What it was.
        value: u64,
    },
    /// A null pointer where the definition has none.
    #[error("{0} is null")]
    Null(&'static str),
    /// A string without its terminator, or with a NUL inside.
    #[error("{0} is not a terminated string")]
    BadString(&'static str),
    /// Nested deeper, or more pointers, than is allowed.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u32,
    },
}

/// What said that a logon is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogonRefusal {
    /// A fault on the first call: NTLM's last message has no answer of its own.
    #[error("fault {0} on the first call")]
    FirstCall(FaultStatus),
    /// A fault in the middle of the handshake.
    #[error("fault {0} during the handshake")]
    Handshake(FaultStatus),
    /// A bind_nak that blames the credential.
    #[error("{0}")]
    Nak(NakReason),
    /// The status of SMB's session set-up.
    #[error("{0}")]
    SessionSetUp(NtStatus),
    /// SPNEGO's own "reject".
    #[error("the server rejected the negotiation")]
    Rejected,
}

/// Why a security handshake failed, other than by the server refusing the logon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// A token that does not decode.
    #[error("the peer's {what} is malformed")]
    Malformed {
        /// Which token or field.
        what: &'static str,
    },
    /// The peer would have less protection than is demanded here: packet
    /// privacy, NTLMv2, 128 bits.
    #[error("the peer offers less protection than is demanded: {0}")]
    TooWeak(&'static str),
    /// No mechanism in common.
    #[error("no authentication mechanism in common with the peer")]
    NoMechanism,
    /// The handshake is finished for one side and not for the other.
    #[error("the handshake did not end where it should")]
    OutOfSequence,
    /// The handshake's own integrity check failed.
    #[error("the handshake was changed on its way: its integrity check is wrong")]
    HandshakeAltered,
    /// The security library says no; what it says is about our side.
    #[error("the security library failed: {0}")]
    Local(String),
}

/// A mistake of the caller's, found before anything was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// A value that the interface's definition does not allow.
    #[error("{what}: {value} is outside of {min}..={max}")]
    Range {
        /// Which value.
        what: &'static str,
        /// What it was.
        value: u64,
        /// Least allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
    /// A string with a NUL inside.
    #[error("{0} contains a NUL")]
    NulInString(&'static str),
    /// Called in a state in which it cannot be.
    #[error("{0}")]
    State(&'static str),
    /// The random number generator of this machine failed.
    #[error("the system has no random numbers")]
    NoRandomness,
}
