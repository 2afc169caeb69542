//! The data files that a table has, and their times.

use deltalake::DeltaTable;
use quarry_event::EventTime;
use serde_json::Value;

use crate::StoreError;
use crate::rows::microseconds;
use crate::schema::column;

/// A data file of the table.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) path: String,
    pub(crate) size: i64,
    pub(crate) rows: u64,
    /// The earliest and the latest time, in microseconds since 1970; none where no row has one, or
    /// where it isn't known.
    pub(crate) times: Option<(i64, i64)>,
}

impl Live {
    /// Whether its times are so far apart that it has late rows.
    pub(crate) fn is_wide(&self) -> bool {
        const DAY: i64 = 24 * 60 * 60 * 1_000_000;
        self.times.is_none_or(|(first, last)| last.saturating_sub(first) > DAY)
    }
}

/// The files of a table as it is loaded.
pub(crate) fn files(table: &DeltaTable) -> Result<Vec<Live>, StoreError> {
    let snapshot = table.snapshot().map_err(|e| StoreError::engine("look at the table", e))?;
    let file = |file: deltalake::kernel::LogicalFileView| {
        let stats = file.stats().and_then(|stats| serde_json::from_str::<Value>(&stats).ok());
        let stats = stats.unwrap_or_default();
        let time = |which: &str| {
            let text = stats[which][column::TIME].as_str()?;
            microseconds(EventTime::parse_loosely(text)?)
        };
        Live {
            path: file.path().into_owned(),
            size: file.size(),
            rows: stats["numRecords"].as_u64().unwrap_or_default(),
            times: time("minValues").zip(time("maxValues")),
        }
    };
    Ok(snapshot.log_data().iter().map(file).collect())
}
