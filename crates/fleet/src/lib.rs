//! Many servers at once: which ones there are, and how each is read.
//!
//! * [`inventory`] is the file that names servers, groups and credentials.
//! * [`pattern`] is how one text names many servers: `dc[01:12].corp`.
//!
//! Nothing here opens files, reads the environment or asks anybody: the program hands in texts and
//! reads the secrets that an inventory refers to.
#![forbid(unsafe_code)]

pub mod inventory;
mod name;
pub mod pattern;

pub use name::{MAX_NAME_BYTES, NameProblem};
