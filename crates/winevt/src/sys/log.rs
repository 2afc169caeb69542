//! What is known of a log as a whole.

use quarry_event::Value;
use windows_sys::Win32::System::EventLog::{
    EVT_LOG_PROPERTY_ID, EvtGetLogInfo, EvtLogNumberOfLogRecords, EvtLogOldestRecordNumber,
    EvtOpenChannelPath, EvtOpenLog,
};

use super::call::{Buffer, Handle, wide};
use crate::error::Error;
use crate::variant::{Values, Variant};

/// What a property is refused with that a log doesn't have (`ERROR_NOT_SUPPORTED`,
/// `ERROR_INVALID_PARAMETER`, `ERROR_NOT_FOUND`, `ERROR_INVALID_OPERATION`).
const NOT_KNOWN: [u32; 4] = [50, 87, 1168, 4317];

/// How often a log is looked at that changes meanwhile.
const MAX_TRIES: u32 = 4;

/// How many records a log has, and where they begin. Of analytic and debug logs Windows may tell
/// neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogInfo {
    /// The records, where that is known.
    pub records: Option<u64>,
    /// The number of the oldest, where there is one and it is known.
    pub oldest: Option<u64>,
}

impl LogInfo {
    /// Asks for a channel's.
    ///
    /// # Errors
    /// [`Error`]: `EvtOpenLog` or `EvtGetLogInfo` failed.
    pub fn of_channel(name: &str) -> Result<Self, Error> {
        let name = wide(name)?;
        // SAFETY: the name ends with a NUL and lives longer than the call; no session means this
        // machine.
        let raw = unsafe { EvtOpenLog(0, name.as_ptr(), EvtOpenChannelPath) };
        // SAFETY: it was just made.
        let log = unsafe { Handle::new("EvtOpenLog", raw)? };
        let mut tries = 0;
        loop {
            tries += 1;
            let before = number(&log, EvtLogOldestRecordNumber)?;
            let records = number(&log, EvtLogNumberOfLogRecords)?;
            let oldest = number(&log, EvtLogOldestRecordNumber)?;
            // Else the log has wrapped between, and the two don't belong together.
            if before == oldest || tries == MAX_TRIES {
                let oldest = oldest.filter(|oldest| records != Some(0) && *oldest != 0);
                return Ok(LogInfo { records, oldest });
            }
        }
    }

    /// The number of the newest record, where there is one and it is known: a log's records are
    /// numbered without gaps.
    pub fn newest(&self) -> Option<u64> {
        let before = self.records?.checked_sub(1)?;
        Some(self.oldest?.saturating_add(before))
    }
}

/// A property; nothing where Windows doesn't have it.
fn number(log: &Handle, property: EVT_LOG_PROPERTY_ID) -> Result<Option<u64>, Error> {
    const CALL: &str = "EvtGetLogInfo";
    let mut buffer = Buffer::default();
    let filled = buffer.fill(CALL, |place, size, used| {
        // SAFETY: the place has as many bytes as is said, aligned for the structure, and is
        // written to in this call only; the handle is an open log's.
        unsafe { EvtGetLogInfo(log.raw(), property, size, place.cast(), used) != 0 }
    });
    match filled {
        Err(error) if error.status().is_some_and(|status| NOT_KNOWN.contains(&status)) => {
            return Ok(None);
        }
        filled => filled?,
    }
    let values = Values::new(buffer.bytes(), buffer.address(), 1);
    match values.get(0) {
        Variant::Value(Value::Null) => Ok(None),
        _ => {
            let number = values.value(0).as_u64();
            number.map(Some).ok_or(Error::Nonsense { call: CALL, what: "not a number" })
        }
    }
}
