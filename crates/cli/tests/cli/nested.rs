//! Small files that print much.

use quarry_event::EventTime;
use quarry_logfile::EvtxWriter;
use quarry_sim::nested_event;

/// A file of so many records, all in one chunk, whose templates nest.
pub(crate) fn nested(records: u64) -> Vec<u8> {
    let mut writer = EvtxWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    let event = nested_event();
    for _ in 0..records {
        writer.write(&event, EventTime::from_filetime(1 << 56)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
