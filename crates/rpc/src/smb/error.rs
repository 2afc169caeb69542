//! What can go wrong below the pipe, and whose fault it is.

use super::Command;
use crate::blame::Blame;

/// An SMB connection that failed. It is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmbError {
    /// The server answers in SMB 1, or hangs up when it is spoken to in SMB 2.
    #[error(
        "the server does not speak SMB 2 or 3{}; Windows NT 4 to 2003 speak SMB 1 only and are \
         out of reach", if *.proven { "" } else { ": it hung up at the offer" }
    )]
    OldProtocol {
        /// Whether the server said so, in SMB 1, or only hung up.
        proven: bool,
    },
    /// The server wants none of the dialects that were offered, or another.
    #[error("the server wants another dialect of SMB than was offered (0x{0:04x})")]
    Dialect(u16),
    /// A request that the server refused.
    #[error("{command}: {status}")]
    Status {
        /// Which request.
        command: Command,
        /// What the server said.
        status: NtStatus,
    },
    /// A session, but not for the account that signed in.
    #[error("the server let {0} in, not the account")]
    NotTheAccount(&'static str),
    /// A share or pipe that is none.
    #[error("the server's IPC$ is not a share for pipes")]
    NotPipes,
    /// Less protection than is demanded here.
    #[error("the server offers less protection than is demanded: {0}")]
    TooWeak(&'static str),
    /// The dialects or features were changed on their way.
    #[error("the negotiation was changed on its way: the server remembers another {0}")]
    Downgrade(&'static str),
    /// A signature or a seal that is wrong.
    #[error("a message whose signature is wrong")]
    BadSignature,
    /// A message without the protection that the session has.
    #[error("a {0} message that is not {1}")]
    Unprotected(Command, &'static str),
    /// A message shorter than its content.
    #[error("a {command} message that ends within its {field}")]
    Truncated {
        /// The command.
        command: Command,
        /// What did not fit.
        field: &'static str,
    },
    /// A field with a value that it must not have.
    #[error("a {command} message with a bad {field} ({value})")]
    BadField {
        /// The command.
        command: Command,
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Bytes that are no message of SMB 2.
    #[error("a message that is not SMB 2: {0}")]
    NotSmb(&'static str),
    /// An answer to nothing that was asked.
    #[error("a {command} message (number {message_id}) that answers nothing")]
    Unexpected {
        /// The command.
        command: Command,
        /// The number that it answers.
        message_id: u64,
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
    /// The server gave no credit to go on.
    #[error("the server lets nothing more be asked: no credit is left")]
    NoCredit,
}

impl SmbError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Status { .. } | Self::OldProtocol { .. } | Self::Dialect(_) => Blame::Refusal,
            Self::NotTheAccount(_) => Blame::Credential,
            _ => Blame::Peer,
        }
    }

    /// Whether the same attempt may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.status(),
            Some(
                NtStatus::PIPE_BUSY
                    | NtStatus::PIPE_NOT_AVAILABLE
                    | NtStatus::INSUFFICIENT_RESOURCES
                    | NtStatus::NO_MEMORY
                    | NtStatus::REQUEST_NOT_ACCEPTED
                    | NtStatus::USER_SESSION_DELETED
                    | NtStatus::NETWORK_SESSION_EXPIRED
            )
        )
    }

    /// The server's status, when it refused a request.
    pub fn status(&self) -> Option<NtStatus> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// An NTSTATUS (MS-ERREF 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtStatus(pub u32);

crate::codes! {
    NtStatus, "{name} (0x{code:08x})", "status 0x{code:08x}";
    /// STATUS_SUCCESS.
    SUCCESS = 0, "success";
    /// STATUS_PENDING: the answer comes later.
    PENDING = 0x0000_0103, "pending";
    /// STATUS_BUFFER_OVERFLOW: a part of what is there.
    BUFFER_OVERFLOW = 0x8000_0005, "there is more";
    /// STATUS_INVALID_HANDLE.
    INVALID_HANDLE = 0xc000_0008, "invalid handle";
    /// STATUS_INVALID_PARAMETER.
    INVALID_PARAMETER = 0xc000_000d, "invalid parameter";
    /// STATUS_INVALID_DEVICE_REQUEST.
    INVALID_DEVICE_REQUEST = 0xc000_0010, "invalid request";
    /// STATUS_END_OF_FILE: the newest or oldest record is behind.
    END_OF_FILE = 0xc000_0011, "end of file";
    /// STATUS_MORE_PROCESSING_REQUIRED: the handshake goes on.
    MORE_PROCESSING_REQUIRED = 0xc000_0016, "more processing required";
    /// STATUS_NO_MEMORY.
    NO_MEMORY = 0xc000_0017, "out of memory";
    /// STATUS_ACCESS_DENIED.
    ACCESS_DENIED = 0xc000_0022, "access denied";
    /// STATUS_BUFFER_TOO_SMALL.
    BUFFER_TOO_SMALL = 0xc000_0023, "buffer too small";
    /// STATUS_OBJECT_NAME_INVALID.
    OBJECT_NAME_INVALID = 0xc000_0033, "invalid name";
    /// STATUS_OBJECT_NAME_NOT_FOUND.
    OBJECT_NAME_NOT_FOUND = 0xc000_0034, "not found";
    /// STATUS_OBJECT_PATH_INVALID.
    OBJECT_PATH_INVALID = 0xc000_0039, "invalid path";
    /// STATUS_PRIVILEGE_NOT_HELD.
    PRIVILEGE_NOT_HELD = 0xc000_0061, "privilege not held";
    /// STATUS_NO_SUCH_USER.
    NO_SUCH_USER = 0xc000_0064, "no such user";
    /// STATUS_WRONG_PASSWORD.
    WRONG_PASSWORD = 0xc000_006a, "wrong password";
    /// STATUS_LOGON_FAILURE.
    LOGON_FAILURE = 0xc000_006d, "wrong name or password";
    /// STATUS_ACCOUNT_RESTRICTION.
    ACCOUNT_RESTRICTION = 0xc000_006e, "account restriction";
    /// STATUS_INVALID_LOGON_HOURS.
    INVALID_LOGON_HOURS = 0xc000_006f, "outside of the account's logon hours";
    /// STATUS_INVALID_WORKSTATION.
    INVALID_WORKSTATION = 0xc000_0070, "not from this machine";
    /// STATUS_PASSWORD_EXPIRED.
    PASSWORD_EXPIRED = 0xc000_0071, "password expired";
    /// STATUS_ACCOUNT_DISABLED.
    ACCOUNT_DISABLED = 0xc000_0072, "account disabled";
    /// STATUS_INSUFFICIENT_RESOURCES.
    INSUFFICIENT_RESOURCES = 0xc000_009a, "out of resources";
    /// STATUS_PIPE_NOT_AVAILABLE.
    PIPE_NOT_AVAILABLE = 0xc000_00ac, "the pipe is busy";
    /// STATUS_PIPE_BUSY.
    PIPE_BUSY = 0xc000_00ae, "the pipe is busy";
    /// STATUS_PIPE_DISCONNECTED.
    PIPE_DISCONNECTED = 0xc000_00b0, "the pipe is disconnected";
    /// STATUS_NOT_SUPPORTED.
    NOT_SUPPORTED = 0xc000_00bb, "not supported";
    /// STATUS_BAD_NETWORK_NAME.
    BAD_NETWORK_NAME = 0xc000_00cc, "no such share";
    /// STATUS_REQUEST_NOT_ACCEPTED.
    REQUEST_NOT_ACCEPTED = 0xc000_00d0, "too many sessions";
    /// STATUS_PIPE_EMPTY.
    PIPE_EMPTY = 0xc000_00d9, "the pipe is empty";
    /// STATUS_CANCELLED.
    CANCELLED = 0xc000_0120, "cancelled";
    /// STATUS_FILE_CLOSED.
    FILE_CLOSED = 0xc000_0128, "the file is closed";
    /// STATUS_PIPE_BROKEN.
    PIPE_BROKEN = 0xc000_014b, "the pipe is broken";
    /// STATUS_LOGON_TYPE_NOT_GRANTED.
    LOGON_TYPE_NOT_GRANTED = 0xc000_015b, "the account may not log on over the network";
    /// STATUS_EVENTLOG_FILE_CORRUPT.
    EVENTLOG_FILE_CORRUPT = 0xc000_018e, "the log's file is damaged";
    /// STATUS_LOG_FILE_FULL.
    LOG_FILE_FULL = 0xc000_0188, "the log is full";
    /// STATUS_ACCOUNT_EXPIRED.
    ACCOUNT_EXPIRED = 0xc000_0193, "account expired";
    /// STATUS_EVENTLOG_FILE_CHANGED.
    EVENTLOG_FILE_CHANGED = 0xc000_0197, "the log was cleared";
    /// STATUS_NETWORK_SESSION_EXPIRED.
    NETWORK_SESSION_EXPIRED = 0xc000_035c, "the session has expired";
    /// STATUS_USER_SESSION_DELETED.
    USER_SESSION_DELETED = 0xc000_0203, "the session was ended";
    /// STATUS_PASSWORD_MUST_CHANGE.
    PASSWORD_MUST_CHANGE = 0xc000_0224, "the password must be changed";
    /// STATUS_ACCOUNT_LOCKED_OUT.
    ACCOUNT_LOCKED_OUT = 0xc000_0234, "account locked out";
}

impl NtStatus {
    /// Whether it says success, or gives information only: its severity is below 2.
    pub fn is_success(self) -> bool {
        self.0 < 0x8000_0000
    }

    /// Whether this status, as the answer to a session set-up, means that the
    /// logon was refused. ACCESS_DENIED doesn't: a server says that to whom it
    /// knows, when it demands encryption and the dialect has none.
    pub(super) fn refuses_logon(self) -> bool {
        matches!(
            self,
            Self::NO_SUCH_USER
                | Self::WRONG_PASSWORD
                | Self::LOGON_FAILURE
                | Self::ACCOUNT_RESTRICTION
                | Self::INVALID_LOGON_HOURS
                | Self::INVALID_WORKSTATION
                | Self::PASSWORD_EXPIRED
                | Self::ACCOUNT_DISABLED
                | Self::LOGON_TYPE_NOT_GRANTED
                | Self::ACCOUNT_EXPIRED
                | Self::PASSWORD_MUST_CHANGE
                | Self::ACCOUNT_LOCKED_OUT
        )
    }

    /// Whether a pipe's other end has gone.
    pub(super) fn ends_pipe(self) -> bool {
        matches!(
            self,
            Self::PIPE_BROKEN
                | Self::PIPE_DISCONNECTED
                | Self::PIPE_EMPTY
                | Self::FILE_CLOSED
                | Self::END_OF_FILE
        )
    }
}
