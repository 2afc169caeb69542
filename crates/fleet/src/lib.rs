//! Many event logs at once, each failure its own.
//!
//! A fleet is a list of [`Source`]s; with what is wanted of each it is a list of [`Job`]s. [`Scan`]
//! reads them all at once, within the budgets of [`Options`], and gives what comes as it comes,
//! each source's records in order; [`Follow`] gives their last records and then the new ones;
//! [`Ask`] asks each source something. A connection that is lost is made again, and reading goes on
//! after the last record that came; a source that fails says why in a [`Failure`], and the others
//! go on.
//!
//! [`inventory`] is the file that names servers, groups and credentials, and [`pattern`] is how one
//! text names many servers: `dc[01:12].corp`. Nothing here opens files, reads the environment or
//! asks anybody: the program hands in texts, and reads the secrets that an inventory refers to.
#![forbid(unsafe_code)]

mod budget;
mod control;
mod failure;
mod follow;
pub mod inventory;
mod job;
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
pub use control::Control;
pub use failure::{Cause, Failure, Listener};
pub use follow::{Follow, FollowReport, MAX_LAST};
pub use job::{Cursors, FollowRequest, Job, Request, SourceId};
#[cfg(windows)]
pub use local::ThisMachine;
pub use name::{MAX_NAME_BYTES, NameProblem};
pub use options::{FollowOptions, Options};
pub use quarry_even::LogOn;
pub use reader::Health;
pub use scan::{Answer, Ask, Report, Scan};
pub use server::{DEFAULT_LOG, Protocol, Server};
pub use source::Source;
pub use survey::{Surveyed, survey};
