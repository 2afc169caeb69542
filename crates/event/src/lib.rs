//! What an event of a Windows event log is, wherever it comes from.
//!
//! * [`FieldSource`] is something that has an event's fields: an undecoded BinXML record, a
//!   decoded [`Event`]. Filters test any of them, and outputs print any of them.
//! * [`Value`] is one typed value, borrowed from the bytes it came in, written as text only where
//!   it is shown.
//! * `Filter` is what a user asks for; it is tested on a [`FieldSource`] and
//!   written as XPath for a server that filters.
//! * [`words`] are what a filter is asked for in: on the command line, in a box, in an address.
//! * [`query`] reads Windows event queries: XPath, and `<QueryList>` documents.
//! * [`MessageSource`] is something that knows an event's message text.
//! * [`output`] writes events as a table, JSON, CSV and XML.
//!
//! Nothing here does I/O, reads a clock or knows where an event comes from.
#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

mod event;
mod field;
pub mod filter;
mod guid;
mod hex;
mod level;
mod message;
pub mod output;
mod place;
pub mod query;
mod rule;
mod sid;
mod source;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;
pub mod text;
mod time;
mod user_data;
mod value;
pub mod words;

pub use event::{Element, Event, Node};
pub use field::Field;
pub use guid::Guid;
pub use level::{Keywords, Level, LevelName};
pub use message::{AnyEvent, Message, MessageBy, MessageSource, NameOf, Texts, VisitData};
pub use place::Place;
pub use rule::RuleName;
pub use sid::Sid;
pub use source::{DataName, FieldSource, Fields, Origin, PartialSource, Sink};
pub use text::{Ansi, Utf16};
pub use time::EventTime;
pub use value::Value;
