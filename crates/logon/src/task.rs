//! Work on a thread made for it, and a future that waits for it: no runtime is needed, and none of
//! a runtime's threads is used.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    thread,
};

use crate::{Error, stack};

/// What is being done on a thread of its own. It is a future for any runtime, and
/// [`Task::wait`] is for code without one. Dropping it ends nothing: the work goes on unseen.
#[derive(Debug)]
#[must_use = "the outcome, an error too, is in the task"]
pub struct Task<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

#[derive(Debug)]
struct State<T> {
    outcome: Option<thread::Result<T>>,
    waker: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, outcome: thread::Result<T>) {
        let waker = {
            let mut state = self.lock();
            state.outcome = Some(outcome);
            state.waker.take()
        };
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Task<T> {
    pub(crate) fn ready(value: T) -> Self {
        let state = Mutex::new(State { outcome: Some(Ok(value)), waker: None });
        Self { shared: Arc::new(Shared { state, done: Condvar::new() }) }
    }

    /// Waits for the outcome by blocking this thread.
    ///
    /// # Panics
    /// If the work panicked, with its panic.
    pub fn wait(self) -> T {
        let mut state = self.shared.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                drop(state);
                return outcome.unwrap_or_else(|panic| resume_unwind(panic));
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// # Panics
    /// If the work panicked, with its panic; and if it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.shared.lock();
        match state.outcome.take() {
            Some(outcome) => {
                drop(state);
                Poll::Ready(outcome.unwrap_or_else(|panic| resume_unwind(panic)))
            }
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Runs `work` on a new thread that is whoever the process is, even if the caller's thread is
/// somebody else just now: on Linux a thread inherits that.
pub(crate) fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Task<T>, Error> {
    let state = Mutex::new(State { outcome: None, waker: None });
    let shared = Arc::new(Shared { state, done: Condvar::new() });
    let theirs = Arc::clone(&shared);
    let body = move || {
        // The one who waits for the outcome gets the panic.
        let outcome = catch_unwind(AssertUnwindSafe(work));
        theirs.finish(outcome.map_err(|panic| panic as Box<dyn Any + Send>));
    };
    stack::as_base(|| thread::Builder::new().name(name.to_owned()).spawn(body))
        .map_err(|source| Error::System { what: "start a thread", source })?;
    Ok(Task { shared })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_hands_over_what_the_thread_returned() {
        assert_eq!(on_a_thread("test", || 42).expect("a thread").wait(), 42);
    }

    #[test]
    fn a_panic_on_the_thread_is_a_panic_where_it_is_waited_for() {
        let task = on_a_thread("test", || -> u8 { panic!("as meant by the test") });
        let task = task.expect("a thread");
        let panic = catch_unwind(AssertUnwindSafe(|| task.wait())).expect_err("it panicked");
        assert_eq!(panic.downcast_ref(), Some(&"as meant by the test"));
    }
}
