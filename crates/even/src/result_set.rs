//! One record of a batch (2.2.17): the event as BinXML, the subqueries that
//! chose it, and where it stands in each of the query's channels.
//!
//! Reading copies nothing. `headerSize` and `eventOffset` are 0x10 by
//! definition although the header has 20 bytes; both are ignored.

/// Bytes before the BinXML.
const HEADER_LEN: usize = 20;
/// The value of `headerSize` and `eventOffset`.
const NOMINAL_HEADER: u32 = 0x10;
/// Bytes before a bookmark's record numbers, where nothing else is said.
const BOOKMARK_HEADER_LEN: usize = 24;

use crate::limits::{MAX_EVENT_SIZE, MAX_QUERY_CHANNEL_SIZE, MAX_SUBQUERY_IDS};

/// How a record is malformed. The fault is the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResultSetError {
    /// The record ends within a field.
    #[error("a result set record that ends within its {0}")]
    Truncated(&'static str),
    /// A field that cannot be.
    #[error("a result set record with a bad {field} ({value})")]
    BadField {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
}

/// One record, as it lies in a batch's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultSetRecord<'a> {
    /// The event.
    pub binxml: &'a [u8],
    /// The subqueries that chose it.
    pub subqueries: SubqueryIds<'a>,
    /// Where it stands.
    pub position: BookmarkData<'a>,
}

impl<'a> ResultSetRecord<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// [`ResultSetError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ResultSetError> {
        let total = long(bytes, 0, "header")?;
        let bookmark_offset = long(bytes, 12, "header")?;
        let binxml_size = long(bytes, 16, "header")?;
        let bad = |field, value| ResultSetError::BadField { field, value };
        let bytes = usize::try_from(total)
            .ok()
            .and_then(|total| bytes.get(..total))
            .ok_or(bad("totalSize", total))?;
        if binxml_size > MAX_EVENT_SIZE {
            return Err(bad("binXmlSize", binxml_size));
        }
        let binxml_end = HEADER_LEN + binxml_size as usize;
        let binxml = bytes.get(HEADER_LEN..binxml_end).ok_or(bad("binXmlSize", binxml_size))?;
        let count = long(bytes, binxml_end, "numberOfSubqueryIDs")?;
        if count > MAX_SUBQUERY_IDS {
            return Err(bad("numberOfSubqueryIDs", count));
        }
        let ids_end = binxml_end + 4 + count as usize * 4;
        let ids =
            bytes.get(binxml_end + 4..ids_end).ok_or(ResultSetError::Truncated("subqueryIDs"))?;
        let bookmark = bytes
            .get(bookmark_offset as usize..)
            .filter(|_| bookmark_offset as usize >= ids_end)
            .ok_or(bad("bookmarkOffset", bookmark_offset))?;
        let position = BookmarkData::parse(bookmark)?;
        Ok(Self { binxml, subqueries: SubqueryIds(ids), position })
    }
}

/// The ids of the subqueries that chose a record; none when the query was an
/// XPath expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubqueryIds<'a>(&'a [u8]);

impl SubqueryIds<'_> {
    /// The ids. One that the query did not give is 0xFFFFFFFF.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.as_chunks::<4>().0.iter().map(|id| u32::from_le_bytes(*id))
    }
}

/// A record's place in each channel of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookmarkData<'a> {
    /// The channel that the record is from: an index into the query's channels.
    pub current_channel: u32,
    /// Whether the query reads newest first.
    pub reverse: bool,
    record_ids: &'a [u8],
}

impl<'a> BookmarkData<'a> {
    /// Reads `bookMarkData`.
    ///
    /// # Errors
    /// [`ResultSetError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ResultSetError> {
        let bad = |field, value| ResultSetError::BadField { field, value };
        let size = long(bytes, 0, "bookmark")?;
        let channels = long(bytes, 8, "bookmark")?;
        let current_channel = long(bytes, 12, "bookmark")?;
        let direction = long(bytes, 16, "bookmark")?;
        let offset = long(bytes, 20, "bookmark")?;
        let bytes = bytes.get(..size as usize).ok_or(bad("bookmarkSize", size))?;
        if channels > MAX_QUERY_CHANNEL_SIZE {
            return Err(bad("channelSize", channels));
        }
        if current_channel >= channels {
            return Err(bad("currentChannel", current_channel));
        }
        if direction > 1 {
            return Err(bad("readDirection", direction));
        }
        let record_ids = bytes
            .get(offset as usize..)
            .filter(|_| offset as usize >= BOOKMARK_HEADER_LEN)
            .and_then(|rest| rest.get(..channels as usize * 8))
            .ok_or(bad("recordIdsOffset", offset))?;
        Ok(Self { current_channel, reverse: direction == 1, record_ids })
    }

    /// The record's number in the channel that it is from. This, and not what
    /// the event says of itself, is its number in the log.
    pub fn record_id(&self) -> u64 {
        self.record_ids().nth(self.current_channel as usize).unwrap_or_default()
    }

    /// The last record numbers of all channels, in the query's order; 0 where
    /// nothing came yet.
    pub fn record_ids(&self) -> impl Iterator<Item = u64> + 'a {
        self.record_ids.as_chunks::<8>().0.iter().map(|id| u64::from_le_bytes(*id))
    }
}

