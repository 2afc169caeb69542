//! Makes the seeds of the fuzz targets `binxml_file` and `evtx` anew, when asked to.

#[path = "../../binxml/tests/generate/mod.rs"]
mod generate;

use std::io::Cursor;
use std::path::Path;

use generate::{Flavour, fragment};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use quarry_binxml::write::{ChunkTables, Fragment, wire};
use quarry_event::EventTime;
use quarry_logfile::EvtxWriter;

#[test]
#[ignore = "writes fuzz/seeds; run it when the generator or the writer has changed"]
fn seeds_of_the_fuzz_targets_are_made() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let folder = |name: &str| {
        let folder = seeds.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let mut runner = TestRunner::deterministic();
    let mut generate =
        || -> Fragment<'static> { fragment(Flavour::Any).new_tree(&mut runner).unwrap().current() };
    for i in 0..12 {
        let mut bytes = Vec::new();
        wire(&generate(), &mut bytes).unwrap();
        std::fs::write(folder("binxml_wire").join(format!("generated-{i}")), bytes).unwrap();
    }
    for example in ["spec-4.4", "spec-4.8"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../binxml/tests/fixtures/{example}.bin"));
        std::fs::copy(from, folder("binxml_wire").join(example)).unwrap();
    }
    for i in 0..12 {
        let mut tables = ChunkTables::default();
        let mut chunk = vec![0; 16];
        let mut start = 0;
        // The last record refers to what the first ones brought along.
        let event = generate();
        for event in [generate(), event.clone(), event] {
            start = chunk.len();
            tables.write(&event, &mut chunk, 16_384).unwrap();
        }
        let mut seed = (start as u16).to_le_bytes().to_vec();
        seed.extend_from_slice(&chunk);
        std::fs::write(folder("binxml_file").join(format!("generated-{i}")), seed).unwrap();
    }
    for i in 0..4 {
        let mut writer = EvtxWriter::new(Cursor::new(Vec::new())).unwrap();
        for _ in 0..4 {
            writer.write(&generate(), EventTime::from_filetime(134_000_000_000_000_000)).unwrap();
        }
        let mut bytes = writer.finish().unwrap().into_inner();
        // What is after the records is zeros, of which there need not be as many.
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
        bytes.truncate((end + 1).next_multiple_of(512));
        std::fs::write(folder("evtx").join(format!("generated-{i}")), bytes).unwrap();
    }
}
