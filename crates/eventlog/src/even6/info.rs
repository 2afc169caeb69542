//! What is known of a log as a whole (3.1.4.15, 3.1.4.19).

use quarry_binxml::Decoder;
use quarry_even::wire::VariantValue;
use quarry_even::{
    BinXmlVariant, ChannelProperty, EventClient, LogProperty, Next, QueryFlags, RegisteredQuery,
    ResultSetRecord, SeekFlags,
};
use quarry_event::EventTime;

use crate::batch::end_times;
use crate::log::{Detail, LogInfo};
use crate::types::{
    Bookmark, BookmarkEntry, Cursor, LogError, LogName, ReadOptions, RecordId, is_nowhere,
};

/// Asks for the number of records, and for both ends of a log that has any; most have none.
pub(super) async fn info(
    client: &EventClient,
    options: ReadOptions,
    log: &LogName,
    detail: Detail,
) -> Result<LogInfo, LogError> {
    let of_channel = async {
        match detail {
            Detail::Records => None,
            Detail::Properties => enabled(client, log).await,
        }
    };
    let ((records, size), enabled) =
        tokio::try_join!(records(client, log, detail), async { Ok(of_channel.await) })?;
    let info = LogInfo { records, size, enabled, ..LogInfo::default() };
    if records == 0 {
        return Ok(info);
    }
    let (oldest, newest) =
        tokio::try_join!(end(client, options, log, QueryFlags::FORWARD), async {
            match end(client, options, log, QueryFlags::REVERSE).await {
                // Analytic and debug logs have no backward.
                Err(LogError::DirectLog(_)) => Ok(None),
                newest => newest,
            }
        })?;
    Ok(LogInfo { oldest, newest, ..info })
}

/// The number of records, and the size of the file where it is asked for and the server tells it.
async fn records(
    client: &EventClient,
    log: &LogName,
    detail: Detail,
) -> Result<(u64, Option<u64>), LogError> {
    let fail = |error| LogError::of_log(error, log);
    let handle = client.open_log(&log.0, QueryFlags::CHANNEL_PATH).await.map_err(fail)?;
    let size = async {
        match detail {
            Detail::Records => None,
            Detail::Properties => client.log_info(handle, LogProperty::FileSize).await.ok(),
        }
    };
    let (records, size) =
        tokio::join!(client.log_info(handle, LogProperty::NumberOfLogRecords), size);
    let _ = client.close(handle.into()).await;
    let size = size.as_ref().map(BinXmlVariant::as_u64);
    records.map(|records| (records.as_u64(), size)).map_err(fail)
}

/// Whether events are written to a channel, where the server tells it (3.1.4.21).
async fn enabled(client: &EventClient, log: &LogName) -> Option<bool> {
    let properties = client.channel_config(&log.0).await.ok()?;
    match properties.0.get(ChannelProperty::Enabled as usize)?.value {
        VariantValue::Boolean(enabled) => Some(enabled),
        _ => None,
    }
}

/// The number of a log's oldest record, where the server tells it.
pub(super) async fn oldest(
    client: &EventClient,
    log: &LogName,
) -> Result<Option<RecordId>, LogError> {
    let fail = |error| LogError::of_log(error, log);
    let handle = client.open_log(&log.0, QueryFlags::CHANNEL_PATH).await.map_err(fail)?;
    let oldest = client.log_info(handle, LogProperty::OldestRecordNumber).await;
    let _ = client.close(handle.into()).await;
    match oldest {
        // Of direct channels nothing is told, and of an empty log nothing that would be of use.
        Ok(oldest) => Ok(Some(oldest.as_u64()).filter(|oldest| *oldest > 0).map(RecordId)),
        Err(error) if error.status().is_some() => Ok(None),
        Err(error) => Err(fail(error)),
    }
}

