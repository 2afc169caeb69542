//! A zip archive, or a file that gzip or Zstandard has compressed: whatever is in it, reading ends
//! within the bounds.

use std::io::{Cursor, Seek, Write};

use quarry_archive::{Limits, Packing, ZipFile, unpack};
use quarry_logfile::ReadAt;

pub fn run(data: &[u8]) {
    let allowed = Limits::FREE + Limits::RATIO * data.len() as u64;
    match Packing::of(data) {
        Some(Packing::Zip) => {
            let mut file = tempfile::tempfile().expect("a temporary file");
            file.write_all(data).and_then(|()| file.rewind()).expect("it can be written");
            let Ok(archive) = ZipFile::open(file) else { return };
            for entry in archive.entries() {
                assert!(!entry.name.starts_with('/') && !entry.name.contains(char::is_control));
                if let Ok(unpacked) = archive.unpack(entry, &|| true) {
                    assert!(unpacked.size().is_ok_and(|size| size <= allowed));
                }
            }
        }
        Some(packing) => {
            if let Ok(unpacked) = unpack(packing, &Cursor::new(data.to_vec()), &|| true) {
                assert!(unpacked.size().is_ok_and(|size| size <= allowed));
            }
        }
        None => {}
    }
}
