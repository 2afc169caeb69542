//! Queries and subscriptions, and the events they give.

use std::cell::Cell;
use std::marker::PhantomData;
use std::num::NonZeroIsize;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_INVALID_OPERATION, ERROR_NO_MORE_ITEMS, ERROR_TIMEOUT};
use windows_sys::Win32::System::EventLog::{
    EVT_HANDLE, EVT_QUERY_PROPERTY_ID, EvtGetQueryInfo, EvtNext, EvtQuery, EvtQueryChannelPath,
    EvtQueryForwardDirection, EvtQueryNames, EvtQueryReverseDirection, EvtQueryStatuses, EvtSeek,
    EvtSeekRelativeToBookmark, EvtSeekRelativeToFirst, EvtSeekStrict, EvtSubscribe,
    EvtSubscribeStartAfterBookmark, EvtSubscribeStartAtOldestRecord, EvtSubscribeStrict,
    EvtSubscribeToFutureEvents,
};

use super::bookmark::Bookmark;
use super::call::{Buffer, Handle, last_error, wide};
use super::signal::Signal;
use crate::error::Error;
use crate::variant::{Values, Variant};

/// The most events that are asked for at once.
pub const MAX_EVENTS: u32 = 1024;

/// An event, not rendered yet. It keeps the query or subscription open that it came from: closing
/// that would close the event too.
#[derive(Debug)]
pub struct Event {
    // Before what it came from.
    handle: Handle,
    _parent: Arc<Parent>,
}

impl Event {
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// What events come from: a query, or a subscription with its signal. It is closed when nobody has
/// it nor any of its events.
#[derive(Debug)]
struct Parent {
    // Before the signal, which it sets.
    handle: Handle,
    _signal: Option<Signal>,
}

// SAFETY: events have it only to keep it open. Calls with its handle are made by the one result set
// or subscription that it belongs to, which isn't shared between threads.
unsafe impl Sync for Parent {}

/// That of the events of one result set or subscription.
#[derive(Debug)]
struct Source {
    parent: Arc<Parent>,
    _not_sync: PhantomData<Cell<()>>,
}

impl Source {
    fn new(handle: Handle, signal: Option<Signal>) -> Self {
        let parent = Arc::new(Parent { handle, _signal: signal });
        Source { parent, _not_sync: PhantomData }
    }

    fn raw(&self) -> EVT_HANDLE {
        self.parent.handle.raw()
    }
}

/// What asking for more events came to.
#[derive(Debug)]
pub enum Next {
    /// Some events, at least one.
    Events(Vec<Event>),
    /// None in the time that was given.
    TimedOut,
    /// There are no more; for a subscription, none yet.
    End,
}

/// Where in a result set to go on.
#[derive(Clone, Copy, Debug)]
pub enum SeekFrom<'b> {
    /// So many events after the first, which have to be there.
    First(i64),
    /// So many events after the one of a bookmark; which has to be there, if asked for strictly.
    Bookmark(&'b Bookmark, i64, bool),
}

/// A query's events.
///
/// The documentation of `EvtQuery` says that a query's handle must only be used on the thread that
/// made it. That isn't kept here: it goes from thread to thread, is used by one at a time, and may
/// be closed by another, where its last event is dropped.
#[derive(Debug)]
pub struct ResultSet {
    source: Source,
}

impl ResultSet {
    /// Queries a channel by an XPath, or, without a path, those that a structured query names.
    ///
    /// # Errors
    /// [`Error`]: `EvtQuery` failed. No part of a query is tolerated to fail.
    pub fn query(path: Option<&str>, query: &str, is_backward: bool) -> Result<Self, Error> {
        let path = path.map(wide).transpose()?;
        let query = wide(query)?;
        let direction = match is_backward {
            true => EvtQueryReverseDirection,
            false => EvtQueryForwardDirection,
        };
        let flags = EvtQueryChannelPath | direction;
        // SAFETY: the texts end with a NUL and live longer than the call; no path is one that the
        // query names, and no session means this machine.
        let raw = unsafe { EvtQuery(0, pointer(path.as_deref()), query.as_ptr(), flags) };
        // SAFETY: it was just made.
        let handle = unsafe { Handle::new("EvtQuery", raw)? };
        Ok(ResultSet { source: Source::new(handle, None) })
    }