/// A bookmark on the last record of each log, where there is one: a log's records are numbered
/// without gaps.
pub(super) async fn last_records(
    client: &EventClient,
    logs: &[LogName],
) -> Result<Option<Bookmark>, LogError> {
    let last = async |log: &LogName| -> Result<Option<BookmarkEntry>, LogError> {
        let fail = |error| LogError::of_log(error, log);
        let handle = client.open_log(&log.0, QueryFlags::CHANNEL_PATH).await.map_err(fail)?;
        let (oldest, records) = tokio::join!(
            client.log_info(handle, LogProperty::OldestRecordNumber),
            client.log_info(handle, LogProperty::NumberOfLogRecords),
        );
        let _ = client.close(handle.into()).await;
        let (oldest, records) = (oldest.map_err(fail)?.as_u64(), records.map_err(fail)?.as_u64());
        let last = oldest.saturating_add(records).saturating_sub(1);
        let entry = BookmarkEntry { log: log.clone(), cursor: Cursor::at(last), is_current: false };
        Ok((records > 0).then_some(entry))
    };
    let last = futures_util::future::try_join_all(logs.iter().map(last)).await?;
    let mut entries: Vec<BookmarkEntry> = last.into_iter().flatten().collect();
    let Some(first) = entries.first_mut() else { return Ok(None) };
    first.is_current = true;
    Ok(Some(Bookmark { entries }))
}

/// The time of the first record in a direction.
async fn end(
    client: &EventClient,
    options: ReadOptions,
    log: &LogName,
    direction: QueryFlags,
) -> Result<Option<EventTime>, LogError> {
    let fail = |error| LogError::of_log(error, log);
    let flags = QueryFlags::CHANNEL_PATH | direction;
    let RegisteredQuery { handle, control, .. } =
        client.register_log_query(Some(&log.0), "*", flags).await.map_err(fail)?;
    let next = client.query_next(handle, 1, options.heartbeat).await;
    let _ = tokio::join!(client.close(handle.into()), client.close(control.into()));
    Ok(match next.map_err(fail)? {
        Next::Events(batch) | Next::TimedOut(batch) => end_times(&mut Decoder::new(), &batch)[0],
        Next::End => None,
    })
}

/// The time of the record that has a bookmark's number, where the log has one and it has one.
pub(super) async fn time_of(
    client: &EventClient,
    options: ReadOptions,
    entry: &BookmarkEntry,
) -> Result<Option<EventTime>, LogError> {
    let fail = |error| LogError::of_log(error, &entry.log);
    let flags = QueryFlags::CHANNEL_PATH | QueryFlags::FORWARD;
    let RegisteredQuery { handle, control, .. } =
        client.register_log_query(Some(&entry.log.0), "*", flags).await.map_err(fail)?;
    let bookmark = Bookmark::single(entry.log.clone(), entry.cursor).to_xml();
    let flags = SeekFlags::RELATIVE_TO_BOOKMARK | SeekFlags::STRICT;
    let next = match client.query_seek(handle, 0, Some(&bookmark), flags).await {
        Ok(()) => client.query_next(handle, 1, options.heartbeat).await,
        Err(error) if is_nowhere(error.status()) => Ok(Next::End),
        Err(error) => Err(error),
    };
    let _ = tokio::join!(client.close(handle.into()), client.close(control.into()));
    let next = match next {
        // It can't be sent, and nothing can be said of it.
        Err(error) if error.is_batch_too_large() => return Ok(None),
        next => next.map_err(fail)?,
    };
    let (Next::Events(batch) | Next::TimedOut(batch)) = next else { return Ok(None) };
    let is_it = |bytes: &[u8]| match ResultSetRecord::parse(bytes) {
        Ok(record) => record.position.record_id() == entry.cursor.record.0,
        Err(_) => false,
    };
    match batch.records().next().is_some_and(is_it) {
        true => Ok(end_times(&mut Decoder::new(), &batch)[0]),
        false => Ok(None),
    }
}
