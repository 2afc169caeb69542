//! Work on all cores, results in order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs that a thread may be ahead of the results taken, for each thread: enough that a slow job
/// doesn't hold the others up, few enough that their results stay small.
const AHEAD: usize = 4;

/// Does every job, on as many threads as said, and takes the results in the order of the jobs,
/// until `take` breaks. Each thread has a worker of its own. Results are bounded: a thread waits
/// when the one before them is still being worked on.
///
/// The results are the same for any number of threads. With one, everything is done on the
/// calling thread. With more, the next job may take long to come (from a network): the results
/// before it are taken meanwhile.
pub fn in_order<J, W, R>(
    threads: NonZeroUsize,
    mut jobs: impl Iterator<Item = J> + Send,
    worker: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, J) -> R + Sync,
    mut take: impl FnMut(R) -> ControlFlow<()>,
) where
    J: Send,
    R: Send,
{
    if threads.get() == 1 {
        let mut worker = worker();
        let _ = jobs.try_for_each(|job| take(work(&mut worker, job)));
        return;
    }
    let shared = Shared {
        jobs: Mutex::new(jobs),
        state: Mutex::new(State {
            given: 0,
            taken: 0,
            done: BTreeMap::new(),
            live: 0,
            stop: false,
        }),
        room: Condvar::new(),
        result: Condvar::new(),
    };
    std::thread::scope(|scope| {
        shared.lock().live = threads.get();
        for _ in 0..threads.get() {
            scope.spawn(|| {
                // Counts the thread out when it ends, even by a panic: nobody waits for it then.
                let _live = Live(&shared);
                let mut worker = worker();
                while let Some((n, job)) = shared.next_job(threads.get() * AHEAD) {
                    let result = work(&mut worker, job);
                    shared.lock().done.insert(n, result);
                    shared.result.notify_one();
                }
            });
        }
        while let Some(result) = shared.next_result() {
            if take(result).is_break() {
                break;
            }
        }
        shared.lock().stop = true;
        shared.room.notify_all();
    });
}

struct State<R> {
    /// Jobs that threads have been given, and results that have been taken.
    given: u64,
    taken: u64,
    /// Results that wait for their turn.
    done: BTreeMap<u64, R>,
    /// Threads that may still give results.
    live: usize,
    stop: bool,
}

struct Shared<I, R> {
    /// Locked before `state` by who locks both.
    jobs: Mutex<I>,
    state: Mutex<State<R>>,
    /// There is room for a result again.
    room: Condvar,
    /// There is another result, or a thread has ended.
    result: Condvar,
}

impl<J, I: Iterator<Item = J>, R> Shared<I, R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_job(&self, ahead: usize) -> Option<(u64, J)> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        while !state.stop && state.given - state.taken >= ahead as u64 {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop {
            return None;
        }
        drop(state);
        let job = jobs.next()?;
        let mut state = self.lock();
        state.given += 1;
        Some((state.given - 1, job))
    }

    fn next_result(&self) -> Option<R> {
        let mut state = self.lock();
        loop {
            let next = state.taken;
            if let Some(result) = state.done.remove(&next) {
                state.taken += 1;
                drop(state);
                self.room.notify_one();
                return Some(result);
            }
            if state.live == 0 {
                return None;
            }
            state = self.result.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Live<'s, J, I: Iterator<Item = J>, R>(&'s Shared<I, R>);

impl<J, I: Iterator<Item = J>, R> Drop for Live<'_, J, I, R> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.live -= 1;
        // A result is missing then, so no later one can be taken.
        state.stop |= std::thread::panicking();
        drop(state);
        self.0.result.notify_one();
        self.0.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(threads: usize, stop_at: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        in_order(
            NonZeroUsize::new(threads).unwrap(),
            0..1000u64,
            || (),
            |(), job| {
                if job % 97 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                job * 3
            },
            |result| {
                taken.push(result);
                if result == stop_at * 3 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        taken
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs_with_any_number_of_threads() {
        let expected: Vec<u64> = (0..1000).map(|job| job * 3).collect();
        for threads in [1, 2, 3, 16] {
            assert_eq!(run(threads, u64::MAX / 3), expected);
        }
    }

    #[test]
    fn a_result_is_taken_while_the_next_job_is_awaited() {
        let (sender, jobs) = std::sync::mpsc::channel();
        sender.send(1).unwrap();
        let mut sender = Some(sender);
        let mut taken = Vec::new();
        in_order(
            NonZeroUsize::new(2).unwrap(),
            jobs.into_iter(),
            || (),
            |(), job| job,
            |result| {
                taken.push(result);
                // The second job comes only when the first result was taken.
                if let Some(sender) = sender.take() {
                    sender.send(2).unwrap();
                }
                ControlFlow::Continue(())
            },
        );
        assert_eq!(taken, [1, 2]);
    }

    #[test]
    fn nothing_is_taken_after_a_break() {
        for threads in [1, 4] {
            assert_eq!(run(threads, 500).len(), 501);
        }
    }

    #[test]
    fn a_panic_in_a_job_ends_the_run_rather_than_hanging_it() {
        let outcome = std::panic::catch_unwind(|| {
            in_order(
                NonZeroUsize::new(3).unwrap(),
                0..100u64,
                || (),
                |(), job| assert_ne!(job, 40),
                |()| ControlFlow::Continue(()),
            );
        });
        assert!(outcome.is_err());
    }
}
