//! Damaged and unusual files: what can be read of them is read, what can't is named with its
//! place, and nothing worse happens.
#![allow(clippy::print_stdout)] // The counts are what the test is for.

mod common;

use std::collections::HashMap;
use std::io::Cursor;
use std::time::{Duration, Instant};

use common::{corpus, read, short_name};
use quarry_binxml::write::{Element, Fragment};
use quarry_event::{EventTime, Field, FieldSource};
use quarry_logfile::{CHUNK_SIZE, Damage, DamageKind, EvtxLog, EvtxWriter, OpenError};

const HEADER: usize = 4096;
const CHUNK_HEADER: usize = 512;

/// A chunk's first record, and how long it is at least.
const FIRST_RECORD: usize = CHUNK_HEADER;
const RECORD_HEADER: usize = 24;

// --- Logs that are made here --------------------------------------------------------------

/// A log of as many chunks, with 12 records each.
fn log(chunks: u64) -> Vec<u8> {
    let mut writer = EvtxWriter::new(Cursor::new(Vec::new())).unwrap();
    for number in 1..=12 * chunks {
        writer.write(&event(number), time(number)).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    assert_eq!(bytes.len(), HEADER + chunks as usize * CHUNK_SIZE);
    bytes
}

fn event(number: u64) -> Fragment<'static> {
    Fragment::Element(
        Element::new("Event")
            .child(
                Element::new("System")
                    .child(
                        Element::new("TimeCreated")
                            .attribute("SystemTime", time(number).to_string()),
                    )
                    .child(Element::new("EventRecordID").text(number.to_string())),
            )
            .child(Element::new("EventData").child(Element::new("Data").text("x".repeat(2_500)))),
    )
}

fn time(number: u64) -> EventTime {
    EventTime::from_filetime(134_000_000_000_000_000 + number * EventTime::SECOND)
}

