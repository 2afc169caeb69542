//! What the table's log says of its files: which span of time each has, and what is missing in none.

use std::sync::Arc;

use deltalake::arrow::array::{Array, AsArray, RecordBatch};
use deltalake::arrow::compute::{max, min};
use deltalake::arrow::datatypes::TimestampMicrosecondType;
use quarry_event::EventTime;
use serde::Deserialize;

use crate::StoreError;
use crate::predicate::{Facts, split};
use crate::schema::column;
use crate::session::{Engine, Moment};

/// What is known of the rows of a file, or of a batch in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// The file's name in the table's folder; empty for rows in memory.
    pub(crate) path: String,
    pub(crate) rows: u64,
    /// No row is older, in microseconds since 1970.
    pub(crate) oldest: i64,
    /// No row is newer.
    pub(crate) newest: i64,
    /// Whether it is known that each row has a time.
    all_timed: bool,
    /// Whether it is known that no row is odd.
    none_odd: bool,
}

/// The files of one version of the table.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) version: u64,
    pub(crate) all: Vec<FileFacts>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Statistics {
    num_records: Option<u64>,
    min_values: Times,
    max_values: Times,
    null_count: Nulls,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Times {
    time: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Nulls {
    time: Option<u64>,
    odd: Option<u64>,
}

impl FileFacts {
    /// Of a file's statistics as the log has them: an object in JSON.
    fn of_statistics(path: String, statistics: Option<&str>) -> Self {
        let known: Statistics =
            statistics.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let micros = |time: &Option<String>| {
            let time = EventTime::parse_loosely(time.as_deref()?)?;
            Some(split(time).0)
        };
        let rows = known.num_records;
        FileFacts {
            path,
            rows: rows.unwrap_or_default(),
            oldest: micros(&known.min_values.time).unwrap_or(i64::MIN + 1),
            // Some writers cut times to milliseconds.
            newest: micros(&known.max_values.time).map_or(i64::MAX, |time| match time % 1000 {
                0 => time.saturating_add(999),
                _ => time,
            }),
            all_timed: known.null_count.time == Some(0),
            none_odd: rows.is_some() && known.null_count.odd == rows,
        }
    }

    fn of_batch(batch: &RecordBatch) -> Self {
        let column = batch.column_by_name(column::TIME);
        let times = column.and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
        let odd = batch.column_by_name(column::ODD);
        FileFacts {
            path: String::new(),
            rows: batch.num_rows() as u64,
            oldest: times.and_then(min).unwrap_or(i64::MIN + 1),
            newest: times.and_then(max).unwrap_or(i64::MAX),
            all_timed: times.is_some_and(|times| times.null_count() == 0),
            none_odd: odd.is_some_and(|odd| odd.null_count() == odd.len()),
        }
    }
}

impl Files {
    /// What is known of the rows in memory.
    pub(crate) fn memory(&self, moment: &Moment) -> Vec<FileFacts> {
        let batches = moment.memory.iter().filter(|batch| batch.num_rows() > 0);
        batches.map(FileFacts::of_batch).collect()
    }

    pub(crate) fn all_timed(&self, moment: &Moment) -> bool {
        self.all.iter().all(|file| file.all_timed)
            && self.memory(moment).iter().all(|batch| batch.all_timed)
    }

    pub(crate) fn facts(&self, moment: &Moment) -> Facts {
        let memory = self.memory(moment);
        let all = || self.all.iter().chain(&memory);
        Facts {
            none_odd: all().all(|file| file.none_odd),
            all_timed: all().all(|file| file.all_timed),
            names: None,
        }
    }
}

impl Engine {
    /// The files of a moment, which are kept until the table has another version.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub(crate) fn files(&self, moment: &Moment) -> Result<Arc<Files>, StoreError> {
        let version = moment.snapshot.version();
        let mut kept = self.kept_files();
        if let Some(files) = kept.as_ref().filter(|files| files.version == version) {
            return Ok(Arc::clone(files));
        }
        let log = moment.snapshot.try_log_data();
        let log = log.map_err(|error| StoreError::engine("read the table's log", error))?;
        let all = log
            .iter()
            .map(|file| {
                let path = file.object_store_path().to_string();
                FileFacts::of_statistics(path, file.stats().as_deref())
            })
            .collect();
        let files = Arc::new(Files { version, all });
        *kept = Some(Arc::clone(&files));
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_say_which_span_a_file_has() {
        let text = r#"{"numRecords":3,"minValues":{"time":"2026-08-22T10:00:00.000001Z"},
            "maxValues":{"time":"2026-08-22T10:00:00.123Z"},"nullCount":{"time":0,"odd":3}}"#;
        let facts = FileFacts::of_statistics("a".into(), Some(text));
        assert_eq!(facts.newest - facts.oldest, 123_998);
        assert!(facts.all_timed && facts.none_odd);
        assert_eq!(facts.rows, 3);
    }

    #[test]
    fn a_file_without_statistics_may_have_anything() {
        for text in [None, Some(""), Some("{}"), Some("[1]")] {
            let facts = FileFacts::of_statistics("a".into(), text);
            assert!(!facts.all_timed && !facts.none_odd);
            assert_eq!((facts.oldest, facts.newest), (i64::MIN + 1, i64::MAX));
        }
    }
}
