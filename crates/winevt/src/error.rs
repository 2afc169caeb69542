//! Why a call of the API failed.

use std::io;

/// Why a call of the API failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Windows refuses, or can't.
    #[error("{call} failed: {}", text(*.status))]
    Refused {
        /// The function.
        call: &'static str,
        /// What `GetLastError` gave (MS-ERREF 2.2).
        status: u32,
    },
    /// The function failed and didn't say why, which only those of Wine do.
    #[error("{call} failed without a reason: under Wine there is no event log to read")]
    NoReason {
        /// The function.
        call: &'static str,
    },
    /// What the function gave can't be.
    #[error("{call} gave what can't be: {what}")]
    Nonsense {
        /// The function.
        call: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// What was to be rendered is larger than anything real.
    #[error("{call} would need {bytes} bytes")]
    TooLarge {
        /// The function.
        call: &'static str,
        /// How many it wants.
        bytes: u64,
    },
    /// A mistake of the caller's: a NUL in a name or a query.
    #[error("there is a NUL in the name of a log or in a query")]
    Nul,
    /// A rendered event that isn't XML as events are.
    #[error("the event's XML makes no sense: {0}")]
    Xml(&'static str),
}

/// The event log service is not there, or went away (MS-ERREF 2.2: `RPC_S_UNKNOWN_IF`,
/// `RPC_S_SERVER_UNAVAILABLE`, `RPC_S_CALL_FAILED`, `RPC_S_CALL_FAILED_DNE`, `EPT_S_NOT_REGISTERED`).
const NO_SERVICE: [u32; 5] = [1717, 1722, 1726, 1727, 1753];

impl Error {
    /// What `GetLastError` gave, where it gave anything.
    pub fn status(&self) -> Option<u32> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the event log service doesn't run, or has just ended.
    pub fn is_without_service(&self) -> bool {
        self.status().is_some_and(|status| NO_SERVICE.contains(&status))
    }
}

/// The system's text for an error, with its number, on one line; the number alone where it has
/// none.
fn text(status: u32) -> String {
    let text = io::Error::from_raw_os_error(status as i32).to_string();
    if text.contains("FormatMessageW") {
        return format!("error {status}");
    }
    let text = text.split(" (os error ").next().unwrap_or_default().trim().trim_end_matches('.');
    format!("{} (error {status})", text.replace(['\r', '\n'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_call_and_the_number() {
        let error = Error::Refused { call: "EvtQuery", status: 15007 };
        let shown = error.to_string();
        assert!(shown.starts_with("EvtQuery failed: "), "{shown}");
        assert!(shown.trim_end_matches(')').ends_with("error 15007"), "{shown}");
        assert!(!error.is_without_service());
        assert!(Error::Refused { call: "EvtNext", status: 1722 }.is_without_service());
    }
}
