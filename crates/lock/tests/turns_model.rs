//! A model check of `src/turns.rs`: loom runs it in every order of steps that its threads can
//! take. The lock of the system is a flag here; a task is a thread that polls; cancelling is
//! dropping a place in line at any point.
//! There is nothing of any system in it, so it runs on one.
#![cfg(all(feature = "async", unix))]

mod sync {
    pub(crate) use loom::sync::{Arc, Mutex};
}

#[allow(dead_code, reason = "the model needs no timer")]
#[path = "../src/turns.rs"]
mod turns;

use std::{future::poll_fn, task::Poll};

use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use turns::{Turn, Turns};

/// The lock as the system has it, and the line for it.
#[derive(Clone)]
struct System {
    held: Arc<AtomicBool>,
    turns: Arc<Turns>,
}

/// What releases the lock: like a guard, it unlocks first and nudges then.
struct Held(System);

impl System {
    fn new() -> Self {
        Self { held: Arc::new(AtomicBool::new(false)), turns: Arc::new(Turns::default()) }
    }

    fn try_lock(&self) -> Option<Held> {
        let free = self.held.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst);
        free.ok().map(|_| Held(self.clone()))
    }

    /// The loop of `wait_async`, without its pauses: only a nudge gets a waiter on. So a nudge
    /// that is lost shows as a thread that waits for ever.
    fn lock(&self) -> Held {
        let turn = Turns::join(&self.turns);
        block_on(poll_fn(|context| {
            loop {
                if turn.poll_worth_asking(context).is_pending() {
                    return Poll::Pending;
                }
                if let Some(held) = self.try_lock() {
                    return Poll::Ready(held);
                }
            }
        }))
    }

    /// One poll of a waiter, which is then dropped.
    fn lock_and_cancel(&self) -> Option<Held> {
        let turn = Turns::join(&self.turns);
        block_on(poll_fn(|context| {
            Poll::Ready(match turn.poll_worth_asking(context) {
                Poll::Ready(()) => self.try_lock(),
                Poll::Pending => None,
            })
        }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.store(false, Ordering::SeqCst);
        self.0.turns.nudge();
    }
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Enough for every defect that a few switches at the wrong moment can cause.
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn two_waiters_both_get_the_lock() {
    model(|| {
        let system = System::new();
        let other = system.clone();
        let thread = thread::spawn(move || drop(other.lock()));
        drop(system.lock());
        thread.join().expect("it ends well");
        assert!(!system.held.load(Ordering::SeqCst));
    });
}

#[test]
fn a_waiter_that_is_cancelled_passes_its_turn_and_its_nudge_on() {
    model(|| {
        let system = System::new();
        let held = system.try_lock().expect("nobody has it");
        let (cancelled, waiting) = (system.clone(), system.clone());
        let cancelled = thread::spawn(move || drop(cancelled.lock_and_cancel()));
        let waiting = thread::spawn(move || drop(waiting.lock()));
        drop(held);
        cancelled.join().expect("it ends well");
        waiting.join().expect("it ends well, or the nudge was lost");
        assert!(!system.held.load(Ordering::SeqCst), "the cancelled one holds the lock");
    });
}

#[test]
fn a_waiter_that_leaves_from_the_middle_of_the_line_disturbs_nobody() {
    model(|| {
        let system = System::new();
        let first: Turn = Turns::join(&system.turns);
        let second: Turn = Turns::join(&system.turns);
        let waiting = system.clone();
        let waiting = thread::spawn(move || drop(waiting.lock()));
        let leaving = thread::spawn(move || drop(second));
        drop(first);
        leaving.join().expect("it ends well");
        waiting.join().expect("it ends well, or its turn was lost");
    });
}
