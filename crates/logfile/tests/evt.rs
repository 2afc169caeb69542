//! `.evt` files: those that a ring of the tests' own makes, wrapped, dirty and damaged, and a real
//! one, of which another implementation reads the same.
#![allow(clippy::print_stdout)] // A test that can do less says so.

mod classic_parts;
mod common;
mod evt_ring;

use std::io::Cursor;
use std::process::Command;

use classic_parts::{Parts, parts};
use common::corpus_folder;
use evt_ring::Ring;
use proptest::prelude::*;
use quarry_logfile::classic::ClassicRecord;
use quarry_logfile::{Damage, DamageKind, EvtItem, EvtLog, OpenError};

/// A record that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Read {
    offset: u64,
    number: u32,
    bytes: Vec<u8>,
    is_whole: bool,
    recovered: bool,
}

/// All that a file holds.
#[derive(Default, Debug)]
struct Content {
    records: Vec<Read>,
    damage: Vec<Damage>,
}

impl Content {
    fn numbers(&self) -> Vec<u32> {
        self.records.iter().map(|record| record.number).collect()
    }
}

fn open(bytes: &[u8]) -> Result<EvtLog, OpenError> {
    EvtLog::open(Cursor::new(bytes.to_vec()))
}

fn read(bytes: &[u8], recover: bool) -> Content {
    let mut log = open(bytes).unwrap();
    if recover {
        log.recover().unwrap();
    }
    let mut content = Content { records: Vec::new(), damage: log.damage().to_vec() };
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    for n in 0..log.blocks() {
        log.block(n, &mut buffer, &mut items);
        for item in &items {
            match item.clone() {
                EvtItem::Damage(damage) => content.damage.push(damage),
                EvtItem::Record { offset, number, bytes, is_whole, recovered } => {
                    let bytes = buffer[bytes].to_vec();
                    content.records.push(Read { offset, number, bytes, is_whole, recovered });
                }
            }
        }
    }
    content
}

/// Reads a damaged file, of which nothing may come twice or from outside.
fn read_hostile(bytes: &[u8]) -> Content {
    let content = read(bytes, true);
    let size = bytes.len() as u64;
    let mut places: Vec<_> = content.records.iter().map(|r| (r.offset, r.bytes.len())).collect();
    places.sort_unstable();
    // A place is in one record only; the last one may go on after the header.
    assert!(places.windows(2).all(|two| two[0].0 + two[0].1 as u64 <= two[1].0), "{places:?}");
    for damage in &content.damage {
        assert!(damage.offset <= size, "{damage}");
        assert!(!damage.to_string().is_empty());
    }
    for record in &content.records {
        assert!(ClassicRecord::salvage(&record.bytes).is_some());
    }
    // Without the flag it is the same, but for slack.
    let without = read(bytes, false);
    let live: Vec<_> = content.records.iter().filter(|record| !record.recovered).collect();
    assert_eq!(live, without.records.iter().collect::<Vec<_>>());
    content
}

fn record(number: u32, text: &str) -> Vec<u8> {
    let parts = Parts {
        number,
        generated: 1_300_000_000 + number,
        written: 1_300_000_001 + number,
        id: 0x4000_1b7c,
        kind: 4,
        source: "Source".into(),
        computer: "HOST".into(),
        strings: vec![text.into()],
        ..Parts::default()
    };
    parts.encode()
}

/// A log of small records, of which the first ones are overwritten.
fn wrapped() -> Ring {
    let mut ring = Ring::new(1024, 2048, 1);
    for n in 0..30 {
        // No two that are in it have the same size.
        ring.write(|number| record(number, &"x".repeat(7 * n % 30)));
    }
    assert!(ring.numbers()[0] > 10);
    ring
}

fn straight() -> Ring {
    let mut ring = Ring::new(1024, 4096, 1);
    for n in 0..12 {
        ring.write(|number| record(number, &"x".repeat(n % 11)));
    }
    assert_eq!(ring.numbers()[0], 1);
    ring
}

/// A log that was cleared when it had this many records, and has three new ones.
fn cleared(mut ring: Ring) -> Ring {
    ring.clear();
    for _ in 0..3 {
        ring.write(|number| later(number, "new"));
    }
    ring
}

/// A record of after a log was cleared.
fn later(number: u32, text: &str) -> Vec<u8> {
    let mut bytes = record(number, text);
    for at in [12, 16] {
        let time = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + 1_000_000;
        bytes[at..at + 4].copy_from_slice(&time.to_le_bytes());
    }
    bytes
}

