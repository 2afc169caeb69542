//! Sign-in by the accounts of a Linux system, and files opened as the person who asks, without
//! privileges in the process that faces the network.
//!
//! ```text
//! helper (root)  ── starts ──►  the web process (no privileges, its socket is descriptor 0)
//!    │  ▲                              │
//!    │  └──── frames, descriptors ─────┘
//!    └─ starts ──► a process a logon (root, becomes its person to open files)
//! ```
//!
//! The helper is the process that was started as root. It starts the web process as an account
//! without privileges and then does what that asks: *log on*, *is the account still good*, *open
//! this file as that person*, *log off*; and, where servers are asked as the person, *the Kerberos
//! ticket of the password*, once. Each logon has a process to itself, since PAM's modules
//! need not be thread-safe and may hang: at most [`MOST_UNDER_WAY`] passwords are being checked, and
//! a process that hasn't answered a request after [`LONGEST`] is killed.
//!
//! | file | what |
//! |---|---|
//! | `wire` | the frames |
//! | `channel` | a socket that carries frames and descriptors |
//! | `logon` | the process a logon |
//! | `supervisor` | the helper |
//! | `client` | the web process' side |

mod channel;
mod client;
mod logon;
mod supervisor;
mod wire;

use std::time::Duration;

pub use channel::Channel;
pub use client::Helper;
pub use logon::serve_logon;
pub use supervisor::{NotReady, Supervisor, WebProcess, become_helper, check_ready};
#[doc(hidden)]
pub use wire::fuzz;

/// How long a request to a logon's process may take, PAM's delay for a wrong password included.
pub const LONGEST: Duration = Duration::from_secs(30);
/// How long one attempt at one key distribution centre may take; three such times are the most.
pub const KERBEROS: Duration = Duration::from_secs(5);
/// Most passwords that are being checked at once.
pub const MOST_UNDER_WAY: usize = 10;
/// Most people who are logged on at once.
pub const MOST_LOGONS: usize = 256;
