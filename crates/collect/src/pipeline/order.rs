//! Jobs on all cores, their parts in order, within a bound of bytes.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Jobs that a thread may be ahead of the parts taken, for each thread: enough that a slow job
/// doesn't hold the others up, few enough that a break loses little work.
const AHEAD: usize = 8;

/// The longest that `take` isn't called while nothing comes.
const IDLE: Duration = Duration::from_millis(50);

/// Bounds of [`in_order`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Threads that work.
    pub(super) threads: NonZeroUsize,
    /// Bytes of parts that wait for their turn. Each thread holds a part that it works on besides.
    pub(super) bytes: usize,
}

/// Where jobs come from. The next one may have to be waited for.
pub(super) trait Supply: Iterator {
    /// The next one, if it needn't be waited for.
    fn at_hand(&mut self) -> Option<Self::Item>;

    /// Whether none has to be waited for, so that one thread can do all that there is to do.
    fn needs_no_wait(&self) -> bool;
}

/// Does every job on a thread of its own, each of which makes any number of parts, and takes the
/// parts on the calling thread: those of a job in their order, and job after job, until `take`
/// breaks. `take` is given nothing when there has been nothing for some time.
///
/// The parts and their order are the same for any number of threads. The next job may take long to
/// come (from a network): the parts before it are taken meanwhile. While jobs are at hand, `take` is
/// woken for several of them at once, since waking it costs as much as a small job.
pub(super) fn in_order<J, W, P>(
    limits: Limits,
    jobs: impl Supply<Item = J> + Send,
    worker: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, J, &mut Parts<'_, P>) + Sync,
    mut take: impl FnMut(Option<P>) -> ControlFlow<()>,
) where
    J: Send,
    P: Send,
{
    if limits.threads.get() == 1 && jobs.needs_no_wait() {
        return in_turn(jobs, &mut worker(), work, take);
    }
    let queue = Queue::new(limits);
    let jobs = Mutex::new(jobs);
    std::thread::scope(|scope| {
        queue.lock().workers = limits.threads.get();
        for _ in 0..limits.threads.get() {
            scope.spawn(|| {
                // Counts the thread out when it ends, even by a panic: nobody waits for it then.
                let _present = Present(&queue);
                let mut worker = worker();
                while let Some((n, job)) = queue.next_job(&jobs) {
                    work(&mut worker, job, &mut Parts(To::Queue(n, &queue)));
                    queue.end(n);
                }
            });
        }
        // A panic of `take` ends the threads too.
        let _stop = Stop(&queue);
        loop {
            let next = match queue.next_part() {
                Next::Part(part) => take(Some(part)),
                Next::Idle => take(None),
                Next::End => break,
            };
            if next.is_break() {
                break;
            }
        }
    });
}

/// Does every job on the calling thread, which takes each part as it is made.
fn in_turn<J, W, P>(
    jobs: impl Iterator<Item = J>,
    worker: &mut W,
    work: impl Fn(&mut W, J, &mut Parts<'_, P>),
    mut take: impl FnMut(Option<P>) -> ControlFlow<()>,
) {
    let mut is_over = false;
    for job in jobs {
        let mut taker = |part| {
            is_over = is_over || take(Some(part)).is_break();
            !is_over
        };
        work(worker, job, &mut Parts(To::Taker(&mut taker)));
        if is_over {
            return;
        }
    }
}

/// Where a job's parts go.
pub(super) struct Parts<'q, P>(To<'q, P>);

enum To<'q, P> {
    /// Those of a job by its number.
    Queue(u64, &'q Queue<P>),
    Taker(&'q mut dyn FnMut(P) -> bool),
}

impl<P> Parts<'_, P> {
    /// Hands a part on, which holds so many bytes, and waits until there is room for it. False when
    /// no more is wanted: the job is to end.
    pub(super) fn push(&mut self, part: P, bytes: usize) -> bool {
        match &mut self.0 {
            To::Queue(n, queue) => queue.push(*n, part, bytes),
            To::Taker(take) => take(part),
        }
    }
}

struct Queue<P> {
    limits: Limits,
    state: Mutex<State<P>>,
    /// There is room again, for a job or a part.
    room: Condvar,
    /// There is something to take, or a thread has ended.
    ready: Condvar,
}

struct State<P> {
    /// Jobs that were given to threads; they are numbered in that order.
    given: u64,
    /// The job whose parts are taken.
    current: u64,
    jobs: BTreeMap<u64, Job<P>>,
    /// Bytes of the parts in `jobs`, and of the one that was taken last.
    bytes: usize,
    taken: usize,
    /// Threads that may still make parts.
    workers: usize,
    /// Threads that wait for room, and whether the taker waits for a part: only then is anybody woken.
    wait_for_room: usize,
    taker_waits: bool,
    /// A thread waits for a job to come. The others may have nothing to do until it does.
    awaits_job: bool,
    stop: bool,
}

struct Job<P> {
    parts: VecDeque<(P, usize)>,
    has_ended: bool,
}

impl<P> Default for Job<P> {
    fn default() -> Self {
        Job { parts: VecDeque::new(), has_ended: false }
    }
}

