//! Many event logs at once, each failure its own.
//!
//! A fleet is a list of [`Source`]s. [`Scan`] reads them all at once, within the budgets of
//! [`Options`], and gives what comes as it comes, source by source in order; [`Ask`] asks each
//! something. A connection that is lost is made again, and reading goes on behind the last record
//! that came; a source that fails says why in a [`Failure`], and the others go on.
//!
//! [`inventory`] is the file that names servers, groups and credentials, and [`pattern`] is how one
//! text names many servers: `dc[01:12].corp`. Nothing here opens files, reads the environment or
//! asks anybody: the program hands in texts, and reads the secrets that an inventory refers to.
#![forbid(unsafe_code)]

mod budget;
mod failure;
mod follow;
pub mod inventory;
#[cfg(windows)]
mod local;
mod name;
mod options;
pub mod pattern;
mod reader;
mod scan;
mod server;
mod source;
mod survey;

pub use budget::Room;
pub use failure::{Cause, Failure, Listener};
pub use follow::{Follow, FollowReport, FollowRequest, MAX_LAST};
#[cfg(windows)]
pub use local::ThisMachine;
pub use name::{MAX_NAME_BYTES, NameProblem};
pub use options::Options;
pub use quarry_even::LogOn;
pub use reader::Health;
pub use scan::{Answer, Ask, Control, Report, Request, Scan};
pub use server::{DEFAULT_LOG, Protocol, Server};
pub use source::Source;
pub use survey::{Surveyed, survey};
