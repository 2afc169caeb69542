//! This machine's event logs through the Windows Event Log API (`winevt.h`), and no more of it than
//! reading takes: channels, what is known of a log, queries, subscriptions, bookmarks, rendering.
//!
//! An event is rendered in two steps. The properties of `<System>` come as
//! values, without XML, and are enough for most filters. The names in `<EventData>` are nowhere
//! but in the XML, which is therefore rendered, and parsed, for what has passed and is printed.
//!
//! On other systems there is nothing here but the [`Error`]. What doesn't call the API (values as
//! they lie in a rendered buffer, events as XML) is safe code that is tested everywhere.

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
