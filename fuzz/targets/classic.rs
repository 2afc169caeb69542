//! Classic records, one behind the other, and all that can be asked of them as events.

use quarry_logfile::classic::{ClassicEvent, ClassicRecord};

use super::use_event::use_event;

pub fn run(mut data: &[u8]) {
    while let Ok((record, rest)) = ClassicRecord::split(data) {
        assert!(rest.len() < data.len());
        use_event(&ClassicEvent { record, log: "fuzz" });
        data = rest;
    }
}