    /// The next events, at most `count`, which is at most [`MAX_EVENTS`]. It waits for as long as
    /// is said, if it searches.
    ///
    /// # Errors
    /// [`Error`]: `EvtNext` failed. The position may have moved all the same.
    pub fn next(&mut self, count: u32, timeout: Duration) -> Result<Next, Error> {
        next(&self.source, count, timeout)
    }

    /// Goes to a place.
    ///
    /// # Errors
    /// [`Error`]: `EvtSeek` failed: there is no such place, if asked for strictly.
    pub fn seek(&mut self, from: SeekFrom<'_>) -> Result<(), Error> {
        let (bookmark, position, flags) = match from {
            // There need not be a first.
            SeekFrom::First(0) => (0, 0, EvtSeekRelativeToFirst),
            SeekFrom::First(position) => (0, position, EvtSeekRelativeToFirst | EvtSeekStrict),
            SeekFrom::Bookmark(bookmark, position, is_strict) => {
                let strict = if is_strict { EvtSeekStrict } else { 0 };
                (bookmark.raw(), position, EvtSeekRelativeToBookmark | strict)
            }
        };
        // SAFETY: the handles are open, or the bookmark's is none and not asked for.
        match unsafe { EvtSeek(self.source.raw(), position, bookmark, 0, flags) } {
            0 => Err(last_error("EvtSeek")),
            _ => Ok(()),
        }
    }

    /// The channels that take part, as Windows spells them, each with 0 or why it doesn't.
    ///
    /// # Errors
    /// [`Error`]: `EvtGetQueryInfo` failed.
    pub fn channels(&self) -> Result<Vec<(String, u32)>, Error> {
        channels(&self.source)
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug)]
pub enum Start<'b> {
    /// With the events to come.
    Now,
    /// With the oldest.
    Oldest,
    /// Behind the event of a bookmark; which has to be there, if asked for strictly.
    After(&'b Bookmark, bool),
}

/// A pull subscription. Its signal tells that there are events; it is asked for them until there
/// are none.
#[derive(Debug)]
pub struct Subscription {
    source: Source,
}

impl Subscription {
    /// Subscribes as [`ResultSet::query`] queries. Events that are gone before they came end it
    /// with an error, unless it begins after a bookmark that need not be there.
    ///
    /// # Errors
    /// [`Error`]: `EvtSubscribe` failed.
    pub fn begin(
        path: Option<&str>,
        query: &str,
        start: Start<'_>,
        signal: Signal,
    ) -> Result<Self, Error> {
        let path = path.map(wide).transpose()?;
        let query = wide(query)?;
        let (bookmark, flags) = match start {
            Start::Now => (0, EvtSubscribeToFutureEvents | EvtSubscribeStrict),
            Start::Oldest => (0, EvtSubscribeStartAtOldestRecord | EvtSubscribeStrict),
            Start::After(bookmark, true) => {
                (bookmark.raw(), EvtSubscribeStartAfterBookmark | EvtSubscribeStrict)
            }
            Start::After(bookmark, false) => (bookmark.raw(), EvtSubscribeStartAfterBookmark),
        };
        // SAFETY: the texts end with a NUL and live longer than the call; the event handle is open
        // and lives longer than the subscription; without a callback there is no context.
        let raw = unsafe {
            EvtSubscribe(
                0,
                signal.event(),
                pointer(path.as_deref()),
                query.as_ptr(),
                bookmark,
                ptr::null(),
                None,
                flags,
            )
        };
        // SAFETY: it was just made.
        let handle = unsafe { Handle::new("EvtSubscribe", raw)? };
        Ok(Subscription { source: Source::new(handle, Some(signal)) })
    }

