//! Whether what was opened is what was asked for.
//!
//! Windows answers a name that it doesn't know with Application (MS-EVEN 3.1.4.3), and nothing in
//! its answer says so. So a name that no server knows is opened beside it. A server that refuses
//! that one (Samba does) refuses all that it doesn't know. From one that opens it, the two logs
//! are compared: the same oldest and newest record, byte for byte, is the same log, since number,
//! time, source, computer and strings are in them.

use quarry_even::even::{EvenClient, LogHandle};
use quarry_logfile::classic::ClassicRecord;

use super::{of_log, record};
use crate::types::{LogError, LogName};

/// What Windows opens for a name that it doesn't know.
const DEFAULT_LOG: &str = "Application";

/// A name that no server knows.
const UNKNOWN_LOG: &str = "quarry-no-such-log-8c1f7a52";

/// Times that the two logs are compared anew when records were overwritten meanwhile.
const ROUNDS: u32 = 3;

/// Whether an open log is the server's default, although its name was not asked for.
pub(super) async fn is_default_log(
    client: &EvenClient,
    log: &LogName,
    handle: LogHandle,
) -> Result<bool, LogError> {
    if log.0.eq_ignore_ascii_case(DEFAULT_LOG) {
        return Ok(false);
    }
    let unknown = LogName::from(UNKNOWN_LOG);
    let default = match client.open(UNKNOWN_LOG).await.map_err(|e| of_log(e, &unknown)) {
        Ok(default) => default,
        // Who may not read the default isn't given it under another name either.
        Err(LogError::AccessDenied(_) | LogError::NoSuchLog(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_same = compare(client, log, handle, default).await;
    let _ = client.close(default).await;
    is_same
}

async fn compare(
    client: &EvenClient,
    log: &LogName,
    handle: LogHandle,
    default: LogHandle,
) -> Result<bool, LogError> {
    let fail = |error| of_log(error, log);
    let bytes = |record: ClassicRecord<'_>| record.as_bytes().to_vec();
    for _ in 0..ROUNDS {
        let records = client.records(handle).await.map_err(fail)?;
        if records == 0 {
            return Ok(false);
        }
        let oldest = client.oldest(handle).await.map_err(fail)?;
        let newest = oldest.wrapping_add(records - 1);
        let mut overwritten = false;
        let mut differs = false;
        for number in [oldest, newest] {
            let ours = record(client, log, handle, number, bytes).await?;
            let theirs = record(client, log, default, number, bytes).await?;
            overwritten |= ours.is_none();
            differs |= ours != theirs;
        }
        if !differs && !overwritten {
            return Ok(true);
        }
        // That a record is missing may also be because it was overwritten between two calls.
        if client.oldest(handle).await.map_err(fail)? == oldest {
            return Ok(false);
        }
    }
    Err(LogError::Nonsense("a log whose oldest record changes too fast to be read"))
}
