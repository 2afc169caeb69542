//! What takes rows of a run and pushes them, each batch of a log at once with the bookmark after it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quarry_collect::{
    CursorError, CursorStore, Delivery, LogCursor, Next, Notice, Sink, Source, SourceId,
};
use quarry_eventlog::{Cursor, LogName, RecordId};
use quarry_fleet::{Cause, Cursors};
use quarry_store::{NoticeKind, Rows, StoreError};

use super::writer::{NoticeRow, Pushed, Whole, Writer};
use crate::collect::work::{Made, now};
use crate::status::{Status, Trouble};

/// The sources of a run by their places, and what of them isn't pushed yet. The sink and its cursors
/// share it.
#[derive(Clone)]
pub(super) struct Run(Arc<Shared>);

struct Shared {
    /// Its number among the runs.
    id: u64,
    /// What its sources are called, by their places.
    names: Vec<String>,
    writer: Arc<Writer>,
    status: Arc<Status>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last record of each log whose bookmark this run has begun from or moved.
    places: HashMap<(String, String), RecordId>,
    /// By the source's address and the log.
    waiting: HashMap<(String, String), Waiting>,
    /// Places of sources that belong to somebody else by now.
    dismissed: VecDeque<usize>,
    /// Which are told already.
    told: Vec<bool>,
    failed: Option<StoreError>,
    /// When releases were last looked at, as the writer counts them.
    seen: u64,
}

/// What came of a log since its bookmark moved.
#[derive(Default)]
struct Waiting {
    /// Records that are missing before the events.
    gaps: Vec<NoticeRow>,
    rows: Option<Rows>,
    is_new_generation: bool,
}

