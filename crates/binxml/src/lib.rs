//! BinXML (MS-EVEN6 2.2.12, 3.1.4.7): the binary XML that Windows keeps and sends events in.
//!
//! There are two dialects. On the wire, names stand where they are used and every record brings
//! its template definitions along. In a file, names and definitions stand once a chunk and are
//! referred to by their offset in it. Everything else is the same, so one compiler reads both.
//!
//! A [`Decoder`] turns the bytes of one event into a [`Record`]: which compiled template, and
//! where each substitution value lies. Nothing is decoded for that; a [`Record`] is a
//! [`FieldSource`](quarry_event::FieldSource) that reads a field straight from its substitution
//! when it is asked for. The other way round is [`write`](mod@write).
#![forbid(unsafe_code)]

mod cache;
mod compile;
mod cursor;
mod decoder;
mod definitions;
mod error;
mod head;
mod limits;
mod name;
mod record;
mod template;
mod value;
mod walk;
pub mod write;

pub use cursor::Dialect;
pub use decoder::{ChunkDecoder, Decoder, Leftover};
pub use definitions::{Definitions, place_in_chunk};
pub use error::{BinXmlError, Fault};
pub use head::Head;
pub use limits::Limits;
pub use record::Record;
