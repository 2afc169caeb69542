//! What logs a source has, which of them names and globs stand for, and what is in them.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use quarry_event::filter::Glob;
use quarry_eventlog::{Detail, EventLog, LogError, LogInfo, LogName};

/// Logs of a source that are asked about at once. A server has over 1,000, and each takes some
/// calls that are answered one after the other. A connection has 64 calls open at most.
const AT_ONCE: usize = 32;

/// A log, and what is in it or why that can't be told.
pub type Surveyed = (LogName, Result<LogInfo, LogError>);

/// Looks into the logs that patterns stand for, in the source's order, as a question for
/// [`Ask`](crate::Ask). A pattern that stands for none is there with that error, under its own text.
///
/// # Errors
/// [`LogError`]: one that ends the connection or is the whole source's; others are each log's own.
pub async fn survey(
    log: Arc<dyn EventLog>,
    patterns: Vec<Glob>,
    detail: Detail,
) -> Result<Vec<Surveyed>, LogError> {
    let log = &*log;
    let mut names: Vec<LogName> = patterns.iter().filter_map(literal).collect();
    let mut logs = Vec::new();
    if patterns.iter().any(|pattern| literal(pattern).is_none()) {
        let known = log.logs().await?;
        let none = without_log(&patterns, &known);
        logs.extend(none.map(|name| (name.clone(), Err(LogError::NoSuchLog(name)))));
        add_meant(&mut names, &patterns, known);
    }
    let look = |name: LogName| async move {
        let info = log.info(&name, detail).await;
        (name, info)
    };
    let mut surveyed = stream::iter(names).map(look).buffered(AT_ONCE);
    while let Some((name, info)) = surveyed.next().await {
        match info {
            Err(error) if error.is_not_served() || !error.leaves_connection_usable() => {
                return Err(error);
            }
            info => logs.push((name, info)),
        }
    }
    Ok(logs)
}

/// Adds the logs that patterns mean, of those a source has, to the ones that are named.
pub(crate) fn add_meant(named: &mut Vec<LogName>, patterns: &[Glob], known: Vec<LogName>) {
    let is_meant = |name: &LogName| {
        let is_named = named.iter().any(|named| named.0.eq_ignore_ascii_case(&name.0));
        !is_named && patterns.iter().any(|pattern| pattern.is_match(&name.0))
    };
    let meant: Vec<LogName> = known.into_iter().filter(is_meant).collect();
    named.extend(meant);
}

/// The patterns that stand for none of the logs a source has, as names.
pub(crate) fn without_log<'p>(
    patterns: &'p [Glob],
    known: &'p [LogName],
) -> impl Iterator<Item = LogName> + 'p {
    let is_globbing = |pattern: &&Glob| literal(pattern).is_none();
    let has_none = |pattern: &&Glob| !known.iter().any(|name| pattern.is_match(&name.0));
    let none = patterns.iter().filter(is_globbing).filter(has_none);
    none.map(|pattern| pattern.as_str().into())
}

/// A pattern that is a name.
pub(crate) fn literal(pattern: &Glob) -> Option<LogName> {
    let text = pattern.as_str();
    (!text.contains(['*', '?', '[', '{', '\\'])).then(|| text.into())
}
