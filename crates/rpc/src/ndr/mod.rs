//! NDR, the transfer syntax (C706 14): little-endian, 32-bit pointers.
//!
//! There is no compiler for interface definitions here. An interface's module
//! reads and writes its parameters one by one, in the order of the definition,
//! with the primitives of [`NdrReader`] and [`NdrWriter`]; each count is checked
//! against the definition's range and against the bytes that are left before
//! anything is allocated for it.

mod reader;
mod types;
mod writer;

pub use reader::NdrReader;
pub use types::{ContextHandle, WideString};
pub use writer::NdrWriter;

#[cfg(test)]
mod tests;
