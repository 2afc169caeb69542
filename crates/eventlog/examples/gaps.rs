//! Lists the record numbers that a log file lacks between its first and its last record.
//!
//! ```text
//! cargo run -p quarry-eventlog --example gaps -- Security.evtx
//! ```
#![allow(clippy::print_stdout)]

use std::path::Path;

use quarry_event::FieldSource;
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, RecordId, Visitor};

/// Keeps the numbers that come, and what can't be read.
#[derive(Default)]
struct Numbers {
    numbers: Vec<u64>,
    damage: Vec<Damage>,
}

impl Visitor for Numbers {
    fn event<S: FieldSource>(&mut self, _event: &S, _log: &str, log_record: Option<RecordId>) {
        self.numbers.extend(log_record.map(|record| record.0));
    }

    fn damage(&mut self, damage: &Damage) {
        self.damage.push(damage.clone());
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("which file?")?;
    let log = FileLog::open(Path::new(&path))?;
    let (mut reader, mut found) = (BatchReader::default(), Numbers::default());
    for batch in log.batches(Direction::Forward) {
        reader.read(&batch, &mut found);
    }
    found.numbers.sort_unstable();
    for pair in found.numbers.windows(2) {
        if let [before, after] = *pair
            && after > before + 1
        {
            println!("{} to {} are missing", before + 1, after - 1);
        }
    }
    for damage in &found.damage {
        println!("{damage}");
    }
    println!("{} records", found.numbers.len());
    Ok(())
}
