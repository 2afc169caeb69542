//! Result set records, bookmarks in both forms, log properties.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_even::{BinXmlVariant, Bookmark, BookmarkData, ResultSetRecord, encode_record};

fuzz_target!(|data: &[u8]| {
    let Some((&what, bytes)) = data.split_first() else { return };
    match what % 4 {
        0 => {
            if let Ok(record) = ResultSetRecord::parse(bytes) {
                let position = record.position;
                let ids: Vec<u64> = position.record_ids().collect();
                let subqueries: Vec<u32> = record.subqueries.iter().collect();
                let (current, reverse) = (position.current_channel, position.reverse);
                let mut again = Vec::new();
                encode_record(&mut again, record.binxml, &subqueries, &ids, current, reverse);
                let again = ResultSetRecord::parse(&again).unwrap();
                assert_eq!(again.binxml, record.binxml);
                assert_eq!(again.position.record_id(), position.record_id());
                assert!(again.position.record_ids().eq(ids.iter().copied()));
                let channels = vec!["Security".to_owned(); ids.len()];
                let bookmark = Bookmark::of_record(&channels, &position).unwrap();
                assert_eq!(Bookmark::from_xml(&bookmark.to_xml()), Ok(bookmark));
            }
        }
        1 => drop(BookmarkData::parse(bytes)),
        2 => {
            if let Some(value) = BinXmlVariant::decode(bytes) {
                assert_eq!(BinXmlVariant::decode(&value.encode()), Some(value));
            }
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes)
                && let Ok(bookmark) = Bookmark::from_xml(text)
            {
                assert_eq!(Bookmark::from_xml(&bookmark.to_xml()), Ok(bookmark));
            }
        }
    }
});
