//! What this process itself has open for locking: which files, for which kind of lock, and
//! what it holds of them. It answers two questions that the system doesn't: "do I hold that
//! lock already?" and "do I use both kinds on one file?".

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{region::Region, sys::FileId};

/// Which kind of lock a file was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Range,
}

/// One open handle. Leaves the registry when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    id: FileId,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    kind: Kind,
    /// Kept apart from `range`, so that a whole-file lock costs no mutex.
    held: AtomicBool,
    range: Mutex<Option<Region>>,
}

static OPEN: LazyLock<Mutex<HashMap<FileId, Vec<Arc<State>>>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these mutexes can be left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    /// Enters a handle; `None` if the file is open here for the other kind.
    pub(crate) fn new(id: FileId, kind: Kind) -> Option<Self> {
        let mut open = lock(&OPEN);
        let handles = open.entry(id).or_default();
        if handles.iter().any(|other| other.kind != kind) {
            return None;
        }
        let state = Arc::new(State { kind, held: AtomicBool::new(false), range: Mutex::new(None) });
        handles.push(Arc::clone(&state));
        Some(Self { id, state })
    }

    pub(crate) fn set_held(&self, region: Region) {
        if self.state.kind == Kind::Range {
            *lock(&self.state.range) = Some(region);
        }
        self.state.held.store(true, Ordering::Release);
    }

    pub(crate) fn set_free(&self) {
        self.state.held.store(false, Ordering::Release);
    }

    /// Whether another handle of this process holds a lock that overlaps `region`.
    pub(crate) fn held_elsewhere(&self, region: Region) -> bool {
        lock(&OPEN).get(&self.id).is_some_and(|handles| {
            handles.iter().any(|other| {
                !Arc::ptr_eq(other, &self.state)
                    && other.held.load(Ordering::Acquire)
                    && lock(&other.range).is_none_or(|held| held.overlaps(&region))
            })
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = lock(&OPEN);
        if let Some(handles) = open.get_mut(&self.id) {
            handles.retain(|other| !Arc::ptr_eq(other, &self.state));
            if handles.is_empty() {
                open.remove(&self.id);
            }
        }
    }
}