    /// The next events, at most `count`. It waits for as long as is said, if it searches. After
    /// [`Next::End`] there are none before the signal; after [`Next::TimedOut`] there may be some,
    /// signal or not.
    ///
    /// # Errors
    /// [`Error`]: `EvtNext` failed. The position may have moved all the same.
    pub fn next(&mut self, count: u32, timeout: Duration) -> Result<Next, Error> {
        match next(&self.source, count, timeout) {
            // What some versions say to whoever asks without having been told to.
            Err(error) if error.status() == Some(ERROR_INVALID_OPERATION) => Ok(Next::End),
            next => next,
        }
    }

    /// As [`ResultSet::channels`].
    ///
    /// # Errors
    /// [`Error`]: `EvtGetQueryInfo` failed.
    pub fn channels(&self) -> Result<Vec<(String, u32)>, Error> {
        channels(&self.source)
    }
}

fn next(source: &Source, count: u32, timeout: Duration) -> Result<Next, Error> {
    const CALL: &str = "EvtNext";
    let count = count.clamp(1, MAX_EVENTS);
    let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX - 1);
    let mut handles = [0isize; MAX_EVENTS as usize];
    let mut returned = 0;
    // SAFETY: there is room for as many handles as is said, and both places are written to in
    // this call only.
    let done = unsafe {
        EvtNext(source.raw(), count, handles.as_mut_ptr(), timeout, 0, &raw mut returned) != 0
    };
    let error = if done { None } else { Some(last_error(CALL)) };
    let own = |raw| Event {
        // SAFETY: each that was returned is open and ours, and nobody else has it.
        handle: unsafe { Handle::own(raw) },
        _parent: Arc::clone(&source.parent),
    };
    let events: Vec<Event> = handles
        .into_iter()
        .take(returned.min(count) as usize)
        .filter_map(|raw| NonZeroIsize::new(raw).map(own))
        .collect();
    match error {
        None if events.is_empty() => Err(Error::Nonsense { call: CALL, what: "no events" }),
        None => Ok(Next::Events(events)),
        Some(error) => match error.status() {
            Some(ERROR_TIMEOUT) if !events.is_empty() => Ok(Next::Events(events)),
            Some(ERROR_TIMEOUT) => Ok(Next::TimedOut),
            Some(ERROR_NO_MORE_ITEMS) if !events.is_empty() => Ok(Next::Events(events)),
            Some(ERROR_NO_MORE_ITEMS) => Ok(Next::End),
            _ => Err(error),
        },
    }
}

fn channels(source: &Source) -> Result<Vec<(String, u32)>, Error> {
    let names: Vec<String> =
        query_info(source, EvtQueryNames, |array| array.map(|name| name.to_string()).collect())?;
    let statuses: Vec<u32> = query_info(source, EvtQueryStatuses, |array| {
        let status = |value: quarry_event::Value<'_>| value.as_u64().map_or(0, |n| n as u32);
        array.map(status).collect()
    })?;
    Ok(names.into_iter().zip(statuses.into_iter().chain(std::iter::repeat(0))).collect())
}

fn query_info<T>(
    source: &Source,
    property: EVT_QUERY_PROPERTY_ID,
    take: impl FnOnce(&mut dyn Iterator<Item = quarry_event::Value<'_>>) -> T,
) -> Result<T, Error> {
    const CALL: &str = "EvtGetQueryInfo";
    let mut buffer = Buffer::default();
    buffer.fill(CALL, |place, size, used| {
        // SAFETY: the place has as many bytes as is said, aligned for the structure, and is
        // written to in this call only; the handle is an open query's or subscription's.
        unsafe { EvtGetQueryInfo(source.raw(), property, size, place.cast(), used) != 0 }
    })?;
    match Values::new(buffer.bytes(), buffer.address(), 1).get(0) {
        Variant::Array(array) => Ok(take(&mut array.iter())),
        _ => Err(Error::Nonsense { call: CALL, what: "no array" }),
    }
}

/// A pointer to a text, or none.
fn pointer(text: Option<&[u16]>) -> *const u16 {
    text.map_or(ptr::null(), <[u16]>::as_ptr)
}
