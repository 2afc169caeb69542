#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod event;
mod field;
pub mod filter;
mod guid;
mod hex;
mod kept;
pub mod layout;
mod level;
mod message;
pub mod output;
mod place;
pub mod query;
mod record;
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

/// What most providers and channels begin with. Tables leave it out.
pub(crate) const COMMON_PREFIX: &str = "Microsoft-Windows-";

pub use event::{Element, Event, Node};
pub use field::Field;
pub use guid::Guid;
pub use level::{Keywords, Level, LevelName};
pub use message::{
    AnyEvent, Generation, Insert, InsertOf, MakeMessage, Message, MessageBy, MessageForm,
    MessageSource, NameOf, Recipe, Texts, VisitData, VisitItem,
};
pub use place::Place;
pub use record::RecordId;
pub use rule::RuleName;
pub use sid::Sid;
pub use source::{DataName, FieldSource, Fields, Origin, PartialSource, Sink, Substituted};
pub use text::{Ansi, Utf16};
pub use time::EventTime;
pub use value::Value;