impl Run {
    pub(super) fn new(
        id: u64,
        names: Vec<String>,
        cursors: &Cursors,
        writer: &Arc<Writer>,
        status: &Arc<Status>,
    ) -> Self {
        let told = vec![false; names.len()];
        let place = |((source, log), cursor): (&(String, LogName), &Cursor)| {
            ((source.clone(), log.0.clone()), cursor.record)
        };
        let places = cursors.iter().map(place).collect();
        Run(Arc::new(Shared {
            id,
            names,
            writer: Arc::clone(writer),
            status: Arc::clone(status),
            state: Mutex::new(State { told, places, ..State::default() }),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes what came of a log up to a record, the last rows among it, and moves the bookmark there.
    fn settle(
        &self,
        name: &str,
        cursor: &LogCursor,
        last: Option<&Rows>,
    ) -> Result<(), StoreError> {
        let key = (cursor.source.clone(), cursor.log.0.clone());
        let (Waiting { gaps, mut rows, is_new_generation }, from) = {
            let mut state = self.state();
            (state.waiting.remove(&key).unwrap_or_default(), state.places.get(&key).copied())
        };
        if let (Some(rows), Some(last)) = (&mut rows, last) {
            rows.append(last)?;
        }
        let Shared { id, writer, status, .. } = &*self.0;
        let to = (cursor.cursor.record, cursor.cursor.time);
        let rows = rows.as_ref().or(last);
        let whole = Whole { gaps, rows, key, from, to, is_new_generation };
        let pushed = writer.push(*id, name, &whole)?;
        if let Pushed::Rows(rows) = pushed {
            self.state().places.insert(whole.key, to.0);
            status.pushed(name, rows as u64);
        }
        Ok(())
    }

    /// Nothing is left to follow of the sources that are this run's.
    pub(super) fn rest(&self) {
        self.held().for_each(|name| self.0.status.rest(name));
    }

    /// The run has ended: its sources are nobody's.
    pub(super) fn end(&self) {
        self.held().for_each(|name| self.0.writer.release(name));
    }

    /// The sources that are this run's, by name.
    fn held(&self) -> impl Iterator<Item = &String> {
        let Shared { id, names, writer, .. } = &*self.0;
        names.iter().filter(|name| writer.is_held(*id, name))
    }

    /// What a source is called.
    fn name_of(&self, source: &Source) -> &str {
        self.0.names.get(source.id.index()).map_or("", String::as_str)
    }
}

/// The sink of a run.
pub(super) struct Storing(pub(super) Run);

impl Sink for Storing {
    type Output = Made;
    type Error = StoreError;

    fn take(&mut self, delivery: &mut Delivery<Made>) -> Result<Next, StoreError> {
        let run = &self.0;
        if let Some(error) = delivery.output.failed.take() {
            // The batch's bookmark doesn't move: it comes again.
            return Err(error);
        }
        let source = Arc::clone(&delivery.source);
        let name = run.name_of(&source).to_owned();
        for damage in delivery.damage.drain(..) {
            tracing::warn!(server = name, %damage, "records can't be read");
        }
        run.0.status.received(&name, delivery.records);
        let address = source.remote.as_ref().map_or(&*source.name, |remote| remote.address());
        match (&delivery.cursor, delivery.output.rows()) {
            (Some(cursor), rows) => run.settle(&name, cursor, rows.map(|rows| &*rows))?,
            (None, Some(rows)) => {
                let log = delivery.log.as_ref().map(|log| log.0.clone()).unwrap_or_default();
                let mut state = run.state();
                let waiting = state.waiting.entry((address.to_owned(), log)).or_default();
                match &mut waiting.rows {
                    Some(there) => there.append(rows)?,
                    none => none.insert(run.0.writer.rows()?).append(rows)?,
                }
            }
            (None, None) => {}
        }
        Ok(Next::Go)
    }

    fn persist(&mut self) -> Result<(), StoreError> {
        self.0.0.writer.sync()
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), StoreError> {
        let run = &self.0;
        let name = run.name_of(source).to_owned();
        let Shared { writer, status, id, .. } = &*run.0;
        let address =
            source.remote.as_ref().map_or_else(|| source.name.clone(), |r| r.address().to_owned());
        let row = |kind, log: Option<String>, record, text| NoticeRow {
            kind,
            source: address.clone(),
            host: name.clone(),
            log,
            record,
            time: now(),
            text,
        };
        match notice {
            Notice::Opened => status.opened(&name),
            Notice::Following { log, again } if status.followed(&name) || again => {
                tracing::info!(server = name, log = log.0, "followed again");
                let text = format!("{name} is followed again");
                writer.note(*id, &name, &[row(NoticeKind::Recovery, None, None, text)])?;
            }
            Notice::Gap { log, first, last } => {
                let text = match last {
                    Some(last) => format!(
                        "records {first} to {last} of {log} on {name} were overwritten before they \
                         were read"
                    ),
                    None => format!(
                        "{log} on {name} was cleared and counts anew; records from {first} on may be \
                         missing"
                    ),
                };
                tracing::warn!(
                    server = name,
                    log = log.0,
                    first = first.0,
                    last = last.map(|last| last.0),
                    "gap"
                );
                status.gap(&name);
                let key = (address.clone(), log.0.clone());
                let row = row(NoticeKind::Gap, Some(log.0), Some(first), text);
                let mut state = run.state();
                let waiting = state.waiting.entry(key).or_default();
                waiting.gaps.push(row);
                waiting.is_new_generation |= last.is_none();
            }
            Notice::Lost(failure) => {
                let text = failure.to_string();
                tracing::warn!(server = name, "{text}");
                let remedy = quarry_program::hints::remedy(&failure);
                status.lost(&name, Trouble { what: failure.what(), remedy });
                writer.note(*id, &name, &[row(NoticeKind::Failure, None, None, text)])?;
            }
            Notice::Failed(failure) => {
                let text = failure.to_string();
                tracing::warn!(server = name, "{text}");
                let is_of_log = matches!(failure.cause, Cause::NoSuchLog(_));
                let remedy = quarry_program::hints::remedy(&failure);
                let trouble = Trouble { what: failure.what(), remedy };
                if status.failed(&name, trouble, is_of_log) {
                    writer.note(*id, &name, &[row(NoticeKind::Failure, None, None, text)])?;
                }
            }
            Notice::LeftOut(failure) => tracing::info!(server = name, "left out: {failure}"),
            _ => {}
        }
        Ok(())
    }

    fn dismisses(&mut self) -> Option<SourceId> {
        let Shared { id, names, writer, .. } = &*self.0.0;
        let mut state = self.0.state();
        let releases = writer.releases();
        if state.seen != releases {
            state.seen = releases;
            for (place, name) in names.iter().enumerate() {
                if !state.told[place] && !writer.is_held(*id, name) {
                    state.told[place] = true;
                    state.dismissed.push_back(place);
                }
            }
        }
        state.dismissed.pop_front().map(SourceId)
    }

    fn tick(&mut self, _: bool) -> Result<(), StoreError> {
        self.0.state().failed.take().map_or(Ok(()), Err)
    }
}

/// The bookmarks of a run, as the pipeline takes them.
pub(super) struct Bookmarks {
    run: Run,
    cursors: Arc<Cursors>,
    sources: Vec<Arc<dyn quarry_fleet::Source>>,
    /// The places of sources whose address was seen.
    places: HashMap<String, usize>,
}

impl Bookmarks {
    pub(super) fn new(
        run: Run,
        cursors: Arc<Cursors>,
        sources: Vec<Arc<dyn quarry_fleet::Source>>,
    ) -> Self {
        Bookmarks { run, cursors, sources, places: HashMap::new() }
    }

    /// The place of the source with an address, which it has once it is open.
    fn place(&mut self, address: &str) -> Option<usize> {
        if let Some(place) = self.places.get(address) {
            return Some(*place);
        }
        let place = self.sources.iter().position(|source| source.address() == address)?;
        self.places.insert(address.to_owned(), place);
        Some(place)
    }
}

impl CursorStore for Bookmarks {
    fn cursors(&self) -> Arc<Cursors> {
        Arc::clone(&self.cursors)
    }

    fn acknowledge(&mut self, cursor: LogCursor) {
        let place = self.place(&cursor.source);
        let Some(name) = place.and_then(|place| self.run.0.names.get(place)).cloned() else {
            return;
        };
        if let Err(error) = self.run.settle(&name, &cursor, None) {
            self.run.state().failed.get_or_insert(error);
        }
    }

    fn save(&mut self) -> Result<(), CursorError> {
        // What was synced has the bookmarks in it.
        Ok(())
    }
}
