//! A cursor moves when the sink has taken what it stands for, and is saved when that is durable.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use quarry_collect::{CursorError, CursorStore, LogCursor, RunError};
use quarry_fleet::{Cursors, FollowOptions};

use super::*;

/// What happened, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Taken(u64),
    Acknowledged(u64),
    Persisted,
    Saved(u64),
}

type Steps = Rc<RefCell<Vec<Step>>>;

struct Store {
    steps: Steps,
    last: u64,
}

impl CursorStore for Store {
    fn cursors(&self) -> Arc<Cursors> {
        Arc::default()
    }

    fn acknowledge(&mut self, cursor: LogCursor) {
        assert_eq!(cursor.source, "the address");
        self.last = cursor.cursor.record.0;
        self.steps.borrow_mut().push(Step::Acknowledged(self.last));
    }

    fn save(&mut self) -> Result<(), CursorError> {
        self.steps.borrow_mut().push(Step::Saved(self.last));
        Ok(())
    }
}

struct Writer {
    steps: Steps,
    stop: Stop,
    /// The record at which it fails.
    fails_at: Option<u64>,
    fails_to_persist: bool,
}

impl Sink for Writer {
    type Output = Made;
    type Error = &'static str;

    fn take(&mut self, delivery: &mut Delivery<Made>) -> Result<Next, &'static str> {
        let Some((_, last)) = delivery.output.places.last() else { return Ok(Next::Go) };
        if self.fails_at.is_some_and(|fails| *last >= fails) {
            return Err("the disk is full");
        }
        self.steps.borrow_mut().push(Step::Taken(*last));
        if *last == 300 {
            self.stop.set();
        }
        Ok(Next::Go)
    }

    fn persist(&mut self) -> Result<(), &'static str> {
        if self.fails_to_persist {
            return Err("the disk is gone");
        }
        self.steps.borrow_mut().push(Step::Persisted);
        Ok(())
    }
}

fn follow(fails_at: Option<u64>, fails_to_persist: bool) -> (Vec<Step>, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evtx");
    write(&path, 300, 1000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stop = Stop::default();
    let steps = Steps::default();
    let mut sink =
        Writer { steps: Rc::clone(&steps), stop: stop.clone(), fails_at, fails_to_persist };
    let mut store = Store { steps: Rc::clone(&steps), last: 0 };
    let sources = vec![Followed::input(&path, Selection::default())];
    let options = FollowOptions::default();
    let pipeline = Pipeline::follow(runtime.handle(), sources, 300, options).stop(stop);
    let (summary, result) = pipeline.run(&Places, &mut sink, Some(&mut store));
    assert_eq!((summary.servers.all, summary.servers.read), (1, 1));
    let error = result.err().map(|error| match error {
        RunError::Sink(error) => error.to_owned(),
        error => error.to_string(),
    });
    drop((sink, store));
    (Rc::into_inner(steps).unwrap().into_inner(), error)
}

/// Checks that nothing is acknowledged before it was taken, nor saved before it was made durable;
/// gives what was saved last.
#[track_caller]
fn check(steps: &[Step]) -> Option<u64> {
    let (mut taken, mut acknowledged, mut persisted, mut saved) = (0, 0, 0, None);
    for step in steps {
        match *step {
            Step::Taken(record) => taken = record,
            Step::Acknowledged(record) => {
                assert!(record <= taken, "{steps:?}");
                acknowledged = record;
            }
            Step::Persisted => persisted = acknowledged,
            Step::Saved(record) => {
                assert!(record <= persisted, "{steps:?}");
                saved = Some(record);
            }
        }
    }
    saved
}

#[test]
fn a_cursor_is_saved_after_what_it_stands_for_is_durable() {
    let (steps, error) = follow(None, false);
    assert_eq!(error, None);
    assert_eq!(check(&steps), Some(300), "{steps:?}");
}

#[test]
fn a_sink_that_fails_keeps_what_it_took_before_and_no_more() {
    let (steps, error) = follow(Some(200), false);
    assert_eq!(error.as_deref(), Some("the disk is full"));
    assert!(check(&steps).is_some_and(|saved| saved < 200), "{steps:?}");
    assert!(steps.contains(&Step::Taken(steps.iter().filter_map(taken).max().unwrap())));
}

fn taken(step: &Step) -> Option<u64> {
    match step {
        Step::Taken(record) => Some(*record),
        _ => None,
    }
}

#[test]
fn nothing_is_saved_that_cannot_be_made_durable() {
    let (steps, error) = follow(None, true);
    assert_eq!(error.as_deref(), Some("the disk is gone"));
    assert_eq!(check(&steps), None, "{steps:?}");
    assert!(!steps.iter().any(|step| matches!(step, Step::Saved(_))));
}

/// Stops the run amid the first batch, once records of a later one have been looked at.
struct Stopping {
    stop: Stop,
    is_ahead: AtomicBool,
}

impl Work for Stopping {
    type Worker = ();
    type Output = Made;

    fn worker(&self) {}

    fn event<S: FieldSource>(
        &self,
        worker: &mut (),
        event: &S,
        found: &Found<'_>,
        output: &mut Made,
    ) {
        Places.event(worker, event, found, output);
        match found.origin.log_record.unwrap().0 {
            10 => {
                while !self.is_ahead.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                self.stop.set();
            }
            150.. => self.is_ahead.store(true, Ordering::Relaxed),
            _ => {}
        }
    }
}

#[test]
fn of_a_run_that_is_stopped_amid_a_batch_nothing_is_lost_and_nothing_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evtx");
    write(&path, 300, 1000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stop = Stop::default();
    let work = Stopping { stop: stop.clone(), is_ahead: AtomicBool::new(false) };
    let mut kept = Kept::default();
    let steps = Steps::default();
    let mut store = Store { steps: Rc::clone(&steps), last: 0 };
    let sources = vec![Followed::input(&path, Selection::default())];
    let pipeline = Pipeline::follow(runtime.handle(), sources, 300, FollowOptions::default());
    let pipeline = pipeline.threads(threads(4)).stop(stop);
    pipeline.run(&work, &mut kept, Some(&mut store)).1.unwrap();
    let numbers: Vec<u64> = kept.places.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    assert_eq!(saved_last(&steps.borrow()), Some(10));
}

/// What was saved last.
fn saved_last(steps: &[Step]) -> Option<u64> {
    steps.iter().rev().find_map(|step| match step {
        Step::Saved(record) => Some(*record),
        _ => None,
    })
}
