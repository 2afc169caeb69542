//! A query's result set (3.1.4.12 to 3.1.4.14).

use std::sync::Arc;
use std::time::Duration;

use quarry_binxml::Decoder;
use quarry_even::wire::{ChannelInfo, EventBatch, LogQueryHandle, OperationControlHandle};
use quarry_even::{
    EventClient, Next, QueryFlags, RegisteredQuery, ResultSetError, ResultSetRecord, SeekFlags,
    Win32Error,
};

use super::result_logs;
use crate::batch::{Batch, end_times};
use crate::resume::{
    Answer, Fetched, Ladder, Place, QueryText, ResultCursor, ResumingQuery, SeekTo, Sought,
};
use crate::types::{Direction, LogError, LogName, Query, ReadOptions, RecordId, is_nowhere};

/// Begins a query, with as much of its filter as the server takes.
pub(super) async fn open(
    client: EventClient,
    options: ReadOptions,
    query: &Query,
) -> Result<ResumingQuery<QueryCursor>, LogError> {
    let mut ladder = Ladder::new(&query.logs, &query.filter);
    let registered = loop {
        match register(&client, ladder.text(), query.direction, &query.logs).await {
            Ok(registered) => break registered,
            Err(error) => ladder.step_down(error)?,
        }
    };
    let text = ladder.into_text();
    let logs = result_logs(&registered.channels, &query.logs);
    let cursor = QueryCursor {
        client,
        heartbeat: options.heartbeat,
        text: text.clone(),
        direction: query.direction,
        asked: query.logs.clone(),
        opened: Opened { handle: registered.handle, control: registered.control },
        records: Records::new(logs.clone()),
    };
    ResumingQuery::begin(cursor, query, &text, logs, options).await
}

/// A query that a server has open.
pub(super) struct QueryCursor {
    client: EventClient,
    heartbeat: Duration,
    text: QueryText,
    direction: Direction,
    asked: Vec<LogName>,
    opened: Opened,
    records: Records,
}

/// The server's handles for a query.
#[derive(Clone, Copy, Debug)]
struct Opened {
    handle: LogQueryHandle,
    control: OperationControlHandle,
}

impl QueryCursor {
    fn fail(&self, error: quarry_even::Error) -> LogError {
        LogError::of_log(error, &self.asked[0])
    }

    /// Gives the handles back. That this fails is of no consequence: they go with the connection.
    async fn release(&self) {
        let Opened { handle, control } = self.opened;
        let _ = tokio::join!(self.client.close(handle.into()), self.client.close(control.into()));
    }
}

impl ResultCursor for QueryCursor {
    async fn next(&mut self, count: u32) -> Result<Answer, LogError> {
        let next = self.client.query_next(self.opened.handle, count, self.heartbeat).await;
        match next {
            Ok(Next::End) => Ok(Answer::End),
            Ok(Next::TimedOut(batch)) if batch.is_empty() => Ok(Answer::Searching),
            Ok(Next::Events(batch) | Next::TimedOut(batch)) => self.records.answer(batch),
            Err(error) if error.is_batch_too_large() => Ok(Answer::TooLarge(self.fail(error))),
            Err(error) if is_stale(&error) => Ok(Answer::Stale(self.fail(error))),
            Err(error) => Err(self.fail(error)),
        }
    }

    async fn seek(&mut self, to: SeekTo<'_>) -> Result<Sought, LogError> {
        let first = SeekFlags::RELATIVE_TO_FIRST;
        let bookmark = SeekFlags::RELATIVE_TO_BOOKMARK;
        let (position, after, flags) = match to {
            SeekTo::First(0) => (0, None, first),
            SeekTo::First(position) => (position, None, first | SeekFlags::STRICT),
            SeekTo::Exactly(after, position) => {
                (position, Some(after), bookmark | SeekFlags::STRICT)
            }
            SeekTo::Near(after) => (0, Some(after), bookmark),
        };
        let after = after.map(|after| after.to_xml());
        let handle = self.opened.handle;
        match self.client.query_seek(handle, position.into(), after.as_deref(), flags).await {
            Ok(()) => Ok(Sought::Found),
            Err(error) if is_nowhere(error.status()) => Ok(Sought::Nowhere),
            Err(error) => Err(self.fail(error)),
        }
    }

    async fn reopen(&mut self) -> Result<(), LogError> {
        self.release().await;
        let registered = register(&self.client, &self.text, self.direction, &self.asked).await?;
        self.opened = Opened { handle: registered.handle, control: registered.control };
        Ok(())
    }

    async fn oldest(&mut self, log: &LogName) -> Result<Option<RecordId>, LogError> {
        super::info::oldest(&self.client, log).await
    }

    async fn close(self) {
        self.release().await;
    }
}

/// Reads where records are from and when.
pub(super) struct Records {
    logs: Arc<[LogName]>,
    decoder: Decoder,
}

impl Records {
    /// For the logs of a result set, in the server's order.
    pub(super) fn new(logs: Vec<LogName>) -> Self {
        Records { logs: logs.into(), decoder: Decoder::new() }
    }

    /// Checks a batch whole.
    ///
    /// # Errors
    /// [`LogError::Server`]: a record that isn't one.
    pub(super) fn answer(&mut self, batch: EventBatch) -> Result<Answer, LogError> {
        let place = |bytes| {
            let position = ResultSetRecord::parse(bytes)?.position;
            let log = position.current_channel as usize;
            Ok(Place { log, record: RecordId(position.record_id()) })
        };
        let places: Result<Vec<Place>, ResultSetError> = batch.records().map(place).collect();
        let places = places.map_err(quarry_even::Error::from)?;
        let times = end_times(&mut self.decoder, &batch);
        let batch = Batch::wire(batch, Arc::clone(&self.logs));
        Ok(Answer::Records(Fetched { batch, places, times }))
    }
}

async fn register(
    client: &EventClient,
    text: &QueryText,
    direction: Direction,
    logs: &[LogName],
) -> Result<RegisteredQuery, LogError> {
    let direction = match direction {
        Direction::Forward => QueryFlags::FORWARD,
        Direction::Backward => QueryFlags::REVERSE,
    };
    let flags = QueryFlags::CHANNEL_PATH | direction;
    let registered = client.register_log_query(text.path.as_deref(), &text.query, flags).await;
    let registered = registered.map_err(|error| LogError::of_log(error, &logs[0]))?;
    check_channels(&registered.channels, logs)?;
    Ok(registered)
}

/// The log was cleared or has wrapped, and the query's position is gone with it (3.1.4.13).
fn is_stale(error: &quarry_even::Error) -> bool {
    matches!(
        error.status(),
        Some(Win32Error::EVT_QUERY_RESULT_STALE | Win32Error::EVT_QUERY_RESULT_INVALID_POSITION)
    )
}

/// Fails when a channel takes no part: its events would be missing unnoticed.
pub(super) fn check_channels(channels: &[ChannelInfo], logs: &[LogName]) -> Result<(), LogError> {
    let Some(channel) = channels.iter().find(|channel| !channel.status.is_success()) else {
        return Ok(());
    };
    let log = channel.name.as_ref().map_or(logs[0].clone(), |name| LogName(name.to_string()));
    let (operation, info) = (quarry_even::Opnum::RegisterLogQuery, Default::default());
    let status: Win32Error = channel.status;
    Err(LogError::of_log(quarry_even::Error::Status { operation, status, info }, &log))
}
