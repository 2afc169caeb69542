#![doc = include_str!("../README.md")]
//!
//! # The parts
//! [`inventory`] is the file that names servers, groups and credentials; [`pattern`] is how one
//! text names many servers (`dc[01:12].corp`), [`address`] how a URL names one; [`sign_in`] finds
//! out who signs in. With what is wanted of each, sources are a list of [`Job`]s, for a [`Scan`] or
//! a [`Follow`]. A source that fails says why in a [`Failure`], and the others go on.
//!
//! Nothing here reads the environment, asks anybody or opens a file, but for a [`FileSource`]: the
//! program hands in texts, and reads the secrets that an inventory refers to.
#![forbid(unsafe_code)]

pub mod address;
mod ask;
mod budget;
mod connection;
mod control;
mod failure;
mod file;
mod follow;
pub mod inventory;
mod job;
#[cfg(windows)]
mod local;
mod name;
mod options;
pub mod pattern;
mod protocol;
mod retry;
mod scan;
mod server;
pub mod sign_in;
mod source;
mod survey;

pub use address::ServerUrl;
pub use ask::{Answer, Ask};
pub use budget::Room;
pub use control::Control;
pub use failure::{Cause, Failure, Listener};
pub use file::{FileSource, Opener};
pub use follow::{EVERY_RECORD, Follow, FollowReport, MAX_LAST};
pub use job::{Cursors, FollowRequest, Job, Prepare, Request, SourceId};
#[cfg(windows)]
pub use local::ThisMachine;
pub use name::{MAX_NAME_BYTES, NameProblem, nearest as nearest_name};
pub use options::{FollowOptions, Options};
pub use protocol::Protocol;
pub use quarry_cred::{Account, Credential, Gate, Secret, SecretSource};
pub use quarry_even::{Authentication, ConnectOptions, LogOn};
pub use quarry_event as event;
pub use quarry_eventlog as eventlog;
pub use quarry_rpc::security::kerberos::KerberosError;
pub use quarry_rpc::tcp::Timeouts;
pub use quarry_rpc::tickets::{Configuration, GrantingTicket, MAX_TICKET_BYTES, Tickets};
pub use scan::{Health, Report, Scan};
pub use server::{DEFAULT_LOG, Server};
pub use sign_in::{Secrets, SignIn, SignInError, SignInOptions};
pub use source::Source;
pub use survey::{Surveyed, survey};
