//! Writing BinXML, in both dialects.
//!
//! A [`Fragment`] says what to write: an [`Element`] as it is, or an [`Instance`] of a
//! [`Template`] with [`TypedValue`]s. [`wire`] writes it as MS-EVEN6 sends it, with names and
//! definitions in place; [`ChunkTables::write`] writes it into a chunk of an `.evtx` file, where
//! names and definitions stand once a chunk. A decoded [`Event`](quarry_event::Event) becomes a
//! fragment by [`Element::from`], or by [`templated`] a template with values. A
//! [`Packer`] makes any source's events ready to be written, fast.
//!
//! What is written can be read by this crate's [`Decoder`](crate::Decoder): a fragment that
//! passes one of its [`Limits`](crate::Limits), or that would not be XML, is refused with a
//! [`WriteError`], and nothing of it is left behind.

mod chunk;
mod describe;
mod encode;
mod error;
mod event;
mod packed;
mod value;
mod value_type;

pub use chunk::ChunkTables;
pub use describe::{Attribute, Content, Element, Fragment, Instance, Piece, Template};
pub use encode::wire;
pub use error::WriteError;
pub use event::{Templated, templated};
pub use packed::{Packed, Packer};
pub use value::TypedValue;
pub use value_type::ValueType;
