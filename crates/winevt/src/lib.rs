#![doc = include_str!("../README.md")]

mod error;
#[cfg(any(windows, test))]
mod event;
#[cfg(windows)]
mod sys;
#[cfg(any(windows, test))]
mod variant;
#[cfg(any(windows, test))]
mod xml;

pub use error::Error;
#[cfg(any(windows, test))]
pub use event::{Head, RenderedEvent};
#[cfg(windows)]
pub use sys::{
    Bookmark, Channels, Event, LogInfo, MAX_EVENTS, Next, Renderer, ResultSet, SeekFrom, Signal,
    Start, Subscription, computer_name,
};
#[cfg(any(windows, test))]
pub use variant::{Array, Values, Variant};