enum Next<P> {
    Part(P),
    Idle,
    End,
}

impl<P> Queue<P> {
    fn new(limits: Limits) -> Self {
        let state = State {
            given: 0,
            current: 0,
            jobs: BTreeMap::new(),
            bytes: 0,
            taken: 0,
            workers: 0,
            wait_for_room: 0,
            taker_waits: false,
            awaits_job: false,
            stop: false,
        };
        Queue { limits, state: Mutex::new(state), room: Condvar::new(), ready: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ahead(&self) -> u64 {
        (self.limits.threads.get() * AHEAD) as u64
    }

    /// The next job. One thread at a time waits for it, and holds no other lock meanwhile.
    fn next_job<J>(&self, jobs: &Mutex<impl Supply<Item = J>>) -> Option<(u64, J)> {
        let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        while !state.stop && state.given - state.current >= self.ahead() {
            state = self.wait_for_room(state);
        }
        if state.stop {
            return None;
        }
        drop(state);
        let job = jobs.at_hand().or_else(|| {
            let mut state = self.lock();
            state.awaits_job = true;
            self.wake_taker(&mut state);
            drop(state);
            jobs.next()
        });
        let mut state = self.lock();
        state.awaits_job = false;
        let job = job?;
        let n = state.given;
        state.given += 1;
        state.jobs.insert(n, Job::default());
        Some((n, job))
    }

    fn end(&self, n: u64) {
        let mut state = self.lock();
        if let Some(job) = state.jobs.get_mut(&n) {
            job.has_ended = true;
        }
        if state.awaits_job || 2 * (state.given - state.current) >= self.ahead() {
            self.wake_taker(&mut state);
        }
    }

    /// Wakes the taker, if it waits and there is something to take.
    fn wake_taker(&self, state: &mut State<P>) {
        let is_due = |job: &Job<P>| job.has_ended || !job.parts.is_empty();
        if state.taker_waits && state.jobs.get(&state.current).is_some_and(is_due) {
            state.taker_waits = false;
            self.ready.notify_one();
        }
    }

    /// Waits until there may be room. What is there to be taken makes some.
    fn wait_for_room<'q>(
        &'q self,
        mut state: MutexGuard<'q, State<P>>,
    ) -> MutexGuard<'q, State<P>> {
        self.wake_taker(&mut state);
        state.wait_for_room += 1;
        let mut state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.wait_for_room -= 1;
        state
    }

    fn tell_of_room(&self, state: &State<P>) {
        if state.wait_for_room > 0 {
            self.room.notify_all();
        }
    }

    fn next_part(&self) -> Next<P> {
        let mut state = self.lock();
        // What was taken before has been used.
        state.bytes -= std::mem::take(&mut state.taken);
        loop {
            let current = state.current;
            if let Some(job) = state.jobs.get_mut(&current) {
                if let Some((part, bytes)) = job.parts.pop_front() {
                    state.taken = bytes;
                    self.tell_of_room(&state);
                    return Next::Part(part);
                }
                if job.has_ended {
                    state.jobs.remove(&current);
                    state.current += 1;
                    self.tell_of_room(&state);
                    continue;
                }
            }
            // A job is missing whose thread has panicked.
            if state.workers == 0 || state.stop {
                return Next::End;
            }
            state.taker_waits = true;
            let (woken, waited) =
                self.ready.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.taker_waits = false;
            if waited.timed_out() {
                return Next::Idle;
            }
        }
    }

    /// Waits until there is room for a part, and takes it in.
    fn push(&self, n: u64, part: P, bytes: usize) -> bool {
        let mut state = self.lock();
        loop {
            if state.stop {
                return false;
            }
            // The job that is taken from goes on however little room there is, part by part: the
            // others wait for it.
            let is_awaited =
                n == state.current && state.jobs.get(&n).is_some_and(|job| job.parts.is_empty());
            if is_awaited || state.bytes.saturating_add(bytes) <= self.limits.bytes {
                break;
            }
            state = self.wait_for_room(state);
        }
        state.bytes += bytes;
        if let Some(job) = state.jobs.get_mut(&n) {
            job.parts.push_back((part, bytes));
            // Of a job that makes many, not only the end is of interest.
            if job.parts.len() > 1 {
                self.wake_taker(&mut state);
            }
        }
        true
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.room.notify_all();
        self.ready.notify_one();
    }
}

/// Ends the work when it is dropped.
struct Stop<'q, P>(&'q Queue<P>);

