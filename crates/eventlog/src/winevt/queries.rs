//! A query's result set.

use std::time::Duration;

use quarry_even::Win32Error;
use quarry_winevt::{Error, Next, ResultSet, SeekFrom};

use super::records::Records;
use super::{OnThreads, blocking, native, nonsense};
use crate::resume::{Answer, Ladder, QueryText, ResultCursor, ResumingQuery, SeekTo, Sought};
use crate::types::{Direction, LogError, LogName, Query, ReadOptions, RecordId, is_nowhere};

/// Begins a query, with as much of its filter as Windows takes.
pub(super) async fn open(
    query: &Query,
    options: ReadOptions,
) -> Result<ResumingQuery<QueryCursor>, LogError> {
    let (asked, direction) = (query.logs.clone(), query.direction);
    let mut ladder = Ladder::new(&query.logs, &query.filter);
    let (open, text) = blocking(move || {
        let results = loop {
            match register(ladder.text(), direction, &asked) {
                Ok(results) => break results,
                Err(error) => ladder.step_down(error)?,
            }
        };
        let records = Records::new(results.channels(), &asked)?;
        Ok::<_, LogError>((Open { results, records }, ladder.into_text()))
    })
    .await?;
    let logs = open.records.logs().to_vec();
    let cursor = QueryCursor {
        open: OnThreads::new(open),
        text: text.clone(),
        direction: query.direction,
        asked: query.logs.clone(),
        wait: options.heartbeat,
    };
    ResumingQuery::begin(cursor, query, &text, logs, options).await
}

/// A query that Windows has open.
pub(super) struct QueryCursor {
    open: OnThreads<Open>,
    text: QueryText,
    direction: Direction,
    asked: Vec<LogName>,
    wait: Duration,
}

struct Open {
    results: ResultSet,
    records: Records,
}

impl ResultCursor for QueryCursor {
    async fn next(&mut self, count: u32) -> Result<Answer, LogError> {
        let (wait, log) = (self.wait, self.asked[0].clone());
        self.open
            .call(move |open| match open.results.next(count, wait) {
                Ok(Next::End) => Ok(Answer::End),
                Ok(Next::Events(events)) => open.records.answer(events),
                Ok(Next::TimedOut) => Ok(Answer::Searching),
                Err(error) if is_batch_too_large(&error) => {
                    Ok(Answer::TooLarge(LogError::of_local(error, &log)))
                }
                Err(error) => match LogError::of_local(error, &log) {
                    error @ LogError::Overwritten => Ok(Answer::Stale(error)),
                    error => Err(error),
                },
            })
            .await
    }

    async fn seek(&mut self, to: SeekTo<'_>) -> Result<Sought, LogError> {
        let log = self.asked[0].clone();
        let (bookmark, position, is_strict) = match to {
            SeekTo::First(position) => (None, position, true),
            SeekTo::Exactly(bookmark, position) => (Some(bookmark), position, true),
            SeekTo::Near(bookmark) => (Some(bookmark), 0, false),
        };
        let bookmark = bookmark.map(|bookmark| native(bookmark, self.direction)).transpose()?;
        self.open
            .call(move |open| {
                let sought = open.results.seek(match &bookmark {
                    Some(bookmark) => SeekFrom::Bookmark(bookmark, position.into(), is_strict),
                    None => SeekFrom::First(position.into()),
                });
                match sought {
                    Ok(()) => Ok(Sought::Found),
                    Err(error) if is_nowhere(error.status().map(Win32Error)) => Ok(Sought::Nowhere),
                    Err(error) => Err(LogError::of_local(error, &log)),
                }
            })
            .await
    }

    async fn reopen(&mut self) -> Result<(), LogError> {
        let (text, direction, asked) = (self.text.clone(), self.direction, self.asked.clone());
        self.open
            .call(move |open| {
                open.results = register(&text, direction, &asked)?;
                Ok(())
            })
            .await
    }

    async fn oldest(&mut self, log: &LogName) -> Result<Option<RecordId>, LogError> {
        let log = log.clone();
        let known = blocking(move || {
            let known = quarry_winevt::LogInfo::of_channel(&log.0);
            known.map_err(|error| LogError::of_local(error, &log))
        });
        Ok(known.await?.oldest.map(RecordId))
    }

    async fn close(self) {
        self.open.close().await;
    }

    fn nonsense(&self, what: &'static str) -> LogError {
        nonsense(what)
    }

    fn no_answer(&self) -> LogError {
        nonsense("answers without records or an end")
    }
}

/// A call can't give as many bytes as the records have that were asked for, and has gone past
/// them all the same.
pub(super) fn is_batch_too_large(error: &Error) -> bool {
    error.status().map(Win32Error) == Some(Win32Error::RPC_INVALID_BOUND)
}

fn register(
    text: &QueryText,
    direction: Direction,
    logs: &[LogName],
) -> Result<ResultSet, LogError> {
    let is_backward = direction == Direction::Backward;
    ResultSet::query(text.path.as_deref(), &text.query, is_backward)
        .map_err(|error| LogError::of_local(error, &logs[0]))
}
