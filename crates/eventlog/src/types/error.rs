//! Why a log can't be read.

use quarry_even::Win32Error;
use quarry_rpc::{Blame, Error as RpcError, FaultStatus};
use quarry_winevt::Error as WinEventError;

use super::LogName;

/// Why a log can't be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A file that can't be opened as a log.
    #[error(transparent)]
    Open(std::sync::Arc<quarry_logfile::OpenError>),
    /// There is no such log at the source.
    #[error("there is no log {0} here")]
    NoSuchLog(LogName),
    /// The log's access list keeps the account out.
    #[error("access to {0} denied")]
    AccessDenied(LogName),
    /// An analytic or debug log, which can't be read so (backwards, by subscription) while it is
    /// enabled.
    #[error("{0} is an analytic or debug log, which can't be read this way while it is enabled")]
    DirectLog(LogName),
    /// The source doesn't take the query, not even without the filter.
    #[error("the query on {log} is refused: {status}")]
    QueryRefused {
        /// The log, or the first of several.
        log: LogName,
        /// What it answered.
        status: Win32Error,
    },
    /// The log was cleared or has wrapped, and records that were to come are gone; asked for
    /// strictly.
    #[error("the log was cleared or overwritten, and records that were not read yet are gone")]
    Overwritten,
    /// The log was recreated or replaced: the bookmark's number is another record's now; asked for
    /// strictly.
    #[error("the log was recreated, and its records are numbered anew")]
    Recreated,
    /// A file that has no path, which grows unseen.
    #[error("this can't be followed: it has no path to open it again by")]
    NotFollowed,
    /// The server has the service in name only, as Samba's domain controllers do: it takes
    /// queries, and never answers with a record or an end.
    #[error("the server takes queries and doesn't answer them")]
    NotAnswered,
    /// The server answered again and again that it searches on, and gave no record in a whole
    /// [`ReadOptions::progress`](crate::ReadOptions::progress).
    #[error("no record and no end for {} s, though the server answers", .0.as_secs())]
    NoProgress(std::time::Duration),
    /// The server answered what can't be.
    #[error("the server's answer makes no sense: {0}")]
    Nonsense(&'static str),
    /// The source can't be asked for message text in the way in which it is read.
    #[error("it can't be asked for in this way")]
    NoMessages,
    /// A mistake of the caller: no log, or over [`MAX_LOGS`](crate::MAX_LOGS).
    #[error("a query is of 1 to 64 logs, not of {0}")]
    HowManyLogs(usize),
    /// Anything else that went wrong in a call.
    #[error(transparent)]
    Server(#[from] quarry_even::Error),
    /// Anything else that went wrong in a call of this machine's own.
    #[error("{}", local(.0))]
    Local(#[from] quarry_winevt::Error),
}

impl From<quarry_logfile::OpenError> for LogError {
    fn from(error: quarry_logfile::OpenError) -> Self {
        LogError::Open(std::sync::Arc::new(error))
    }
}

impl LogError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            LogError::Open(_)
            | LogError::HowManyLogs(_)
            | LogError::NotFollowed
            | LogError::NoMessages => Blame::Us,
            LogError::NoSuchLog(_)
            | LogError::AccessDenied(_)
            | LogError::DirectLog(_)
            | LogError::QueryRefused { .. }
            | LogError::NotAnswered
            | LogError::Overwritten
            | LogError::Recreated => Blame::Refusal,
            LogError::Nonsense(_) | LogError::NoProgress(_) => Blame::Peer,
            LogError::Server(error) => error.blame(),
            LogError::Local(WinEventError::NoReason { .. } | WinEventError::Nul) => Blame::Us,
            LogError::Local(_) => Blame::Peer,
        }
    }

    /// Whether the same attempt may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            LogError::Server(quarry_even::Error::Rpc(error)) => error.is_transient(),
            LogError::Local(error) => error.is_without_service(),
            _ => false,
        }
    }

    /// Whether the connection can still be used after it.
    pub fn leaves_connection_usable(&self) -> bool {
        match self {
            LogError::Server(quarry_even::Error::Rpc(error)) => error.leaves_connection_usable(),
            LogError::Nonsense(_) | LogError::NotAnswered | LogError::NoProgress(_) => false,
            LogError::Local(error) => !error.is_without_service(),
            LogError::Server(error) => error.blame() == Blame::Refusal,
            _ => true,
        }
    }

    /// Whether the server doesn't serve this protocol, or in name only.
    pub fn is_not_served(&self) -> bool {
        match self {
            LogError::NotAnswered => true,
            LogError::Server(quarry_even::Error::Rpc(error)) => matches!(
                error,
                RpcError::InterfaceRefused(_) | RpcError::Fault(FaultStatus::OP_RANGE)
            ),
            _ => false,
        }
    }

    /// What a status that an operation on logs returned means.
    pub(crate) fn of_log(error: quarry_even::Error, log: &LogName) -> Self {
        let of_status = error.status().and_then(|status| LogError::of_status(status, log));
        of_status.unwrap_or(LogError::Server(error))
    }

    /// What a status means that a call of this machine's gave.
    #[cfg(windows)]
    pub(crate) fn of_local(error: quarry_winevt::Error, log: &LogName) -> Self {
        let status = error.status().map(Win32Error);
        let of_status = status.and_then(|status| LogError::of_status(status, log));
        of_status.unwrap_or(LogError::Local(error))
    }

    /// What a status means, where it is about the log.
    fn of_status(status: Win32Error, log: &LogName) -> Option<Self> {
        let log = log.clone();
        Some(match status {
            Win32Error::EVT_CHANNEL_NOT_FOUND
            | Win32Error::EVT_INVALID_CHANNEL_PATH
            | Win32Error::FILE_NOT_FOUND
            | Win32Error::PATH_NOT_FOUND => LogError::NoSuchLog(log),
            Win32Error::ACCESS_DENIED => LogError::AccessDenied(log),
            Win32Error::EVT_SUBSCRIPTION_TO_DIRECT_CHANNEL
            | Win32Error::EVT_OPERATION_OVER_ENABLED_DIRECT_CHANNEL => LogError::DirectLog(log),
            Win32Error::EVT_QUERY_RESULT_STALE | Win32Error::EVT_QUERY_RESULT_INVALID_POSITION => {
                LogError::Overwritten
            }
            status if is_query_refused(status) => LogError::QueryRefused { log, status },
            _ => return None,
        })
    }

    /// Whether a simpler query may do.
    pub(crate) fn is_query_refused(&self) -> bool {
        matches!(self, LogError::QueryRefused { .. })
    }
}

fn is_query_refused(status: Win32Error) -> bool {
    matches!(
        status,
        Win32Error::EVT_INVALID_QUERY
            | Win32Error::EVT_FILTER_TOO_COMPLEX
            | Win32Error::EVT_FILTER_UNSUPPORTED_OP
            | Win32Error::EVT_FILTER_UNEXPECTED_TOKEN
    )
}

/// What a seek is answered with whose place isn't there: a bookmark's record that is gone, or a
/// place after the last record. Anything else says nothing of records.
pub(crate) fn is_nowhere(status: Option<Win32Error>) -> bool {
    matches!(
        status,
        Some(
            Win32Error::NOT_FOUND
                | Win32Error::EVT_QUERY_RESULT_STALE
                | Win32Error::EVT_QUERY_RESULT_INVALID_POSITION
        )
    )
}

fn local(error: &WinEventError) -> String {
    match error.is_without_service() {
        true => format!("the service Windows Event Log doesn't run: {error}"),
        false => error.to_string(),
    }
}
