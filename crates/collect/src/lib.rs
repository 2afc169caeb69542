#![doc = include_str!("../README.md")]
//!
//! # How an event goes through
//!
//! ```text
//! files ─┐               ┌─ a thread a core ──────────────────────┐
//! Scan ──┼─ jobs, batch ─┤ filter ─ text ─ stages ─ work ─ output ├─ in order ─ sink ─ cursor
//! Follow ┘   by batch    └────────────────────────────────────────┘
//! ```
//!
//! [`Pipeline`] says what is read, and [`Selection`] what is wanted of it. [`Work`] makes something
//! of each event on every core, and a [`Sink`] takes what was made on one thread, in order. A
//! [`CursorStore`] keeps where to go on, and an [`Observer`] can tell people how it goes.
//!
//! # Bounds
//!
//! Batches that were fetched and not yet used are bounded by the fleet's byte budget; what was made
//! of them and waits for its turn by [`Pipeline::output_bytes`]. A batch that expands is handed on in
//! parts, so that besides that budget each thread holds no more than a part and the one event that
//! made it full. A sink that is slow stops the reading.
#![forbid(unsafe_code)]

mod ask;
mod cursor;
mod detect;
mod kinds;
mod live;
mod pipeline;
mod selection;
mod sink;
mod source;
mod stop;
mod summary;

pub use ask::ask;
pub use cursor::{CursorError, CursorStore, FileCursors, LogCursor};
pub use detect::Detect;
pub use kinds::{CountKinds, Kinds, newest_kinds};
pub use live::{LiveOptions, LiveTexts, NoTexts, ServerCatalogue, ServerTexts, read_server};
pub use pipeline::{Pipeline, RunError};
pub use selection::Selection;
pub use sink::{
    Delivery, Found, Next, Notes, Notice, Observer, Output, Searched, Sink, Stage, Turn, Work,
};
pub use source::{FileInput, FleetInput, Source, SourceId};
pub use stop::Stop;
pub use summary::{Alike, Summary, Tally};