/// Appends one record to a batch's buffer.
pub fn encode_record(
    out: &mut Vec<u8>,
    binxml: &[u8],
    subqueries: &[u32],
    record_ids: &[u64],
    current_channel: u32,
    reverse: bool,
) {
    let bookmark_offset = HEADER_LEN + binxml.len() + 4 + subqueries.len() * 4;
    let bookmark_size = BOOKMARK_HEADER_LEN + record_ids.len() * 8;
    let mut long = |value: usize| out.extend_from_slice(&(value as u32).to_le_bytes());
    long(bookmark_offset + bookmark_size);
    long(NOMINAL_HEADER as usize);
    long(NOMINAL_HEADER as usize);
    long(bookmark_offset);
    long(binxml.len());
    out.extend_from_slice(binxml);
    let mut long = |value: u32| out.extend_from_slice(&value.to_le_bytes());
    long(subqueries.len() as u32);
    subqueries.iter().for_each(|id| long(*id));
    long(bookmark_size as u32);
    long(BOOKMARK_HEADER_LEN as u32);
    long(record_ids.len() as u32);
    long(current_channel);
    long(reverse.into());
    long(BOOKMARK_HEADER_LEN as u32);
    record_ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
}

fn long(bytes: &[u8], at: usize, field: &'static str) -> Result<u32, ResultSetError> {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk::<4>)
        .map(|long| u32::from_le_bytes(*long))
        .ok_or(ResultSetError::Truncated(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field by field from 2.2.17: three bytes of BinXML, one subquery, two
    /// channels of which the second has the event.
    const RECORD: &[u8] = &[
        71, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 0, 0, 31, 0, 0, 0, 3, 0, 0, 0, 0x0f, 1, 1, 1, 0, 0, 0,
        7, 0, 0, 0, 40, 0, 0, 0, 24, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 24, 0, 0, 0, 5,
        0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn a_record_is_read_field_by_field() {
        let record = ResultSetRecord::parse(RECORD).unwrap();
        assert_eq!(record.binxml, [0x0f, 1, 1]);
        assert_eq!(record.subqueries.iter().collect::<Vec<_>>(), [7]);
        assert_eq!(record.position.record_ids().collect::<Vec<_>>(), [5, 256]);
        assert_eq!((record.position.record_id(), record.position.reverse), (256, true));
        let mut out = Vec::new();
        encode_record(&mut out, &[0x0f, 1, 1], &[7], &[5, 256], 1, true);
        assert_eq!(out, RECORD);
    }

    #[test]
    fn every_truncation_is_an_error() {
        for len in 0..RECORD.len() {
            assert!(ResultSetRecord::parse(&RECORD[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn fields_that_cannot_be_are_named() {
        let with = |at: usize, value: u32| {
            let mut record = RECORD.to_vec();
            record[at..at + 4].copy_from_slice(&value.to_le_bytes());
            match ResultSetRecord::parse(&record).unwrap_err() {
                ResultSetError::BadField { field, .. } | ResultSetError::Truncated(field) => field,
            }
        };
        assert_eq!(with(0, 72), "totalSize");
        assert_eq!(with(12, 30), "bookmarkOffset");
        assert_eq!(with(12, u32::MAX), "bookmarkOffset");
        assert_eq!(with(16, u32::MAX), "binXmlSize");
        assert_eq!(with(16, 60), "binXmlSize");
        assert_eq!(with(23, u32::MAX), "numberOfSubqueryIDs");
        assert_eq!(with(23, 100), "subqueryIDs");
        assert_eq!(with(31, 41), "bookmarkSize");
        assert_eq!(with(39, 3), "recordIdsOffset");
        assert_eq!(with(39, 513), "channelSize");
        assert_eq!(with(43, 2), "currentChannel");
        assert_eq!(with(47, 2), "readDirection");
        assert_eq!(with(51, 0), "recordIdsOffset");
    }

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_survive_a_round_trip(
            binxml in prop::collection::vec(any::<u8>(), 0..200),
            subqueries in prop::collection::vec(any::<u32>(), 0..10),
            ids in prop::collection::vec(any::<u64>(), 1..20),
            current: prop::sample::Index, reverse: bool,
        ) {
            let current = current.index(ids.len()) as u32;
            let mut out = Vec::new();
            encode_record(&mut out, &binxml, &subqueries, &ids, current, reverse);
            let record = ResultSetRecord::parse(&out).unwrap();
            prop_assert_eq!(record.binxml, binxml);
            prop_assert_eq!(record.subqueries.iter().collect::<Vec<_>>(), subqueries);
            prop_assert_eq!(record.position.record_ids().collect::<Vec<_>>(), ids.clone());
            prop_assert_eq!(record.position.record_id(), ids[current as usize]);
            prop_assert_eq!(record.position.reverse, reverse);
        }

        #[test]
        fn any_bytes_are_a_record_or_an_error(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..80, value: u32,
        ) {
            let _ = ResultSetRecord::parse(&bytes);
            let _ = BookmarkData::parse(&bytes);
            bytes = RECORD.to_vec();
            if let Some(long) = bytes.get_mut(at..at + 4) {
                long.copy_from_slice(&value.to_le_bytes());
            }
            let _ = ResultSetRecord::parse(&bytes).map(|record| record.position.record_id());
        }
    }
}
