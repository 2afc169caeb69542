//! A whole `.evt` file with its slack, read forwards and backwards; no byte of it is of two records.

use std::io::Cursor;

use quarry_logfile::{EvtItem, EvtLog};

use super::evtx::read_file;

pub fn run(data: &[u8]) {
    read_file(data, true);
    let Ok(mut log) = EvtLog::open(Cursor::new(data.to_vec())) else { return };
    log.recover().expect("it can be read");
    let mut places = Vec::new();
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    for n in 0..log.blocks() {
        log.block(n, &mut buffer, &mut items);
        places.extend(items.iter().filter_map(|item| match item {
            EvtItem::Record { offset, bytes, .. } => Some((*offset, bytes.len() as u64)),
            EvtItem::Damage(_) => None,
        }));
    }
    places.sort_unstable();
    for two in places.windows(2) {
        assert!(two[0].0 + two[0].1 <= two[1].0, "{two:?}");
    }
}