/// The bytes of a chunk.
fn chunk(bytes: &mut [u8], n: usize) -> &mut [u8] {
    &mut bytes[HEADER + n * CHUNK_SIZE..HEADER + (n + 1) * CHUNK_SIZE]
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Where the chunk's `n`th record begins.
fn record_at(chunk: &[u8], n: usize) -> usize {
    (0..n).fold(FIRST_RECORD, |at, _| at + u32_at(chunk, at + 4) as usize)
}

/// Gives a chunk the checksums of what is in it.
fn seal_chunk(chunk: &mut [u8]) {
    let end = u32_at(chunk, 48) as usize;
    let records = crc32fast::hash(&chunk[CHUNK_HEADER..end]);
    put_u32(chunk, 52, records);
    let mut header = crc32fast::Hasher::new();
    header.update(&chunk[..120]);
    header.update(&chunk[128..CHUNK_HEADER]);
    put_u32(chunk, 124, header.finalize());
}

fn set_dirty(bytes: &mut [u8]) {
    put_u32(bytes, 120, 1);
    let checksum = crc32fast::hash(&bytes[..120]);
    put_u32(bytes, 124, checksum);
}

/// The numbers of the records that can be read, and the damage.
fn numbers(bytes: &[u8]) -> (Vec<u64>, Vec<Damage>) {
    let mut numbers = Vec::new();
    let damage = read(Cursor::new(bytes.to_vec()), |header, record| {
        if let Ok(record) = record {
            assert_eq!(record.field(Field::RecordId).as_u64(), Some(header.number));
            numbers.push(header.number);
        }
    });
    (numbers, damage)
}

fn damage_at(offset: usize, record: Option<u64>, kind: DamageKind) -> Damage {
    Damage { offset: offset as u64, record, kind }
}

fn all_but(chunks: u64, missing: impl Fn(&u64) -> bool) -> Vec<u64> {
    (1..=12 * chunks).filter(|number| !missing(number)).collect()
}

// --- Unusual files ------------------------------------------------------------------------

#[test]
fn a_wrapped_log_is_read_in_the_order_of_its_records() {
    let bytes = log(4);
    let (header, chunks) = bytes.split_at(HEADER);
    let wrapped = [header, &chunks[2 * CHUNK_SIZE..], &chunks[..2 * CHUNK_SIZE]].concat();
    assert_eq!(numbers(&wrapped), (all_but(4, |_| false), vec![]));
}

#[test]
fn zeros_behind_the_last_chunk_are_no_damage() {
    for zeros in [CHUNK_SIZE, 3 * CHUNK_SIZE, 1000, CHUNK_SIZE + 1] {
        let mut bytes = log(2);
        bytes.resize(bytes.len() + zeros, 0);
        assert_eq!(numbers(&bytes), (all_but(2, |_| false), vec![]), "{zeros}");
    }
}

#[test]
fn a_chunk_that_is_none_is_left_out_and_named() {
    let mut bytes = log(3);
    for (i, byte) in chunk(&mut bytes, 1).iter_mut().enumerate() {
        *byte = (i % 251) as u8;
    }
    let expected = damage_at(HEADER + CHUNK_SIZE, None, DamageKind::NoChunk);
    assert_eq!(numbers(&bytes), (all_but(3, |n| (13..=24).contains(n)), vec![expected]));
    assert!(expected.kind.loses_events());
}

#[test]
fn a_chunk_without_its_signature_is_read_and_named() {
    let mut bytes = log(3);
    chunk(&mut bytes, 1)[..8].fill(0xaa);
    let expected = damage_at(HEADER + CHUNK_SIZE, None, DamageKind::ChunkSignature);
    let (mut read, damage) = numbers(&bytes);
    // Its place in the order of records isn't known.
    read.sort_unstable();
    assert_eq!((read, damage), (all_but(3, |_| false), vec![expected]));
    assert!(!expected.kind.loses_events());
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_the_others_are_read() {
    let mut bytes = log(2);
    let second = chunk(&mut bytes, 1);
    let at = record_at(second, 5);
    // The token after the fragment's header.
    second[at + RECORD_HEADER + 4] = 0x3f;
    seal_chunk(second);
    let (read, damage) = numbers(&bytes);
    assert_eq!(read, all_but(2, |n| *n == 18));
    let [damage] = &*damage else { panic!("{damage:?}") };
    assert_eq!(damage.offset, (HEADER + CHUNK_SIZE + at) as u64);
    assert_eq!(damage.record, Some(18));
    assert!(matches!(damage.kind, DamageKind::Record(_)), "{damage:?}");
    assert!(damage.to_string().contains("record 18"), "{damage}");
}

#[test]
fn bytes_that_are_no_record_are_left_out_and_named() {
    let mut bytes = log(1);
    let first = chunk(&mut bytes, 0);
    let at = record_at(first, 5);
    let len = u32_at(first, at + 4) as usize;
    first[at..at + len].fill(0x5a);
    seal_chunk(first);
    let skipped = DamageKind::NoRecord { skipped: len as u64 };
    let expected = damage_at(HEADER + at, None, skipped);
    assert_eq!(numbers(&bytes), (all_but(1, |n| *n == 6), vec![expected]));
}

#[test]
fn a_record_with_a_wrong_size_is_read_and_named() {
    let mut bytes = log(1);
    let first = chunk(&mut bytes, 0);
    let at = record_at(first, 5);
    put_u32(first, at + 4, 0);
    seal_chunk(first);
    let expected = damage_at(HEADER + at, Some(6), DamageKind::RecordSize);
    assert_eq!(numbers(&bytes), (all_but(1, |_| false), vec![expected]));
}

#[test]
fn wrong_checksums_are_named_and_lose_no_record() {
    let all = all_but(2, |_| false);
    let mut bytes = log(2);
    bytes[124] ^= 1;
    let expected = damage_at(0, None, DamageKind::FileHeaderChecksum);
    assert_eq!(numbers(&bytes), (all.clone(), vec![expected]));

    let mut bytes = log(2);
    chunk(&mut bytes, 1)[124] ^= 1;
    let expected = damage_at(HEADER + CHUNK_SIZE, None, DamageKind::ChunkHeaderChecksum);
    assert_eq!(numbers(&bytes), (all.clone(), vec![expected]));

    let mut bytes = log(2);
    let second = chunk(&mut bytes, 1);
    // A letter of the padding, so that the record is still one.
    let at = record_at(second, 1) - 40;
    second[at] = b'y';
    let expected = damage_at(HEADER + CHUNK_SIZE, None, DamageKind::RecordsChecksum);
    assert_eq!(numbers(&bytes), (all, vec![expected]));
}

#[test]
fn a_damaged_file_header_says_nothing_about_where_chunks_are() {
    for (at, byte) in [(40, 0x80), (41, 0x11), (42, 0xff)] {
        let mut bytes = log(2);
        bytes[at] = byte;
        let expected = damage_at(0, None, DamageKind::FileHeaderChecksum);
        assert_eq!(numbers(&bytes), (all_but(2, |_| false), vec![expected]), "byte {at}");
    }
    let mut bytes = log(2);
    bytes[..HEADER].fill(0xff);
    let expected = damage_at(0, None, DamageKind::FileHeader);
    assert_eq!(numbers(&bytes), (all_but(2, |_| false), vec![expected]));
}

#[test]
fn a_file_that_ends_within_a_chunk_is_read_up_to_there() {
    let mut bytes = log(2);
    let cut = HEADER + CHUNK_SIZE + record_at(chunk(&mut bytes, 1), 4) + 100;
    bytes.truncate(cut);
    let (read, damage) = numbers(&bytes);
    assert_eq!(read, (1..=16).collect::<Vec<_>>());
    let missing = (HEADER + 2 * CHUNK_SIZE - cut) as u64;
    let truncated = damage_at(cut, None, DamageKind::Truncated { missing });
    assert!(damage.contains(&truncated), "{damage:?}");
    assert!(truncated.kind.loses_events());
}

#[test]
fn a_log_of_a_header_only_has_no_records_and_no_damage() {
    let bytes = log(1);
    assert_eq!(numbers(&bytes[..HEADER]), (vec![], vec![]));
    let (read, damage) = numbers(&bytes[..100]);
    assert!(read.is_empty());
    assert_eq!(damage, [damage_at(0, None, DamageKind::Truncated { missing: 3996 })]);
}

#[test]
fn what_is_no_log_is_refused_with_its_reason() {
    let open = |bytes: Vec<u8>| EvtxLog::open(Cursor::new(bytes)).map(drop).unwrap_err();
    assert!(matches!(open(vec![]), OpenError::Empty));
    assert!(matches!(open(b"hello".to_vec()), OpenError::NotALog));
    assert!(matches!(open(vec![0; 100_000]), OpenError::NotALog));
    let mut old = vec![0x30, 0, 0, 0];
    old.extend_from_slice(b"LfLe");
    old.resize(4096, 0);
    assert!(matches!(open(old), OpenError::OldFormat));
}

#[test]
fn a_dirty_log_has_the_records_behind_its_known_end() {
    let shortened = |dirty: bool| {
        let mut bytes = log(2);
        let second = chunk(&mut bytes, 1);
        let end = record_at(second, 7);
        put_u32(second, 48, end as u32);
        seal_chunk(second);
        if dirty {
            set_dirty(&mut bytes);
        }
        bytes
    };
    assert_eq!(numbers(&shortened(true)), (all_but(2, |_| false), vec![]));
    // In a clean log, what is after the end is left from before.
    assert_eq!(numbers(&shortened(false)), (all_but(2, |n| *n > 19), vec![]));
}

#[test]
fn the_time_of_an_event_is_its_own_and_not_that_of_its_record() {
    let mut writer = EvtxWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.write(&event(7), time(1_000_000)).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    read(Cursor::new(bytes), |header, record| {
        assert_eq!(header.written, time(1_000_000));
        assert_eq!(record.unwrap().field(Field::TimeCreated).as_time(), Some(time(7)));
    });
}

// --- Samples, cut and changed at random ---------------------------------------------------

/// Cuts and changes for each chunk that is taken, unless the variable says otherwise.
const CUTS: usize = 20;
const CHANGES: usize = 80;
/// How many times as many, for longer runs.
const TIMES: &str = "QUARRY_TEST_DAMAGE";
/// A chunk of a damaged file may take as long as that; it takes a hundredth.
const SLOW: Duration = Duration::from_secs(5);
/// What reading one chunk after the other may take, whatever is in them.
const MEMORY: usize = 256 << 20;

/// A generator of numbers that are the same in every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

/// The records that are read, by where they begin: where they end, and their XML.
fn records(bytes: &[u8]) -> HashMap<u64, (u64, Vec<u8>)> {
    let start = Instant::now();
    let mut records = HashMap::new();
    let damage = read(Cursor::new(bytes.to_vec()), |header, record| {
        if let Ok(record) = record {
            let chunk = header.offset - (header.binxml.start - RECORD_HEADER) as u64;
            let mut xml = Vec::new();
            record.write_xml(&mut xml);
            records.insert(header.offset, (chunk + header.binxml.end as u64 + 4, xml));
        }
    });
    for damage in damage {
        assert!(damage.offset <= bytes.len() as u64, "{damage}");
    }
    assert!(start.elapsed() < SLOW, "it took {:?}", start.elapsed());
    records
}

#[test]
fn what_stands_before_a_cut_or_a_changed_byte_is_still_read() {
    let times: usize = std::env::var(TIMES).ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut logs: Vec<(String, Vec<u8>)> = corpus()
        .into_iter()
        .map(|path| (short_name(&path), std::fs::read(path).unwrap()))
        .collect();
    logs.push(("made here".into(), log(3)));
    let peak_memory = || quarry_testkit::peak_memory(std::process::id());
    let before = peak_memory();
    let mut numbers = Numbers(1);
    let (mut cuts, mut changes, mut kept) = (0, 0, 0);
    for (name, bytes) in logs {
        // One chunk of the file after its header, so that much can be tried.
        let chunks = (bytes.len() - HEADER) / CHUNK_SIZE;
        let at = HEADER + numbers.below(chunks) * CHUNK_SIZE;
        let file = [&bytes[..HEADER], &bytes[at..bytes.len().min(at + CHUNK_SIZE)]].concat();
        let whole = records(&file);
        for _ in 0..CUTS * times {
            let cut = numbers.below(file.len());
            let read = records(&file[..cut]);
            for (offset, (end, xml)) in &whole {
                if *end <= cut as u64 {
                    assert_eq!(read.get(offset).map(|r| &r.1), Some(xml), "{name}, cut at {cut}");
                    kept += 1;
                }
            }
            cuts += 1;
        }
        for _ in 0..CHANGES * times {
            let place = numbers.below(file.len());
            let mut changed = file.clone();
            changed[place] ^= 1 + numbers.below(255) as u8;
            let read = records(&changed);
            for (offset, (end, xml)) in &whole {
                // Offsets of names and templates point back, never forward.
                if *end <= place as u64 || place < HEADER {
                    let found = read.get(offset).map(|record| &record.1);
                    assert_eq!(found, Some(xml), "{name}, byte {place} changed");
                    kept += 1;
                }
            }
            changes += 1;
        }
    }
    println!("{cuts} cuts and {changes} changed bytes, {kept} records before them still read");
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        println!("at most {} MiB more memory", (after - before) >> 20);
        assert!(after - before < MEMORY, "{} MiB", (after - before) >> 20);
    }
}
