//! Where the events of a query or subscription are from.

use std::sync::Arc;

use quarry_event::{EventTime, Field, FieldSource};
use quarry_winevt::{Error, Event, RenderedEvent, Renderer};

use super::nonsense;
use crate::batch::{Batch, LocalBatch};
use crate::resume::{Answer, Fetched, Place};
use crate::types::{LogError, LogName, RecordId};

/// Keeps the log and the number of each event that comes, which only a bookmark has.
pub(super) struct Records {
    bookmark: quarry_winevt::Bookmark,
    /// The logs of the query, as Windows spells them.
    logs: Arc<[LogName]>,
    renderer: Option<Renderer>,
}

impl Records {
    /// For a query's channels, each with its status; for the logs as they were asked for, where
    /// the channels aren't known.
    ///
    /// # Errors
    /// [`LogError`]: a channel takes no part, and its events would be missing unnoticed.
    pub(super) fn new(
        channels: Result<Vec<(String, u32)>, Error>,
        asked: &[LogName],
    ) -> Result<Self, LogError> {
        let channels = channels.unwrap_or_default();
        for (name, status) in &channels {
            if *status != 0 {
                let error = Error::Refused { call: "EvtGetQueryInfo", status: *status };
                return Err(LogError::of_local(error, &LogName(name.clone())));
            }
        }
        let logs = match channels.len() == asked.len() {
            true => channels.into_iter().map(|(name, _)| LogName(name)).collect(),
            false => asked.into(),
        };
        Ok(Records { bookmark: quarry_winevt::Bookmark::new()?, logs, renderer: None })
    }

    pub(super) fn logs(&self) -> &[LogName] {
        &self.logs
    }

    /// Finds out where events are from.
    ///
    /// # Errors
    /// [`LogError::Local`]: an event that is from nowhere.
    pub(super) fn answer(&mut self, events: Vec<Event>) -> Result<Answer, LogError> {
        let places = events.iter().map(|event| self.place(event)).collect::<Result<Vec<_>, _>>()?;
        let times = match &*events {
            [] => [None, None],
            [only] => [self.time(only); 2],
            [first, .., last] => [self.time(first), self.time(last)],
        };
        let each = events.into_iter().zip(&places);
        let each = each.map(|(event, place)| (event, place.log, place.record)).collect();
        let batch = Batch::local(LocalBatch::new(each, Arc::clone(&self.logs)));
        Ok(Answer::Records(Fetched { batch, places, times }))
    }

    /// The place of an event's log among the query's, and its number there.
    pub(super) fn place(&mut self, event: &Event) -> Result<Place, LogError> {
        self.bookmark.update(event)?;
        let bookmark = quarry_even::Bookmark::from_xml(&self.bookmark.to_xml()?)
            .map_err(|_| nonsense("a bookmark that is none"))?;
        let current = match &*bookmark.entries {
            [only] => Some(only),
            entries => entries.iter().find(|entry| entry.is_current),
        };
        let current = current.ok_or_else(|| nonsense("a bookmark that is nowhere"))?;
        let is_it = |log: &LogName| log.0.eq_ignore_ascii_case(&current.channel);
        match self.logs.iter().position(is_it) {
            Some(log) => Ok(Place { log, record: RecordId(current.record_id) }),
            None => Err(nonsense("a record of a log that was not asked for")),
        }
    }

    /// When an event was created; nothing where it can't be rendered.
    pub(super) fn time(&mut self, event: &Event) -> Option<EventTime> {
        let renderer = match &mut self.renderer {
            Some(renderer) => renderer,
            none => none.insert(Renderer::new().ok()?),
        };
        let time = |event: &RenderedEvent<'_>| event.field(Field::TimeCreated).as_time();
        renderer.read(event, time).ok()?
    }
}
