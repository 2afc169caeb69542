#![doc = include_str!("../README.md")]
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
