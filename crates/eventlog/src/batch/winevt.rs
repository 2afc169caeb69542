//! Events as Windows gives them, and their rendering.

use std::sync::{Arc, Mutex, PoisonError};

use quarry_winevt::{Event, Renderer};

use super::Visitor;
use crate::types::{Damage, LogName, RecordId};

/// What an event is taken to hold, in bytes: Windows doesn't say.
const USUAL_EVENT: usize = 2048;

/// Events of some logs, each with its log's place and its number there.
pub(crate) struct LocalBatch {
    /// Each is for one thread at a time.
    events: Mutex<Vec<(Event, usize, RecordId)>>,
    len: usize,
    logs: Arc<[LogName]>,
}

impl LocalBatch {
    pub(crate) fn new(events: Vec<(Event, usize, RecordId)>, logs: Arc<[LogName]>) -> Self {
        LocalBatch { len: events.len(), events: Mutex::new(events), logs }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Leaves out the events that aren't kept.
    pub(crate) fn keep(&mut self, is_kept: &[bool]) {
        let events = self.events.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut is_kept = is_kept.iter();
        events.retain(|_| is_kept.next() != Some(&false));
        self.len = events.len();
    }

    pub(crate) fn bytes(&self) -> usize {
        expected_bytes(self.len)
    }
}

/// What so many events probably hold.
fn expected_bytes(events: usize) -> usize {
    events * USUAL_EVENT
}

/// Renders batches.
#[derive(Default)]
pub(crate) struct LocalReader {
    renderer: Option<Renderer>,
}

impl LocalReader {
    pub(crate) fn read(&mut self, batch: &LocalBatch, visitor: &mut impl Visitor) {
        let events = batch.events.lock().unwrap_or_else(PoisonError::into_inner);
        for (event, log, record) in events.iter() {
            let Some(log) = batch.logs.get(*log) else { continue };
            let damage = |error, in_part| Damage::Local {
                log: log.clone(),
                record: *record,
                error,
                in_part,
            };
            let renderer = match &mut self.renderer {
                Some(renderer) => renderer,
                none => match Renderer::new() {
                    Ok(renderer) => none.insert(renderer),
                    Err(error) => {
                        visitor.damage(&damage(error, false));
                        continue;
                    }
                },
            };
            let read = renderer.read(event, |event| {
                if visitor.wants(&event.head()) {
                    visitor.event(event, &log.0, Some(*record));
                }
                event.failure().cloned()
            });
            match read {
                Ok(None) => {}
                Ok(Some(error)) => visitor.damage(&damage(error, true)),
                Err(error) => visitor.damage(&damage(error, false)),
            }
        }
    }
}
