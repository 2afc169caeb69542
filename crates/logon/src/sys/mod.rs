//! The systems. Everything `unsafe` of this crate is in here.
//!
//! | each has | which is |
//! |---|---|
//! | `log_on`, `current` | how a token comes about |
//! | `Token` | what the system needs to become the user; its drop ends the logon |
//! | `Base` | who a thread was, to become somebody from there and to go back there |
//! | `spawn`, `Child` | a program run as the user |
//! | `check`, `look_up`, `group_names` | on Unix, what is known of a user without a password |
//! | `log`, `last_word` | the system's log, and standard error in the moment of an abort |
//! | `check_privileges`, `started_with_privileges` | what a program asks before it asks for a password |

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(unix)]
pub use unix::{check_privileges, started_with_privileges};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;
#[cfg(windows)]
pub use windows::{check_privileges, started_with_privileges};
