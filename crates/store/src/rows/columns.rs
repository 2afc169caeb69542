//! Columns that grow by a value and can be cut, which Arrow's own builders can't be.

use std::sync::Arc;

use deltalake::arrow::array::{
    ArrayRef, NullBufferBuilder, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use deltalake::arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use deltalake::arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type,
};
use quarry_event::Value;
use quarry_event::text::Plain;

/// Rows that a column has room for at first.
const ROOM: usize = 1024;

/// A column of numbers.
#[derive(Debug)]
pub(super) struct Numbers<N> {
    values: Vec<N>,
    nulls: NullBufferBuilder,
}

impl<N> Default for Numbers<N> {
    fn default() -> Self {
        Numbers { values: Vec::new(), nulls: NullBufferBuilder::new(ROOM) }
    }
}

/// Adds what another column says of nulls.
fn append_nulls(to: &mut NullBufferBuilder, from: &NullBufferBuilder) {
    match from.as_slice() {
        None => to.append_n_non_nulls(from.len()),
        Some(_) => (0..from.len()).for_each(|row| to.append(from.is_valid(row))),
    }
}

/// A place in a column; the rows' own bound is far below the largest.
fn offset(place: usize) -> i32 {
    i32::try_from(place).unwrap_or(i32::MAX)
}

impl<N: Default + Copy> Numbers<N> {
    #[inline]
    pub(super) fn push(&mut self, value: Option<N>) {
        self.nulls.append(value.is_some());
        self.values.push(value.unwrap_or_default());
    }

    pub(super) fn append(&mut self, other: &Self) {
        append_nulls(&mut self.nulls, &other.nulls);
        self.values.extend_from_slice(&other.values);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    /// Adds nulls up to a length.
    pub(super) fn fill(&mut self, len: usize) {
        while self.values.len() < len {
            self.push(None);
        }
    }
}

macro_rules! finish {
    ($($native:ty => $kind:ty),*) => {
        $(impl Numbers<$native> {
            pub(super) fn finish(&mut self) -> ArrayRef {
                finish::<$kind>(&mut self.values, &mut self.nulls)
            }
        })*
    };
}

finish!(i8 => Int8Type, i16 => Int16Type, i32 => Int32Type, i64 => Int64Type);

fn finish<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: &mut NullBufferBuilder,
) -> ArrayRef
where
    T::Native: ArrowNativeType,
{
    let values = ScalarBuffer::from(taken(values));
    Arc::new(PrimitiveArray::<T>::new(values, nulls.finish()))
}

impl Numbers<i64> {
    /// As microseconds in UTC.
    pub(super) fn finish_time(&mut self) -> ArrayRef {
        let values = ScalarBuffer::from(taken(&mut self.values));
        let times = TimestampMicrosecondArray::new(values, self.nulls.finish());
        Arc::new(times.with_timezone("UTC"))
    }
}

/// Takes values, without the room for more: they may stay in memory for long.
fn taken<T>(values: &mut Vec<T>) -> Vec<T> {
    let mut values = std::mem::take(values);
    values.shrink_to_fit();
    values
}

/// A column of texts, one after the other.
#[derive(Debug)]
pub(super) struct Text {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Default for Text {
    fn default() -> Self {
        Text { bytes: Vec::new(), ends: vec![0], nulls: NullBufferBuilder::new(ROOM) }
    }
}

impl Text {
    pub(super) fn len(&self) -> usize {
        self.ends.len() - 1
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + 4 * self.ends.len()
    }

    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.end(true);
    }

    pub(super) fn push_null(&mut self) {
        self.end(false);
    }

