//! What is known of a log as a whole.

use windows_sys::Win32::System::EventLog::{
    EVT_LOG_PROPERTY_ID, EvtGetLogInfo, EvtLogNumberOfLogRecords, EvtLogOldestRecordNumber,
    EvtOpenChannelPath, EvtOpenLog,
};

use super::call::{Buffer, Handle, wide};
use crate::error::Error;
use crate::variant::Values;

/// How many records a log has, and where they begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogInfo {
    /// The records.
    pub records: u64,
    /// The number of the oldest; 0 where there is none.
    pub oldest: u64,
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
        let records = number(&log, EvtLogNumberOfLogRecords)?;
        let oldest = if records == 0 { 0 } else { number(&log, EvtLogOldestRecordNumber)? };
        Ok(LogInfo { records, oldest })
    }

    /// The number of the newest record, where there is one: a log's records are numbered without
    /// gaps.
    pub fn newest(&self) -> Option<u64> {
        let before = self.records.checked_sub(1)?;
        Some(self.oldest.saturating_add(before))
    }
}

fn number(log: &Handle, property: EVT_LOG_PROPERTY_ID) -> Result<u64, Error> {
    const CALL: &str = "EvtGetLogInfo";
    let mut buffer = Buffer::default();
    buffer.fill(CALL, |place, size, used| {
        // SAFETY: the place has as many bytes as is said, aligned for the structure, and is
        // written to in this call only; the handle is an open log's.
        unsafe { EvtGetLogInfo(log.raw(), property, size, place.cast(), used) != 0 }
    })?;
    let values = Values::new(buffer.bytes(), buffer.address(), 1);
    values.value(0).as_u64().ok_or(Error::Nonsense { call: CALL, what: "not a number" })
}