#[test]
fn an_empty_log_has_no_records_and_no_damage() {
    let ring = Ring::new(1024, 4096, 1);
    for file in [ring.closed(), ring.open()] {
        let content = read(&file, true);
        assert_eq!((content.numbers(), content.damage), (vec![], vec![]));
    }
}

#[test]
fn a_cleared_log_has_its_records_in_slack() {
    let mut ring = straight();
    ring.clear();
    assert_eq!(read(&ring.closed(), false).numbers(), Vec::<u32>::new());
    // The record that marks the end lies in the first of them.
    assert_eq!(read(&ring.closed(), true).numbers(), (2..=12).collect::<Vec<_>>());
    ring.write(|number| record(number, "new"));
    for file in [ring.closed(), ring.open()] {
        let content = read(&file, true);
        let recovered: Vec<_> =
            content.records.iter().filter(|r| r.recovered).map(|r| r.number).collect();
        assert_eq!(recovered, (3..=12).collect::<Vec<_>>());
        assert_eq!((content.records.len(), content.damage), (11, vec![]));
    }
}

#[test]
fn a_file_is_told_by_what_is_in_it() {
    let is_one = |bytes: &[u8]| EvtLog::is_one(&Cursor::new(bytes.to_vec())).unwrap();
    assert!(is_one(&wrapped().closed()));
    let mut headless = wrapped().closed();
    headless[..48].fill(0);
    assert!(is_one(&headless));
    assert!(!is_one(b""));
    assert!(!is_one(b"\x30\0\0\0LfLx"));
    assert!(!is_one(&vec![0; 100_000]));
    assert!(matches!(open(b""), Err(OpenError::Empty)));
    assert!(matches!(open(b"hello"), Err(OpenError::NotALog)));
}

#[test]
fn a_header_alone_has_no_records() {
    let file = Ring::new(1024, 4096, 1).closed();
    let content = read(&file[..48], true);
    assert_eq!(content.records, []);
    assert!(!content.damage.is_empty());
    let content = read(&file[..20], true);
    assert_eq!(content.records, []);
    let kind = DamageKind::Cut { missing: 28 };
    assert_eq!(content.damage, [Damage { offset: 20, record: None, kind }]);
}

#[test]
fn a_log_without_its_end_is_read_as_far_as_its_numbers_go_on() {
    for ring in [wrapped(), straight()] {
        for mut file in [ring.closed(), ring.open()] {
            for i in 0..40 {
                let place = 48 + (ring.end() - 48 + i) % (file.len() - 48);
                file[place] = 0;
            }
            let content = read_hostile(&file);
            let live: Vec<_> =
                content.records.iter().filter(|r| !r.recovered).map(|r| r.number).collect();
            assert_eq!(live, ring.numbers());
            let kinds: Vec<_> = content.damage.iter().map(|damage| damage.kind).collect();
            assert_eq!(kinds, [DamageKind::EndOfLog]);
            assert_eq!(content.damage[0].offset, ring.end() as u64);
        }
    }
}

#[test]
fn a_log_without_its_header_is_read_and_says_so() {
    let mut emptied = straight();
    emptied.clear();
    for ring in [wrapped(), straight(), cleared(wrapped()), cleared(straight()), emptied] {
        let mut file = ring.closed();
        file[..48].fill(0);
        let content = read(&file, false);
        assert_eq!(content.numbers(), ring.numbers());
        let expected = Damage { offset: 0, record: None, kind: DamageKind::FileHeader };
        assert_eq!(content.damage, [expected]);
    }
}

#[test]
fn a_log_with_neither_header_nor_end_is_read_all_the_same() {
    let ring = straight();
    let mut file = ring.closed();
    file[..48].fill(0);
    file[ring.end()..ring.end() + 40].fill(0);
    let content = read_hostile(&file);
    assert_eq!(content.numbers(), ring.numbers());
    let kinds: Vec<_> = content.damage.iter().map(|damage| damage.kind).collect();
    assert_eq!(kinds, [DamageKind::FileHeader, DamageKind::EndOfLog]);
}

