//! Waiting for a lock in a tokio task.
//!
//! There is no thread behind a waiter: those of one process stand in line for a file (see
//! `turns`), and the one in front asks the system, with pauses that a release in
//! this process cuts short. A lock is granted in the same poll that hands the guard over, so a
//! future that is dropped has nothing to give back.

use std::{
    collections::HashMap,
    future::poll_fn,
    path::Path,
    pin::pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use crate::{
    Error, Mode, Options, OwnedGuard,
    backoff::Backoff,
    inner::{Attempt, Core},
    region::Region,
    sys::{self, FileId},
    turns::{Turn, Turns},
};

/// Waits for the lock on a file that is open.
pub(crate) async fn acquire(core: &mut Core, region: Region, mode: Mode) -> Result<(), Error> {
    loop {
        let place = Place::in_line_for(core.id()?);
        let mut pauses = place.pauses();
        loop {
            pauses.until_worth_asking().await;
            match core.attempt(region, mode)? {
                Attempt::Acquired => return Ok(()),
                Attempt::Contended => {}
                Attempt::Moved => break,
            }
        }
    }
}

/// Waits for the whole-file lock of a path, opening the file only when it is this waiter's turn.
pub(crate) async fn lock_path(
    options: &Options,
    path: &Path,
    mode: Mode,
) -> Result<OwnedGuard, Error> {
    loop {
        let place = Place::in_line_for(identify(options, path)?);
        let mut pauses = place.pauses();
        pauses.until_worth_asking().await;
        let mut file = options.open(path)?;
        let core = file.core_for_wait();
        while core.id()? == place.id {
            match core.attempt(Region::Whole, mode)? {
                Attempt::Acquired => return Ok(file.into_held()),
                Attempt::Contended => pauses.until_worth_asking().await,
                Attempt::Moved => break,
            }
        }
    }
}

/// The lock on this file was released: whoever is in front may ask.
pub(crate) fn nudge(id: FileId) {
    // A waiter counts itself in before it asks, and a release comes before this look; so one of
    // the two sees the other. In a process without async waiters this is all that happens.
    if WAITERS.load(Ordering::SeqCst) > 0 {
        let turns = lines().get(&id).cloned();
        if let Some(turns) = turns {
            turns.nudge();
        }
    }
}

static WAITERS: AtomicUsize = AtomicUsize::new(0);
static LINES: LazyLock<Mutex<HashMap<FileId, Arc<Turns>>>> = LazyLock::new(Mutex::default);

fn lines() -> MutexGuard<'static, HashMap<FileId, Arc<Turns>>> {
    // Nothing under this mutex can be left half done by a panic.
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identify(options: &Options, path: &Path) -> Result<FileId, Error> {
    let found =
        sys::id_of_path(path).map_err(|source| Error::Open { path: path.into(), source })?;
    match found {
        Some(id) => Ok(id),
        None => options.open(path)?.core_for_wait().id(),
    }
}

/// A place in the line for a file. The line is gone with its last waiter.
struct Place {
    /// Empty only while the place is being dropped.
    turn: Option<Turn>,
    id: FileId,
}

impl Place {
    fn in_line_for(id: FileId) -> Self {
        WAITERS.fetch_add(1, Ordering::SeqCst);
        let turn = Turns::join(lines().entry(id).or_default());
        Self { turn: Some(turn), id }
    }

    fn pauses(&self) -> Pauses<'_> {
        let turn = self.turn.as_ref().expect("present until the place is dropped");
        Pauses { turn, backoff: Backoff::new() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turn = None;
        let mut lines = lines();
        // Turns are only made with the map locked, so one reference is the map's own.
        if lines.get(&self.id).is_some_and(|turns| Arc::strong_count(turns) == 1) {
            lines.remove(&self.id);
        }
        drop(lines);
        WAITERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// When the one in front asks: at once, after each nudge, and after each pause.
struct Pauses<'a> {
    turn: &'a Turn,
    backoff: Backoff,
}

impl Pauses<'_> {
    async fn until_worth_asking(&mut self) {
        if !self.turn.is_in_front() {
            // Nothing but a call to the front can end this wait, so it needs no timer.
            return poll_fn(|context| self.turn.poll_worth_asking(context)).await;
        }
        let mut pause = pin!(tokio::time::sleep(self.backoff.pause()));
        poll_fn(|context| match self.turn.poll_worth_asking(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => pause.as_mut().poll(context),
        })
        .await;
    }
}