impl<P> Drop for Stop<'_, P> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct Present<'q, P>(&'q Queue<P>);

impl<P> Drop for Present<'_, P> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
        self.0.lock().workers -= 1;
        self.0.ready.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Jobs that are all at hand, or have to be waited for, each.
    struct Given<I>(I, bool);

    impl<I: Iterator> Iterator for Given<I> {
        type Item = I::Item;

        fn next(&mut self) -> Option<I::Item> {
            self.0.next()
        }
    }

    impl<I: Iterator> Supply for Given<I> {
        fn at_hand(&mut self) -> Option<I::Item> {
            if self.1 { self.0.next() } else { None }
        }

        fn needs_no_wait(&self) -> bool {
            self.1
        }
    }

    fn limits(threads: usize, bytes: usize) -> Limits {
        Limits { threads: NonZeroUsize::new(threads).unwrap(), bytes }
    }

    fn run(threads: usize, bytes: usize, stop_at: Option<(u64, u64)>) -> Vec<(u64, u64)> {
        let mut taken = Vec::new();
        in_order(
            limits(threads, bytes),
            Given(0..300u64, bytes.is_multiple_of(2)),
            || (),
            |(), job, parts| {
                if job % 97 == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                }
                for part in 0..job % 4 {
                    if !parts.push((job, part), 10) {
                        return;
                    }
                }
            },
            |part| {
                taken.extend(part);
                match part.is_some() && part == stop_at {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
        );
        taken
    }

    #[test]
    fn parts_come_in_the_order_of_the_jobs_with_any_number_of_threads_and_any_room() {
        let expected: Vec<_> =
            (0..300).flat_map(|job| (0..job % 4).map(move |part| (job, part))).collect();
        for threads in [1, 2, 3, 16] {
            for bytes in [0, 1, 15, 100, usize::MAX] {
                assert_eq!(run(threads, bytes, None), expected, "{threads} threads, {bytes} bytes");
            }
        }
    }

    #[test]
    fn nothing_is_taken_after_a_break() {
        for threads in [1, 4] {
            for bytes in [0, 100] {
                assert_eq!(run(threads, bytes, Some((150, 1))).last(), Some(&(150, 1)));
            }
        }
    }

    #[test]
    fn a_part_is_taken_while_the_next_job_is_awaited() {
        let (sender, jobs) = std::sync::mpsc::channel();
        sender.send(1).unwrap();
        let mut sender = Some(sender);
        let mut taken = Vec::new();
        in_order(
            limits(2, 100),
            Given(jobs.into_iter(), false),
            || (),
            |(), job, parts| assert!(parts.push(job, 1)),
            |part| {
                taken.extend(part);
                // The second job comes only when the first one's part was taken.
                if let (Some(_), Some(sender)) = (part, sender.take()) {
                    sender.send(2).unwrap();
                }
                ControlFlow::Continue(())
            },
        );
        assert_eq!(taken, [1, 2]);
    }

    #[test]
    fn what_is_done_is_taken_though_more_is_at_hand() {
        let (taken, seen) = std::sync::mpsc::channel();
        let seen = Mutex::new(seen);
        let long = Duration::from_secs(60);
        in_order(
            limits(2, usize::MAX),
            Given(0..3u64, true),
            || (),
            |(), job, parts| {
                if job == 1 {
                    let seen = seen.lock().unwrap();
                    assert_eq!(seen.recv_timeout(long), Ok(0), "the first part isn't taken");
                }
                parts.push(job, 1);
            },
            |part| {
                // Nobody may listen any more.
                part.map(|part| taken.send(part).ok());
                ControlFlow::Continue(())
            },
        );
    }

    #[test]
    fn the_taker_hears_of_it_when_nothing_comes() {
        let (sender, jobs) = std::sync::mpsc::channel::<u64>();
        let mut sender = Some(sender);
        let mut idle = 0;
        in_order(
            limits(1, 100),
            Given(jobs.into_iter(), false),
            || (),
            |(), _, _| {},
            |_: Option<()>| {
                idle += 1;
                if idle == 3 {
                    // There are no more jobs.
                    sender.take();
                }
                ControlFlow::Continue(())
            },
        );
        assert!(idle >= 3);
    }

    #[test]
    fn parts_in_waiting_are_bounded_by_their_bytes() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        let mut most = 0;
        in_order(
            limits(4, 100),
            Given(0..50, true),
            || (),
            |(), _, parts| {
                for _ in 0..20 {
                    MADE.fetch_add(10, Ordering::SeqCst);
                    parts.push((), 10);
                }
            },
            |part| {
                if part.is_some() {
                    std::thread::sleep(Duration::from_micros(100));
                    let taken = TAKEN.fetch_add(10, Ordering::SeqCst);
                    most = most.max(MADE.load(Ordering::SeqCst) - taken);
                }
                ControlFlow::Continue(())
            },
        );
        // The room; of the job that is taken from, the part in use and the next; and what each
        // thread has in hand.
        assert!(most <= 100 + 2 * 10 + 4 * 10, "{most} bytes");
        assert_eq!(TAKEN.load(Ordering::SeqCst), 50 * 200);
    }

    #[test]
    fn a_panic_in_a_job_or_a_taker_ends_the_run_rather_than_hanging_it() {
        for at_taker in [false, true] {
            let outcome = std::panic::catch_unwind(|| {
                in_order(
                    limits(3, 20),
                    Given(0..100u64, true),
                    || (),
                    |(), job, parts| {
                        assert!(at_taker || job != 40);
                        parts.push(job, 10);
                    },
                    |part| {
                        assert_ne!(part, Some(50));
                        ControlFlow::Continue(())
                    },
                );
            });
            assert!(outcome.is_err());
        }
    }
}