    pub(super) fn push_optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.push(text.as_bytes()),
            None => self.push_null(),
        }
    }

    /// Adds a value's text, or null.
    #[inline]
    pub(super) fn push_value(&mut self, value: &Value<'_>) {
        value.push::<Plain>(&mut self.bytes);
        self.end(!value.is_null());
    }

    /// Adds a value's text, or null where it has none: an identifier is never empty.
    #[inline]
    pub(super) fn push_token(&mut self, value: &Value<'_>) {
        value.push::<Plain>(&mut self.bytes);
        self.end(!value.is_empty());
    }

    /// Adds a value's text, which is empty for null.
    #[inline]
    pub(super) fn push_text(&mut self, value: &Value<'_>) {
        value.push::<Plain>(&mut self.bytes);
        self.end(true);
    }

    /// Adds a number after some text.
    pub(super) fn push_number(&mut self, before: &[u8], number: usize) {
        self.bytes.extend_from_slice(before);
        self.push(number.to_string().as_bytes());
    }

    /// Adds a value in the row `row`, unless it has one.
    pub(super) fn push_first(&mut self, row: usize, value: &Value<'_>) {
        if self.len() == row {
            self.push_value(value);
        }
    }

    /// Adds a line to the text that [`end_lines`](Self::end_lines) ends.
    #[inline]
    pub(super) fn add_line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.len() > self.start() {
            self.bytes.push(b'\n');
        }
        write(&mut self.bytes);
    }

    /// Ends the text of the lines that were added; null where there are none.
    pub(super) fn end_lines(&mut self) {
        let some = self.bytes.len() > self.start();
        self.end(some);
    }

    fn start(&self) -> usize {
        self.ends.last().map_or(0, |&end| end as usize)
    }

    #[inline]
    fn end(&mut self, valid: bool) {
        self.ends.push(offset(self.bytes.len()));
        self.nulls.append(valid);
    }

    pub(super) fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.ends[row] as usize..self.ends[row + 1] as usize]
    }

    /// The text that was added last.
    #[inline]
    pub(super) fn last(&self) -> &[u8] {
        self.len().checked_sub(1).map_or(&[], |row| self.get(row))
    }

    /// Whether one of the texts from `start` on is the given one.
    #[inline]
    pub(super) fn has_since(&self, start: usize, text: &[u8]) -> bool {
        (start..self.len()).any(|row| self.get(row) == text)
    }

    pub(super) fn append(&mut self, other: &Self) {
        append_nulls(&mut self.nulls, &other.nulls);
        let base = offset(self.bytes.len());
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends[1..].iter().map(|end| base.saturating_add(*end)));
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len + 1);
        self.nulls.truncate(len);
        self.bytes.truncate(self.start());
    }

    pub(super) fn fill(&mut self, len: usize) {
        while self.len() < len {
            self.push_null();
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let bytes = taken(&mut self.bytes);
        let ends = taken(&mut self.ends);
        self.ends.push(0);
        let nulls = self.nulls.finish();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let bytes = Buffer::from_vec(bytes);
        match StringArray::try_new(offsets.clone(), bytes.clone(), nulls.clone()) {
            Ok(array) => Arc::new(array),
            // A source gave bytes that are no text.
            Err(_) => {
                let text = |row: usize| {
                    let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                    let range = offsets[row] as usize..offsets[row + 1] as usize;
                    valid.then(|| String::from_utf8_lossy(&bytes[range]))
                };
                let rows = 0..offsets.len() - 1;
                Arc::new(rows.map(text).collect::<StringArray>())
            }
        }
    }
}

/// Where the elements of each row end, for maps and lists.
#[derive(Debug)]
pub(super) struct Offsets(Vec<i32>);

impl Default for Offsets {
    fn default() -> Self {
        Offsets(vec![0])
    }
}

impl Offsets {
    pub(super) fn end_row(&mut self, elements: usize) {
        self.0.push(offset(elements));
    }

    /// Adds other rows, whose elements come after so many.
    pub(super) fn append(&mut self, other: &Self, elements: usize) {
        let base = offset(elements);
        self.0.extend(other.0[1..].iter().map(|end| base.saturating_add(*end)));
    }

    /// Cuts the rows after the first `len`, and says how many elements those have.
    pub(super) fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.0.last().map_or(0, |&end| end as usize)
    }

    pub(super) fn finish(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.0, vec![0])))
    }
}
