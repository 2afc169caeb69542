//! Recovering records: what a log has given up, and what is left of logs in anything else.
//!
//! A [`Survey`] goes over a file once before it is read. It finds the records that stand outside
//! of chunks, as [`Run`]s, and collects the template definitions that are anywhere, so that
//! records whose own are gone can be read with those.

mod carve;
mod run;
mod survey;

pub use run::{Run, RunRecords};
pub use survey::Survey;
