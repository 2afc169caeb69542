//! Whose turn it is among this process's async waiters for one file.
//!
//! They stand in line, and only the one in front asks the system. It asks again when a
//! *nudge* tells it that this process released the lock, or when its pause is over. A waiter
//! that gives up leaves the line wherever it stands; if it stood in front, the next one is woken,
//! so that neither a turn nor a nudge is lost with it. `tests/turns_model.rs` runs this file
//! under loom, which tries every order of steps.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use super::sync::{Arc, Mutex};

/// The line for one file.
#[derive(Default)]
pub(crate) struct Turns {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    next_ticket: u64,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    ticket: u64,
    /// The lock may have become free since this waiter last asked.
    nudged: bool,
    waker: Option<Waker>,
}

/// A place in the line, given up by dropping it.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    ticket: u64,
}

impl Turns {
    /// Goes to the end of the line.
    pub(crate) fn join(turns: &Arc<Self>) -> Turn {
        let mut line = turns.line.lock().expect("no code panics with the line locked");
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.waiting.push_back(Waiter { ticket, nudged: true, waker: None });
        Turn { turns: Arc::clone(turns), ticket }
    }

    /// The lock was released in this process: the one in front should ask at once.
    pub(crate) fn nudge(&self) {
        let mut line = self.line.lock().expect("no code panics with the line locked");
        let waker = line.call_front();
        drop(line);
        wake(waker);
    }
}

impl Turn {
    /// Ready when this waiter is in front and it is worth asking the system. After
    /// `Ready` it asks; if that was in vain, it polls this again.
    pub(crate) fn poll_worth_asking(&self, context: &Context<'_>) -> Poll<()> {
        let mut line = self.turns.line.lock().expect("no code panics with the line locked");
        let in_front = line.waiting.front().is_some_and(|first| first.ticket == self.ticket);
        let waiter = line
            .waiting
            .iter_mut()
            .find(|waiter| waiter.ticket == self.ticket)
            .expect("a waiter stands in line until its turn is dropped");
        if in_front && std::mem::take(&mut waiter.nudged) {
            return Poll::Ready(());
        }
        match &mut waiter.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether this waiter is in front, and so the one that asks again after a pause.
    pub(crate) fn is_in_front(&self) -> bool {
        let line = self.turns.line.lock().expect("no code panics with the line locked");
        line.waiting.front().is_some_and(|first| first.ticket == self.ticket)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = self.turns.line.lock().expect("no code panics with the line locked");
        let Some(place) = line.waiting.iter().position(|waiter| waiter.ticket == self.ticket)
        else {
            return;
        };
        line.waiting.remove(place);
        let waker = if place == 0 { line.call_front() } else { None };
        drop(line);
        wake(waker);
    }
}

impl Line {
    fn call_front(&mut self) -> Option<Waker> {
        let first = self.waiting.front_mut()?;
        first.nudged = true;
        first.waker.take()
    }
}

/// Outside the lock: a waker may run the task at once.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
