//! What can go wrong in a call, and the Win32 codes that servers answer with.

use quarry_rpc::smb::NtStatus;
use quarry_rpc::{Blame, FaultStatus};

use crate::Opnum;
use crate::result_set::ResultSetError;
use crate::wire::RpcInfo;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call of this interface that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection, the logon or the call as such.
    #[error(transparent)]
    Rpc(#[from] quarry_rpc::Error),
    /// The server served the call and says no.
    #[error("{operation}: {status}")]
    Status {
        /// Which operation.
        operation: Opnum,
        /// The operation's return value.
        status: Win32Error,
        /// Further information, zeros where the operation has none.
        info: RpcInfo,
    },
    /// The server broke the definition of its answer beyond what marshalling
    /// finds.
    #[error("{operation}: the answer makes no sense: {what}")]
    Nonsense {
        /// Which operation.
        operation: Opnum,
        /// What is wrong.
        what: &'static str,
    },
    /// A server of MS-EVEN served the call and says no.
    #[error("{operation}: {status}")]
    NtStatus {
        /// Which operation.
        operation: crate::even::Opnum,
        /// The operation's return value.
        status: NtStatus,
    },
    /// The same as [`Nonsense`](Self::Nonsense), of MS-EVEN.
    #[error("{operation}: the answer makes no sense: {what}")]
    EvenNonsense {
        /// Which operation.
        operation: crate::even::Opnum,
        /// What is wrong.
        what: &'static str,
    },
    /// A record of a batch is malformed.
    #[error(transparent)]
    ResultSet(#[from] ResultSetError),
    /// The gate in front of the credential is closed.
    #[error(transparent)]
    CredentialRefused(#[from] quarry_cred::Refusal),
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Rpc(error) => error.blame(),
            Self::Status { .. } | Self::NtStatus { .. } => Blame::Refusal,
            Self::Nonsense { .. } | Self::EvenNonsense { .. } | Self::ResultSet(_) => Blame::Peer,
            Self::CredentialRefused(_) => Blame::Credential,
        }
    }

    /// Whether the server says that the credential is wrong. It can't prove that: it has no key in
    /// common with us then. Nor does one that lets a guest in instead.
    pub fn is_refused_logon(&self) -> bool {
        use quarry_rpc::{Error as RpcError, smb::SmbError};
        matches!(
            self,
            Self::Rpc(RpcError::LogonRefused(_) | RpcError::Smb(SmbError::NotTheAccount(_)))
        )
    }

    /// The operation's return value, when it is one.
    pub fn status(&self) -> Option<Win32Error> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The operation's return value, when it is one of MS-EVEN's.
    pub fn nt_status(&self) -> Option<NtStatus> {
        match self {
            Self::NtStatus { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// A batch over 2 MiB on a server before Windows 11 and 2025. The query's
    /// position has moved past it all the same: reopen at the last bookmark and
    /// ask for less.
    pub fn is_batch_too_large(&self) -> bool {
        match self {
            Self::Rpc(quarry_rpc::Error::Fault(status)) => {
                matches!(*status, FaultStatus::INVALID_BOUND | FaultStatus::NCA_INVALID_BOUND)
            }
            Self::Status { status, .. } => *status == Win32Error::RPC_INVALID_BOUND,
            _ => false,
        }
    }

    /// The channel's access list, not the logon, keeps the caller out: a fault 5
    /// would be the latter.
    pub fn is_channel_access_denied(&self) -> bool {
        self.status() == Some(Win32Error::ACCESS_DENIED)
    }
}

/// A Win32 error code (MS-ERREF 2.2), an operation's return value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Win32Error(pub u32);

quarry_rpc::codes! {
    Win32Error, "{name} ({code})", "error {code} (0x{code:x})";
    /// The operation succeeded.
    SUCCESS = 0, "success";
    /// No such file.
    FILE_NOT_FOUND = 2, "file not found";
    /// No such path.
    PATH_NOT_FOUND = 3, "path not found";
    /// The channel's or file's access list keeps the caller out.
    ACCESS_DENIED = 5, "access denied";
    /// A handle of no use.
    INVALID_HANDLE = 6, "invalid handle";
    /// Invalid data.
    INVALID_DATA = 0xd, "invalid data";
    /// Out of memory.
    OUT_OF_MEMORY = 0xe, "out of memory";
    /// Not supported.
    NOT_SUPPORTED = 0x32, "not supported";
    /// The file exists.
    FILE_EXISTS = 0x50, "file exists";
    /// A parameter, or a handle of the wrong kind.
    INVALID_PARAMETER = 0x57, "invalid parameter";
    /// The caller's buffer is too small.
    INSUFFICIENT_BUFFER = 0x7a, "buffer too small";
    /// Already there.
    ALREADY_EXISTS = 0xb7, "already exists";
    /// No data.
    NO_DATA = 0xe8, "no data";
    /// The query has gone through all of its logs.
    NO_MORE_ITEMS = 0x103, "no more items";
    /// Nothing such.
    NOT_FOUND = 0x490, "not found";
    /// The operation was cancelled.
    CANCELLED = 0x4c7, "cancelled";
    /// The call's own time-out is over.
    TIMEOUT = 0x5b4, "timeout";
    /// What 3.1.4.13 prints for the same. In the list of codes it is another.
    QUERY_TIMEOUT = 0x5bf, "timeout (query)";
    /// The RPC runtime's "array bounds are invalid".
    RPC_INVALID_BOUND = 0x6c6, "array bounds are invalid";
    /// Not for this kind of subscription or log.
    INVALID_OPERATION = 0x10dd, "invalid operation";
    /// The channel's path is not valid.
    EVT_INVALID_CHANNEL_PATH = 0x3a98, "invalid channel path";
    /// The query does not parse, or has too many clauses.
    EVT_INVALID_QUERY = 0x3a99, "invalid query";
    /// The publisher has no metadata there.
    EVT_PUBLISHER_METADATA_NOT_FOUND = 0x3a9a, "publisher metadata not found";
    /// No template for the event.
    EVT_EVENT_TEMPLATE_NOT_FOUND = 0x3a9b, "event template not found";
    /// The publisher's name is not valid.
    EVT_INVALID_PUBLISHER_NAME = 0x3a9c, "invalid publisher name";
    /// The event's data is not valid.
    EVT_INVALID_EVENT_DATA = 0x3a9d, "invalid event data";
    /// No such channel.
    EVT_CHANNEL_NOT_FOUND = 0x3a9f, "channel not found";
    /// The event's text is malformed.
    EVT_MALFORMED_XML_TEXT = 0x3aa0, "malformed event text";
    /// Analytic and debug channels are not to be subscribed to or read backwards.
    EVT_SUBSCRIPTION_TO_DIRECT_CHANNEL = 0x3aa1, "direct channels cannot be subscribed to";
    /// The configuration is wrong.
    EVT_CONFIGURATION_ERROR = 0x3aa2, "configuration error";
    /// The log was cleared or has wrapped since the bookmark.
    EVT_QUERY_RESULT_STALE = 0x3aa3, "the log changed since the bookmark";
    /// The position in the result is not valid.
    EVT_QUERY_RESULT_INVALID_POSITION = 0x3aa4, "invalid position in the result";
    /// An operator that the filter's language does not have.
    EVT_FILTER_UNSUPPORTED_OP = 0x3aac, "filter operator not supported";
    /// A filter that does not parse.
    EVT_FILTER_UNEXPECTED_TOKEN = 0x3aad, "unexpected token in the filter";
    /// Not while a direct channel is enabled.
    EVT_OPERATION_OVER_ENABLED_DIRECT_CHANNEL = 0x3aae, "the direct channel is enabled";
    /// The filter has too many clauses.
    EVT_FILTER_TOO_COMPLEX = 0x3ab2, "filter too complex";
    /// The message is not in the publisher's resources.
    EVT_MESSAGE_NOT_FOUND = 0x3ab3, "message not found";
    /// The message's id is not in the publisher's resources.
    EVT_MESSAGE_ID_NOT_FOUND = 0x3ab4, "message id not found";
    /// A value to insert is missing.
    EVT_UNRESOLVED_VALUE_INSERT = 0x3ab5, "unresolved value in a message";
    /// A parameter to insert is missing.
    EVT_UNRESOLVED_PARAMETER_INSERT = 0x3ab6, "unresolved parameter in a message";
    /// Too many values were inserted.
    EVT_MAX_INSERTS_REACHED = 0x3ab7, "too many inserts in a message";
    /// The event has no definition.
    EVT_EVENT_DEFINITION_NOT_FOUND = 0x3ab8, "event definition not found";
    /// The message is not there in the locale.
    EVT_MESSAGE_LOCALE_NOT_FOUND = 0x3ab9, "message not in this locale";
    /// A channel that the query names cannot be opened.
    EVT_CANNOT_OPEN_CHANNEL_OF_QUERY = 0x3abc, "a channel of the query cannot be opened";
    /// The channel's publisher is disabled.
    EVT_PUBLISHER_DISABLED = 0x3abd, "publisher disabled";
}

impl From<u32> for Win32Error {
    fn from(code: u32) -> Self {
        Self(code)
    }
}

impl From<Win32Error> for u32 {
    fn from(error: Win32Error) -> Self {
        error.0
    }
}

impl Win32Error {
    /// Whether the operation succeeded.
    pub fn is_success(self) -> bool {
        self == Self::SUCCESS
    }

    /// Whether the call's own time-out is over, by either code.
    pub fn is_timeout(self) -> bool {
        matches!(self, Self::TIMEOUT | Self::QUERY_TIMEOUT)
    }
}
