//! Many event logs at once, each failure its own.
//!
//! A fleet is a list of [`Source`]s. [`Scan`] reads them all at once, within the budgets of
//! [`Options`], and gives what comes as it comes, source by source in order; [`Ask`] asks each
//! something. A connection that is lost is made again, and reading goes on behind the last record
//! that came; a source that fails says why in a [`Failure`], and the others go on.
#![forbid(unsafe_code)]

mod budget;
mod failure;
mod options;
mod reader;
mod scan;
mod source;

pub use budget::Room;
pub use failure::{Cause, Failure};
pub use options::Options;
pub use reader::Health;
pub use scan::{Answer, Ask, Control, Report, Request, Scan};
pub use source::{Server, Source};
