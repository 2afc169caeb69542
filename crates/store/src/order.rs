//! Rows of some batches in an order of their own. They stay where they are until they are written, so that
//! sorting them takes no memory for a copy.

use std::ops::Range;

use deltalake::arrow::array::{Array, AsArray, UInt32Array};
use deltalake::arrow::compute::{SortColumn, concat, interleave_record_batch, lexsort_to_indices};
use deltalake::arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use deltalake::arrow::record_batch::RecordBatch;

use crate::StoreError;
use crate::schema::column;

/// How much older than its arrival an event may be and still be live, in microseconds.
const LIVE: i64 = 60 * 60 * 1_000_000;

/// Rows of some batches, which have the same columns, in an order.
pub(crate) struct Ordered<'a> {
    batches: &'a [RecordBatch],
    /// The batch and the row there of each.
    places: Vec<(usize, usize)>,
}

impl<'a> Ordered<'a> {
    /// All rows of batches, by columns.
    pub(crate) fn by(batches: &'a [RecordBatch], columns: &[&str]) -> Result<Self, StoreError> {
        let failed = |error| StoreError::engine("sort rows", error);
        let places: Vec<(usize, usize)> = batches
            .iter()
            .enumerate()
            .flat_map(|(n, batch)| (0..batch.num_rows()).map(move |row| (n, row)))
            .collect();
        if places.is_empty() {
            return Ok(Ordered { batches, places });
        }
        let values = |name: &&str| -> Option<Vec<&dyn Array>> {
            batches.iter().map(|batch| Some(&**batch.column_by_name(name)?)).collect()
        };
        let column = |values: Vec<&dyn Array>| -> Result<SortColumn, StoreError> {
            Ok(SortColumn { values: concat(&values).map_err(failed)?, options: None })
        };
        let columns: Vec<SortColumn> =
            columns.iter().filter_map(values).map(column).collect::<Result<_, _>>()?;
        let order: UInt32Array = lexsort_to_indices(&columns, None).map_err(failed)?;
        let places = order.values().iter().map(|&n| places[n as usize]).collect();
        Ok(Ordered { batches, places })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.batches[0].schema()
    }

    /// Some of the rows as a batch.
    pub(crate) fn batch(&self, rows: Range<usize>) -> Result<RecordBatch, StoreError> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        interleave_record_batch(&batches, &self.places[rows])
            .map_err(|error| StoreError::engine("sort rows", error))
    }

    /// The rows in parts, each in the order that they have: `part` says in which a row goes, by its
    /// batch and its place there. Parts without rows are left out.
    fn parts(self, count: usize, part: impl Fn(usize, usize) -> usize) -> Vec<Self> {
        let mut parts = vec![Vec::new(); count];
        for (batch, row) in self.places {
            parts[part(batch, row)].push((batch, row));
        }
        let parts = parts.into_iter().filter(|places| !places.is_empty());
        parts.map(|places| Ordered { batches: self.batches, places }).collect()
    }

    /// Rows that are live, and those that came late: apart, so that a file's times are narrow.
    pub(crate) fn live_and_late(self) -> Result<Vec<Self>, StoreError> {
        let times = |name| -> Option<Vec<_>> {
            let times = |batch: &'a RecordBatch| {
                batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()
            };
            self.batches.iter().map(times).collect()
        };
        let (Some(time), Some(received)) = (times(column::TIME), times(column::RECEIVED)) else {
            return Err(StoreError::Rows { why: "they have no times".into() });
        };
        Ok(self.parts(2, |batch, row| {
            let (time, received) = (time[batch], received[batch]);
            let valid = time.is_valid(row) && received.is_valid(row);
            let age = received.value(row).saturating_sub(time.value(row));
            // A clock that is ahead is as odd as one that is behind.
            usize::from(!valid || age.unsigned_abs() >= LIVE.unsigned_abs())
        }))
    }

    /// The rows in so many slices of time, about as many in each. Slices without rows are left out.
    pub(crate) fn slices(self, count: usize) -> Result<Vec<Self>, StoreError> {
        if count == 1 && self.len() > 0 {
            return Ok(vec![self]);
        }
        let by_time = Ordered::by(self.batches, &[column::TIME])?;
        let length = by_time.len().div_ceil(count).max(1);
        let mut slice: Vec<Vec<usize>> =
            self.batches.iter().map(|batch| vec![0; batch.num_rows()]).collect();
        for (n, (batch, row)) in by_time.places.into_iter().enumerate() {
            slice[batch][row] = n / length;
        }
        Ok(self.parts(count, |batch, row| slice[batch][row]))
    }
}
