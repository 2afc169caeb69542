//! The context handles of a client's association group.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use quarry_even::{Refuse, Win32Error};
use quarry_rpc::FaultStatus;
use quarry_rpc::ndr::ContextHandle;
use tokio::sync::watch;
use uuid::Uuid;

use crate::generate::mix;
use crate::log::Log;
use crate::reader::Reader;
use crate::server::lock;
use crate::texts::Publisher;

/// The most handles that a client can have open.
pub const MAX_HANDLES: usize = 4096;

/// What is kept for a client.
#[derive(Default)]
pub(crate) struct Handles {
    open: Mutex<HashMap<Uuid, Handle>>,
}

#[derive(Clone)]
pub(crate) enum Handle {
    Query(Arc<Opened>),
    Subscription(Arc<Opened>),
    Log(Arc<Log>),
    Control(Arc<watch::Sender<bool>>),
    Publisher(Arc<Publisher>),
    /// A listing of a publisher's events, and how many were listed.
    Listing(Arc<(Publisher, AtomicUsize)>),
}

/// A query or subscription.
pub(crate) struct Opened {
    /// One call at a time.
    pub(crate) reader: tokio::sync::Mutex<Reader>,
    /// For a subscription: whether the client asks, or waits to be told.
    pub(crate) pull: bool,
    /// Becomes true when the client cancels by the control handle.
    pub(crate) cancelled: watch::Receiver<bool>,
}

/// Numbers of handles, over all servers.
static LAST: AtomicU64 = AtomicU64::new(0);

impl Handles {
    /// A new handle.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn insert(&self, handle: Handle) -> Result<ContextHandle, Win32Error> {
        let mut open = lock(&self.open);
        if open.len() >= MAX_HANDLES {
            return Err(Win32Error::OUT_OF_MEMORY);
        }
        let number = LAST.fetch_add(1, Relaxed) + 1;
        let uuid = Uuid::from_u64_pair(mix(number, 0), number);
        open.insert(uuid, handle);
        Ok(ContextHandle { attributes: 0, uuid })
    }

    /// Closes a handle of any kind.
    ///
    /// # Errors
    /// A fault for one that was never given out, or is closed.
    pub(crate) fn remove(&self, handle: ContextHandle) -> Result<(), Refuse> {
        lock(&self.open).remove(&handle.uuid).map(drop).ok_or(Refuse::Fault(MISMATCH))
    }

    pub(crate) fn query(&self, handle: ContextHandle) -> Found<Arc<Opened>> {
        self.find(handle, |handle| match handle {
            Handle::Query(opened) => Some(opened),
            _ => None,
        })
    }

    pub(crate) fn subscription(&self, handle: ContextHandle) -> Found<Arc<Opened>> {
        self.find(handle, |handle| match handle {
            Handle::Subscription(opened) => Some(opened),
            _ => None,
        })
    }

    pub(crate) fn log(&self, handle: ContextHandle) -> Found<Arc<Log>> {
        self.find(handle, |handle| match handle {
            Handle::Log(log) => Some(log),
            _ => None,
        })
    }

    pub(crate) fn control(&self, handle: ContextHandle) -> Found<Arc<watch::Sender<bool>>> {
        self.find(handle, |handle| match handle {
            Handle::Control(control) => Some(control),
            _ => None,
        })
    }

    pub(crate) fn publisher(&self, handle: ContextHandle) -> Found<Arc<Publisher>> {
        self.find(handle, |handle| match handle {
            Handle::Publisher(publisher) => Some(publisher),
            _ => None,
        })
    }

    pub(crate) fn listing(&self, handle: ContextHandle) -> Found<Arc<(Publisher, AtomicUsize)>> {
        self.find(handle, |handle| match handle {
            Handle::Listing(listing) => Some(listing),
            _ => None,
        })
    }

    fn find<T>(&self, handle: ContextHandle, kind: impl FnOnce(Handle) -> Option<T>) -> Found<T> {
        let found = lock(&self.open).get(&handle.uuid).cloned();
        let found = found.ok_or(Refuse::Fault(MISMATCH))?;
        Ok(kind(found).ok_or(Win32Error::INVALID_PARAMETER))
    }
}

/// A fault for a handle that isn't there, an error for one of another kind.
type Found<T> = Result<Result<T, Win32Error>, Refuse>;

const MISMATCH: FaultStatus = FaultStatus::CONTEXT_MISMATCH;
