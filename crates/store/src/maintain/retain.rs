//! Retention: files whose events are all too old are removed by what the log says of them. None is
//! read.

use std::time::{Duration, SystemTime};

use deltalake::DeltaTable;

use super::live;
use crate::commit::{Draft, Outcome, Removed, milliseconds};
use crate::table::Inner;
use crate::{Report, StoreError};

/// Removes the files whose latest event is older than `keep`. A file without any time stays: it is
/// not known how old it is. Those that went are added to `gone`.
pub(super) async fn retain(
    inner: &Inner,
    table: &DeltaTable,
    keep: Duration,
    now: SystemTime,
    report: &mut Report,
    gone: &mut Vec<String>,
) -> Result<(), StoreError> {
    // Some writers cut times to milliseconds.
    const CUT: i64 = 1_000;
    let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    let until = milliseconds(now).saturating_mul(1_000).saturating_sub(keep);
    let mut draft = Draft::new("DELETE", true);
    draft.seen = table.version().unwrap_or_default();
    let mut rows = 0;
    for file in live::files(table)? {
        if file.times.is_some_and(|(_, last)| last.saturating_add(CUT) < until) {
            rows += file.rows;
            draft.removed.push(Removed { path: file.path, size: file.size });
        }
    }
    if draft.removed.is_empty() {
        return Ok(());
    }
    let outcome = inner.log.commit(&mut draft).await;
    inner.log.settle(&draft.id);
    if let Outcome::Done(_) = outcome? {
        report.expired_files = draft.removed.len();
        report.expired_rows = rows;
        gone.extend(draft.removed.into_iter().map(|removed| removed.path));
    }
    Ok(())
}