#[test]
fn a_changed_byte_loses_no_record_but_its_own_and_none_unnoticed() {
    for ring in [wrapped(), straight(), cleared(wrapped()), cleared(straight())] {
        for file in [ring.closed(), ring.open()] {
            for at in 0..file.len() {
                for change in [0x01, 0x80, 0xff] {
                    let mut changed = file.clone();
                    changed[at] ^= change;
                    let content = read_hostile(&changed);
                    let live: Vec<_> =
                        content.records.iter().filter(|r| !r.recovered).map(|r| r.number).collect();
                    let missing = ring.numbers().iter().filter(|n| !live.contains(n)).count();
                    assert!(missing <= 1, "byte {at} ^ {change}: {live:?} {:?}", content.damage);
                    let extra = live.iter().filter(|n| !ring.numbers().contains(n)).count();
                    assert!(extra <= 1, "byte {at} ^ {change}: {live:?} {:?}", content.damage);
                    assert!(
                        missing + extra == 0 || !content.damage.is_empty(),
                        "byte {at} ^ {change}: {live:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_off_has_the_records_before_the_cut_and_says_so() {
    let ring = straight();
    let file = ring.closed();
    for cut in 48..ring.end() + 40 {
        let content = read_hostile(&file[..cut]);
        let live: Vec<_> = content.records.iter().filter(|r| !r.recovered).collect();
        let whole: Vec<_> = ring
            .written
            .iter()
            .filter(|record| record.at + record.bytes.len() <= cut)
            .map(|record| record.number)
            .collect();
        let found: Vec<_> = live.iter().filter(|r| r.is_whole).map(|r| r.number).collect();
        assert_eq!(found, whole, "cut at {cut}: {:?}", content.damage);
        let is_told = |damage: &Damage| matches!(damage.kind, DamageKind::Cut { .. });
        assert!(content.damage.iter().any(is_told), "cut at {cut}: {:?}", content.damage);
    }
    // Behind the end there is nothing to lose.
    assert_eq!(read(&file[..ring.end() + 40], true).damage, []);
}

#[test]
fn a_wrapped_file_that_is_cut_off_has_the_records_that_are_left() {
    let ring = wrapped();
    let file = ring.closed();
    for cut in 48..file.len() {
        let content = read_hostile(&file[..cut]);
        let found: Vec<_> =
            content.records.iter().filter(|r| r.is_whole).map(|r| r.number).collect();
        // Those that lie before the cut whole, whatever they are taken for.
        let whole = ring.written.iter().filter(|record| {
            let is_live = ring.numbers().contains(&record.number);
            is_live && record.at + record.bytes.len() <= cut
        });
        for record in whole {
            assert!(
                found.contains(&record.number),
                "cut at {cut}: {} at {}: {found:?} {:?}",
                record.number,
                record.at,
                content.damage
            );
        }
        assert!(!content.damage.is_empty(), "cut at {cut}");
    }
}

#[test]
fn records_that_are_torn_in_the_middle_of_a_log_are_read_and_named() {
    let ring = straight();
    let mut file = ring.closed();
    let fifth = &ring.written[4];
    // The size after it.
    let size = fifth.at + fifth.bytes.len() - 4;
    file[size..size + 4].fill(0x5a);
    let content = read_hostile(&file);
    assert_eq!(content.numbers(), ring.numbers());
    assert!(!content.records[4].is_whole);
    let expected =
        Damage { offset: fifth.at as u64, record: Some(5), kind: DamageKind::RecordSize };
    assert_eq!(content.damage, [expected]);
}

#[test]
fn a_part_outside_of_its_record_is_left_out_and_named() {
    let ring = straight();
    let mut file = ring.closed();
    let third = &ring.written[2];
    file[third.at + 36..third.at + 40].fill(0xff);
    let content = read_hostile(&file);
    assert_eq!(content.numbers(), ring.numbers());
    let kind = DamageKind::RecordPart("strings");
    assert_eq!(content.damage, [Damage { offset: third.at as u64, record: Some(3), kind }]);
}

#[test]
fn zeros_behind_a_wrapped_file_are_no_part_of_it() {
    let ring = wrapped();
    let mut file = ring.closed();
    file.resize(file.len() + 5000, 0);
    let content = read_hostile(&file);
    assert_eq!(read(&file, false).numbers(), ring.numbers());
    assert_eq!(content.damage, []);
}

#[test]
fn a_megabyte_of_rubbish_in_a_log_is_one_gap() {
    // Longer than what is looked at at a time, so that the records are in several blocks.
    let text = "y".repeat(5000);
    let mut ring = Ring::new(1 << 16, 16 << 20, 1);
    for _ in 0..1000 {
        ring.write(|number| record(number, &text));
    }
    let len = ring.written[0].bytes.len();
    let mut file = ring.closed();
    let (from, to) = (ring.written[100].at, ring.written[900].at);
    file[from..to].fill(0xaa);
    let content = read_hostile(&file);
    assert_eq!(content.numbers(), (1..=100).chain(901..=1000).collect::<Vec<_>>());
    let kind = DamageKind::NoRecord { skipped: 800 * len as u64 };
    assert_eq!(content.damage, [Damage { offset: from as u64, record: None, kind }]);
}

#[test]
fn a_log_that_begins_in_the_record_of_its_end_gives_no_record_twice() {
    for ring in [straight(), wrapped()] {
        for into in [4, 20, 36] {
            let mut file = ring.closed();
            let begin = (ring.end() + into) as u32;
            let in_end = ring.end() + 20;
            for place in [16, in_end] {
                file[place..place + 4].copy_from_slice(&begin.to_le_bytes());
            }
            let content = read_hostile(&file);
            let live: Vec<_> =
                content.records.iter().filter(|r| !r.recovered).map(|r| r.number).collect();
            assert_eq!(live, ring.numbers());
            let kinds: Vec<_> = content.damage.iter().map(|damage| damage.kind).collect();
            assert_eq!(kinds, [DamageKind::OldestRecord]);
        }
    }
}

#[test]
fn filling_is_no_damage_where_the_end_stands_right_behind_the_header() {
    let mut file = vec![0; 48 + 40];
    let begin = file.len();
    for number in 5..10 {
        file.extend_from_slice(&record(number, "text"));
    }
    for _ in 0..5 {
        file.extend_from_slice(&0x27u32.to_le_bytes());
    }
    let (begin, max) = (begin as u32, file.len() as u32);
    let header = [48, 0x654c_664c, 1, 1, begin, 48, 10, 5, max, 2, 0, 48];
    let magic = [0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444];
    let end = [&[40][..], &magic, &[begin, 48, 10, 5, 40]].concat();
    for (place, word) in file.chunks_mut(4).zip(header.into_iter().chain(end)) {
        place.copy_from_slice(&u32::to_le_bytes(word));
    }
    let content = read_hostile(&file);
    assert_eq!(content.numbers(), (5..10).collect::<Vec<_>>());
    assert_eq!(content.damage, []);
}

/// The strings of a record, whole or not.
fn strings(bytes: &[u8]) -> Vec<String> {
    let (record, _) = ClassicRecord::salvage(bytes).unwrap();
    record.strings().map(|string| string.to_string()).collect()
}

#[test]
fn of_a_record_that_is_overwritten_in_part_only_whole_strings_are_shown() {
    let of = |number: u32| {
        let strings = ["first", "second", "third", "fourth"].map(|text| text.repeat(5));
        let written = 1_300_000_000 + number;
        let strings = strings.to_vec();
        Parts { number, written, source: "Source".into(), strings, ..Parts::default() }.encode()
    };
    let (mut torn, mut cut) = (0, 0);
    // Where the file ends in each part of the record.
    for more in (0..400).step_by(4) {
        let mut ring = Ring::new(2400 + more, 2400 + more, 1);
        let is_split = |ring: &Ring| {
            ring.written.last().is_some_and(|last| last.at + last.bytes.len() > 2400 + more)
        };
        while !is_split(&ring) && ring.written.len() < 20 {
            ring.write(of);
        }
        ring.clear();
        ring.write(|number| later(number, "of another record"));
        let content = read_hostile(&ring.closed());
        for record in content.records.iter().filter(|record| !record.is_whole) {
            let whole = strings(&of(record.number));
            let shown = strings(&record.bytes);
            assert_eq!(shown, whole[..shown.len()], "{more}");
            cut += usize::from(shown.len() < whole.len());
            let is_told = |damage: &Damage| {
                (damage.offset, damage.kind) == (record.offset, DamageKind::RecordSize)
            };
            assert!(content.damage.iter().any(is_told));
            torn += 1;
        }
    }
    assert!(torn > 10 && cut > 10, "{torn} {cut}");
}

#[test]
fn what_is_made_to_be_slow_is_read_in_linear_time() {
    // Signatures, torn records in sequence and sizes that point far ahead.
    let mut bytes = straight().closed();
    let mut numbers = 1u32..;
    while bytes.len() < 24 << 20 {
        bytes.extend_from_slice(&(1u32 << 20).to_le_bytes());
        bytes.extend_from_slice(b"LfLe");
        bytes.extend_from_slice(&numbers.next().unwrap().to_le_bytes());
        bytes.resize(bytes.len() + 52, 7);
    }
    let size = bytes.len() as u32;
    for (at, value) in [(20, size - 40), (32, size), (36, 1)] {
        bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
    }
    let start = std::time::Instant::now();
    read_hostile(&bytes);
    assert!(start.elapsed() < std::time::Duration::from_secs(60), "{:?}", start.elapsed());
}

/// A history of a log: records of these sizes, and now and then it is flushed or cleared.
#[derive(Clone, Debug)]
enum Act {
    Write(Parts),
    Flush,
    Clear,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        20 => parts().prop_map(Act::Write),
        2 => Just(Act::Flush),
        1 => Just(Act::Clear),
    ];
    prop::collection::vec(act, 0..60)
}

fn play(acts: &[Act], step: usize, max: usize, first: u32) -> Ring {
    let mut ring = Ring::new(step, max, first);
    for act in acts {
        match act {
            Act::Write(parts) => {
                ring.write(|number| Parts { number, ..parts.clone() }.encode());
            }
            Act::Flush => ring.flush(),
            Act::Clear => ring.clear(),
        }
    }
    ring
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_written_the_log_and_its_slack_are_read_back(
        acts in acts(),
        sizes in (40usize..400, 200usize..1500),
        first in prop_oneof![4 => Just(1u32), 1 => any::<u32>()],
    ) {
        let (step, max) = (4 * sizes.0, 4 * sizes.1.max(sizes.0).max(300));
        let ring = play(&acts, step, max, first.max(1));
        for file in [ring.closed(), ring.open()] {
            let content = read_hostile(&file);
            let (recovered, live): (Vec<_>, Vec<_>) =
                content.records.iter().partition(|record| record.recovered);
            let numbers: Vec<u32> = live.iter().map(|record| record.number).collect();
            prop_assert_eq!(numbers, ring.numbers());
            for record in &live {
                prop_assert!(ring.written.iter().any(|w| w.bytes == record.bytes));
            }
            let mut found: Vec<(usize, u32)> = recovered.iter().filter(|r| r.is_whole)
                .map(|r| (r.offset as usize, r.number)).collect();
            let mut expected: Vec<(usize, u32)> =
                ring.given_up().iter().map(|w| (w.at, w.number)).collect();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
            // All damage there is are records that are overwritten in part, and all of them are.
            let torn: Vec<_> = recovered.iter().filter(|record| !record.is_whole).collect();
            let told: Vec<_> = content.damage.iter().map(|d| (d.kind, d.offset)).collect();
            let expected: Vec<_> =
                torn.iter().map(|record| (DamageKind::RecordSize, record.offset)).collect();
            prop_assert_eq!(told, expected);
            for record in torn {
                let shown = strings(&record.bytes);
                let is_of = |written: &&evt_ring::Written| {
                    (written.at as u64, written.number) == (record.offset, record.number)
                        && strings(&written.bytes).starts_with(&shown)
                };
                prop_assert!(ring.written.iter().any(|written| is_of(&written)), "{:?}", shown);
            }
        }
    }

    #[test]
    fn changed_bytes_make_no_trouble(
        acts in acts(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = play(&acts, 800, 2400, 1).open();
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        if open(&file).is_ok() {
            read_hostile(&file);
        }
    }
}

/// Writes the seeds of the fuzz target `evt`.
#[test]
#[ignore = "writes into fuzz/seeds; run it when the ring changes"]
fn write_the_seeds_of_the_fuzz_target() {
    use proptest::strategy::ValueTree;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/evt");
    std::fs::create_dir_all(&folder).unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for n in 0..8 {
        let acts = acts().new_tree(&mut runner).unwrap().current();
        let ring = play(&acts, 800, 1600 + 400 * n, 1);
        let file = if n % 2 == 0 { ring.closed() } else { ring.open() };
        std::fs::write(folder.join(format!("generated-{n}")), file).unwrap();
    }
}

// --- A real one -----------------------------------------------------------------------------

fn sample() -> Option<std::path::PathBuf> {
    let path = corpus_folder().join("evt/SysEvent.Evt");
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has the sample log");
    println!("the sample log is not here");
    None
}

/// What is known of a record, ours or theirs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Known {
    number: String,
    created: String,
    written: String,
    kind: String,
    computer: String,
    source: String,
    category: String,
    id: String,
    user: Option<String>,
    strings: Vec<String>,
}

/// The records as libevt's program prints them.
fn exported(text: &str) -> Vec<Known> {
    let mut records: Vec<Known> = Vec::new();
    for line in text.split('\n') {
        let (name, value) = match line.split_once("\t: ") {
            Some((name, value)) => (name.trim_end_matches('\t'), value.to_owned()),
            None => ("", String::new()),
        };
        if name == "Event number" {
            records.push(Known { number: value, ..Known::default() });
            continue;
        }
        let Some(record) = records.last_mut() else { continue };
        match name {
            "Creation time" => record.created = value,
            "Written time" => record.written = value,
            // Its name and the number in brackets.
            "Event type" => {
                record.kind = value.rsplit_once('(').unwrap().1.trim_end_matches(')').to_owned();
            }
            "Computer name" => record.computer = value,
            "Source name" => record.source = value,
            "Event category" => record.category = value,
            "Event identifier" => record.id = value.split(' ').next().unwrap().to_owned(),
            "User security identifier" => record.user = Some(value),
            "Number of strings" => {}
            name if name.starts_with("String: ") => record.strings.push(value),
            // More of a string.
            _ => {
                if let Some(last) = record.strings.last_mut() {
                    last.push('\n');
                    last.push_str(line);
                }
            }
        }
    }
    for string in records.iter_mut().flat_map(|record| &mut record.strings) {
        string.truncate(string.trim_end().len());
    }
    records
}

fn known(record: &Read) -> Known {
    let (record, _) = ClassicRecord::salvage(&record.bytes).unwrap();
    let time = |time: quarry_event::EventTime| {
        time.to_timestamp().unwrap().strftime("%b %d, %Y %H:%M:%S UTC").to_string()
    };
    Known {
        number: record.number().to_string(),
        created: time(record.time_generated()),
        written: time(record.time_written()),
        kind: record.event_type().0.to_string(),
        computer: record.computer().to_string(),
        source: record.source().to_string(),
        category: record.category().to_string(),
        id: format!("0x{:08x}", record.full_id()),
        user: record.user().map(|sid| sid.to_string()),
        strings: record.strings().map(|s| s.to_string().trim_end().to_owned()).collect(),
    }
}

/// The numbers are those that the test of plaso for this file has, and the values of its record.
#[test]
fn the_sample_log_has_the_records_that_others_find() {
    let Some(path) = sample() else { return };
    let bytes = std::fs::read(&path).unwrap();
    let content = read_hostile(&bytes);
    let (recovered, live): (Vec<_>, Vec<_>) =
        content.records.iter().partition(|record| record.recovered);
    assert_eq!((live.len(), recovered.len()), (6063, 438));
    let first = known(live[0]);
    let expected = Known {
        number: "1392".into(),
        created: "Jul 27, 2011 06:41:47 UTC".into(),
        written: "Jul 27, 2011 06:41:47 UTC".into(),
        kind: "2".into(),
        computer: "WKS-WINXP32BIT".into(),
        source: "LSASRV".into(),
        category: "3".into(),
        id: "0x8000a001".into(),
        user: None,
        strings: vec![
            "cifs/CONTROLLER".into(),
            "\"The system detected a possible attempt to compromise security. Please ensure that \
             you can contact the server that authenticated you.\r\n (0xc0000388)\""
                .into(),
        ],
    };
    assert_eq!(first, expected);
    // All that is wrong is a record of slack that was half overwritten.
    let torn = Damage { offset: 0x1d_ff10, record: Some(1572), kind: DamageKind::RecordSize };
    assert_eq!(content.damage, [torn]);
    assert_eq!(read(&bytes, false).damage, []);

    for (mode, ours) in [("items", live), ("recovered", recovered)] {
        let output = match Command::new("evtexport").args(["-m", mode]).arg(&path).output() {
            Ok(output) => output,
            Err(_) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has evtexport");
                println!("libevt's evtexport is not here, so it has not read the log");
                continue;
            }
        };
        assert!(output.status.success());
        let theirs = exported(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(theirs.len(), ours.len(), "{mode}");
        for (ours, mut theirs) in ours.iter().zip(theirs) {
            let mut mine = known(ours);
            if !ours.is_whole {
                // It has fewer strings than it says, and what comes after is of another record.
                mine.strings.truncate(2);
                theirs.strings.truncate(2);
            }
            assert_eq!(mine, theirs, "{mode}");
        }
    }
}
